"""Matrix products on CPU by the quickest library that torch carries.

``torch.mm`` calls MKL, which is twice as quick as oneDNN on Intel's processors, and half as quick on others;
``torch.ops.mkldnn`` calls oneDNN, which prepares a kernel for each new shape (half a millisecond) and keeps a thousand
of them (half a gigabyte). Rows are therefore cut into blocks of a few sizes for oneDNN, and a rest.

Where several networks run as one (see :mod:`molmp.nn.members`) the weights have a leading axis of E members, and the
rows of the first member stand before those of the second and so on.

These functions know nothing of autograd: they are for the inside of custom functions.
"""

import platform
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from molmp.nn.precision import multiplies_in_bfloat16

__all__ = ["matmul", "matmul_each", "matmul_transposed"]

BLOCKS = (1024, 896, 768, 640, 512, 448, 384, 320, 256, 192, 128, 64)
"""Rows that oneDNN gets together."""

LEAST = 1 << 21
"""Multiplications below which preparing and calling a oneDNN kernel does not pay."""


def matmul(x_MK: Tensor, w_NK: Tensor, bias_N: Tensor | None = None, out: Tensor | None = None) -> Tensor:
    """Return ``x @ w.t() + bias``, shape ``(M, N)``, as a linear layer does.

    With weights ``(E, N, K)`` and biases ``(E, N)`` each member's rows are multiplied by its own.

    >>> matmul(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]))
    tensor([[11.]])
    """
    if w_NK.dim() == 3:
        out_EMN = None if out is None else out.unflatten(0, (len(w_NK), -1))
        return matmul_each(x_MK.unflatten(0, (len(w_NK), -1)), w_NK.mT, bias_N, out_EMN).flatten(0, 1)
    if multiplies_in_bfloat16(x_MK):
        product = _in_bfloat16(x_MK, w_NK, bias_N)
        return product if out is None else out.copy_(product)
    blocks = _blocks_for_onednn(x_MK, w_NK, w_NK.shape[0])
    if not blocks:
        return _mkl(x_MK, w_NK, bias_N, out)
    if out is None and blocks[0].stop == x_MK.shape[0]:
        whole: Tensor = torch.ops.mkldnn._linear_pointwise(x_MK, w_NK, bias_N, "none", [], "")
        return whole
    if out is None:
        out = x_MK.new_empty(x_MK.shape[0], w_NK.shape[0])
    for rows in blocks:
        out[rows] = torch.ops.mkldnn._linear_pointwise(x_MK[rows], w_NK, bias_N, "none", [], "")
    if (done := blocks[-1].stop) < x_MK.shape[0]:
        _mkl(x_MK[done:], w_NK, bias_N, out[done:])
    return out


def matmul_transposed(x_MK: Tensor, y_MN: Tensor, members: int | None = None) -> Tensor:
    """Return ``x.t() @ y``, shape ``(K, N)``: the gradient of a weight; with ``members`` that of each, ``(E, K, N)``.

    >>> matmul_transposed(torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [4.0]]))
    tensor([[11.]])
    """
    if members is not None:
        x_EMK, y_EMN = x_MK.unflatten(0, (members, -1)), y_MN.unflatten(0, (members, -1))
        if multiplies_in_bfloat16(x_MK):
            return _in_bfloat16(x_EMK.mT, y_EMN.mT, None)
        if _at_once(x_EMK.shape[1] * x_EMK.shape[2] * y_EMN.shape[2]):
            return torch.bmm(x_EMK.mT, y_EMN)
        return torch.stack([matmul_transposed(x, y) for x, y in zip(x_EMK, y_EMN, strict=True)])
    if multiplies_in_bfloat16(x_MK):
        return _in_bfloat16(x_MK.t(), y_MN.t(), None)
    blocks = _blocks_for_onednn(x_MK, y_MN, y_MN.shape[1])
    if not blocks:
        return x_MK.t() @ y_MN
    if y_MN.shape[1] < x_MK.shape[1]:  # oneDNN is quicker when the result is wide
        return matmul_transposed(y_MN, x_MK).t()
    first, *others = (
        torch.ops.mkldnn._linear_pointwise(x_MK[rows].t(), y_MN[rows].t(), None, "none", [], "") for rows in blocks
    )
    out_KN: Tensor = sum(others, first)
    done = blocks[-1].stop
    return out_KN if done == x_MK.shape[0] else out_KN.addmm_(x_MK[done:].t(), y_MN[done:])


def matmul_each(x_EMK: Tensor, w_EKN: Tensor, bias_EN: Tensor | None = None, out_EMN: Tensor | None = None) -> Tensor:
    """Return ``x[e] @ w[e] + bias[e]`` for each member, shape ``(E, M, N)``."""
    if multiplies_in_bfloat16(x_EMK):
        product = _in_bfloat16(x_EMK, w_EKN.mT, bias_EN)
        return product if out_EMN is None else out_EMN.copy_(product)
    E, M, K = x_EMK.shape
    if _at_once(M * K * w_EKN.shape[2]):
        if bias_EN is None:
            return torch.bmm(x_EMK, w_EKN, out=out_EMN)
        return torch.baddbmm(bias_EN.unsqueeze(1), x_EMK, w_EKN, out=out_EMN)
    if out_EMN is None:
        out_EMN = x_EMK.new_empty(E, M, w_EKN.shape[2])
    biases = [None] * E if bias_EN is None else bias_EN
    for x, w, bias, out in zip(x_EMK, w_EKN.mT, biases, out_EMN, strict=True):
        matmul(x, w, bias, out)
    return out_EMN


def _in_bfloat16(x: Tensor, w: Tensor, bias: Tensor | None) -> Tensor:
    product = (x.bfloat16() @ w.bfloat16().mT).float()
    return product if bias is None else product.add_(bias.unsqueeze(-2))


def _at_once(multiplications: int) -> bool:
    """Whether one call of MKL for all members beats one for each: where oneDNN would not be called for them."""
    return multiplications < LEAST or not _onednn()


def _mkl(x_MK: Tensor, w_NK: Tensor, bias_N: Tensor | None, out: Tensor | None) -> Tensor:
    return torch.mm(x_MK, w_NK.t(), out=out) if bias_N is None else torch.addmm(bias_N, x_MK, w_NK.t(), out=out)


def _blocks_for_onednn(x_MK: Tensor, other: Tensor, N: int) -> list[slice]:
    M, K = x_MK.shape
    if M * K * N < LEAST or x_MK.dtype != torch.float32 or x_MK.device.type != "cpu" or not _onednn():
        return []
    return _blocks(M) if _dense(x_MK) and _dense(other) else []


def _blocks(rows: int) -> list[slice]:
    """Cut as many rows as fit into blocks.

    >>> _blocks(1100)
    [slice(0, 1024, None), slice(1024, 1088, None)]
    """
    blocks, start = [], 0
    for size in BLOCKS:
        while rows - start >= size:
            blocks.append(slice(start, start + size))
            start += size
    return blocks


def _dense(matrix: Tensor) -> bool:
    # Anything else oneDNN multiplies by its reference code, a thousand times slower.
    return matrix.is_contiguous() or matrix.t().is_contiguous()


@cache
def _onednn() -> bool:
    return (
        torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and not _intel()
    )


def _intel() -> bool:
    # Told by its name, not by measuring: the same machine must take the same library each time, and give the same bits.
    linux = Path("/proc/cpuinfo")
    names = linux.read_text("utf-8", "replace") if linux.is_file() else platform.processor()
    return "GenuineIntel" in names
