"""A table of molecules to graphs or to columns of features: each row once, in its place, or the reason why not."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from molmp.chem.featurize import GraphOptions, iter_featurize
from molmp.chem.graph_stream import graph_stream
from molmp.errors import ConfigError, DataError, InvalidSmilesError
from molmp.tables.arrays import arrays_writer
from molmp.tables.read import Table, open_table
from molmp.tables.rows import Layout, Row
from molmp.tables.write import keep_input, open_writer

__all__ = ["Features", "Outcome", "check_output", "feature_cells", "write_features", "write_graphs"]

GRAPHS, ARRAYS = ".graphs", ".npz"
TABLES = (".csv", ".tsv", ".tab", ".parquet", ".pq", ".csv.gz", ".tsv.gz", ".tab.gz")

MOST_ERRORS = 5
"""Unreadable rows that are told one by one where the output has no room for their reasons."""

Errors = dict[int, InvalidSmilesError]


class Features(NamedTuple):
    """Columns of numbers, and how SMILES become rows of them."""

    names: Sequence[str]
    whole: bool
    """All are whole numbers, and written so."""
    read: Callable[[Iterable[Sequence[str]]], Iterator[tuple[np.ndarray, Errors]]]
    """For batch after batch of SMILES, in order: rows of float32, and why others cannot be read, by row."""


class Outcome(NamedTuple):
    """How many rows there were, and how many of them could not be read.

    >>> print(Outcome(1200, 1))
    1,200 rows: 1,199 featurized, 1 cannot be read
    """

    rows: int
    failed: int

    def __str__(self) -> str:
        failed = f", {self.failed:,} cannot be read" if self.failed else ""
        return f"{self.rows:,} rows: {self.rows - self.failed:,} featurized{failed}"


def check_output(output: str, *, graphs: bool) -> None:
    """Refuse a name that does not fit what is to be written, before any work is done.

    >>> check_output("out.csv", graphs=True)
    Traceback (most recent call last):
    molmp.errors.ConfigError: out.csv: graphs are written to a name that ends in .graphs
    """
    name = Path(output).name.lower()
    if graphs and not name.endswith(GRAPHS):
        raise ConfigError(f"{output}: graphs are written to a name that ends in {GRAPHS}")
    if not graphs and output != "-" and not name.endswith((*TABLES, ARRAYS)):
        raise ConfigError(f"{output}: the name does not say what to write; end it in .csv, .csv.gz, .parquet or .npz")


def write_graphs(
    source: str, output: str, options: GraphOptions, *, smiles_column: str | None, on_error: str, n_jobs: int,
    batch: int, tell: Callable[[str], None], delimiter: str | None = None, header: bool | None = None,
) -> Outcome:  # fmt: skip
    """Write the graphs of a table as a store that :meth:`MolGraphs.load` maps; it has no room for unreadable rows."""
    check_output(output, graphs=True)
    reasons: list[str] = []
    failed = total = 0
    with (
        _opened(source, smiles_column, delimiter, header, tell) as rows,
        graph_stream(output) as add,
    ):
        for featurized in iter_featurize(rows.texts(batch), options, n_jobs=n_jobs):
            read = rows.next(len(featurized.rows) + len(featurized.errors))
            total += len(read)
            add(featurized.graphs)
            failed += len(featurized.errors)
            few = list(featurized.errors.items())[: MOST_ERRORS - len(reasons)]
            reasons += [_reason(read[i], error) for i, error in few]
            if reasons and on_error == "fail":
                raise DataError(reasons[0])
    for reason in reasons:
        tell(f"left out: {reason}")
    if failed > len(reasons):
        tell(f"left out: {failed - len(reasons)} more rows that cannot be read")
    return Outcome(total, failed)


def write_features(
    source: str, output: str, features: Features, *, smiles_column: str | None, on_error: str, batch: int,
    tell: Callable[[str], None], delimiter: str | None = None, header: bool | None = None,
) -> Outcome:  # fmt: skip
    """Write a table with its columns as they were, then the features, then ``error``; or arrays, as ``.npz``.

    ``on_error``: rows that cannot be read are kept with the reason, dropped, or end everything with an error.
    """
    check_output(output, graphs=False)
    keep_input(source, output)
    total = failed = 0
    with _opened(source, smiles_column, delimiter, header, tell) as rows:
        sink = _arrays_sink if output.lower().endswith(ARRAYS) else _table_sink
        with sink(output, features, rows.table.layout, tell) as write:
            for matrix, errors in features.read(rows.texts(batch)):
                read = rows.next(len(matrix))
                texts = [row.cells[rows.table.smiles_index] for row in read]
                if errors and on_error == "fail":
                    first = min(errors)
                    raise DataError(_reason(read[first], errors[first]))
                kept = [i for i in range(len(read)) if on_error == "keep" or i not in errors]
                reasons = [_problem(read[i], errors[i]) if i in errors else "" for i in kept]
                write(matrix[kept], [read[i] for i in kept], [texts[i] for i in kept], reasons)
                total, failed = total + len(read), failed + len(errors)
    return Outcome(total, failed)


class _Rows:
    """The rows of a table, handed out as batches of SMILES; the rows themselves wait until they are asked for."""

    def __init__(self, table: Table, bar: Any) -> None:
        self.table, self._bar = table, bar
        self._waiting: deque[Row] = deque()

    def texts(self, batch: int) -> Iterator[list[str]]:
        index = self.table.smiles_index
        for rows in self.table.batches(batch):
            self._waiting.extend(rows)
            yield ["" if row.problem else row.cells[index] for row in rows]

    def next(self, count: int) -> list[Row]:
        self._bar.update(count)
        return [self._waiting.popleft() for _ in range(count)]


@contextmanager
def _opened(
    source: str, smiles_column: str | None, delimiter: str | None, header: bool | None, tell: Callable[[str], None]
) -> Iterator[_Rows]:
    with open_table(source, delimiter=delimiter, header=header, smiles_column=smiles_column) as table:
        assert table.smiles_index >= 0  # the reader looks for it now, and notes where it is
        for note in table.notes:
            tell(note)
        with tqdm(unit="mol", unit_scale=True, desc="featurize", disable=None) as bar:
            yield _Rows(table, bar)


def _problem(row: Row, error: InvalidSmilesError) -> str:
    return (row.problem or error).outcome


def _reason(row: Row, error: InvalidSmilesError) -> str:
    why = (row.problem or error).reason
    return f"line {row.line}: {error.smiles!r} cannot be read: {why}"


Write = Callable[[np.ndarray, list[Row], list[str], list[str]], None]


@contextmanager
def _table_sink(output: str, features: Features, layout: Layout, tell: Callable[[str], None]) -> Iterator[Write]:
    kind = int if features.whole else float
    with open_writer(output, {**dict.fromkeys(features.names, kind), "error": str}, after=layout) as writer:
        for note in writer.notes:
            tell(note)

        def write(matrix: np.ndarray, rows: list[Row], texts: list[str], reasons: list[str]) -> None:
            nothing = [None] * matrix.shape[1]
            cells = feature_cells(features, matrix)
            ours = [[*(nothing if reason else row), reason] for row, reason in zip(cells, reasons, strict=True)]
            writer.write(ours, after=rows)

        yield write


def feature_cells(features: Features, matrix: np.ndarray) -> list[list[Any]]:
    """Numbers of a matrix as they are written."""
    return np.nan_to_num(matrix).astype(np.int64).tolist() if features.whole else _shortest(matrix)


def _shortest(matrix: np.ndarray) -> list[list[float]]:
    """The shortest numbers that are those of float32: 0.1, not 0.10000000149."""
    return [[float(str(value)) for value in row] for row in matrix]


@contextmanager
def _arrays_sink(output: str, features: Features, layout: Layout, tell: Callable[[str], None]) -> Iterator[Write]:
    with arrays_writer(output, list(features.names)) as arrays:
        yield lambda matrix, rows, texts, reasons: arrays.write(matrix, texts, reasons)
