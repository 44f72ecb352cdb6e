"""One matrix for each group of rows: the product behind "a bond type, not a bond, owns the matrix".

Shapes: R rows of states, Q of them in groups by type, T types, D numbers in, F numbers out, E members
of an ensemble: their types and rows stand one member after the other, alike in number.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from molmp.nn.matmul import matmul, matmul_each, matmul_transposed
from molmp.nn.segment import Rows, bag_sum, take

__all__ = ["grouped_matmul"]


def grouped_matmul(x_RD: Tensor, rows: Rows, matrices_TDF: Tensor, counts: Sequence[int], members: int = 1) -> Tensor:
    """Multiply the first ``counts[0]`` of ``rows`` by the first matrix, the next ``counts[1]`` by the second and so on.

    ``counts`` are those of one member. Returns shape ``(Q, F)``. Nothing of size ``Q x D x F`` is made, forwards or
    backwards, and the rows are picked again for the gradient instead of being kept.

    >>> x, matrices = torch.tensor([[1.0], [2.0]]), torch.tensor([[[5.0]], [[7.0]]])
    >>> grouped_matmul(x, Rows(torch.tensor([1, 0, 1]), 2), matrices, [1, 2]).T
    tensor([[10.,  7., 14.]])
    """
    product: Tensor = _GroupedMatmul.apply(x_RD, matrices_TDF, rows, tuple(counts), members)
    return product


class _GroupedMatmul(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_RD: Tensor, matrices_TDF: Tensor, rows: Rows, counts: tuple[int, ...], members: int
    ) -> Tensor:
        ctx.save_for_backward(x_RD, matrices_TDF)
        ctx.rows, ctx.counts, ctx.members = rows, counts, members
        x_QD = x_RD.index_select(0, rows.index)
        out_QF = x_QD.new_empty(x_QD.shape[0], matrices_TDF.shape[2])
        if members > 1 and counts:
            cut = (_cut(t, counts, members) for t in (x_QD, out_QF))
            for x, out, matrix in zip(*cut, _by_type(matrices_TDF, members), strict=True):
                matmul_each(x, matrix, out_EMN=out)
            return out_QF
        for x, matrix, out in zip(x_QD.split(counts), matrices_TDF, out_QF.split(counts), strict=True):
            matmul(x, matrix.t(), out=out)
        return out_QF

    @staticmethod
    def backward(ctx: Any, grad_QF: Tensor) -> tuple[Tensor | None, ...]:
        x_RD, matrices_TDF = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient is to be differentiated again
            counts = ctx.counts * ctx.members
            return (*_differentiable(grad_QF, take(x_RD, ctx.rows), matrices_TDF, ctx.rows, counts), None, None, None)
        x_QD = x_RD.index_select(0, ctx.rows.index)
        grad_x, grad_matrices = torch.empty_like(x_QD), torch.empty_like(matrices_TDF)
        if ctx.members > 1 and ctx.counts:
            cut = (_cut(t, ctx.counts, ctx.members) for t in (grad_QF, x_QD, grad_x))
            by_type = (_by_type(t, ctx.members) for t in (matrices_TDF, grad_matrices))
            for grad, x, out, matrix, out_matrix in zip(*cut, *by_type, strict=True):
                matmul_each(grad, matrix.mT, out_EMN=out)
                matmul_each(x.mT, grad, out_EMN=out_matrix)
            return bag_sum(grad_x, ctx.rows.groups), grad_matrices, None, None, None
        parts = (t.split(ctx.counts) for t in (grad_QF, x_QD, grad_x))
        for grad, x, out, matrix, out_matrix in zip(*parts, matrices_TDF, grad_matrices, strict=True):
            matmul(grad, matrix, out=out)
            out_matrix.copy_(matmul_transposed(x, grad))
        return bag_sum(grad_x, ctx.rows.groups), grad_matrices, None, None, None


def _cut(x_QD: Tensor, counts: tuple[int, ...], members: int) -> tuple[Tensor, ...]:
    """The rows of each type, shape ``(E, rows, D)``."""
    return x_QD.unflatten(0, (members, -1)).split(counts, 1)


def _by_type(matrices_TDF: Tensor, members: int) -> tuple[Tensor, ...]:
    """The matrices of each type, shape ``(E, D, F)``."""
    return matrices_TDF.unflatten(0, (members, -1)).unbind(1)


def _differentiable(
    grad_QF: Tensor, x_QD: Tensor, matrices_TDF: Tensor, rows: Rows, counts: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    grad_x = [grad @ matrix.t() for grad, matrix in zip(grad_QF.split(counts), matrices_TDF, strict=True)]
    grad_matrices = [x.t() @ grad for x, grad in zip(x_QD.split(counts), grad_QF.split(counts), strict=True)]
    return bag_sum(torch.cat(grad_x), rows.groups), torch.stack(grad_matrices)
