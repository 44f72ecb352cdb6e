"""Linear layers on the products of :mod:`molmp.nn.matmul`.

Shapes: M rows, K numbers in, N numbers out.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from molmp.nn.autograd import plain
from molmp.nn.matmul import matmul, matmul_transposed

__all__ = ["Linear", "linear"]


def linear(x_MK: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """Return ``x @ weight.t() + bias``, shape ``(M, N)``."""
    return F.linear(x_MK, weight_NK, bias_N) if plain() else _Linear.apply(x_MK, weight_NK, bias_N)


class Linear(nn.Linear):
    """``torch.nn.Linear`` for matrices, with the same parameters."""

    def forward(self, x_MK: Tensor) -> Tensor:
        """Map ``(M, K)`` to ``(M, N)``."""
        return linear(x_MK, self.weight, self.bias)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_MK: Tensor, weight_NK: Tensor, bias_N: Tensor | None) -> Tensor:
        ctx.save_for_backward(x_MK, weight_NK)
        return matmul(x_MK, weight_NK, bias_N)

    @staticmethod
    def backward(ctx: Any, grad_MN: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x_MK, weight_NK = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        if torch.is_grad_enabled():  # the gradient is to be differentiated again
            return grad_MN @ weight_NK, grad_MN.t() @ x_MK, grad_MN.sum(0) if needs_bias else None
        return (
            matmul(grad_MN, weight_NK.t()) if needs_x else None,
            matmul_transposed(grad_MN, x_MK) if needs_weight else None,
            grad_MN.sum(0) if needs_bias else None,
        )
