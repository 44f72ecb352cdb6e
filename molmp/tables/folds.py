"""Folds for cross-validation: the same groups as a split keeps together, dealt into equal parts.

The same seed gives the same folds, always; repetition ``r`` (counted from 0) deals with ``seed + r``.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from molmp.chem.options import GraphOptions
from molmp.errors import ConfigError, DataError, listed
from molmp.tables.groups import (
    Groups,
    fill_balanced,
    fill_evenly,
    join_groups,
    scaffold_groups,
    similarity_groups,
)  # fmt: skip
from molmp.tables.splits import SPLITS, Split

__all__ = ["make_folds"]


def make_folds(
    how: str,
    smiles: Sequence[str],
    folds: int,
    *,
    repeats: int = 1,
    rows: NDArray[np.int64] | None = None,
    test: NDArray[np.int64] | None = None,
    val_share: float = 1 / 9,
    seed: int = 0,
    times: NDArray[np.float64] | None = None,
    options: GraphOptions = GraphOptions(),
) -> list[Split]:
    """Deal ``rows`` (all by default) of ``smiles`` into ``folds`` parts, ``repeats`` times; one split for each.

    Parameters
    ----------
    how
        As for :func:`~molmp.tables.splits.make_split`: ``random`` deals rows, ``scaffold`` and ``scaffold-fixed`` deal
        scaffolds, ``butina`` clusters of similar molecules, ``time`` cuts the order of ``times`` into blocks.
    options
        The limits of a molecule.
    test
        The test rows of every split, none of them in ``rows``: each fold is the validation part of one split.
        Without them the test rolls: each fold is the test part of one split, and ``val_share`` of the other rows, in
        whole groups, are its validation part.

    Raises
    ------
    ConfigError
        Fewer than two folds, no repetition, or a rolling test in time, which would learn from the future.
    DataError
        More folds than rows or groups, or a part without rows.

    >>> for split in make_folds("time", ["C"] * 6, 3, test=np.array([6])):
    ...     print(split.train, split.val, split.test)
    [2 3 4 5] [0 1] [6]
    [0 1 4 5] [2 3] [6]
    [0 1 2 3] [4 5] [6]
    """
    if folds < 2 or repeats < 1:
        raise ConfigError(f"cross-validation takes at least 2 folds, once; got {folds} folds, {repeats} times")
    rows = np.arange(len(smiles)) if rows is None else np.unique(np.asarray(rows, dtype=np.int64))
    if how == "time":
        if test is None:
            raise ConfigError("a rolling test in time would learn from the future; keep the split's own test rows")
        blocks = _blocks(rows, folds, times)
        return [_fixed(rows, block, test) for _ in range(repeats) for block in blocks]
    groups = _groups(how, [smiles[i] for i in rows], options)
    if len(groups) < folds:
        what = "rows" if how == "random" else "groups of molecules that a " + how + " split keeps together"
        raise DataError(f"{folds} folds of {len(groups)} {what}: there must be as many {what.split()[0]} at least")
    splits = []
    for repeat in range(repeats):
        for places in fill_evenly(groups, folds, seed + repeat):
            if test is not None:
                splits.append(_fixed(rows, rows[join_groups(places)], test))
            else:
                splits.append(_rolling(rows, groups, places, val_share, seed + repeat))
    return splits


def _groups(how: str, smiles: Sequence[str], options: GraphOptions) -> Groups:
    match how:
        case "random":
            return [np.array([i]) for i in range(len(smiles))]
        case "scaffold" | "scaffold-fixed":
            return scaffold_groups(smiles, options)
        case "butina":
            return similarity_groups(smiles, options)
    raise ConfigError(f"no split {how!r}; there are {listed(SPLITS)}")


def _blocks(rows: NDArray[np.int64], folds: int, times: NDArray[np.float64] | None) -> list[NDArray[np.int64]]:
    if len(rows) < folds:
        raise DataError(f"{folds} folds of {len(rows)} rows: there must be as many rows at least")
    order = np.arange(len(rows)) if times is None else np.argsort(times[rows], kind="stable")
    return [np.sort(rows[block]) for block in np.array_split(order, folds)]


def _fixed(rows: NDArray[np.int64], fold: NDArray[np.int64], test: NDArray[np.int64]) -> Split:
    return Split(np.setdiff1d(rows, fold), fold, np.sort(test))


def _rolling(rows: NDArray[np.int64], groups: Groups, fold: Groups, val_share: float, seed: int) -> Split:
    taken = join_groups(fold)
    others = [group for group in groups if not np.isin(group[0], taken)]
    num_others = len(rows) - len(taken)
    room = [(1 - val_share) * num_others, val_share * num_others]
    train, val = (rows[part] for part in fill_balanced(others, room, seed))
    if not len(val) and len(others) > 1:  # all groups are larger than the share
        smallest = rows[min(others, key=len)]
        train, val = np.setdiff1d(train, smallest), smallest
    if not len(train) or not len(val):
        raise DataError(
            f"a fold of {len(taken)} of {len(rows)} rows leaves {len(train)} to train and {len(val)} to validate; "
            "take fewer folds or split otherwise"
        )
    return Split(train, val, rows[taken])
