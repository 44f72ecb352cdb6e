"""What networks learn from: labelled molecules, and which of them each network sees."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from molmp.nn.batch import DeviceGraphs
from molmp.training.metrics import Scores, evaluate
from molmp.training.objective import Known
from molmp.training.targets import Targets

__all__ = ["Examples", "Plan"]


@dataclass(frozen=True, eq=False)
class Examples:
    """Graphs on the device and their labels, one row a molecule."""

    graphs: DeviceGraphs
    targets: Targets
    labels: np.ndarray
    """Real units or class indices, NaN where missing, shape ``(n, t)``."""
    weights: np.ndarray
    """Of each label, shape ``(n, t)``."""
    sides: np.ndarray | None = None
    """Of labels that are bounds: 1 where the truth is there or above, -1 where it is there or below, else 0."""

    def known(self, device: torch.device | str) -> Known:
        """What the loss sees of the labels, on the device."""
        sides = None if self.sides is None else torch.from_numpy(self.sides.astype(np.float32))
        encoded, weights = self.targets.encode(self.labels), self.weights.astype(np.float32)
        return Known(torch.from_numpy(encoded), torch.from_numpy(weights), sides).to(device)

    def values(self, rows: np.ndarray) -> np.ndarray:
        """Labels of those rows that are values and count, NaN in the place of others, shape ``(len(rows), t)``."""
        counts = self.weights[rows] > 0
        if self.sides is not None:
            counts &= self.sides[rows] == 0
        return np.where(counts, self.labels[rows], np.nan)

    def score(self, rows: np.ndarray, predictions: Sequence[np.ndarray], only: str | None = None) -> Scores:
        """Metrics of predictions for those rows, all or one."""
        sides = None if self.sides is None else self.sides[rows]
        cuts = [0.5 if target.threshold is None else target.threshold for target in self.targets.items]
        return evaluate(self.targets.task, self.targets.names, self.labels[rows], predictions, sides, cuts, only)

    def counts(self) -> np.ndarray:
        """What each molecule weighs in the loss: the weights of its labels that are known, shape ``(n,)``."""
        return np.asarray((self.weights * ~np.isnan(self.labels)).sum(axis=1))


class Plan(NamedTuple):
    """What one network of an ensemble learns from."""

    seed: int
    """Decides what dropout draws; initial weights came with the network."""
    train: np.ndarray
    """Rows that it learns from."""
    val: np.ndarray
    """Rows that tell how good it is, and choose its best epoch where one is chosen."""
