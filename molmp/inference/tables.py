"""A table of molecules through a model: each row once and in its place, in memory that does not grow."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from molmp.errors import ConfigError, DataError, InvalidSmilesError
from molmp.inference.answer import Answer
from molmp.inference.columns import ON_ERROR, Columns, check_on_error, rows_to_keep
from molmp.inference.journal import Journal
from molmp.inference.model_file import bundle_digest
from molmp.inference.predictor import BATCH, Predictor
from molmp.nn.process import set_threads
from molmp.tables.keep import keep_columns
from molmp.tables.read import Table, open_table
from molmp.tables.rows import Layout, Row
from molmp.tables.shard import Shard
from molmp.tables.write import Writer, keep_input, open_writer
from molmp.training.bundle import versions
from molmp.trust.trusted import COVERAGE

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
    delimiter: str | None = None, header: bool | None = None, columns: Sequence[str] | None = None,
    shard: Shard | None = None, on_error: str = "keep", trust: bool = True, coverage: float = COVERAGE,
    n_jobs: int = 1, resume: bool = False,
    progress: bool = False, tell: Callable[[str], None] = lambda note: None,
    watch: Callable[[int], None] = lambda rows: None,
) -> Outcome:  # fmt: skip
    """Predict the molecules of a table and write it with the predictions behind its own columns.

    Parameters
    ----------
    source, output
        As :func:`~molmp.tables.read.open_table` and :func:`~molmp.tables.write.open_writer` take them; ``-`` is
        standard input and output. A file appears when it is complete; standard output batch by batch.
    delimiter, header
        What the table does not say clearly, see :func:`~molmp.tables.read.open_table`.
    columns
        Columns of the table to write, in this order; all where ``None``.
    shard
        Predict only these of its rows.
    on_error
        One of :data:`ON_ERROR`.
    trust, coverage
        Whether there are columns of trust, see :class:`~molmp.inference.columns.Columns`, and the share of the
        molecules whose interval, or set of classes, is to hold the truth.
    resume
        Go on where an earlier run for ``output`` was stopped, in whatever way. Files in, files out: a run of more than
        some seconds keeps its answers in ``<output>.resume`` until it is done, see :mod:`molmp.inference.journal`. On
        the CPU the output is that of an uninterrupted run to the byte, and torch computes with as many threads.
    tell
        Called with each sentence about what was inferred of the table.
    watch
        Called with the number of rows so far, batch after batch; what it raises ends the run, and leaves no output.

    Raises
    ------
    ConfigError
        ``resume`` from or to what is no file, or another model, device or version began the output.
    DataError
        The table cannot be used; with ``on_error="fail"`` also the first row without a prediction.
    """
    check_on_error(on_error)
    keep_input(source, output)
    ours = Columns.of(predictor.bundle, trust, coverage)
    with open_table(source, delimiter=delimiter, header=header, smiles_column=smiles_column) as table:
        index = table.smiles_index
        layout, kept = table.layout, None
        if columns is not None:
            layout, kept = keep_columns(table.where, layout, columns)
        if shard is not None and len(table.peek(shard.parts)) < shard.parts:
            raise DataError(f"{table.where} has {len(table.peek(shard.parts))} rows, fewer than {shard.parts} shards")
        for note in (*table.notes, *ours.notes):
            tell(note)
        bar = tqdm(unit="mol", unit_scale=True, desc="predict", disable=None if progress else True)
        facts = partial(_facts, predictor, smiles_column, shard, ours.trust is not None)
        with (
            _journal(source, output, facts, resume, tell) as journal,
            open_writer(output, ours.types, after=layout) as writer,
            bar,
        ):
            for note in writer.notes:
                tell(note)
            job = _Job(predictor, ours, writer, on_error, kept, bar, watch, journal)
            return job.run(_batches(table, shard), index, n_jobs)


def predict_smiles(
    predictor: Predictor, smiles: Sequence[str], output: str | Path, *, on_error: str = "keep", trust: bool = True,
    coverage: float = COVERAGE, tell: Callable[[str], None] = lambda note: None,
) -> Outcome:  # fmt: skip
    """Predict molecules given as SMILES and write a table of them; see :func:`predict_table`."""
    check_on_error(on_error)
    ours = Columns.of(predictor.bundle, trust, coverage)
    for note in ours.notes:
        tell(note)
    (answer,) = predictor.stream([smiles], trust=trust)
    kept = rows_to_keep(answer.errors, len(smiles), on_error, lambda i: f"molecule {i + 1}")
    layout, columns = Layout(format="csv", columns=("smiles",)), ours.values(answer)
    with open_writer(output, ours.types, after=layout) as writer:
        writer.write(_cells(columns, kept), after=[Row(i + 1, (smiles[i],)) for i in kept])
    return Outcome(len(smiles), len(answer.errors))


class _Job(NamedTuple):
    """Everything that stays the same from batch to batch."""

    predictor: Predictor
    ours: Columns
    writer: Writer
    on_error: str
    kept: Callable[[Row], Row] | None
    bar: Any
    watch: Callable[[int], None]
    journal: Journal | None

    def run(self, batches: Iterator[list[Row]], index: int, n_jobs: int) -> Outcome:
        """Predict the molecules in the cells ``index``, and write."""
        total = failed = 0
        for rows, answer in self.answers(batches, index, n_jobs):
            for i, row in enumerate(rows):
                if row.problem is not None:
                    answer.errors[i] = InvalidSmilesError(row.cells[index], row.problem.code, row.problem.reason)
            self.write(rows, answer)
            total += len(rows)
            failed += len(answer.errors)
            self.bar.update(len(rows))
            self.watch(total)
        return Outcome(total, failed)

    def answers(self, batches: Iterator[list[Row]], index: int, n_jobs: int) -> Iterator[tuple[list[Row], Answer]]:
        """Each batch and its answer, first those that an earlier run has left."""
        waiting: deque[tuple[list[Row], list[str]]] = deque()

        def smiles() -> Iterator[list[str]]:
            for rows in batches:
                waiting.append((rows, [row.cells[index] for row in rows]))
                yield waiting[-1][1]

        if self.journal is not None:
            yield from self.journal.replay(batches, lambda row: row.cells[index])
        for answer in self.predictor.stream(smiles(), n_jobs=n_jobs, trust=self.ours.trust is not None):
            rows, texts = waiting.popleft()
            if self.journal is not None:
                self.journal.add(texts, answer)
            yield rows, answer

    def write(self, rows: list[Row], answer: Answer) -> None:
        """Write a batch."""
        columns = self.ours.values(answer)
        chosen = rows_to_keep(answer.errors, len(rows), self.on_error, lambda i: f"line {rows[i].line}")
        theirs = (rows[i] for i in chosen)
        self.writer.write(_cells(columns, chosen), after=theirs if self.kept is None else map(self.kept, theirs))


def _facts(predictor: Predictor, smiles_column: str | None, shard: Shard | None, trust: bool) -> dict[str, Any]:
    """What the answers for a table depend on, besides its SMILES."""
    bundle, kind = predictor.bundle, predictor.device.type
    return {
        "model": bundle_digest(bundle), "SMILES column": smiles_column, "shard": shard, "device": kind, "trust": trust,
        "number of threads": torch.get_num_threads() if kind == "cpu" else None, "size of batches": [FIRST, BATCH],
        **{f"version of {name}": version for name, version in versions().items() if name != "python"},
    }  # fmt: skip


@contextmanager
def _journal(
    source: str | Path, output: str | Path, facts: Callable[[], dict[str, Any]], resume: bool,
    tell: Callable[[str], None],
) -> Iterator[Journal | None]:  # fmt: skip
    """A journal, where input and output are files: others cannot be read, or written, from the start again."""
    for path, role in ((source, "input"), (output, "output")):
        if str(path) == "-" or (Path(path).exists() and not Path(path).is_file()):
            if resume:
                what = f"standard {role}" if str(path) == "-" else f"{path}, which is no file,"
                raise ConfigError(f"{what} cannot be had from its start again: --resume needs a file as {role}")
            yield None
            return
    with Journal(output, facts, resume=resume, tell=tell) as journal:
        if threads := journal.found.get("number of threads"):
            set_threads(threads)
        journal.check()
        yield journal


def _batches(table: Table, shard: Shard | None) -> Iterator[list[Row]]:
    rows = iter(table) if shard is None else shard.of(table)
    size = min(FIRST, BATCH)
    while batch := list(islice(rows, size)):
        yield batch
        size = BATCH


def _cells(columns: dict[str, list[Any]], rows: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    chosen = [[column[i] for i in rows] for column in columns.values()]
    return zip(*chosen, strict=True)
