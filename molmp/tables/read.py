"""One reader for all commands: a table of any format as a stream of rows, in bounded memory.

>>> import tempfile, pathlib
>>> path = pathlib.Path(tempfile.mkdtemp(), "t.csv")
>>> _ = path.write_text("id,SMILES\\n007,CCO\\nNA,C1CC\\n")
>>> with open_table(path) as table:
...     for row in table:
...         print(row.line, row.cells, row.cells[table.smiles_index])
2 ('007', 'CCO') CCO
3 ('NA', 'C1CC') C1CC
>>> table.notes
['columns delimited by comma', "SMILES in column 'SMILES' (found by its name)"]
"""

import tempfile
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePath
from types import TracebackType
from typing import Self

from molmp.errors import DataError, listed
from molmp.tables import parquet, sdf, smi
from molmp.tables.columns import MOST_JUDGED, SAMPLE, column_index, find_smiles_column, holds_smiles, smiles_cell
from molmp.tables.delimited import first_delimiter, named, read_delimited, records_of, sniff_delimiter
from molmp.tables.lines import Lines
from molmp.tables.rows import Layout, Parsed, Row
from molmp.tables.source import Source, open_source, open_text, seekable

__all__ = ["Table", "open_table"]


class Table:
    """An open table: names of its columns, and its rows once, in order.

    ``notes`` holds a sentence for everything that was inferred, for a command to print.
    """

    def __init__(self, source: Source, parsed: Parsed, smiles_column: str | None) -> None:
        self.where = source.where
        self.layout: Layout = parsed.layout
        self.notes = parsed.notes
        self._source, self._rows = source, parsed.rows
        self._sample: deque[Row] = deque()
        self._smiles_index = parsed.layout.smiles
        if smiles_column is not None:
            self._smiles_index = column_index(self.where, self.columns, smiles_column)

    @property
    def columns(self) -> tuple[str, ...]:
        return self.layout.columns

    @property
    def smiles_index(self) -> int:
        """Where the SMILES are: the column asked for, else found by name or by content, with a note.

        Raises :class:`DataError` with the columns there are where none holds SMILES.
        """
        if self._smiles_index is None:
            sample = [row.cells for row in self.peek(SAMPLE) if row.problem is None]
            self._smiles_index, how = find_smiles_column(self.where, self.columns, sample)
            self.notes.append(f"SMILES in column {self.columns[self._smiles_index]!r} (found {how})")
        return self._smiles_index

    def index(self, name: str) -> int:
        """Find a column by its exact name; :class:`ColumnError` lists those there are."""
        return column_index(self.where, self.columns, name)

    def peek(self, count: int) -> list[Row]:
        """Look at the first rows, or as many as there are; they are still handed out."""
        self._sample.extend(islice(self._rows, max(count - len(self._sample), 0)))
        return list(islice(self._sample, count))

    def __iter__(self) -> Iterator[Row]:
        while True:
            if self._sample:
                yield self._sample.popleft()
            elif (row := next(self._rows, None)) is not None:
                yield row
            else:
                return

    def batches(self, size: int = 1024) -> Iterator[list[Row]]:
        """Yield the rows in lists of ``size``, the last one shorter."""
        rows = iter(self)
        while batch := list(islice(rows, size)):
            yield batch

    def close(self) -> None:
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def open_table(
    source: str | Path, *, delimiter: str | None = None, header: bool | None = None, smiles_column: str | None = None
) -> Table:
    """Open a table of molecules: CSV, TSV, semicolons, SMI, SDF or Parquet; gzip, bzip2, xz or zstd.

    What it is, is told by its content. ``-`` is standard input. ``delimiter`` says that it is delimited text and by
    what; ``header`` whether its first line names the columns; ``smiles_column`` which column holds the SMILES.

    Raises :class:`DataError` for a file that is missing, empty or ambiguous, :class:`ColumnError` for a column that
    it does not have, :class:`FileFormatError` for one that is damaged or no table, :class:`MissingExtraError` where
    pyarrow or zstd is needed. Rows that are malformed do not raise: each has its ``problem``.
    """
    opened = open_source(source)
    try:
        opened, parsed = _parse(opened, delimiter, header)
        table = Table(opened, parsed, smiles_column)
        if not table.peek(1):
            raise DataError(f"{table.where} has no rows; it has the columns {listed(table.columns)}")
        return table
    except BaseException:
        opened.close()
        raise


def _parse(source: Source, delimiter: str | None, header: bool | None) -> tuple[Source, Parsed]:
    if source.head.startswith(parquet.MAGIC):
        file = seekable(source)
        return source._replace(file=file), parquet.read_parquet(file, source.where)
    lines = Lines(open_text(source), source.where)
    sample = lines.peek(SAMPLE)
    if len(sample) < SAMPLE and not any(line.strip() for line in sample):
        raise DataError(f"{source.where} is empty: it has only blank lines")
    if delimiter is not None:
        return source, read_delimited(lines, delimiter, header=header, smiles_cell=smiles_cell)
    if sdf.is_sdf(sample):
        return _parse_sdf(source, lines)
    delimiter, note = _sniff(source, sample)
    if delimiter is None:
        parsed = smi.read_smi(lines)
    else:
        parsed = read_delimited(lines, delimiter, header=header, smiles_cell=smiles_cell)
    parsed.notes.insert(0, note)
    return source, parsed


def _parse_sdf(source: Source, lines: Lines) -> tuple[Source, Parsed]:
    """Read an SD file twice: all its columns are known only after its last record."""
    if source.path is not None and source.path.is_file():
        fields = sdf.field_names(lines)
        source.close()
        source = open_source(source.path)
        lines = Lines(open_text(source), source.where)
    else:
        copy = tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogateescape", newline="")  # noqa: SIM115
        for line in lines:
            copy.write(line)
            lines.taken.clear()
        copy.seek(0)
        fields = sdf.field_names(Lines(copy, source.where))
        copy.seek(0)
        lines = Lines(copy, source.where)
    parsed = sdf.read_sdf(lines, fields)
    parsed.notes.append("an SD file: SMILES written by RDKit")
    return source, parsed


def _sniff(source: Source, sample: list[str]) -> tuple[str | None, str]:
    """Return the delimiter, ``None`` for an SMI file, and a note."""

    def has_smiles(delimiter: str) -> bool:
        first, *others = records_of(sample, delimiter)
        return smiles_cell(first, others) is not None or any(
            holds_smiles([row[i] for row in others if len(row) > i]) for i in range(min(len(first), MOST_JUDGED))
        )

    smi_by_name = any(suffix.lower() in smi.SMI_SUFFIXES for suffix in PurePath(source.where).suffixes)
    found = sniff_delimiter(sample, source.where, has_smiles)
    if found is not None and not (smi_by_name and found == "\t"):
        return found, f"columns delimited by {named(found)}"
    if smi_by_name or smi.is_smi(sample):
        return None, "an SMI file: SMILES, then a name"
    found = first_delimiter(sample)
    if found is None:
        return ",", "a single column"
    return found, f"columns delimited by {named(found)}"
