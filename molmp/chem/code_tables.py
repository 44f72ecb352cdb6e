"""Tables of the distinct atoms and bonds of many molecules, and which row of them each atom and bond is.

Shapes: N atoms or bonds, U distinct ones, F fields.
"""

from collections.abc import Sequence

import numpy as np

from molmp.chem.features import Field, key_rows, row_keys

__all__ = ["distinct_rows", "merge_tables", "narrowest"]

SLOT_BITS, SCRAMBLE = 16, np.uint64(0x9E3779B97F4A7C15)
"""Of the table in which keys are looked up: its size, and a factor that spreads them over it."""


def distinct_rows(keys: np.ndarray, fields: Sequence[Field]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the distinct keys, ascending, shape ``(U, F)``, and which of them each key is, shape ``(N,)``.

    ``keys``: rows of codes as :func:`molmp.chem.features.row_keys` gives them, shape ``(N,)``.

    >>> from molmp.chem.features import BOND_FIELDS
    >>> rows, types = distinct_rows(np.array([46, 0, 46]), BOND_FIELDS)
    >>> rows.tolist(), types.tolist()
    ([[0, 0, 0, 0], [1, 0, 0, 1]], [1, 0, 1])
    """
    # So few are distinct that hardly two meet in a slot, and then no sort of all of them is needed.
    slots = (keys.astype(np.uint64) * SCRAMBLE) >> np.uint64(64 - SLOT_BITS)
    places = np.arange(len(keys))
    holders = np.empty(1 << SLOT_BITS, np.int64)
    holders[slots] = places
    held = holders[slots]
    if not np.array_equal(keys[held], keys):
        distinct, types = np.unique(keys, return_inverse=True)
        return key_rows(distinct, fields), types.ravel()
    spokesmen = np.flatnonzero(held == places)
    spokesmen = spokesmen[np.argsort(keys[spokesmen])]
    holders[slots[spokesmen]] = np.arange(len(spokesmen))
    return key_rows(keys[spokesmen], fields), holders[slots]


def merge_tables(
    tables: list[np.ndarray], types: list[np.ndarray], fields: Sequence[Field]
) -> tuple[np.ndarray, np.ndarray]:
    """Make one table of several, of the rows that are used; return it, and the types of all parts counted in it.

    ``types``: for each table which of its rows each atom or bond is.
    """
    used = [np.flatnonzero(np.bincount(part, minlength=len(rows))) for rows, part in zip(tables, types, strict=True)]
    kept = [row_keys(rows[u], fields) for rows, u in zip(tables, used, strict=True)]
    table, places = distinct_rows(np.concatenate(kept), fields)
    merged, start = [], 0
    for rows, part, u in zip(tables, types, used, strict=True):
        mapping = np.zeros(len(rows), np.uint32)
        mapping[u] = places[start : start + len(u)]
        start += len(u)
        merged.append(mapping.astype(narrowest(len(table) - 1))[part])
    return table, np.concatenate(merged)


def narrowest(top: int) -> type[np.unsignedinteger]:
    """Narrowest type that holds 0 to ``top``."""
    return np.uint8 if top < 1 << 8 else np.uint16 if top < 1 << 16 else np.uint32
