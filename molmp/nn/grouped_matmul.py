"""One matrix for each group of rows: the product behind "a bond type, not a bond, owns the matrix".

Shapes: Q rows sorted by type, T types, D numbers in, F numbers out.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from molmp.nn.matmul import matmul, matmul_transposed

__all__ = ["grouped_matmul"]


def grouped_matmul(x_QD: Tensor, matrices_TDF: Tensor, counts: Sequence[int]) -> Tensor:
    """Multiply the first ``counts[0]`` rows by the first matrix, the next ``counts[1]`` by the second, and so on.

    Returns shape ``(Q, F)``. Nothing of size ``Q x D x F`` is made, forwards or backwards.

    >>> x, matrices = torch.ones(3, 1), torch.tensor([[[5.0]], [[7.0]]])
    >>> grouped_matmul(x, matrices, [1, 2]).T
    tensor([[5., 7., 7.]])
    """
    product: Tensor = _GroupedMatmul.apply(x_QD, matrices_TDF, tuple(counts))
    return product


class _GroupedMatmul(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_QD: Tensor, matrices_TDF: Tensor, counts: tuple[int, ...]) -> Tensor:
        ctx.save_for_backward(x_QD, matrices_TDF)
        ctx.counts = counts
        out_QF = x_QD.new_empty(x_QD.shape[0], matrices_TDF.shape[2])
        for x, matrix, out in zip(x_QD.split(counts), matrices_TDF, out_QF.split(counts), strict=True):
            matmul(x, matrix.t(), out=out)
        return out_QF

    @staticmethod
    def backward(ctx: Any, grad_QF: Tensor) -> tuple[Tensor, Tensor, None]:
        x_QD, matrices_TDF = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient is to be differentiated again
            return _differentiable(grad_QF, x_QD, matrices_TDF, ctx.counts)
        grad_x, grad_matrices = torch.empty_like(x_QD), torch.empty_like(matrices_TDF)
        parts = (t.split(ctx.counts) for t in (grad_QF, x_QD, grad_x))
        for grad, x, out, matrix, out_matrix in zip(*parts, matrices_TDF, grad_matrices, strict=True):
            matmul(grad, matrix, out=out)
            out_matrix.copy_(matmul_transposed(x, grad))
        return grad_x, grad_matrices, None


def _differentiable(
    grad_QF: Tensor, x_QD: Tensor, matrices_TDF: Tensor, counts: tuple[int, ...]
) -> tuple[Tensor, Tensor, None]:
    grad_x = grouped_matmul(grad_QF, matrices_TDF.transpose(1, 2), counts)
    pairs = zip(x_QD.split(counts), grad_QF.split(counts), strict=True)
    return grad_x, torch.stack([x.t() @ grad for x, grad in pairs]), None
