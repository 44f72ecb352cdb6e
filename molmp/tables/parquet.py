"""Parquet files, in and out, a batch at a time. Needs the extra ``parquet``."""

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from molmp.errors import DataError, FileFormatError, MissingExtraError
from molmp.tables.rows import Layout, Parsed, Row

__all__ = ["MAGIC", "ParquetSink", "read_parquet"]

MAGIC = b"PAR1"
_BATCH = 4096
_ROW_GROUP = 16_384


def _arrow(purpose: str) -> Any:
    """Import pyarrow with its Parquet part."""
    try:
        importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet", purpose) from None
    return importlib.import_module("pyarrow")


def read_parquet(file: IO[bytes], where: str) -> Parsed:
    """Read a table; cells are the values as text (missing: empty), ``raw`` the values themselves."""
    pa = _arrow(f"reading {where}, a Parquet file,")
    try:
        table = pa.parquet.ParquetFile(file)
        layout = Layout(format="parquet", columns=tuple(table.schema_arrow.names), schema=table.schema_arrow)
    except _broken(pa) as error:
        raise FileFormatError(f"{where} is a damaged Parquet file: {error}") from error
    return Parsed(layout=layout, rows=_rows(pa, table, where))


def _rows(pa: Any, table: Any, where: str) -> Iterator[Row]:
    number = 0
    try:
        for batch in table.iter_batches(batch_size=_BATCH):
            columns = [column.to_pylist() for column in batch.columns]
            for values in zip(*columns, strict=True):
                number += 1
                yield Row(number, tuple("" if v is None else str(v) for v in values), None, values)
    except _broken(pa) as error:
        raise FileFormatError(f"{where} is a damaged Parquet file after row {number}: {error}") from error


def _broken(pa: Any) -> tuple[type[Exception], ...]:
    """What pyarrow raises for damaged files: also names and texts that are not UTF-8, and dates out of range."""
    return (pa.ArrowException, OSError, ValueError, OverflowError)


class ParquetSink:
    """Write Parquet in row groups of bounded size; the input's columns keep their types."""

    def __init__(self, path: Path, layout: Layout, columns: Mapping[str, type]) -> None:
        self._pa = _arrow(f"writing {path.name}")
        kinds = {float: self._pa.float64(), int: self._pa.int64(), str: self._pa.string(), bool: self._pa.bool_()}
        theirs = layout.schema
        if theirs is None:
            theirs = self._pa.schema([(name, self._pa.string()) for name in layout.columns])
        ours = [self._pa.field(name, kinds[kind]) for name, kind in columns.items()]
        self._num_theirs = len(layout.columns)
        self._typed = layout.schema is not None
        self._schema = self._pa.schema([*theirs, *ours])  # without metadata: pandas' would describe other columns
        self._rows: list[tuple[Any, ...]] = []
        self._writer = self._pa.parquet.ParquetWriter(path, self._schema)

    def write(self, ours: Iterable[Sequence[Any]], theirs: Iterable[Row] | None) -> None:
        if theirs is None:
            self._rows.extend(tuple(values) for values in ours)
        else:
            pairs = zip(ours, theirs, strict=True)
            self._rows.extend((*(row.raw if self._typed else row.cells), *values) for values, row in pairs)
        if len(self._rows) >= _ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        columns = list(zip(*self._rows, strict=True)) or [()] * len(self._schema)
        arrays = []
        for i, (field, values) in enumerate(zip(self._schema, columns, strict=True)):
            try:  # a NaN of ours is a missing value, one of the input stays what it is
                arrays.append(self._pa.array(values, type=field.type, from_pandas=i >= self._num_theirs))
            except UnicodeEncodeError:
                raise DataError(
                    f"column {field.name!r} holds bytes that are not UTF-8, which Parquet cannot store; write CSV"
                ) from None
        self._writer.write_table(self._pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows.clear()

    def finish(self) -> None:
        if self._rows:
            self._flush()
        self._writer.close()

    def abandon(self) -> None:
        """Let go of the file after an error."""
        self._rows.clear()
        self._writer.close()
