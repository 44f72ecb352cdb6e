"""What the head reads beside a molecule's graph: features of the whole molecule, brought to one scale.

Shapes: B molecules, F features, E members of an ensemble.
"""

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from molmp.nn.autograd import plain

__all__ = ["FeatureScaling"]

LIMIT = 2.0
"""Deviations from the mean that no feature goes beyond: molecules to predict may be larger than any learned from."""


class FeatureScaling(nn.Module):
    """``LIMIT * tanh((x - center) * factor / LIMIT)``; a feature that is NaN counts as average.

    Center and factor are part of the network's state; before :meth:`fit` they change nothing but the limit.

    Parameters
    ----------
    num_features
        ``F``.

    Examples
    --------
    >>> scaling = FeatureScaling(2)
    >>> scaling.fit(np.array([[1.0, 5.0], [3.0, 5.0]]))
    >>> scaling(torch.tensor([[2.0, 9.0], [3.0, float("nan")], [1e9, 5.0]]))
    tensor([[0.0000, 0.0000],
            [0.9242, 0.0000],
            [2.0000, 0.0000]])
    """

    stacks: ClassVar[bool] = True
    center: Tensor
    factor: Tensor

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(num_features))
        self.register_buffer("factor", torch.ones(num_features))

    def fit(self, features_BF: np.ndarray, least_F: np.ndarray | float = 0.0, sees_F: np.ndarray | bool = True) -> None:
        """Take mean and one over the deviation of training molecules.

        A deviation below ``least_F`` counts as that. A feature that never changes, or that ``sees_F`` hides, becomes 0
        for every molecule.
        """
        values = np.ma.masked_invalid(np.asarray(features_BF, np.float64))
        deviation_F = values.std(axis=0).filled(0.0)
        factor_F = np.where((deviation_F > 1e-6) & sees_F, 1 / np.maximum(np.maximum(deviation_F, least_F), 1e-6), 0.0)
        self.center.copy_(torch.from_numpy(values.mean(axis=0).filled(0.0)))
        self.factor.copy_(torch.from_numpy(factor_F))

    def forward(self, x_BF: Tensor) -> Tensor:
        """Scale, shape ``(B, F)``; with centers ``(E, F)`` each member's rows meet its own."""
        if x_BF.device.type == "cpu" and not plain():
            if self.center.dim() == 1:
                return _where_seen(x_BF, self.center, self.factor)
            each = zip(x_BF.chunk(len(self.center)), self.center, self.factor, strict=True)
            return torch.cat([_where_seen(*member) for member in each])
        if self.center.dim() == 1:
            return _limited((x_BF - self.center) * self.factor)
        x_EBF = x_BF.unflatten(0, (len(self.center), -1))
        return _limited((x_EBF - self.center.unsqueeze(1)) * self.factor.unsqueeze(1)).flatten(0, 1)


def _where_seen(x_BF: Tensor, center_F: Tensor, factor_F: Tensor) -> Tensor:
    """Scale the features with a factor; the others are 0 for every molecule."""
    seen = factor_F.nonzero().squeeze(1)
    if 2 * len(seen) > len(factor_F):
        return _limited((x_BF - center_F) * factor_F)
    scaled_BF = torch.zeros_like(x_BF)
    scaled_BF[:, seen] = _limited((x_BF[:, seen] - center_F[seen]) * factor_F[seen])
    return scaled_BF


def _limited(z: Tensor) -> Tensor:
    return LIMIT * torch.tanh(torch.where(z.isnan(), 0.0, z) / LIMIT)
