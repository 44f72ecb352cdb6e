"""Which rows train, which stop the training, which test. The same seed gives the same split, always.

Repeats of a molecule keep their rows: a random or time split may put them in several parts, a scaffold or Butina split
never does.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from molmp.chem.options import GraphOptions
from molmp.errors import ConfigError, DataError, FileFormatError, listed
from molmp.tables.groups import fill_balanced, fill_largest_first, scaffold_groups, similarity_groups, stable_rng

__all__ = ["SIZES", "SPLITS", "Split", "draw_validation", "make_split", "read_splits_file", "split_by_words"]

SPLITS = ("random", "scaffold", "scaffold-fixed", "butina", "time")
SIZES = (0.8, 0.1, 0.1)

_WORDS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
}  # fmt: skip
_SPAN = re.compile(r"(\d{1,12})(?:\s*-\s*(\d{1,12}))?", re.ASCII)


class Split(NamedTuple):
    """Rows of each part: ascending int64 arrays without a row in common."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]


def make_split(
    how: str,
    smiles: Sequence[str],
    *,
    sizes: Sequence[float] = SIZES,
    seed: int = 0,
    rows: NDArray[np.int64] | None = None,
    times: NDArray[np.float64] | None = None,
    options: GraphOptions = GraphOptions(),
) -> Split:
    """Split the molecules ``rows`` (all by default) of ``smiles`` into shares of ``sizes`` (train, val, test).

    - ``random``: rows at random.
    - ``scaffold``: rows of one Bemis-Murcko scaffold stay together; small groups are dealt at random.
    - ``scaffold-fixed``: the same groups, the largest to the training part, nothing random (MoleculeNet's rule).
    - ``butina``: rows of one cluster of similar molecules stay together, dealt as for ``scaffold``.
    - ``time``: the oldest train, the newest test, by ``times`` (shape ``(n,)``) or else the order of the file.

    ``options`` tell the limits of a molecule.

    Raises :class:`ConfigError` for sizes that are not three positive shares of 1, :class:`DataError` where a part
    would be empty, :class:`InvalidSmilesError` where a molecule cannot be read: leave such rows out of ``rows``.

    >>> make_split("time", ["C"] * 10, times=np.arange(10.0)[::-1])
    Split(train=array([2, 3, 4, 5, 6, 7, 8, 9]), val=array([1]), test=array([0]))
    """
    shares = _checked_sizes(sizes)
    rows = np.arange(len(smiles)) if rows is None else np.unique(np.asarray(rows, dtype=np.int64))
    room = [share * len(rows) for share in shares]
    match how:
        case "random":
            parts = _cut(stable_rng(seed).permutation(len(rows)), shares)
        case "time":
            order = np.arange(len(rows)) if times is None else np.argsort(times[rows], kind="stable")
            parts = _cut(order, shares)
        case "scaffold":
            parts = fill_balanced(scaffold_groups([smiles[i] for i in rows], options), room, seed)
        case "scaffold-fixed":
            parts = fill_largest_first(scaffold_groups([smiles[i] for i in rows], options), room)
        case "butina":
            parts = fill_balanced(similarity_groups([smiles[i] for i in rows], options), room, seed)
        case _:
            raise ConfigError(f"no split {how!r}; there are {listed(SPLITS)}")
    return _checked(Split(*(np.sort(rows[part]) for part in parts)), f"a {how} split of {len(rows)} molecules")


def split_by_words(
    words: Sequence[str],
    *,
    sizes: Sequence[float] = SIZES,
    seed: int = 0,
    rows: NDArray[np.int64] | None = None,
    where: str = "the split column",
) -> Split:
    """Split by a column of words: train, val (or valid, validation), test, in any case.

    Without a validation row, these are drawn from the training rows, as ``sizes`` share the two. Raises
    :class:`DataError` that lists unknown words, or names a part that has no row.

    >>> split_by_words(["Train", "train", "valid", "test"])
    Split(train=array([0, 1]), val=array([2]), test=array([3]))
    """
    shares = _checked_sizes(sizes)
    rows = np.arange(len(words)) if rows is None else np.unique(np.asarray(rows, dtype=np.int64))
    unknown = Counter(word for word in (words[row] for row in rows) if word.strip().lower() not in _WORDS)
    if unknown:
        there = listed(f"{word!r} ({count} rows)" for word, count in unknown.most_common())
        raise DataError(f"{where} has words that name no part: {there}; parts are train, val (or valid), test")
    parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for row in rows.tolist():
        parts[_WORDS[words[row].strip().lower()]].append(row)
    split = Split(*(np.array(part, dtype=np.int64) for part in parts.values()))
    return _checked(_with_validation(split, shares, seed), where)


def read_splits_file(
    path: str | Path,
    num_rows: int,
    *,
    index: int = 0,
    sizes: Sequence[float] = SIZES,
    seed: int = 0,
    rows: NDArray[np.int64] | None = None,
) -> Split:
    """Read a split from JSON: ``{"train": [0, 1], "val": [2], "test": [3]}``, or a list of such, of which ``index``.

    Rows count from 0 over the whole file of molecules. They may be written as text, ``"0-9,12"``, as in Chemprop's
    ``splits.json``. Rows that are not listed, or not in ``rows``, are not used. Without validation rows, these are
    drawn from the training rows.
    """
    parts = _parts(path, index)
    split = Split(*(_row_numbers(parts.get(name, []), num_rows, f"{path}: {name}") for name in Split._fields))
    every = np.concatenate(split)
    twice = [row for row, count in Counter(every.tolist()).items() if count > 1]
    if twice:
        raise DataError(f"{path} has rows in it twice: {listed(map(str, twice), 5)}")
    shares, has_validation = _checked_sizes(sizes), len(split.val) > 0
    if rows is not None:
        split = Split(*(np.intersect1d(part, rows) for part in split))
    return _checked(split if has_validation else _with_validation(split, shares, seed), str(path))


def draw_validation(rows: NDArray[np.int64], share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw a ``share`` of training rows, at least one, for validation; return (those left, those drawn).

    >>> left, drawn = draw_validation(np.arange(10), 0.2, seed=0)
    >>> len(left), len(drawn)
    (8, 2)
    """
    if not 0 < share < 1:
        raise ConfigError(f"the share of validation rows is between 0 and 1, not {share}")
    if len(rows) < 2:
        raise DataError(f"{len(rows)} training rows are too few to draw validation rows from")
    rows = np.sort(rows)
    drawn = stable_rng(seed).permutation(len(rows))[: max(1, round(share * len(rows)))]
    mask = np.zeros(len(rows), dtype=bool)
    mask[drawn[: len(rows) - 1]] = True
    return rows[~mask], rows[mask]


def _with_validation(split: Split, shares: Sequence[float], seed: int) -> Split:
    if len(split.val) or not len(split.train):
        return split
    train, val = draw_validation(split.train, shares[1] / (shares[0] + shares[1]), seed)
    return Split(train, val, split.test)


def _checked_sizes(sizes: Sequence[float]) -> tuple[float, ...]:
    if len(sizes) != 3 or not all(size > 0 for size in sizes) or abs(sum(sizes) - 1) > 1e-6:
        raise ConfigError(f"split sizes are three positive shares that add up to 1, such as 0.8 0.1 0.1; not {sizes}")
    return tuple(sizes)


def _cut(order: NDArray[np.int64], shares: Sequence[float]) -> list[NDArray[np.int64]]:
    """Cut an order of rows into train, val, test; the latter two get a row at least."""
    num_val, num_test = (max(1, round(share * len(order))) for share in shares[1:])
    num_train = max(len(order) - num_val - num_test, 0)
    return np.split(order, [num_train, num_train + num_val])


def _checked(split: Split, what: str) -> Split:
    empty = [name for name, part in split._asdict().items() if not len(part)]
    if empty:
        counts = ", ".join(f"{name} {len(part)}" for name, part in split._asdict().items())
        raise DataError(f"{what} leaves no rows to {' and '.join(empty)} ({counts}); split otherwise")
    return split


def _parts(path: str | Path, index: int) -> dict[str, Any]:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"no such file: {path}") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FileFormatError(f"{path} is not JSON: {error}") from error
    splits = content if isinstance(content, list) else [content]
    if not -len(splits) <= index < len(splits):
        raise DataError(f"{path} has {len(splits)} splits, none with the number {index}")
    parts = splits[index]
    if not isinstance(parts, dict) or not set(parts) & set(_WORDS):
        raise FileFormatError(f"{path} has no lists of rows named train, val and test")
    unknown = [name for name in parts if name not in _WORDS]
    if unknown:
        raise FileFormatError(f"{path} has parts with unknown names: {listed(unknown)}; known are train, val, test")
    return {_WORDS[name]: rows for name, rows in parts.items() if rows is not None}


def _row_numbers(rows: Any, num_rows: int, where: str) -> NDArray[np.int64]:
    """Read ``[0, 1]`` or ``"0-1,5"``, ends included."""
    if isinstance(rows, str):
        spans = [_SPAN.fullmatch(span.strip()) for span in rows.split(",") if span.strip()]
        ends = [(int(span[1]), int(span[2] or span[1])) for span in spans if span]
        readable = all(spans)
    else:
        readable = isinstance(rows, list) and all(type(row) is int for row in rows)
        ends = [(row, row) for row in rows] if readable else []
    if not readable:
        raise FileFormatError(f'{where} is not a list of row numbers, nor a text such as "0-9,12"')
    beyond = [row for span in ends for row in span if not 0 <= row < num_rows]
    if beyond:
        raise DataError(f"{where} names row {beyond[0]}; the table has rows 0 to {num_rows - 1}")
    return np.sort(np.concatenate([np.empty(0, np.int64), *(np.arange(start, end + 1) for start, end in ends)]))
