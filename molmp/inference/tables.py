"""A table of molecules through a model: each row once and in its place, in memory that does not grow."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from molmp.errors import DataError, InvalidSmilesError
from molmp.inference.columns import ON_ERROR, check_on_error, column_types, column_values, rows_to_keep
from molmp.inference.predictor import BATCH, Answer, Predictor
from molmp.tables.keep import keep_columns
from molmp.tables.read import Table, open_table
from molmp.tables.rows import Row
from molmp.tables.shard import Shard
from molmp.tables.write import Writer, open_writer

__all__ = ["ON_ERROR", "Outcome", "predict_smiles", "predict_table"]


FIRST = 500
"""Rows of the first batch: somebody may be watching."""


class Outcome(NamedTuple):
    """How many rows there were and what became of them.

    >>> print(Outcome(rows=1200, failed=1))
    1,200 rows: 1,199 predicted, 1 without a prediction (see the column error)
    """

    rows: int
    failed: int

    def __str__(self) -> str:
        failed = f", {self.failed:,} without a prediction (see the column error)" if self.failed else ""
        return f"{self.rows:,} rows: {self.rows - self.failed:,} predicted{failed}"


def predict_table(
    predictor: Predictor, source: str | Path, output: str | Path, *, smiles_column: str | None = None,
    columns: Sequence[str] | None = None, shard: Shard | None = None, on_error: str = "keep", n_jobs: int = 1,
    progress: bool = False, tell: Callable[[str], None] = lambda note: None,
) -> Outcome:  # fmt: skip
    """Predict the molecules of a table and write it with the predictions behind its own columns.

    Parameters
    ----------
    source, output
        As :func:`~molmp.tables.read.open_table` and :func:`~molmp.tables.write.open_writer` take them; ``-`` is
        standard input and output. A file appears when it is complete; standard output batch by batch.
    columns
        Columns of the table to write, in this order; all where ``None``.
    shard
        Predict only these of its rows.
    on_error
        One of :data:`ON_ERROR`.
    tell
        Called with each sentence about what was inferred of the table.

    Raises
    ------
    DataError
        The table cannot be used; with ``on_error="fail"`` also the first row without a prediction.
    """
    check_on_error(on_error)
    with open_table(source, smiles_column=smiles_column) as table:
        index = table.smiles_index
        layout, kept = table.layout, None
        if columns is not None:
            layout, kept = keep_columns(table.where, layout, columns)
        if shard is not None and len(table.peek(shard.parts)) < shard.parts:
            raise DataError(f"{table.where} has {len(table.peek(shard.parts))} rows, fewer than {shard.parts} shards")
        for note in table.notes:
            tell(note)
        bar = tqdm(unit="mol", unit_scale=True, desc="predict", disable=None if progress else True)
        with open_writer(output, column_types(predictor.bundle.targets), after=layout) as writer, bar:
            job = _Job(predictor, writer, on_error, kept, bar)
            return job.run(_batches(table, shard), index, n_jobs)


def predict_smiles(
    predictor: Predictor, smiles: Sequence[str], output: str | Path, *, on_error: str = "keep"
) -> Outcome:
    """Predict molecules given as SMILES and write a table of them; see :func:`predict_table`."""
    check_on_error(on_error)
    (answer,) = predictor.stream([smiles])
    kept = rows_to_keep(answer.errors, len(smiles), on_error, lambda i: f"molecule {i + 1}")
    columns = {"smiles": list(smiles), **column_values(predictor.bundle.targets, answer)}
    with open_writer(output, {"smiles": str, **column_types(predictor.bundle.targets)}) as writer:
        writer.write(_cells(columns, kept))
    return Outcome(len(smiles), len(answer.errors))


class _Job(NamedTuple):
    """Everything that stays the same from batch to batch."""

    predictor: Predictor
    writer: Writer
    on_error: str
    kept: Callable[[Row], Row] | None
    bar: Any

    def run(self, batches: Iterator[list[Row]], index: int, n_jobs: int) -> Outcome:
        """Predict the molecules in the cells ``index``, and write."""
        waiting: deque[list[Row]] = deque()

        def smiles() -> Iterator[list[str]]:
            for rows in batches:
                waiting.append(rows)
                yield [row.cells[index] for row in rows]

        total = failed = 0
        for answer in self.predictor.stream(smiles(), n_jobs=n_jobs):
            rows = waiting.popleft()
            for i, row in enumerate(rows):
                if row.problem is not None:
                    answer.errors[i] = InvalidSmilesError(row.cells[index], row.problem.code, row.problem.reason)
            self.write(rows, answer)
            total += len(rows)
            failed += len(answer.errors)
            self.bar.update(len(rows))
        return Outcome(total, failed)

    def write(self, rows: list[Row], answer: Answer) -> None:
        """Write a batch."""
        columns = column_values(self.predictor.bundle.targets, answer)
        chosen = rows_to_keep(answer.errors, len(rows), self.on_error, lambda i: f"line {rows[i].line}")
        theirs = (rows[i] for i in chosen)
        self.writer.write(_cells(columns, chosen), after=theirs if self.kept is None else map(self.kept, theirs))


def _batches(table: Table, shard: Shard | None) -> Iterator[list[Row]]:
    rows = iter(table) if shard is None else shard.of(table)
    size = min(FIRST, BATCH)
    while batch := list(islice(rows, size)):
        yield batch
        size = BATCH


def _cells(columns: dict[str, list[Any]], rows: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    chosen = [[column[i] for i in rows] for column in columns.values()]
    return zip(*chosen, strict=True)
