"""Cells to labels: numbers or classes, and a sentence for every cell that is neither."""

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from molmp.errors import DataError, listed
from molmp.tables.numbers import SIDES, is_missing, is_number, split_bound
from molmp.tables.strays import few_strays, why_no_label

__all__ = ["TASKS", "Column", "Labels", "read_labels", "read_times", "read_weights"]

TASKS = ("regression", "binary", "multiclass")

_NEGATIVE = frozenset({"inactive", "negative", "no", "n", "false", "f", "nontoxic", "non-toxic", "-", "low", "neg"})
_MOST_CLASSES = 20
_ROWS_PER_CLASS = 3
"""A column of words is taken for classes where each occurs about this often; else for names."""


class Column(NamedTuple):
    """One column of a table, with what messages about it need."""

    where: str
    name: str
    cells: Sequence[str]
    lines: Sequence[int]
    skip: Collection[int] = ()
    """Rows that are not judged, because they are malformed."""

    def refuse(self, bad: Sequence[int], why: str) -> DataError:
        """Say which cell cannot be used: the first of the rows ``bad``, and how many others there are."""
        first = bad[0]
        more = f" ({len(bad) - 1} more rows like it)" if len(bad) > 1 else ""
        return DataError(
            f"{self.where}, row {first + 1} (line {self.lines[first]}): column {self.name!r} has "
            f"{self.cells[first]!r}, {why}{more}"
        )


class Labels(NamedTuple):
    """The labels of one target."""

    task: str
    values: NDArray[np.float64]
    """Real units, or indices of classes; NaN where missing; shape ``(n,)``."""
    classes: tuple[str, ...]
    """Names of the classes by index; none for regression."""
    sides: NDArray[np.int8] | None = None
    """Of values that are bounds: 1 where the truth is there or above (``>5``), -1 where it is there or below, else 0;
    shape ``(n,)``. ``None`` where there are no bounds."""
    strays: Mapping[int, str] | None = None
    """Rows whose cells were set aside, and why: among numbers, a few that are none. ``None`` where there are none."""


def read_labels(column: Column, task: str | None = None) -> Labels:
    """Read a target: numbers, 0 and 1, or names of classes.

    Among numbers there may be bounds such as ``<5`` and ``>=10``; ``~5`` is taken for 5.

    Without ``task``: ``binary`` for 0 and 1, -1 and 1, true and false, or two words; ``multiclass`` for three to
    twenty words that repeat; ``regression`` for other numbers.

    Cells among numbers that are none, such as ``n.d.``, infinite ones and those that float32 cannot hold are set
    aside where they are a tenth of the labels at most, or half of them where ``task`` is ``regression``.

    Raises :class:`DataError` where cells do not belong, naming the first row, and for a target without labels or with
    one value only.

    >>> read_labels(Column("t.csv", "active", ["yes", "no", "", "yes"], [2, 3, 4, 5]), "binary")
    Labels(task='binary', values=array([ 1.,  0., nan,  1.]), classes=('no', 'yes'), sides=None, strays=None)
    """
    column = column._replace(cells=["" if i in column.skip else cell.strip() for i, cell in enumerate(column.cells)])
    texts = Counter(cell for cell in column.cells if not is_missing(cell))
    if {text.lower() for text in texts} == {"true", "false"}:  # TRUE in a spreadsheet, True in Python
        column = column._replace(cells=[cell.lower() for cell in column.cells])
        texts = Counter(cell for cell in column.cells if not is_missing(cell))
    if not texts:
        raise DataError(f"{column.where}: all labels of {column.name!r} are missing")
    if strays := few_strays(texts, task):
        rest = column._replace(cells=["" if cell in strays else cell for cell in column.cells])
        aside = {row: strays[cell] for row, cell in enumerate(column.cells) if cell in strays}
        return read_labels(rest, task)._replace(strays=aside)
    _refuse_giants(column, texts)
    if task in (None, "regression") and any(map(is_number, texts)) and _have_signs(texts):
        return _bounded(column, texts)
    numeric = all(map(is_number, texts))
    if not numeric and (task == "regression" or not _are_classes(texts, task)):
        raise _not_a_number(column, could_be_aside=task is None and bool(few_strays(texts, "regression")))
    distinct: set[Any] = {float(text) for text in texts} if numeric else set(texts)
    if len(distinct) == 1:
        raise _constant(column, next(iter(texts)))
    task = task or _infer(distinct)
    if task == "regression":
        return Labels(task, _map(column.cells, {text: float(text) for text in texts}), ())
    return _classes(column, task, distinct)


def _refuse_giants(column: Column, texts: Collection[str]) -> None:
    giants = {text: why for text in texts if is_number(split_bound(text)[1]) and (why := why_no_label(text))}
    if giants:
        bad = [row for row, cell in enumerate(column.cells) if cell in giants]
        raise column.refuse(bad, giants[column.cells[bad[0]]])


def _have_signs(texts: Collection[str]) -> bool:
    """Tell numbers of which some have a sign such as ``<``."""
    signs, numbers = zip(*map(split_bound, texts), strict=True)
    return all(map(is_number, numbers)) and (any(signs) or set(numbers) != set(texts))


def _bounded(column: Column, texts: Collection[str]) -> Labels:
    split = {text: split_bound(text) for text in texts}
    values = _map(column.cells, {text: float(number) for text, (_, number) in split.items()})
    sides = np.array([SIDES.get(split_bound(cell)[0], 0) for cell in column.cells], np.int8)
    known = ~np.isnan(values)
    if len(set(zip(values[known], sides[known], strict=True))) == 1:
        raise _constant(column, next(iter(texts)))
    return Labels("regression", values, (), sides if sides.any() else None)


def _constant(column: Column, text: str) -> DataError:
    return DataError(
        f"{column.where}: all labels of {column.name!r} are {text!r}: with one value or class only there is nothing "
        "to learn"
    )


def _infer(distinct: set[Any]) -> str:
    if any(isinstance(value, str) for value in distinct):
        return "binary" if len(distinct) == 2 else "multiclass"
    return "binary" if distinct in ({0.0, 1.0}, {-1.0, 1.0}) else "regression"


def _are_classes(texts: Counter[str], task: str | None) -> bool:
    """Tell classes from names and from numbers with a stray word among them."""
    if any(map(is_number, texts)):
        return False
    if task is not None or set(texts) == {"true", "false"}:
        return True
    return len(texts) <= _MOST_CLASSES and texts.total() >= _ROWS_PER_CLASS * len(texts)


def _classes(column: Column, task: str, distinct: set[Any]) -> Labels:
    if task == "binary" and len(distinct) != 2:
        raise DataError(
            f"{column.where}: {column.name!r} has {len(distinct)} different values, a binary target has two; "
            f"they are {listed(sorted(map(_class_name, distinct)), 5)}"
        )
    fractions = [i for i, cell in enumerate(column.cells) if is_number(cell) and not float(cell).is_integer()]
    if fractions:
        raise column.refuse(fractions, "a fraction, which is no class; classes are whole numbers or words")
    order = sorted(distinct)
    if len(order) == 2 and str(order[1]).lower() in _NEGATIVE:
        order.reverse()  # class 1 is the one whose probability is predicted
    index = {value: float(i) for i, value in enumerate(order)}
    texts = {cell for cell in column.cells if not is_missing(cell)}
    lookup = {text: index[float(text) if is_number(text) else text] for text in texts}
    return Labels(task, _map(column.cells, lookup), tuple(map(_class_name, order)))


def _class_name(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.0f}" if value.is_integer() else repr(value)


def _map(cells: Sequence[str], lookup: dict[str, float]) -> NDArray[np.float64]:
    return np.array([lookup.get(cell, math.nan) for cell in cells], dtype=np.float64)


def _not_a_number(column: Column, *, could_be_aside: bool) -> DataError:
    words = [i for i, cell in enumerate(column.cells) if not is_missing(cell) and not is_number(cell)]
    bad = [i for i in words if why_no_label(column.cells[i])] or words
    text = column.cells[bad[0]]
    why = "not a number"
    if re.fullmatch(r"[+-]?\d+,\d+", text):
        why += "; write decimals with a point"
    elif bad == words and split_bound(text)[0]:
        why += "; bounds need some values beside them, and the task regression"
    error = column.refuse(bad, why)
    return DataError(f"{error}; --task regression sets them aside") if could_be_aside else error


def read_weights(column: Column) -> NDArray[np.float64]:
    """Read the weights of the rows: finite, not negative, none missing, not all zero."""
    cells = ["0" if i in column.skip else cell for i, cell in enumerate(column.cells)]
    bad = [i for i, cell in enumerate(cells) if not is_number(cell) or float(cell) < 0]
    if bad:
        raise column.refuse(bad, "which is no weight: a weight is a number that is not negative")
    weights = np.array([float(cell) for cell in cells])
    if not weights.any():
        raise DataError(f"{column.where}: all weights in {column.name!r} are zero")
    return weights


def read_times(column: Column) -> NDArray[np.float64]:
    """Read when each row was measured: numbers (a year, a serial number) or ISO dates (as seconds since 1970).

    None may be missing; rows that are not judged get NaN.

    >>> read_times(Column("t.csv", "date", ["1970-01-02", "1970-01-01"], [2, 3]))
    array([86400.,     0.])
    """
    judged = [i for i in range(len(column.cells)) if i not in column.skip]
    numeric = sum(is_number(column.cells[i]) for i in judged) * 2 > len(judged)
    read = _number if numeric else _seconds
    values = [read(cell) for cell in column.cells]
    bad = [i for i in judged if values[i] is None]
    if bad:
        other = "not a number, as most others are" if numeric else "not a date such as 2024-05-31"
        raise column.refuse(bad, other)
    return np.array(values, dtype=np.float64)


def _number(cell: str) -> float | None:
    return float(cell) if is_number(cell) else None


def _seconds(cell: str) -> float | None:
    try:
        when = datetime.fromisoformat(cell.strip())
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return when.timestamp()
