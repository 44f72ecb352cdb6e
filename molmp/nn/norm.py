"""Layer normalisation, of one network or of several at once."""

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["LayerNorm"]


class LayerNorm(nn.LayerNorm):
    """``torch.nn.LayerNorm`` over the columns of a matrix; with weights ``(E, N)`` each member's rows meet its own.

    Examples
    --------
    >>> import torch
    >>> norm = LayerNorm(2)
    >>> norm.bias = nn.Parameter(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    >>> norm.weight = nn.Parameter(torch.ones(2, 2))
    >>> norm(torch.tensor([[3.0, 5.0], [3.0, 5.0]])).round().tolist()
    [[-1.0, 1.0], [0.0, 2.0]]
    """

    stacks: ClassVar[bool] = True

    def forward(self, x_MN: Tensor) -> Tensor:
        """Normalise each row, shape ``(M, N)``."""
        if self.weight.dim() == 1:
            return super().forward(x_MN)
        bare_EMN = F.layer_norm(x_MN, self.normalized_shape, eps=self.eps).unflatten(0, (len(self.weight), -1))
        return (bare_EMN * self.weight.unsqueeze(1) + self.bias.unsqueeze(1)).flatten(0, 1)
