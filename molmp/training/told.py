"""What the floor of trust is told of a model's answers; predicting needs none of calibration's imports."""

import numpy as np

from molmp.training.targets import Answered, Targets
from molmp.trust.domain import Verdict
from molmp.trust.told import Told

__all__ = ["told_of"]


def told_of(answered: Answered, verdict: Verdict | None, targets: Targets, place: int = 0) -> Told:
    """What is known of molecules: answers for the target at ``place``, and how they compare with those of training."""
    noise, surprise, quantiles = None, None, answered.quantiles
    if targets.task == "regression":
        noise = answered.aleatoric if quantiles is None else (quantiles[:, -1] - quantiles[:, 0]) / 2
    if verdict is not None and verdict.usual is not None:
        surprise = np.nan_to_num(np.abs(answered.value - verdict.usual[:, place]))
    similarity = None if verdict is None else verdict.similarity
    return Told(answered.value, answered.epistemic, noise, quantiles, similarity, surprise)
