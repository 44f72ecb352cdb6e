"""The loss of each task, on the numbers that the network gives.

Shapes: B molecules, K targets, O outputs of the network.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from molmp.nn.losses import LOSSES
from molmp.nn.wide_losses import dirichlet, evidential, mve, quantile
from molmp.training.targets import Targets

__all__ = ["Known", "objective"]


class Known(NamedTuple):
    """What is known of ``B`` molecules, each part of shape ``(B, K)``."""

    labels: Tensor
    """Encoded labels, NaN where missing."""
    weights: Tensor
    sides: Tensor | None = None
    """Of labels that are bounds, see :mod:`molmp.nn.losses`."""

    def at(self, rows: Tensor) -> "Known":
        """Pick molecules."""
        return self._each(lambda part: part[rows])

    def to(self, device: torch.device | str) -> "Known":
        """Return a copy on ``device``."""
        return self._each(lambda part: part.to(device))

    def only(self, mask_B: Tensor) -> "Known":
        """Let the other molecules weigh nothing."""
        return self._replace(weights=self.weights * mask_B.unsqueeze(1))

    def column(self, target: int) -> "Known":
        """What is known of one target, each part of shape ``(B, 1)``."""
        return self._each(lambda part: part[:, target : target + 1])

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Known":
        sides = None if self.sides is None else change(self.sides)
        return Known(change(self.labels), change(self.weights), sides)


def objective(targets: Targets) -> Callable[[Tensor, Known], Tensor]:
    """Return ``loss(outputs (B, O), known)``, a scalar: the loss that the targets name.

    It is the mean over all values that are there, each as often as it weighs, whatever target it belongs to.

    >>> from molmp.training.targets import Target
    >>> two = Targets("multiclass", (Target(name="a", classes=("x", "y")), Target(name="b", classes=("p", "q", "r"))))
    >>> loss = objective(two)
    >>> loss(torch.zeros(1, 5), Known(torch.tensor([[0.0, float("nan")]]), torch.ones(1, 2))).exp()
    tensor(2.)
    """
    value_loss, widths = _value_loss(targets), targets.widths
    if max(widths) == 1:
        return lambda outputs_BO, known: value_loss(outputs_BO, *_given(known))
    if len(set(widths)) == 1:
        shape = (len(widths), widths[0])
        return lambda outputs_BO, known: value_loss(outputs_BO.unflatten(1, shape), *_given(known))

    def loss(outputs_BO: Tensor, known: Known) -> Tensor:
        parts = outputs_BO.split(widths, dim=1)
        shares = (known.weights * ~known.labels.isnan()).sum(0)
        means = [value_loss(part.unsqueeze(1), *_given(known.column(k))) for k, part in enumerate(parts)]
        return (torch.stack(means) * shares).sum() / shares.sum().clamp(min=torch.finfo(shares.dtype).tiny)

    return loss


def _given(known: Known) -> tuple[Tensor, ...]:
    return tuple(part for part in known if part is not None)


def _value_loss(targets: Targets) -> Callable[..., Tensor]:
    match targets.loss:
        case "quantile":
            return partial(quantile, levels=targets.quantiles)
        case "mve":
            return mve
        case "evidential":
            return evidential
        case "dirichlet":
            return dirichlet
    return LOSSES[targets.loss]
