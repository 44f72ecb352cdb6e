"""Sorting and counting off whole numbers, for the making of batches. No torch here."""

import numpy as np

__all__ = ["begins", "distinct", "sort"]


def distinct(values: np.ndarray, num_values: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct small numbers, ascending, and the place of each value among them."""
    present = np.zeros(num_values, bool)
    present[values] = True
    distinct = np.flatnonzero(present)
    place = np.empty(num_values, np.int64)
    place[distinct] = np.arange(len(distinct))
    return distinct, place[values]


def sort(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers in ascending order, and the place that each had; small numbers, none of them negative."""
    bits = max(len(values), 1).bit_length()
    packed = np.sort((values.astype(np.int64) << bits) | np.arange(len(values)))
    return packed >> bits, packed & ((1 << bits) - 1)


def begins(ordered: np.ndarray) -> np.ndarray:
    """Whether each number differs from the one before it."""
    new = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return new
