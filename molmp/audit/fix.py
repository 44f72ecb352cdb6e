"""A table without what an audit found wrong that can be mended without guessing, and the list of what was done."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from molmp.audit.labels import TargetAudit
from molmp.audit.table import Audit
from molmp.errors import ConfigError, DataError
from molmp.tables.read import open_table
from molmp.tables.rows import Row
from molmp.tables.write import atomic_path, keep_input, open_writer

__all__ = ["Change", "changes_path", "fix_table"]

TEXT = (".csv", ".tsv", ".tab", ".gz")


class Change(NamedTuple):
    """One thing that was done."""

    row: int
    """Input row."""
    line: int
    action: str
    """``drop`` the row, ``merge`` it into another one, set a ``label``, or write another ``smiles``."""
    column: str
    before: str
    after: str
    reason: str


def changes_path(output: str | Path) -> Path:
    """Where the list of changes goes: beside the table.

    >>> changes_path("data/clean.csv.gz").name
    'clean.changes.csv'
    """
    output = Path(output)
    return output.with_name(f"{output.name.split('.')[0]}.changes.csv")


def fix_table(audit: Audit, source: str | Path, output: str | Path) -> list[Change]:
    """Write the table ``source``, which was audited, without rows that cannot be used and without repeats.

    Rows of one molecule (``exact``) become one, in the place of the first: numbers their median, classes the one that
    most rows have; where two classes are equally frequent the cell is emptied. Cells that are no labels are emptied.
    Where the audit brought molecules into a standard form, their SMILES are written in it. All else stays as it is,
    salts, outliers and cliffs too: whether these are mistakes the table does not tell. The changes are listed in
    :func:`changes_path`, one a line.

    Raises :class:`ConfigError` for a name that is no CSV or TSV, :class:`DataError` where the file is not the one that
    was audited.
    """
    if str(source) == "-" or str(output) == "-" or Path(output).suffix.lower() not in TEXT:
        raise ConfigError(f"a cleaned table is made from a file and written as .csv or .tsv, not {source} to {output}")
    keep_input(source, output)
    changes = _plan(audit)
    gone = {change.row for change in changes if change.action in ("drop", "merge")}
    by_row: dict[int, list[Change]] = {}
    for change in changes:
        by_row.setdefault(change.row, []).append(change)
    with open_table(source, delimiter=audit.delimiter, header=audit.header) as table:
        places = {name: table.index(name) for name in {change.column for change in changes if change.column}}
        total = 0
        with open_writer(output, {}, after=table.layout) as writer:
            for batch in table.batches(4096):
                kept = [_changed(row, by_row.get(i, []), places) for i, row in enumerate(batch, total) if i not in gone]
                total += len(batch)
                writer.write([()] * len(kept), after=kept)
            if total != len(audit):
                raise DataError(f"{source} has {total} rows, but {len(audit)} were audited: it was changed meanwhile")
    _write(changes, changes_path(output))
    return changes


def _changed(row: Row, changes: list[Change], places: dict[str, int]) -> Row:
    if not changes:
        return row
    cells = list(row.cells)
    for change in changes:
        cells[places[change.column]] = change.after
    return row._replace(cells=tuple(cells), raw=None)


def _plan(audit: Audit) -> list[Change]:
    changes = [Change(bad.row, bad.line, "drop", "", bad.smiles, "", f"{bad.code}: {bad.reason}") for bad in audit.bad]
    settled = {bad.row for bad in audit.bad}
    for group in audit.levels[0].groups:
        first, *others = group.tolist()
        settled |= set(others)
        reason = f"the same molecule as row {first + 1}"
        changes += [Change(row, audit.lines[row], "merge", "", audit.smiles[row], "", reason) for row in others]
    for target in audit.targets:
        if target.kind != "none":
            changes += _labels(audit, target, settled)
    if audit.standardize != "none":
        reason = f"standard form ({audit.standardize})"
        changes += [
            Change(row, audit.lines[row], "smiles", audit.smiles_column, audit.smiles[row], smiles, reason)
            for row, smiles in zip(audit.molecules.rows.tolist(), audit.molecules.exact, strict=True)
            if row not in settled and smiles != audit.smiles[row]
        ]
    return sorted(changes, key=lambda change: change.row)


def _labels(audit: Audit, target: TargetAudit, settled: set[int]) -> Iterator[Change]:
    """Labels of a target that others take the place of; ``settled`` rows go anyway."""
    cells = audit.cells[target.name]
    joined = set()
    for group in audit.levels[0].groups:
        first = int(group[0])
        known = group[~np.isnan(target.values[group])]
        if not len(known):
            continue
        label, reason = (_most_frequent if target.classes else _median)(target.values[known], [cells[i] for i in known])
        joined.add(first)
        if label != cells[first]:
            yield Change(first, audit.lines[first], "label", target.name, cells[first], label, reason)
    for row in sorted(set(target.unusable) - settled - joined):
        yield Change(row, audit.lines[row], "label", target.name, cells[row], "", "it is no label")


def _median(values: np.ndarray, cells: list[str]) -> tuple[str, str]:
    median = float(np.median(values))
    alike = np.flatnonzero(values == median)
    return cells[alike[0]] if len(alike) else f"{median:.10g}", f"the median of {len(values)} rows"


def _most_frequent(values: np.ndarray, cells: list[str]) -> tuple[str, str]:
    kinds, counts = np.unique(values, return_counts=True)
    top = kinds[counts == counts.max()]
    if len(top) > 1:
        return "", f"{len(top)} classes are equally frequent in {len(values)} rows"
    return cells[int(np.flatnonzero(values == top[0])[0])], f"the class of {counts.max()} of {len(values)} rows"


def _write(changes: list[Change], path: Path) -> None:
    with (
        atomic_path(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Change._fields)
        writer.writerows([change.row + 1, *change[1:]] for change in changes)
