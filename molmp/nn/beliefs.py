"""What the numbers of a head say of a target: its value, and how far the truth may be from it.

Shapes: a head gives W numbers for a target, in the last dimension of ``raw``; what comes out has the other dimensions,
and the classes C of a probability behind them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Belief", "combine", "concentration", "evidence", "gaussian_parameters", "read_belief"]

LEAST = 1e-6
"""Smallest variance and evidence, of the standardized target: keeps logarithms finite."""


class Belief(NamedTuple):
    """What a network, or an ensemble of them, believes of one target.

    The law of total variance holds: the two variances add up to that of the truth.
    """

    value: Tensor
    """Prediction, or probability of class 1, shape ``(...)``; probabilities of all classes ``(..., C)``."""
    aleatoric: Tensor | None = None
    """Variance of the truth that more data would not lower, shape ``(...)``; for classes the sum over them."""
    epistemic: Tensor | None = None
    """Variance of the value that more data would lower, shape ``(...)``; for classes the sum over them."""
    quantiles: Tensor | None = None
    """Ascending, shape ``(..., Q)``."""


def gaussian_parameters(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of ``W = 2`` numbers."""
    mean, spread = raw.unbind(-1)
    return mean, _softplus(spread) + LEAST


def evidence(raw: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``gamma``, ``nu``, ``alpha`` and ``beta`` of ``W = 4`` numbers; ``nu``, ``beta`` above 0, ``alpha`` above 1."""
    mean, nu, alpha, beta = raw.unbind(-1)
    return mean, _softplus(nu) + LEAST, _softplus(alpha) + 1 + LEAST, _softplus(beta) + LEAST


def concentration(raw: Tensor) -> Tensor:
    """Parameters of a Dirichlet distribution, one for each class and above 1."""
    return _softplus(raw) + 1


def read_belief(loss: str, raw: Tensor, *, binary: bool = False, median: int = 0) -> Belief:
    """Read the numbers of a head that was trained with that loss.

    Parameters
    ----------
    loss
        Name of the loss.
    raw
        Outputs of the head for one target, shape ``(..., W)``.
    binary
        The target has two classes, and the value is the probability of the second.
    median
        Place of the median among the quantiles.

    >>> read_belief("mve", torch.tensor([[3.0, 100.0]]))
    Belief(value=tensor([3.]), aleatoric=tensor([100.]), epistemic=None, quantiles=None)
    """
    match loss:
        case "mse" | "mae" | "huber":
            return Belief(raw[..., 0])
        case "mve":
            return Belief(*gaussian_parameters(raw))
        case "evidential":
            mean, nu, alpha, beta = evidence(raw)
            return Belief(mean, beta / (alpha - 1), beta / (nu * (alpha - 1)))
        case "quantile":
            # Outputs that cross are put in order, which brings them nearer to the truth: V. Chernozhukov et al.,
            # Quantile and probability curves without crossing, 2010, doi 10.3982/ECTA7880.
            ascending = raw.sort(dim=-1).values
            return Belief(ascending[..., median], quantiles=ascending)
        case "dirichlet":
            return _dirichlet(concentration(raw), binary)
        case "bce" | "focal" if binary:
            p = raw[..., 0].sigmoid()
            return Belief(p, p * (1 - p))
        case _:
            p = raw.softmax(-1)
            return Belief(p, 1 - p.square().sum(-1))


def _dirichlet(alpha: Tensor, binary: bool) -> Belief:
    total = alpha.sum(-1)
    p = alpha / total.unsqueeze(-1)
    variance = p[..., 0] * p[..., 1] if binary else 1 - p.square().sum(-1)
    epistemic = variance / (total + 1)
    return Belief(p[..., 1] if binary else p, variance - epistemic, epistemic)


def combine(members: Belief, shares: Sequence[float] | None = None) -> Belief:
    """Combine the beliefs of the networks of an ensemble, which stand in the first dimension, into their mean.

    What the networks disagree in is epistemic variance. With ``shares``, which add up to 1, all means are weighted.

    >>> combine(Belief(torch.tensor([[1.0], [3.0]]), torch.tensor([[5.0], [7.0]])))
    Belief(value=tensor([2.]), aleatoric=tensor([6.]), epistemic=tensor([1.]), quantiles=None)
    >>> combine(Belief(torch.tensor([[1.0], [3.0]])), [0.75, 0.25])
    Belief(value=tensor([1.5000]), aleatoric=None, epistemic=tensor([0.7500]), quantiles=None)
    """

    def mean(part: Tensor) -> Tensor:
        if shares is None:
            return part.mean(0)
        return torch.stack([share * one for share, one in zip(shares, part.unbind(0), strict=True)]).sum(0)

    value = mean(members.value)
    aleatoric, epistemic, quantiles = (None if part is None else mean(part) for part in members[1:])
    if len(members.value) > 1:
        spread = mean((members.value - value).square())
        if members.aleatoric is not None and spread.dim() == members.aleatoric.dim():  # classes stand in the last
            spread = spread.sum(-1)
        epistemic = spread if epistemic is None else epistemic + spread
    return Belief(value, aleatoric, epistemic, quantiles)


def _softplus(x: Tensor) -> Tensor:
    """As torch's, of operations that onnxruntime has for float64."""
    return 0.5 * (x + x.abs()) + torch.log1p(torch.exp(-x.abs()))
