"""How good networks are on their validation molecules.

Shapes: E networks, n molecules, O outputs of a network.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from molmp.nn.batch import DeviceGraphs
from molmp.nn.members import Members
from molmp.nn.memory import in_halves
from molmp.training.config import TrainConfig
from molmp.training.examples import Examples, Plan
from molmp.training.metrics import LOWER_IS_BETTER, MAIN_METRIC
from molmp.training.objective import objective
from molmp.training.targets import Targets

__all__ = ["criterion_of", "predict_outputs", "validate_members"]

EVALUATION_BATCH = 1024


@torch.inference_mode()
def predict_outputs(members: Members, graphs: DeviceGraphs, rows: np.ndarray) -> np.ndarray:
    """Outputs of each network for those rows, in that order, shape ``(E, len(rows), num_outputs)``."""
    members.eval()
    parts = [rows[start : start + EVALUATION_BATCH] for start in range(0, len(rows), EVALUATION_BATCH)]
    if not parts:
        return np.zeros((members.num_members, 0, members.network.num_outputs), np.float32)

    def outputs(part: np.ndarray) -> Tensor:
        answer: Tensor = members(graphs.batch(part)).float().cpu()
        return answer

    return torch.cat([in_halves(outputs, part, dim=1) for part in parts], dim=1).numpy()


def validate_members(members: Members, examples: Examples, plans: Sequence[Plan]) -> np.ndarray:
    """Of each network on its own validation rows the loss, the main metric, and the main metric of the mean of all
    networks with the same rows, shape ``(E, 3)``; NaN where not finite.

    Without such rows the loss is 0.
    """
    rows = np.unique(np.concatenate([plan.val for plan in plans]))
    outputs_EnO = predict_outputs(members, examples.graphs, rows)
    judged = [plan.val.tobytes() for plan in plans]
    scores = np.empty((len(plans), 3))
    for same in dict.fromkeys(judged):
        networks = np.flatnonzero([one == same for one in judged])
        own = plans[networks[0]].val
        outputs = outputs_EnO[np.ix_(networks, np.searchsorted(rows, own))]
        scores[networks, :2] = [_score(outputs_nO, examples, own) for outputs_nO in outputs]
        together = [answered.value for answered in examples.targets.answer(outputs)]
        scores[networks, 2] = _metric(together, examples, own) if np.isfinite(outputs).all() else math.nan
    return scores


def _score(outputs_nO: np.ndarray, examples: Examples, rows: np.ndarray) -> tuple[float, float]:
    if not len(rows):
        return 0.0, math.nan
    if not np.isfinite(outputs_nO).all():
        return math.nan, math.nan
    loss = objective(examples.targets)(torch.from_numpy(outputs_nO), examples.known("cpu").at(torch.from_numpy(rows)))
    return float(loss), _metric(examples.targets.decode(outputs_nO), examples, rows)


def _metric(predictions: Sequence[np.ndarray], examples: Examples, rows: np.ndarray) -> float:
    metric = MAIN_METRIC[examples.targets.task]
    score = examples.score(rows, predictions, metric).mean[metric]
    return math.nan if score is None else score


def criterion_of(targets: Targets, config: TrainConfig, val_loss: float, val_score: float) -> tuple[float, float]:
    """Lower is better: the main metric, where that is equal or undefined the loss.

    Where the loss judges more than predictions, spreads or quantiles, or weighs the classes that the metric counts
    alike, it decides alone.
    """
    judges_more = targets.task == "regression" and max(targets.widths) > 1
    weighs = targets.task == "multiclass" and config.class_weight != "none"
    if math.isnan(val_score) or judges_more or weighs:
        return 0.0, val_loss
    return val_score if MAIN_METRIC[targets.task] in LOWER_IS_BETTER else -val_score, val_loss
