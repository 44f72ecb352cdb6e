"""Cells that are numbers, bounds of numbers such as ``>10``, or nothing."""

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molmp.errors import DataError

__all__ = ["SIDES", "bound_text", "is_missing", "is_number", "read_numbers", "split_bound"]

SIDES = {"<": -1, ">": 1}
"""What :func:`split_bound` says of a bound, as a number."""

_MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none"})
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_SIGN = re.compile(r"(<=|>=|<|>|=|~|\u2264|\u2265|\u2248)\s*(.*)", re.DOTALL)


def is_missing(cell: str) -> bool:
    """Tell whether a cell says that there is no value.

    >>> [is_missing(cell) for cell in ("", " ", "NA", "nan", "0", "?")]
    [True, True, True, True, False, False]
    """
    return cell.strip().lower() in _MISSING


def is_number(cell: str) -> bool:
    """Tell whether a cell is one finite decimal number; unlike ``float``, no ``1_000`` and no ``inf``.

    >>> [is_number(cell) for cell in ("1", " -.5e3 ", "1_000", "inf", "1e999", "1,5")]
    [True, True, False, False, False, False]
    """
    return _NUMBER.fullmatch(cell.strip()) is not None and math.isfinite(float(cell))


def split_bound(cell: str) -> tuple[str, str]:
    """Sign and number of a cell such as ``>10``; no sign for a cell that is not of this kind.

    The sign is ``<`` or ``>`` for a bound, which may be the truth itself, ``~`` for a number that is not exact.

    >>> split_bound(">= 10"), split_bound("~5"), split_bound("=5"), split_bound("-3"), split_bound("<low")
    (('>', '10'), ('~', '5'), ('', '5'), ('', '-3'), ('', '<low'))
    """
    found = _SIGN.fullmatch(cell.strip())
    if found is None or not is_number(found[2]):
        return "", cell
    signs = {"<=": "<", "\u2264": "<", ">=": ">", "\u2265": ">", "\u2248": "~", "=": ""}
    return signs.get(found[1], found[1]), found[2]


def bound_text(text: str, side: float) -> str:
    """Write a value that may be a bound.

    >>> bound_text("5", 1), bound_text("5", 0)
    ('>5', '5')
    """
    return {1: ">", -1: "<"}.get(int(side), "") + text


def read_numbers(values: Sequence[Any] | NDArray[Any], name: str = "y") -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Read numbers that may be text, and bounds: values and sides as in :class:`Labels`, of the shape of ``values``.

    Raises
    ------
    DataError
        Something that is neither, or infinite.

    >>> read_numbers([1, "2.5", "<3", None])
    (array([1. , 2.5, 3. , nan]), array([ 0,  0, -1,  0], dtype=int8))
    """
    array = np.asarray(values)
    if array.dtype.kind in "biuf":
        numbers, sides = array.astype(np.float64), np.zeros(array.shape, np.int8)
    else:
        cells = ["" if value is None or value != value else str(value).strip() for value in array.ravel().tolist()]
        split = [split_bound(cell) for cell in cells]
        if bad := [row for row, (_, text) in enumerate(split) if not is_missing(text) and not is_number(text)]:
            raise DataError(f"{name} has {cells[bad[0]]!r}, which is no number and no bound such as '<5' or '>10'")
        flat = [math.nan if is_missing(text) else float(text) for _, text in split]
        numbers = np.array(flat, np.float64).reshape(array.shape)
        sides = np.array([SIDES.get(sign, 0) for sign, _ in split], np.int8).reshape(array.shape)
    if np.isinf(numbers).any():
        raise DataError(f"{name} has {int(np.isinf(numbers).sum())} infinite values")
    return numbers, sides
