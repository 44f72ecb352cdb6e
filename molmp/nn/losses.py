"""Losses for tables with gaps: a missing target (NaN) takes no part, a weight counts as so many rows.

Shapes: B molecules, K targets, C classes. Every loss has the same form::

    loss(prediction, target, weight) = sum(weight * loss per value) / sum(weight)    over the values that are there

``target`` has shape ``(B, K)``; ``weight`` is ``None``, one number a molecule ``(B,)`` or one a value ``(B, K)``.
``prediction`` has shape ``(B, K)``, for :func:`cross_entropy` ``(B, K, C)``. Without any value the loss is 0.

Some take a ``side`` too, shape ``(B, K)``: 1 where the truth is known to be ``target`` or above, -1 where it is that or
below, 0 where it is ``target`` itself. A bound costs what its interval is improbable, see :mod:`molmp.nn.bounds`.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from molmp.nn.bounds import NOISE, gaussian_bound, huber_bound, laplace_bound

__all__ = ["FOCUS", "LOSSES", "bce", "cross_entropy", "focal", "huber", "mae", "masked_mean", "mse"]

FOCUS = 2.0
"""Gamma of the focal loss, as its authors found best."""


def mse(prediction: Tensor, target: Tensor, weight: Tensor | None = None, side: Tensor | None = None) -> Tensor:
    """Mean squared error; a bound counts as in the likelihood of J. Tobin, Estimation of relationships for limited
    dependent variables, 1958, doi 10.2307/1907382.

    >>> nan = float("nan")
    >>> mse(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[0.0], [nan], [6.0]]), torch.tensor([3.0, 1.0, 1.0]))
    tensor(3.)
    """
    truth = target.nan_to_num()
    loss = F.mse_loss(prediction, truth, reduction="none")
    if side is not None:
        bound = 2 * NOISE**2 * gaussian_bound(prediction, truth, side, torch.full_like(prediction, NOISE))
        loss = torch.where(side == 0, loss, bound)
    return masked_mean(loss, target, weight)


def mae(prediction: Tensor, target: Tensor, weight: Tensor | None = None, side: Tensor | None = None) -> Tensor:
    """Mean absolute error; a bound counts as for errors of Laplace's distribution."""
    truth = target.nan_to_num()
    loss = F.l1_loss(prediction, truth, reduction="none")
    if side is not None:
        scale = NOISE / 2**0.5
        loss = torch.where(side == 0, loss, scale * laplace_bound(prediction, truth, side, scale))
    return masked_mean(loss, target, weight)


def huber(prediction: Tensor, target: Tensor, weight: Tensor | None = None, side: Tensor | None = None) -> Tensor:
    """Huber's loss: half the square up to an error of 1, linear beyond (P. J. Huber, Robust estimation of a location
    parameter, 1964, doi 10.1214/aoms/1177703732). Targets are thought to be standardized. A bound counts as for errors
    of the distribution whose negative logarithm this loss is."""
    truth = target.nan_to_num()
    loss = F.huber_loss(prediction, truth, reduction="none")
    if side is not None:
        loss = torch.where(side == 0, loss, NOISE**2 * huber_bound(prediction, truth, side, NOISE))
    return masked_mean(loss, target, weight)


def bce(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of logits; targets are 0 or 1, or a probability between."""
    return masked_mean(_binary(prediction, target), target, weight)


def cross_entropy(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy of logits of shape ``(B, K, C)``; targets are the numbers 0 to ``C - 1`` of the classes.

    >>> cross_entropy(torch.zeros(1, 1, 4), torch.tensor([[2.0]])).exp()
    tensor(4.)
    """
    return masked_mean(_categorical(prediction, target), target, weight)


def focal(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy times ``(1 - p)^2``, with ``p`` the probability of the true class: what is known well counts less.

    T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollar. Focal loss for dense object detection. 2017. arXiv 1708.02002.
    ``prediction`` as for :func:`bce` or, with a dimension for classes, as for :func:`cross_entropy`.
    """
    entropy = _binary(prediction, target) if prediction.dim() == 2 else _categorical(prediction, target)
    return masked_mean(entropy * (-torch.expm1(-entropy)) ** FOCUS, target, weight)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "mse": mse,
    "mae": mae,
    "huber": huber,
    "bce": bce,
    "cross-entropy": cross_entropy,
    "focal": focal,
}


def masked_mean(loss_BK: Tensor, target_BK: Tensor, weight: Tensor | None) -> Tensor:
    """Average losses of values over those whose target is there, as the head of this file says."""
    there_BK = (~target_BK.isnan()).to(loss_BK.dtype)
    if weight is not None:
        there_BK = there_BK * (weight.unsqueeze(1) if weight.dim() == 1 else weight)
    total = there_BK.sum()
    return (loss_BK * there_BK).sum() / torch.where(total > 0, total, torch.ones_like(total))


def _binary(logits_BK: Tensor, target_BK: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits_BK, target_BK.nan_to_num(), reduction="none")


def _categorical(logits_BKC: Tensor, target_BK: Tensor) -> Tensor:
    return F.cross_entropy(logits_BKC.transpose(1, 2), target_BK.nan_to_num().long(), reduction="none")
