"""Parquet files, a batch at a time. Needs the extra ``parquet``."""

import importlib
from collections.abc import Iterator
from typing import IO, Any

from molmp.errors import FileFormatError, MissingExtraError
from molmp.tables.rows import Layout, Parsed, Row

__all__ = ["MAGIC", "arrow", "read_parquet"]

MAGIC = b"PAR1"
_BATCH = 4096


def arrow(purpose: str) -> Any:
    """Import pyarrow with its Parquet part."""
    try:
        importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet", purpose) from None
    return importlib.import_module("pyarrow")


def read_parquet(file: IO[bytes], where: str) -> Parsed:
    """Read a table; cells are the values as text (missing: empty), ``raw`` the values themselves."""
    pa = arrow(f"reading {where}, a Parquet file,")
    try:
        table = pa.parquet.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise FileFormatError(f"{where} is a damaged Parquet file: {error}") from error
    layout = Layout(format="parquet", columns=tuple(table.schema_arrow.names), schema=table.schema_arrow)
    return Parsed(layout=layout, rows=_rows(pa, table, where))


def _rows(pa: Any, table: Any, where: str) -> Iterator[Row]:
    number = 0
    try:
        for batch in table.iter_batches(batch_size=_BATCH):
            columns = [column.to_pylist() for column in batch.columns]
            for values in zip(*columns, strict=True):
                number += 1
                yield Row(number, tuple("" if v is None else str(v) for v in values), None, values)
    except (pa.ArrowException, OSError) as error:
        raise FileFormatError(f"{where} is a damaged Parquet file after row {number}: {error}") from error
