"""A table of molecules through a model: each row once and in its place, in memory that does not grow."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from molmp.errors import ConfigError, DataError, InvalidSmilesError
from molmp.inference.predictor import BATCH, Answer, Predictor
from molmp.tables.read import Table, open_table
from molmp.tables.rows import Row
from molmp.tables.write import Writer, open_writer

__all__ = ["ON_ERROR", "Outcome", "predict_smiles", "predict_table"]

ON_ERROR = ("keep", "drop", "fail")
"""What happens to a row without a prediction: it stays with its reason, it is left out, or everything stops."""


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
    on_error: str = "keep", n_jobs: int = 1, progress: bool = False, tell: Callable[[str], None] | None = None,
) -> Outcome:  # fmt: skip
    """Predict the molecules of a table and write it with the predictions behind its own columns.

    Parameters
    ----------
    source, output
        As :func:`~molmp.tables.read.open_table` and :func:`~molmp.tables.write.open_writer` take them; ``-`` is
        standard input and output. The output appears when it is complete.
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
        if tell is not None:
            for note in table.notes:
                tell(note)
        with open_writer(output, _columns(predictor), after=table.layout) as writer:
            bar = tqdm(unit="mol", unit_scale=True, desc="predict", disable=None if progress else True)
            with bar:
                return _stream(predictor, table, index, writer, on_error, n_jobs, bar)


def predict_smiles(
    predictor: Predictor, smiles: Sequence[str], output: str | Path, *, on_error: str = "keep"
) -> Outcome:
    """Predict molecules given as SMILES and write a table of them; see :func:`predict_table`."""
    check_on_error(on_error)
    (answer,) = predictor.stream([smiles])
    with open_writer(output, {"smiles": str, **_columns(predictor)}) as writer:
        kept = list(_rows(predictor, answer, len(smiles), on_error, lambda i: f"molecule {i + 1}"))
        writer.write([(smiles[i], *cells) for i, cells in kept])
    return Outcome(len(smiles), len(answer.errors))


def check_on_error(on_error: str) -> None:
    """Refuse a word that is none of :data:`ON_ERROR`."""
    if on_error not in ON_ERROR:
        raise ConfigError(f"on_error must be one of {', '.join(ON_ERROR)}, got {on_error!r}")


def _stream(
    predictor: Predictor, table: Table, index: int, writer: Writer, on_error: str, n_jobs: int, bar: Any
) -> Outcome:
    waiting: deque[list[Row]] = deque()

    def batches() -> Iterator[list[str]]:
        for rows in table.batches(BATCH):
            waiting.append(rows)
            yield [row.cells[index] for row in rows]

    total = failed = 0
    for answer in predictor.stream(batches(), n_jobs=n_jobs):
        rows = waiting.popleft()
        for i, row in enumerate(rows):
            if row.problem is not None:
                smiles = row.cells[index]
                answer.errors[i] = InvalidSmilesError(smiles, row.problem.code, row.problem.reason)
        kept = list(_rows(predictor, answer, len(rows), on_error, lambda i: f"line {rows[i].line}"))  # noqa: B023
        writer.write([cells for _, cells in kept], after=[rows[i] for i, _ in kept])
        total += len(rows)
        failed += len(answer.errors)
        bar.update(len(rows))
    return Outcome(total, failed)


def _columns(predictor: Predictor) -> dict[str, type]:
    targets = predictor.bundle.targets
    text = {f"{name}_pred" for name in targets.names} if targets.task == "multiclass" else set()
    columns: dict[str, type] = {name: str if name in text else float for name in targets.column_names}
    return columns | {"error": str}


def _rows(
    predictor: Predictor, answer: Answer, count: int, on_error: str, where: Callable[[int], str]
) -> Iterable[tuple[int, tuple[Any, ...]]]:
    """Cells of the rows that are written, with the row's place in its batch."""
    columns = [_rounded(column) for column in predictor.bundle.targets.columns(answer.values)]
    for i in range(count):
        error = answer.errors.get(i)
        if error is None:
            yield i, (*(column[i] for column in columns), "")
        elif on_error == "fail":
            raise DataError(f"{where(i)}: {error.smiles!r} has no prediction: {error.reason}")
        elif on_error == "keep":
            yield i, (*[None] * len(columns), error.reason)


def _rounded(column: Any) -> list[Any]:
    """Seven significant digits, which is what single precision holds."""
    return [value if isinstance(value, str) else float(f"{value:.7g}") for value in column]
