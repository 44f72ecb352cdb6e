"""Linear layers on the products of :mod:`molmp.nn.matmul`.

Shapes: M rows, K numbers in, N numbers out, E members of an ensemble.
"""

from functools import partial
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from molmp.nn.autograd import gradients_of_formula, plain
from molmp.nn.matmul import matmul, matmul_transposed

__all__ = ["Linear", "add_bias", "linear", "sum_rows"]


def linear(x_MK: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """Return ``x @ weight.t() + bias``, shape ``(M, N)``.

    With weights ``(E, N, K)`` and biases ``(E, N)`` each member's rows, which stand together, meet its own.
    """
    if plain():
        return _formula(x_MK, weight_NK, bias_N)
    return _Linear.apply(x_MK, weight_NK, bias_N)


def add_bias(x_MN: Tensor, bias: Tensor) -> Tensor:
    """Return ``x + bias``, shape ``(M, N)``, for a bias ``(N,)`` or one for each member ``(E, N)``.

    >>> add_bias(torch.zeros(4, 1), torch.tensor([[1.0], [2.0]])).T
    tensor([[1., 1., 2., 2.]])
    """
    if bias.dim() == 1:
        return x_MN + bias
    return (x_MN.unflatten(0, (len(bias), -1)) + bias.unsqueeze(1)).flatten(0, 1)


def sum_rows(grad_MN: Tensor, members: int | None) -> Tensor:
    """Add up all rows, shape ``(N,)``, or each member's, ``(E, N)``: the gradient of a bias."""
    return grad_MN.sum(0) if members is None else grad_MN.unflatten(0, (members, -1)).sum(1)


class Linear(nn.Linear):
    """``torch.nn.Linear`` for matrices, with the same parameters."""

    stacks: ClassVar[bool] = True

    def forward(self, x_MK: Tensor) -> Tensor:
        """Map ``(M, K)`` to ``(M, N)``."""
        return linear(x_MK, self.weight, self.bias)


def _formula(x_MK: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if weight.dim() == 2:
        return F.linear(x_MK, weight, bias)
    product = torch.bmm(x_MK.unflatten(0, (len(weight), -1)), weight.mT).flatten(0, 1)
    return product if bias is None else add_bias(product, bias)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_MK: Tensor, weight_NK: Tensor, bias_N: Tensor | None) -> Tensor:
        ctx.save_for_backward(x_MK, weight_NK)
        return matmul(x_MK, weight_NK, bias_N)

    @staticmethod
    def backward(ctx: Any, grad_MN: Tensor) -> tuple[Tensor | None, ...]:
        x_MK, weight_NK = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        members = len(weight_NK) if weight_NK.dim() == 3 else None
        grad_bias = sum_rows(grad_MN, members) if needs_bias else None
        if torch.is_grad_enabled():  # the gradient is to be differentiated again
            inputs = (x_MK, weight_NK)
            return (*gradients_of_formula(partial(_formula, bias=None), inputs, grad_MN), grad_bias)
        return (
            matmul(grad_MN, weight_NK.mT) if needs_x else None,
            matmul_transposed(grad_MN, x_MK, members) if needs_weight else None,
            grad_bias,
        )
