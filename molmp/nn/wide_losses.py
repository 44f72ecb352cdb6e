"""Losses of heads that give several numbers for each target: spreads, quantiles, evidence.

Shapes: B molecules, K targets, W numbers for a target. ``prediction`` has shape ``(B, K, W)``; all else is as in
:mod:`molmp.nn.losses`. What the numbers mean is told once, by :mod:`molmp.nn.beliefs`.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from molmp.nn.beliefs import concentration, evidence, gaussian_parameters
from molmp.nn.bounds import gaussian_bound
from molmp.nn.losses import masked_mean

__all__ = ["dirichlet", "evidential", "mve", "quantile"]

EVIDENTIAL_PENALTY = 0.1
"""Lambda of :func:`evidential`: how much evidence for a wrong value costs."""

DIRICHLET_PENALTY = 0.1
"""Lambda of :func:`dirichlet`: how much evidence for wrong classes costs."""


def mve(prediction: Tensor, target: Tensor, weight: Tensor | None = None, side: Tensor | None = None) -> Tensor:
    """Mean-variance estimation: negative log-likelihood of a normal distribution, ``W = 2``.

    D. A. Nix, A. S. Weigend. Estimating the mean and variance of the target probability distribution. 1994.
    doi 10.1109/ICNN.1994.374138. A bound counts as the probability of its side.
    """
    mean, variance = gaussian_parameters(prediction)
    truth = target.nan_to_num()
    loss = 0.5 * (torch.log(math.tau * variance) + (mean - truth).square() / variance)
    if side is not None:
        loss = torch.where(side == 0, loss, gaussian_bound(mean, truth, side, variance.sqrt()))
    return masked_mean(loss, target, weight)


def quantile(prediction: Tensor, target: Tensor, weight: Tensor | None = None, *, levels: Sequence[float]) -> Tensor:
    """Pinball loss, mean over the ``W`` quantiles of those ``levels``.

    R. Koenker, G. Bassett. Regression quantiles. 1978. doi 10.2307/1913643.

    >>> quantile(torch.tensor([[[0.0, 0.0]]]), torch.tensor([[1.0]]), levels=[0.1, 0.5])
    tensor(0.3000)
    """
    level = prediction.new_tensor(levels)
    error = target.nan_to_num().unsqueeze(-1) - prediction
    return masked_mean(torch.maximum(level * error, (level - 1) * error).mean(-1), target, weight)


def evidential(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Evidence for a normal distribution whose mean and variance are not known, ``W = 4``.

    The negative log-likelihood of Student's t distribution that this amounts to, and ``0.1 |error| (2 nu + alpha)``.

    A. Amini, W. Schwarting, A. Soleimany, D. Rus. Deep evidential regression. 2020. arXiv 1910.02600.
    """
    mean, nu, alpha, beta = evidence(prediction)
    error = target.nan_to_num() - mean
    omega = 2 * beta * (1 + nu)
    likelihood = (
        0.5 * torch.log(math.pi / nu)
        - alpha * omega.log()
        + (alpha + 0.5) * torch.log(nu * error.square() + omega)
        + torch.lgamma(alpha)
        - torch.lgamma(alpha + 0.5)
    )
    return masked_mean(likelihood + EVIDENTIAL_PENALTY * error.abs() * (2 * nu + alpha), target, weight)


def dirichlet(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Evidence for each of ``W`` classes; the expected squared error of the probabilities, and 0.1 times the divergence
    of the evidence for wrong classes from none.

    M. Sensoy, L. Kaplan, M. Kandemir. Evidential deep learning to quantify classification uncertainty. 2018.
    arXiv 1806.01768.
    """
    alpha = concentration(prediction)
    classes = torch.arange(alpha.shape[-1], device=alpha.device)
    truth = (target.unsqueeze(-1) == classes).to(alpha)
    total = alpha.sum(-1, keepdim=True)
    p = alpha / total
    error = ((truth - p).square() + p * (1 - p) / (total + 1)).sum(-1)
    return masked_mean(error + DIRICHLET_PENALTY * _divergence(truth + (1 - truth) * alpha), target, weight)


def _divergence(alpha: Tensor) -> Tensor:
    """Kullback-Leibler divergence of Dirichlet distributions from the one that is uniform."""
    total = alpha.sum(-1, keepdim=True)
    norm = torch.lgamma(total.squeeze(-1)) - torch.lgamma(alpha).sum(-1) - math.lgamma(alpha.shape[-1])
    return norm + ((alpha - 1) * (torch.digamma(alpha) - torch.digamma(total))).sum(-1)
