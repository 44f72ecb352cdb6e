"""How far the truth may be from predictions, as standard deviations: of networks, of losses, of dropout, calibrated."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from molmp.chem.featurize import Featurized, featurize
from molmp.errors import ConfigError
from molmp.inference.answer import Answer
from molmp.nn.batch import GraphBatch
from molmp.nn.dropout import Dropout, dropout_seeds
from molmp.nn.model import MoleculeModel
from molmp.training.told import told_of
from molmp.trust.conformal import Interval
from molmp.trust.numbers import NumberTrust
from molmp.trust.trusted import COVERAGE, check_coverage

if TYPE_CHECKING:
    import pandas as pd

    from molmp.inference.predictor import Predictor

__all__ = ["deviations", "dropout_outputs", "intervals"]


def deviations(
    predictor: "Predictor", smiles: Sequence[str] | str, *, samples: int = 0, n_jobs: int = 1
) -> "pd.DataFrame":
    """Tell how far the truth may be from the predictions of molecules in memory, as standard deviations.

    Parameters
    ----------
    smiles, n_jobs
        As for :meth:`Predictor.predict`.
    samples
        Networks to draw from each network by dropout; 0 for the networks as they are, see :func:`dropout_outputs`.

    Returns
    -------
    One row for each SMILES in the same order. For each target, in its unit (of probability for classes):
    ``<target>_aleatoric``, what more data would not lower; ``<target>_epistemic``, what more data would lower; and
    ``<target>_std``, both together. NaN where the model knows nothing of it: see :class:`Answered`. For numbers of a
    model that was calibrated ``<target>_sigma`` follows, the standard deviation of the error that molecules which the
    weights did not see have taught to expect.
    """
    import pandas as pd

    rows = [smiles] if isinstance(smiles, str) else list(smiles)
    bundle = predictor.bundle
    featurized = featurize(rows, predictor.options(), n_jobs=n_jobs)
    answer = predictor.answer(featurized)
    drawn = answer
    if samples:
        outputs = dropout_outputs(predictor, featurized, samples)
        drawn = Answer(bundle.targets.answer(outputs), answer.errors)
    columns: dict[str, np.ndarray] = {}
    for place, (name, target) in enumerate(zip(bundle.targets.names, drawn.targets, strict=True)):
        parts = {"aleatoric": target.aleatoric, "epistemic": target.epistemic, "std": target.std}
        unknown = np.full(len(rows), np.nan)
        columns |= {f"{name}_{part}": unknown if array is None else array for part, array in parts.items()}
        trust = None if bundle.trust is None else bundle.trust.targets[place]
        if isinstance(trust, NumberTrust):
            told = told_of(answer.targets[place], answer.verdict, bundle.targets, place)
            columns[f"{name}_sigma"] = trust.sigma(told)
    return pd.DataFrame(columns, index=smiles.index if isinstance(smiles, pd.Series) else None)


def intervals(predictor: "Predictor", featurized: Featurized, coverage: float = COVERAGE) -> list[Interval]:
    """For each target the intervals that hold the truth with probability ``coverage``.

    ``featurized`` with :meth:`Predictor.options`. Infinite where the calibration molecules are too few.

    Raises
    ------
    ConfigError
        A target was not calibrated, or has classes.
    """
    check_coverage(coverage)
    bundle, answer = predictor.bundle, predictor.answer(featurized)
    found = []
    for place, (name, answered) in enumerate(zip(bundle.targets.names, answer.targets, strict=True)):
        trust = None if bundle.trust is None else bundle.trust.targets[place]
        if not isinstance(trust, NumberTrust):
            raise ConfigError(f"there are no intervals of {name!r}: it was not calibrated, or has classes")
        found.append(trust.interval(told_of(answered, answer.verdict, bundle.targets, place), coverage))
    return found


@torch.inference_mode()
def dropout_outputs(predictor: "Predictor", featurized: Featurized, samples: int) -> np.ndarray:
    """Numbers of networks that dropout draws from those of a model, shape ``(samples * voices, rows, outputs)``.

    Trees beside the networks have no dropout and say the same each time.

    Y. Gal and Z. Ghahramani, Dropout as a Bayesian approximation: representing model uncertainty in deep learning,
    2016, arXiv:1506.02142. Dropped are units of the head and features beside the graph. A drawn network is the same for
    all molecules: what it says of one depends neither on its company nor on the time of day.

    Raises
    ------
    ConfigError
        The model was trained without dropout, or ``samples`` is below 2.
    """
    config = predictor.bundle.network
    if not config.dropout and not (config.feature_dropout and config.num_features):
        raise ConfigError("the model was trained without dropout: there is nothing to draw")
    if samples < 2:
        raise ConfigError(f"samples must be at least 2, or 0 for none, got {samples}")
    total = len(featurized.rows) + len(featurized.errors)
    full = np.full((len(predictor.voices) * samples, total, predictor.bundle.targets.num_outputs), np.nan, np.float32)
    for rows, batch in predictor.batches(featurized):
        drawn = [
            _draw(voice, batch, number, samples)
            if isinstance(voice, MoleculeModel)
            else voice(batch).repeat(samples, 1, 1)
            for number, voice in enumerate(predictor.voices)
        ]
        full[:, rows] = torch.stack(drawn, dim=1).flatten(0, 1).float().cpu().numpy()
    return full


def _draw(model: MoleculeModel, batch: GraphBatch, number: int, samples: int) -> Tensor:
    vector = model.fingerprint(batch)
    layers = [layer for layer in model.modules() if isinstance(layer, Dropout) and layer.by_molecule]
    same = torch.zeros(len(vector), dtype=torch.int64, device=vector.device)
    outputs = []
    try:
        for layer in layers:
            layer.train()
        for sample in range(samples):
            with dropout_seeds([number * samples + sample], vector.device, molecules=same, num_molecules=1):
                outputs.append(model.answer(vector, batch))
    finally:
        for layer in layers:
            layer.eval()
    return torch.stack(outputs)
