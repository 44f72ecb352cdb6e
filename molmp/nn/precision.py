"""How exactly matrices are multiplied while a network learns; all else, weights and sums included, stays float32.

No autocast: the functions of this package that have a backward pass of their own multiply through
:mod:`molmp.nn.matmul`, forwards and backwards, and that asks here.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from molmp.errors import DeviceError

__all__ = ["check_precision", "multiplies_in_bfloat16", "products_in"]

_now = "float32"  # not a context variable: on a GPU the backward pass runs in a thread of its own


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse what the device cannot do.

    Raises
    ------
    DeviceError
        ``tf32`` where there is no CUDA device to multiply so.

    >>> check_precision("tf32", torch.device("cpu"))
    Traceback (most recent call last):
    molmp.errors.DeviceError: precision tf32 is for CUDA devices; on cpu there is float32, bf16
    """
    if precision == "tf32" and device.type != "cuda":
        raise DeviceError(f"precision tf32 is for CUDA devices; on {device.type} there is float32, bf16")


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Within the block products of float32 matrices round their factors: to 10 bits (``tf32``), to 7 (``bf16``).

    >>> from molmp.nn.matmul import matmul
    >>> third, one = torch.tensor([[1 / 3]]), torch.ones(1, 1)
    >>> with products_in("bf16"):
    ...     matmul(third, one)
    tensor([[0.3340]])
    """
    global _now
    before = _now, torch.get_float32_matmul_precision()
    _now = precision
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        _now = before[0]
        torch.set_float32_matmul_precision(before[1])


def multiplies_in_bfloat16(x: Tensor) -> bool:
    """Whether products with ``x`` are to be made in bfloat16."""
    return _now == "bf16" and x.dtype == torch.float32
