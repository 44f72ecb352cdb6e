"""An audit of a table before training: what is in it, what is wrong with it, and how good a model can become."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from molmp.audit.cliffs import CLIFF_SIMILARITY, Cliffs, find_cliffs
from molmp.audit.duplicates import Level, Noise, conflicts, find_duplicates, noise_floor
from molmp.audit.labels import TargetAudit, audit_target
from molmp.audit.molecules import Molecules, read_facts
from molmp.audit.overlap import Overlap, find_overlap
from molmp.chem.options import GraphOptions
from molmp.chem.similarity import TanimotoIndex
from molmp.errors import ConfigError, DataError, listed
from molmp.tables.columns import find_target_columns
from molmp.tables.labels import TASKS, Column, read_times
from molmp.tables.numbers import split_bound
from molmp.tables.read import Table, open_table
from molmp.tables.splits import SIZES, Split, make_split, split_by_words

__all__ = ["Audit", "Bad", "Repeats", "audit_table"]

MOST_CLIFFS_ROWS = 100_000
"""Molecules above which activity cliffs are not sought: their pairs are too many."""


class Bad(NamedTuple):
    """A row that cannot be used."""

    row: int
    line: int
    smiles: str
    code: str
    reason: str


class Repeats(NamedTuple):
    """What a level of likeness says about a target."""

    conflicts: list[np.ndarray]
    """Groups of input rows whose labels differ, the widest apart first."""
    noise: Noise | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Audit:
    """What :func:`audit_table` found."""

    where: str
    smiles: list[str]
    """Of each input row, as in the file."""
    smiles_column: str
    cells: dict[str, list[str]]
    """Of each target, as in the file."""
    lines: list[int]
    """Where each row begins in the file."""
    standardize: str
    molecules: Molecules
    bad: list[Bad]
    levels: list[Level]
    """Repeated molecules, see :data:`molmp.audit.duplicates.LEVELS`."""
    targets: list[TargetAudit]
    repeats: dict[str, dict[str, Repeats]]
    """By target and level."""
    cliffs: dict[str, Cliffs]
    """By target."""
    overlap: Overlap | None
    notes: list[str]
    delimiter: str | None = None
    header: bool | None = None
    """What was said of the table, as of :func:`~molmp.tables.read.open_table`."""

    def __len__(self) -> int:
        return len(self.smiles)

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows cannot be used, by the code of the reason, the most frequent first."""
        return dict(Counter(bad.code for bad in self.bad).most_common())


def audit_table(
    path: str | Path,
    *,
    smiles_column: str | None = None,
    target_columns: Sequence[str] | None = None,
    task: str | None = None,
    split: str | None = None,
    split_column: str | None = None,
    time_column: str | None = None,
    split_sizes: Sequence[float] = SIZES,
    seed: int = 0,
    standardize: str = "none",
    limits: GraphOptions = GraphOptions(),
    delimiter: str | None = None,
    header: bool | None = None,
    n_jobs: int | None = None,
    tell: Callable[[str], None] = lambda sentence: None,
) -> Audit:
    """Look at a table as training would, and refuse nothing in it.

    ``split`` (see :func:`molmp.tables.splits.make_split`) or ``split_column`` asks how independent its parts are.
    ``standardize``: molecules are compared in that form. ``limits`` of a molecule; ``delimiter`` and ``header`` say
    what the table leaves open. ``tell`` gets a sentence as the work goes on.

    Raises :class:`DataError` for what is no table or holds no molecule, :class:`ColumnError` for a column that is not
    there, :class:`ConfigError` for options that do not exist.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "t.csv")
    >>> _ = path.write_text("smiles,logS\\nCCO,1\\nOCC,2\\nC1,3\\nCCN,>4\\n")
    >>> audit = audit_table(path)
    >>> audit.bad[0].reason, audit.levels[0].groups, audit.targets[0].bounds
    ('ring 1 is not closed', [array([0, 1])], {'>': 1})
    """
    if task is not None and task not in TASKS:
        raise ConfigError(f"no task {task!r}; there are {listed(TASKS)}")
    if split is not None and split_column is not None:
        raise ConfigError("give either a split or a split column")
    options = replace(limits, standardize=standardize)
    with open_table(path, delimiter=delimiter, header=header, smiles_column=smiles_column) as table:
        roles = {table.smiles_index}
        roles |= {table.index(name) for name in (split_column, time_column) if name is not None}
        content = _Content(table)
        targets = _targets(table, content, target_columns, roles, task)
        notes = list(table.notes)
        smiles = content.cells[table.smiles_index]
    tell(f"reading {len(smiles):,} molecules")
    molecules = read_facts(smiles, options, n_jobs)
    bad = _bad(content, smiles, molecules)
    if len(bad) == len(smiles):
        raise DataError(f"{path}: none of its {len(smiles)} rows can be read (row 1: {bad[0].reason})")
    levels, note = find_duplicates(molecules, n_jobs)
    notes += [note] if note else []
    tell("comparing molecules")
    labelled = [target for target in targets if target.kind != "none"]
    if labelled and len(molecules.rows) > MOST_CLIFFS_ROWS:
        notes.append(f"activity cliffs are sought up to {MOST_CLIFFS_ROWS:,} molecules only")
    chosen = _split(content, table, molecules, split, split_column, time_column, split_sizes, seed, limits)
    return Audit(
        where=table.where, smiles=smiles, smiles_column=table.columns[table.smiles_index],
        cells={target.name: content.cells[table.index(target.name)] for target in targets},
        lines=content.lines, standardize=standardize, molecules=molecules, bad=bad, levels=levels, targets=targets,
        repeats={target.name: _repeats(levels, target) for target in labelled},
        cliffs=_cliffs(molecules, labelled),
        overlap=None if chosen is None else find_overlap(
            molecules, chosen, split or f"column {split_column}", limits
        ),
        notes=notes, delimiter=delimiter, header=header,
    )  # fmt: skip


def _cliffs(molecules: Molecules, targets: Sequence[TargetAudit]) -> dict[str, Cliffs]:
    if not targets or len(molecules.rows) > MOST_CLIFFS_ROWS:
        return {}
    pairs = TanimotoIndex(molecules.bits).pairs(CLIFF_SIMILARITY)
    return {
        target.name: find_cliffs(pairs, molecules.rows, molecules.flat, target.values, bool(target.classes))
        for target in targets
    }


class _Content:
    """All cells of a table, by column; those of malformed rows are empty."""

    def __init__(self, table: Table) -> None:
        rows = list(table)
        self.problems = {i: row.problem for i, row in enumerate(rows) if row.problem is not None}
        blank = ("",) * len(table.columns)
        self.cells = list(map(list, zip(*(blank if row.problem else row.cells for row in rows), strict=True)))
        self.lines = [row.line for row in rows]

    def column(self, table: Table, name: str) -> Column:
        return Column(table.where, name, self.cells[table.index(name)], self.lines, self.problems)


def _targets(
    table: Table, content: _Content, asked: Sequence[str] | None, roles: set[int], task: str | None
) -> list[TargetAudit]:
    if asked is None:
        plain = [[split_bound(cell)[1] for cell in column] for column in content.cells]
        places, left_out = find_target_columns(table.columns, plain, roles)
        table.notes.append(f"targets {listed(repr(table.columns[i]) for i in places)}")
        if left_out:
            table.notes.append(f"not taken for targets: {listed(f'{name} ({why})' for name, why in left_out.items())}")
    else:
        places = [table.index(name) for name in asked]
    return [
        audit_target(table.where, table.columns[i], content.cells[i], content.lines, content.problems, task)
        for i in places
    ]


def _bad(content: _Content, smiles: Sequence[str], molecules: Molecules) -> list[Bad]:
    reasons = {row: (error.code, error.reason) for row, error in molecules.errors.items()}
    reasons |= {row: (problem.code, problem.reason) for row, problem in content.problems.items()}
    return [Bad(row, content.lines[row], smiles[row], *reasons[row]) for row in sorted(reasons)]


def _repeats(levels: Sequence[Level], target: TargetAudit) -> dict[str, Repeats]:
    return {
        level.name: Repeats(
            conflicts(level.groups, target.values), noise_floor(level.groups, target.values, bool(target.classes))
        )
        for level in levels
    }


def _split(
    content: _Content, table: Table, molecules: Molecules, how: str | None, column: str | None, time: str | None,
    sizes: Sequence[float], seed: int, limits: GraphOptions,
) -> Split | None:  # fmt: skip
    rows = molecules.rows
    smiles = content.cells[table.smiles_index]
    if column is not None:
        return split_by_words(content.column(table, column).cells, sizes=sizes, seed=seed, rows=rows, where=column)
    if how is None:
        return None
    times = read_times(content.column(table, time)) if time is not None else None
    return make_split(how, smiles, sizes=sizes, seed=seed, rows=rows, times=times, options=limits)
