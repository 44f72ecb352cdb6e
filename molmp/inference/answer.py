"""What a model says of a batch of molecules: values, errors, and how they compare with those of training."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from molmp.chem.featurize import Featurized
from molmp.errors import InvalidSmilesError
from molmp.training.targets import Answered
from molmp.trust.domain import Domain, Verdict

__all__ = ["Answer", "judge"]


class Answer(NamedTuple):
    """Predictions for a batch of input rows, each row once and in its place."""

    targets: list[Answered]
    """What the model says of each target, with NaN in rows that cannot be predicted."""
    errors: dict[int, InvalidSmilesError]
    """By row of the batch: why it has no prediction."""
    verdict: Verdict | None = None
    """How the molecules compare with those of training, rows as in ``targets``; None where that was not asked, or the
    model keeps no molecules."""

    @property
    def values(self) -> list[np.ndarray]:
        """For each target its predictions, as ``Targets.decode`` gives them."""
        return [answered.value for answered in self.targets]


def judge(domain: Domain, featurized: Featurized, fingerprints: Sequence[np.ndarray]) -> Verdict:
    """Compare what was featurized with bits, and its learned fingerprints, with the molecules of a domain."""
    graphs, rows, errors = featurized
    learned = None
    if domain.learned is not None:
        learned = np.concatenate([np.zeros((0, len(domain.learned.center)), np.float32), *fingerprints])
    bits = domain.bits[:0] if graphs.bits is None else graphs.bits  # where nothing could be read
    return domain.judge((), bits=bits, graphs=graphs, learned=learned).spread(rows, len(rows) + len(errors))
