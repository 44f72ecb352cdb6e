"""What a bound costs: the negative logarithm of the probability that the truth is on its side.

A cell such as ``>10`` says that the truth is 10 or more. Where a prediction ``m`` stands for a distribution around it,
that has the probability ``P(truth >= 10 | m)``: next to 1 where ``m`` is well above 10, falling off below.

All functions take the prediction, the value of the bound and its ``side`` (1: the truth is there or above, -1: there or
below), tensors of one shape in standardized units, and return that shape. What they return where ``side`` is 0 means
nothing, but is finite.
"""

import math

import torch
from torch import Tensor

__all__ = ["NOISE", "gaussian_bound", "huber_bound", "laplace_bound"]

NOISE = 0.5
"""Standard deviation of the truth around a prediction, where the loss does not learn it; of that of the labels.

A model of it explains three quarters of the labels' variance. Smaller values make a bound a wall: it costs nothing up
to the bound and a full error behind it.
"""


def gaussian_bound(prediction: Tensor, value: Tensor, side: Tensor, deviation: Tensor) -> Tensor:
    """Cost where errors are normal with that ``deviation``.

    >>> one = torch.tensor([1.0])
    >>> gaussian_bound(torch.tensor([10.0]), torch.tensor([10.0]), one, one).neg().exp()
    tensor([0.5000])
    """
    return -torch.special.log_ndtr(side * (prediction - value) / deviation)


def laplace_bound(prediction: Tensor, value: Tensor, side: Tensor, scale: float) -> Tensor:
    """Cost where errors have Laplace's distribution, whose mean absolute value is ``scale``."""
    miss = side * (value - prediction) / scale
    behind = miss.clamp(min=0) + math.log(2)
    before = -torch.log1p(-0.5 * torch.exp(miss.clamp(max=0)))
    return torch.where(miss > 0, behind, before)


def huber_bound(prediction: Tensor, value: Tensor, side: Tensor, deviation: float) -> Tensor:
    """Cost where errors are normal with that ``deviation`` up to 1 and fall off exponentially beyond (P. J. Huber)."""
    variance = deviation**2
    tail = variance * math.exp(-0.5 / variance)
    root = deviation * math.sqrt(math.tau)
    total = 2 * tail + root * math.erf(1 / (deviation * math.sqrt(2)))
    miss = side * (value - prediction)
    behind = (miss.clamp(min=1) - 0.5) / variance - math.log(variance / total)
    near = miss.clamp(-1, 1) / deviation
    upper = torch.special.ndtr(torch.full_like(near, 1 / deviation))
    within = -torch.log((tail + root * (upper - torch.special.ndtr(near))) / total)
    before = -torch.log1p(-variance / total * torch.exp((miss.clamp(max=-1) + 0.5) / variance))
    return torch.where(miss > 1, behind, torch.where(miss < -1, before, within))
