"""Parquet tables in parts, each some rows of a file and a file of its own for them: work that an engine hands out.

A part that was worked on twice (its worker died, the engine sent it to another) gives the same file, which appears
whole or not at all: no row is there twice, and none is missing. Parts whose file is there are done.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from molmp.errors import (
    ColumnError,
    ConfigError,
    DataError,
    EngineError,
    FileFormatError,
    MissingExtraError,
    MolmpError,
    listed,
)
from molmp.inference.predictor import BATCH
from molmp.tables.ours import free_names
from molmp.tables.parquet import MAGIC
from molmp.tables.write import atomic_path

__all__ = [
    "ROWS",
    "ColumnMaker",
    "Done",
    "Part",
    "PartWorker",
    "attempts_file",
    "check_columns",
    "parquet_files",
    "plan_parts",
]

ROWS = 50_000
"""Rows of a part: some ten seconds of a processor."""


ATTEMPTS = 3
"""Workers that may die of a part before it is given up; engines would start others for ever."""


class Part(NamedTuple):
    """Rows ``start`` to ``stop`` of the file ``source``, for the file ``output``."""

    source: str
    start: int
    stop: int
    output: str


class Done(NamedTuple):
    """What became of a part."""

    rows: int
    failed: int
    """Rows without a result."""
    problem: str
    """Why there is no file; empty where there is one."""


class ColumnMaker(Protocol):
    """What a worker does with SMILES: a :class:`~molmp.inference.batch_predictor.BatchPredictor`, for one."""

    types: dict[str, type]
    """Its columns; the last is called ``error``."""

    def columns_of(self, smiles: Sequence[Any]) -> tuple[Mapping[str, Sequence[Any] | np.ndarray], list[int]]:
        """Return these columns for a batch of SMILES, and which of the rows to write.

        Lists hold ``None`` in rows with an error; in such rows arrays of numbers may hold anything.
        """


class PartWorker:
    """Works on one part after the other; ``make`` is called once, where the worker is.

    Parameters
    ----------
    make
        Returns the :class:`ColumnMaker`.
    smiles_column
        Column of the SMILES.
    columns
        Columns of the input to write, in this order; all where ``None``.
    """

    def __init__(self, make: Callable[[], ColumnMaker], smiles_column: str, columns: Sequence[str] | None) -> None:
        self.maker, self.smiles_column, self.columns = make(), smiles_column, columns

    def __call__(self, part: Part) -> Done:
        """Write the file of a part. What is wrong with the data is returned, not raised: engines would try again."""
        rows = failed = 0
        attempts = attempts_file(part)
        try:
            if _count_attempt(attempts) > ATTEMPTS:
                raise EngineError(f"{ATTEMPTS} workers died of it")
            with atomic_path(part.output) as temporary:
                for rows_of_batch, failed_of_batch in self._write(part, temporary):
                    rows += rows_of_batch
                    failed += failed_of_batch
        except MolmpError as error:
            attempts.unlink(missing_ok=True)
            return Done(0, 0, f"{part.source}, rows {part.start + 1} to {part.stop}: {error}")
        attempts.unlink(missing_ok=True)
        return Done(rows, failed, "")

    def _write(self, part: Part, path: Path) -> Iterator[tuple[int, int]]:
        pa, pq = _arrow()
        file = pq.ParquetFile(part.source)
        names = file.schema_arrow.names if self.columns is None else list(self.columns)
        kinds = {float: pa.float64(), int: pa.int64(), str: pa.string(), bool: pa.bool_()}
        free, _ = free_names(self.maker.types, names)
        ours = [pa.field(name, kinds[kind]) for name, kind in free.items()]
        schema = pa.schema([*(file.schema_arrow.field(name) for name in names), *ours])
        with pq.ParquetWriter(path, schema) as writer:
            for batch in _read(file, part, [*dict.fromkeys([*names, self.smiles_column])]):
                added, kept = self.maker.columns_of(batch.column(self.smiles_column).to_pylist())
                theirs = batch.select(names).take(pa.array(kept, pa.int64()))
                failed = np.array(added["error"], object)[kept] != ""
                arrays = [
                    _column(pa, added[name], kept, failed, field.type)
                    for name, field in zip(self.maker.types, ours, strict=True)
                ]
                writer.write_table(pa.Table.from_arrays([*theirs.columns, *arrays], schema=schema))
                yield batch.num_rows, sum(map(bool, added["error"]))


def _column(pa: Any, values: Any, kept: list[int], failed: np.ndarray, kind: Any) -> Any:
    if isinstance(values, np.ndarray):
        return pa.array(values[kept], kind, mask=failed | np.isnan(values[kept]))
    return pa.array([values[row] for row in kept], kind)


def attempts_file(part: Part) -> Path:
    """Return the file that is as long as workers have begun the part; it is gone when one has finished."""
    path = Path(part.output)
    return path.with_name(f".{path.name}.attempts")


def _count_attempt(path: Path) -> int:
    with open(path, "ab") as file:
        file.write(b".")
        return file.tell()


def plan_parts(files: Sequence[Path], output: str | Path, rows: int = ROWS) -> list[Part]:
    """Cut Parquet files into parts of ``rows`` rows, in order; their files are ``output/<name>-<number>.parquet``.

    Raises
    ------
    DataError
        No rows at all, or two files of one name.
    """
    _, pq = _arrow()
    parts: dict[str, Part] = {}
    for path in files:
        total = pq.read_metadata(path).num_rows
        for number, start in enumerate(range(0, total, rows)):
            name = str(Path(output, f"{path.stem}-{number:05d}.parquet").absolute())
            part = Part(str(path.absolute()), start, min(start + rows, total), name)
            if name in parts:
                raise DataError(f"{parts[name].source} and {path} would both be written to {name}; rename one")
            parts[name] = part
    if not parts:
        raise DataError(f"{listed(map(str, files))}: no rows")
    return list(parts.values())


def parquet_files(source: str | Path) -> list[Path]:
    """Return the Parquet file ``source``, or those of the folder ``source`` in the order of their names.

    Raises
    ------
    ConfigError
        A file of another format: parts of it could not be read alone.
    DataError
        Nothing there.
    """
    source = Path(source)
    if source.is_dir():
        there = sorted(path for path in source.iterdir() if path.is_file() and not path.name.startswith("."))
        files = [path for path in there if path.suffix in (".parquet", ".pq")]
        if not files:
            raise DataError(f"{source} has no Parquet files; it has {listed(path.name for path in there)}")
        return files
    if not source.exists():
        raise DataError(f"no such file: {source}")
    with open(source, "rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ConfigError(f"{source} is not Parquet: an engine reads parts of files, which only Parquet allows")
    return [source]


def check_columns(
    files: Sequence[Path], needed: Sequence[str], written: Sequence[str] | None, ours: Sequence[str]
) -> list[str]:
    """See that every file has the columns ``needed`` and ``written``; a sentence for each of ``ours`` that is called
    otherwise, because one of the written has its name.

    Raises
    ------
    ColumnError, DataError, FileFormatError
        The first file that does not, or is damaged.
    """
    pa, pq = _arrow()
    notes: dict[str, None] = {}
    for path in files:
        try:
            there = pq.read_schema(path).names
        except (pa.ArrowException, OSError) as error:
            raise FileFormatError(f"{path} is a damaged Parquet file: {error}") from error
        if missing := [name for name in (*needed, *(written or ())) if name not in there]:
            raise ColumnError(path, missing[0], there)
        _, found = free_names(dict.fromkeys(ours, str), there if written is None else written)
        notes |= dict.fromkeys(found)
    return list(notes)


def _read(file: Any, part: Part, columns: list[str]) -> Iterator[Any]:
    """Yield the rows of a part as record batches; only the row groups that hold them are read."""
    groups: list[int] = []
    first = begin = 0
    for number in range(file.metadata.num_row_groups):
        end = begin + file.metadata.row_group(number).num_rows
        if begin < part.stop and end > part.start:
            first = first if groups else begin
            groups.append(number)
        begin = end
    place = first
    for batch in file.iter_batches(batch_size=BATCH, row_groups=groups, columns=columns):
        begin, end = max(part.start - place, 0), min(part.stop - place, batch.num_rows)
        place += batch.num_rows
        if begin < end:
            yield batch.slice(begin, end - begin)


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet", "an engine") from None
    return pyarrow, pyarrow.parquet
