"""Where a training is: what it needs, besides weights and optimizer, to go on after it was stopped."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

__all__ = ["Best", "Epoch", "Place"]


class Epoch(NamedTuple):
    """One pass over the training molecules is done, as one network saw it."""

    member: int
    """The network, counted from 0."""
    epoch: int
    """Counted from 1."""
    train_loss: float
    val_loss: float
    val_score: float
    """The task's main metric on the validation molecules."""
    ensemble_score: float
    """That of the mean of all networks with the same validation molecules, as they are after this epoch."""
    best: bool
    """Whether its weights are those to keep so far: always where the last epoch's are, else where it is the best."""
    lr: float
    seconds: float
    molecules_per_second: float
    """Training molecules over the time of the whole epoch, validation included; each counts once for all networks."""


@dataclass(frozen=True)
class Best:
    """The epoch of a network whose weights are to be kept, so far."""

    criterion: tuple[float, float] = (math.inf, math.inf)
    epoch: int = 0
    weights: Mapping[str, Tensor] = field(default_factory=dict)

    def is_over(self, epoch: int, patience: int) -> bool:
        """Whether patience ended before that epoch."""
        return bool(patience) and epoch - 1 - self.epoch >= patience


@dataclass(frozen=True)
class Place:
    """Where a training is, besides the weights."""

    totals: Tensor
    """Losses of this epoch so far, added up, shape ``(E,)``."""
    best: list[Best]
    """Of each network."""
    records: list[Epoch]
    """Of the epochs that are done."""
    epoch: int = 1
    step: int = 0
    """The next one of this epoch."""
    seconds: float = 0.0
    """Since this epoch began."""

    def to_dict(self) -> dict[str, Any]:
        """As plain data and tensors."""
        best = [[*b.criterion, b.epoch, dict(b.weights)] for b in self.best]
        return vars(self) | {"best": best, "records": [list(record) for record in self.records]}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any], device: torch.device) -> Self:
        """Undo :meth:`to_dict`."""
        best = [
            Best((score, loss), epoch, {n: t.to(device) for n, t in w.items()})
            for score, loss, epoch, w in state["best"]
        ]
        records = [Epoch(*record) for record in state["records"]]
        return cls(**{**state, "totals": state["totals"].to(device), "best": best, "records": records})
