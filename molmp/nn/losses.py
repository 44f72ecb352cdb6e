"""Losses for tables with gaps: a missing target (NaN) takes no part, a weight counts as so many rows.

Shapes: B molecules, K targets, C classes. Every loss has the same form::

    loss(prediction, target, weight) = sum(weight * loss per value) / sum(weight)    over the values that are there

``target`` has shape ``(B, K)``; ``weight`` is ``None``, one number a molecule ``(B,)`` or one a value ``(B, K)``.
``prediction`` has shape ``(B, K)``, for :func:`cross_entropy` ``(B, K, C)``. Without any value the loss is 0.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["LOSSES", "bce", "cross_entropy", "huber", "mae", "mse"]


def mse(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared error.

    >>> nan = float("nan")
    >>> mse(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[0.0], [nan], [6.0]]), torch.tensor([3.0, 1.0, 1.0]))
    tensor(3.)
    """
    return _mean(F.mse_loss(prediction, target.nan_to_num(), reduction="none"), target, weight)


def mae(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean absolute error."""
    return _mean(F.l1_loss(prediction, target.nan_to_num(), reduction="none"), target, weight)


def huber(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Huber's loss: half the square up to an error of 1, linear beyond (P. J. Huber, Robust estimation of a location
    parameter, 1964, doi 10.1214/aoms/1177703732). Targets are thought to be standardized."""
    return _mean(F.huber_loss(prediction, target.nan_to_num(), reduction="none"), target, weight)


def bce(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of logits; targets are 0 or 1, or a probability between."""
    loss = F.binary_cross_entropy_with_logits(prediction, target.nan_to_num(), reduction="none")
    return _mean(loss, target, weight)


def cross_entropy(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy of logits of shape ``(B, K, C)``; targets are the numbers 0 to ``C - 1`` of the classes.

    >>> cross_entropy(torch.zeros(1, 1, 4), torch.tensor([[2.0]])).exp()
    tensor(4.)
    """
    loss = F.cross_entropy(prediction.transpose(1, 2), target.nan_to_num().long(), reduction="none")
    return _mean(loss, target, weight)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "mse": mse,
    "mae": mae,
    "huber": huber,
    "bce": bce,
    "cross-entropy": cross_entropy,
}


def _mean(loss_BK: Tensor, target_BK: Tensor, weight: Tensor | None) -> Tensor:
    there_BK = (~target_BK.isnan()).to(loss_BK.dtype)
    if weight is not None:
        there_BK = there_BK * (weight.unsqueeze(1) if weight.dim() == 1 else weight)
    total = there_BK.sum()
    return (loss_BK * there_BK).sum() / torch.where(total > 0, total, torch.ones_like(total))
