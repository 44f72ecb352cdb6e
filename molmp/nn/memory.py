"""Work that does not fit into the memory of a GPU, in halves."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from molmp.errors import DeviceError

__all__ = ["in_halves", "let_go"]


def in_halves(compute: Callable[[np.ndarray], Tensor], rows: np.ndarray, *, dim: int = 0) -> Tensor:
    """Return ``compute(rows)``; where that runs out of memory, both halves of it, joined along ``dim``.

    Raises
    ------
    DeviceError
        A single row is too much.

    Examples
    --------
    >>> def small(rows):
    ...     if len(rows) > 2:
    ...         raise torch.OutOfMemoryError
    ...     return torch.from_numpy(rows) ** 2
    >>> in_halves(small, np.arange(5))
    tensor([ 0,  1,  4,  9, 16])
    """
    try:
        return compute(rows)
    except torch.OutOfMemoryError:
        if len(rows) < 2:
            raise DeviceError(
                "a single molecule does not fit into the memory of the device; try --device cpu"
            ) from None
    let_go()  # here the error is gone, and with it what it held
    middle = len(rows) // 2
    return torch.cat([in_halves(compute, part, dim=dim) for part in (rows[:middle], rows[middle:])], dim=dim)


def let_go() -> None:
    """Give memory that is kept for later back to the device."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
