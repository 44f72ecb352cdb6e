"""Matrix products on CPU by the quickest library that torch carries.

``torch.mm`` calls MKL, which reaches half of oneDNN's speed on processors that are not Intel's; ``torch.ops.mkldnn``
calls oneDNN, which prepares a kernel for each new shape (half a millisecond) and then keeps it. Rows are therefore
split into a multiple of 64 for oneDNN, so that batches of about one size find their kernels again, and a rest.

These functions know nothing of autograd: they are for the inside of custom functions.
"""

from functools import cache

import torch
from torch import Tensor

__all__ = ["matmul", "matmul_transposed"]

ROWS = 64
"""Rows for oneDNN are a multiple of this."""

LEAST = 1 << 21
"""Multiplications below which preparing and calling a oneDNN kernel does not pay."""


def matmul(x_MK: Tensor, w_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """Return ``x @ w.t() + bias``, shape ``(M, N)``, as a linear layer does.

    >>> matmul(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]))
    tensor([[11.]])
    """
    rows = _rows_for_onednn(x_MK, w_NK, w_NK.shape[0])
    if rows == 0:
        return x_MK @ w_NK.t() if bias_N is None else torch.addmm(bias_N, x_MK, w_NK.t())
    out_MN: Tensor = torch.ops.mkldnn._linear_pointwise(x_MK[:rows], w_NK, bias_N, "none", [], "")
    if rows == x_MK.shape[0]:
        return out_MN
    rest = x_MK[rows:] @ w_NK.t() if bias_N is None else torch.addmm(bias_N, x_MK[rows:], w_NK.t())
    return torch.cat([out_MN, rest])


def matmul_transposed(x_MK: Tensor, y_MN: Tensor) -> Tensor:
    """Return ``x.t() @ y``, shape ``(K, N)``: the gradient of a weight.

    >>> matmul_transposed(torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [4.0]]))
    tensor([[11.]])
    """
    rows = _rows_for_onednn(x_MK, y_MN, y_MN.shape[1])
    if rows == 0:
        return x_MK.t() @ y_MN
    # oneDNN is quicker when the result is wide.
    if y_MN.shape[1] < x_MK.shape[1]:
        return matmul_transposed(y_MN, x_MK).t()
    out_KN: Tensor = torch.ops.mkldnn._linear_pointwise(x_MK[:rows].t(), y_MN[:rows].t(), None, "none", [], "")
    return out_KN if rows == x_MK.shape[0] else out_KN.addmm_(x_MK[rows:].t(), y_MN[rows:])


def _rows_for_onednn(x_MK: Tensor, other: Tensor, N: int) -> int:
    M, K = x_MK.shape
    if M * K * N < LEAST or x_MK.dtype != torch.float32 or x_MK.device.type != "cpu" or not _onednn():
        return 0
    return M // ROWS * ROWS if _dense(x_MK) and _dense(other) else 0


def _dense(matrix: Tensor) -> bool:
    # Anything else oneDNN multiplies by its reference code, a thousand times slower.
    return matrix.is_contiguous() or matrix.t().is_contiguous()


@cache
def _onednn() -> bool:
    return (
        torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
