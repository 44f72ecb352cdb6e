"""A table to learn from: molecules, labels, weights and splits, in memory and checked.

>>> import tempfile, pathlib
>>> path = pathlib.Path(tempfile.mkdtemp(), "t.csv")
>>> _ = path.write_text("id,smiles,logS\\n1,CCO,1.5\\n2,CCC,\\n3,CCN,-2\\n")
>>> data = load_dataset(path)
>>> data.task, data.target_names, data.targets.ravel()
('regression', ('logS',), array([ 1.5,  nan, -2. ]))
>>> data.notes[2]
"target 'logS'; left out: id (an identifier by its name)"
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from molmp.errors import ConfigError, DataError, listed
from molmp.tables.columns import find_target_columns
from molmp.tables.labels import TASKS, Column, Labels, read_labels, read_times, read_weights
from molmp.tables.numbers import split_bound
from molmp.tables.read import Table, open_table
from molmp.tables.rows import Problem, Row
from molmp.tables.strays import Stray, stray_notes

__all__ = ["Dataset", "load_dataset"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """``n`` rows of a table with ``t`` targets; every row of the file, readable or not, in its order."""

    where: str
    """The file, for messages."""
    smiles: list[str]
    """As in the file; empty where the row is malformed."""
    targets: NDArray[np.float64]
    """Labels in real units, or indices of classes; NaN where missing; shape ``(n, t)``."""
    target_names: tuple[str, ...]
    task: str
    """``regression``, ``binary`` or ``multiclass``."""
    class_names: dict[str, tuple[str, ...]]
    """For each target its classes by index; empty for regression."""
    units: dict[str, str]
    """For each target its unit, where the user named it."""
    sides: NDArray[np.int8] | None
    """Of labels that are bounds, as in :class:`~molmp.tables.labels.Labels`, shape ``(n, t)``; ``None`` where none
    is."""
    weights: NDArray[np.float64] | None
    """Of each row, shape ``(n,)``."""
    split: list[str] | None
    """The cells of the split column."""
    times: NDArray[np.float64] | None
    """When each row was measured: a number, or seconds for dates; shape ``(n,)``."""
    lines: NDArray[np.int64]
    """Where each row begins in the file, shape ``(n,)``."""
    problems: dict[int, Problem]
    """Malformed rows (ragged, an open quote) by index: without SMILES or labels, with weight 0."""
    strays: tuple[Stray, ...] = ()
    """Cells of targets that are no labels; their place in ``targets`` is NaN."""
    notes: list[str] = field(default_factory=list)
    """What was inferred, in sentences."""

    @property
    def bad_labels(self) -> dict[int, Problem]:
        """Rows without any label because of such a cell, and why, by index."""
        return {s.row: s.problem for s in reversed(self.strays) if np.isnan(self.targets[s.row]).all()}

    def __len__(self) -> int:
        return len(self.smiles)


def load_dataset(
    path: str | Path,
    *,
    smiles_column: str | None = None,
    target_columns: Sequence[str] | None = None,
    task: str | None = None,
    weight_column: str | None = None,
    split_column: str | None = None,
    time_column: str | None = None,
    units: Mapping[str, str] | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
) -> Dataset:
    """Read a table to learn from; what is not said is inferred and noted.

    Targets are the numeric columns that have no other role; the task follows from their values. Raises
    :class:`DataError` in words where the table or a label cannot be used, :class:`ColumnError` for a column that it
    does not have, :class:`ConfigError` for a task that does not exist or a column in two roles.
    """
    if task is not None and task not in TASKS:
        raise ConfigError(f"no task {task!r}; there are {listed(TASKS)}")
    with open_table(path, delimiter=delimiter, header=header, smiles_column=smiles_column) as table:
        roles = {"SMILES": table.smiles_index}
        asked = {"weights": weight_column, "split": split_column, "time": time_column}
        roles |= {role: table.index(name) for role, name in asked.items() if name is not None}
        rows = list(table)
    problems = {i: row.problem for i, row in enumerate(rows) if row.problem is not None}
    blank = ("",) * len(table.columns)
    cells = list(map(list, zip(*(blank if row.problem else row.cells for row in rows), strict=True)))
    notes = table.notes
    if problems:
        notes.append(_tell_problems(rows, problems))
    lines = [row.line for row in rows]

    def column(index: int) -> Column:
        return Column(table.where, table.columns[index], cells[index], lines, problems)

    targets = _target_indices(table, cells, roles, target_columns)
    names = tuple(table.columns[i] for i in targets)
    labels = [read_labels(column(i), task) for i in targets]
    notes.append(_tell_task(table.where, names, labels, asked=task))
    notes += _tell_bounds(names, labels, [cells[i] for i in targets])
    strays = [
        Stray(row, lines[row], name, cells[i][row].strip(), why)
        for name, label, i in zip(names, labels, targets, strict=True)
        for row, why in (label.strays or {}).items()
    ]
    notes += stray_notes(strays)
    no_sides = np.zeros(len(rows), np.int8)
    sides = [no_sides if label.sides is None else label.sides for label in labels]
    return Dataset(
        where=table.where,
        smiles=cells[roles["SMILES"]],
        targets=np.column_stack([label.values for label in labels]),
        target_names=names,
        task=labels[0].task,
        class_names={name: label.classes for name, label in zip(names, labels, strict=True) if label.classes},
        units=_units(units or {}, names),
        sides=np.column_stack(sides) if np.any(sides) else None,
        weights=read_weights(column(roles["weights"])) if "weights" in roles else None,
        split=cells[roles["split"]] if "split" in roles else None,
        times=read_times(column(roles["time"])) if "time" in roles else None,
        lines=np.array(lines, dtype=np.int64),
        problems=problems,
        strays=tuple(strays),
        notes=notes,
    )


def _target_indices(
    table: Table, cells: list[list[str]], roles: dict[str, int], asked: Sequence[str] | None
) -> list[int]:
    taken = {index: role for role, index in roles.items()}
    if asked is None:
        found, left_out = find_target_columns(table.columns, cells, taken)
        others = [i for i in range(len(table.columns)) if i not in taken]
        if not found and len(others) == 1 and "by its name" not in left_out[table.columns[others[0]]]:
            return others  # it must be meant: its own error says more, and words may be classes
        if not found:
            why = listed(f"{name} ({reason})" for name, reason in left_out.items())
            raise DataError(f"{table.where} has no column of numbers to learn; left out: {why}")
        note = f"target{'s' if len(found) > 1 else ''} {listed(repr(table.columns[i]) for i in found)}"
        if left_out:
            note += f"; left out: {listed(f'{name} ({reason})' for name, reason in left_out.items())}"
        table.notes.append(note)
        for i in found:
            table.index(table.columns[i])  # refuses a name that is there twice
        return found
    twice = [name for name, count in Counter(asked).items() if count > 1]
    if twice or not asked:
        raise ConfigError(f"target column {twice[0]!r} is named twice" if twice else "no target column is named")
    found = [table.index(name) for name in asked]
    for i in found:
        if i in taken:
            raise ConfigError(f"column {table.columns[i]!r} is both the {taken[i]} column and a target")
    return found


def _units(units: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    unknown = [name for name in units if name not in names]
    if unknown:
        raise ConfigError(f"a unit is given for {listed(unknown)}, no target; targets are {listed(names)}")
    return dict(units)


def _tell_problems(rows: list[Row], problems: dict[int, Problem]) -> str:
    first = next(iter(problems))
    more = f", and {len(problems) - 1} more malformed rows" if len(problems) > 1 else ""
    return f"row {first + 1} (line {rows[first].line}) is malformed and not used: {problems[first].reason}{more}"


def _tell_task(where: str, names: Sequence[str], labels: Sequence[Labels], asked: str | None) -> str:
    """Describe the task, and refuse targets of several kinds."""
    kinds = {label.task for label in labels}
    if len(kinds) > 1:
        parts = "; ".join(
            f"{kind}: {listed(name for name, label in zip(names, labels, strict=True) if label.task == kind)}"
            for kind in TASKS
            if kind in kinds
        )
        raise DataError(
            f"{where} mixes tasks ({parts}); choose targets of one kind (--target-columns), or say that all are "
            "numbers (--task regression)"
        )
    (kind,) = kinds
    note = f"task {kind}" + ("" if asked else " (by the values of the targets)")
    if kind == "regression":
        few = [name for name, label in zip(names, labels, strict=True) if _few_whole(label.values)]
        return note + (f"; if the whole numbers in {listed(few)} are classes, say --task multiclass" if few else "")
    named = [label.classes for label in labels]
    if all(classes == ("0", "1") for classes in named):
        return note
    parts = "; ".join(f"{name} {' '.join(map(repr, classes))}" for name, classes in zip(names, named, strict=True))
    return f"{note}; classes from 0: {parts}"


def _tell_bounds(names: Sequence[str], labels: Sequence[Labels], cells: Sequence[Sequence[str]]) -> list[str]:
    notes = []
    for name, label, column in zip(names, labels, cells, strict=True):
        if label.sides is not None:
            count, known = np.count_nonzero(label.sides), np.count_nonzero(~np.isnan(label.values))
            kinds = [f"{np.count_nonzero(label.sides == side):,} {sign}" for sign, side in (("<", -1), (">", 1))]
            notes.append(f"{count:,} of {known:,} labels of {name!r} are bounds ({', '.join(kinds)})")
        about = [cell.strip() for cell in column if split_bound(cell)[0] == "~"]
        if about and not label.classes:
            notes.append(
                f"{len(about):,} labels of {name!r} are not exact, as {about[0]!r}; they are taken as they are"
            )
    return notes


def _few_whole(values: NDArray[np.float64]) -> bool:
    """Tell whole numbers that repeat so much that they may be classes."""
    known = values[~np.isnan(values)]
    distinct = np.unique(known)
    return len(distinct) <= 10 and len(known) >= 3 * len(distinct) and bool((distinct == np.round(distinct)).all())
