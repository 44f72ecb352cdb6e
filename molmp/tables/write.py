"""Tables out: whole or not at all, the input's columns as they were and ours after them.

>>> import tempfile, pathlib
>>> path = pathlib.Path(tempfile.mkdtemp(), "out.csv")
>>> with open_writer(path, {"smiles": str, "logS_pred": float}) as writer:
...     writer.write([("CCO", 0.5), ("C,C", None)])
>>> path.read_text()
'smiles,logS_pred\\nCCO,0.5\\n"C,C",\\n'
"""

import csv
import gzip
import io
import os
import platform
import secrets
import shutil
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from molmp.errors import ConfigError, DataError
from molmp.tables.ours import free_names, harmless
from molmp.tables.parquet import ParquetSink
from molmp.tables.rows import Layout, Row

__all__ = ["Writer", "atomic_path", "keep_input", "open_writer", "remove_orphans", "scratch_path"]

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_PARQUET = (".parquet", ".pq")


class _Sink(Protocol):
    def write(self, ours: Iterable[Sequence[Any]], theirs: Iterable[Row] | None) -> None: ...

    def finish(self) -> None: ...

    def abandon(self) -> None: ...


class Writer(NamedTuple):
    """An open table."""

    sink: _Sink
    notes: list[str]
    """What was inferred, in sentences: columns that got another name because the input has one of that name."""

    def write(self, values: Iterable[Sequence[Any]], after: Iterable[Row] | None = None) -> None:
        """Write rows: ``values`` of our columns, ``after`` the input's rows where there is an input.

        ``None`` and NaN are empty cells (Parquet: null).
        """
        self.sink.write(values, after)


@contextmanager
def open_writer(path: str | Path, columns: Mapping[str, type], *, after: Layout | None = None) -> Iterator[Writer]:
    """Open a table to write: CSV, TSV (both also ``.gz``) or Parquet by its name, ``-`` for standard output.

    ``columns`` are ours with their types (float, int, str, bool). ``after`` is the layout of an input: its columns
    come first and untouched. Text keeps its quotes, its delimiter (a ``.csv`` may have semicolons) and its line
    ends; Parquet keeps its types. The file appears when the block ends without an error, else nothing changes.
    Where the input has a column of our name, ours gets another one (``error_2``), with a note. In text, no name or
    cell of ours is one that a spreadsheet would compute, see :func:`molmp.tables.ours.harmless`.

    Raises :class:`ConfigError` for a name that says no format, :class:`DataError` where the folder is missing.
    """
    layout = after or Layout(format="csv", columns=())
    columns, notes = free_names(columns, layout.columns)
    if str(path) == "-":
        sys.stdout.flush()
        text = _TextSink(sys.stdout.buffer, layout, columns, layout.delimiter, live=True)
        yield Writer(text, notes)
        text.finish()
        sys.stdout.buffer.flush()
        return
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    zipped = suffixes[-1:] == [".gz"]
    kind = (suffixes[:-1] if zipped else suffixes)[-1:]
    if kind and kind[0] in _PARQUET and not zipped:
        with atomic_path(path) as temporary, _named(path):
            yield from _finished(ParquetSink(temporary, layout, columns), notes)
    elif kind and kind[0] in _DELIMITERS:
        delimiter = _DELIMITERS[kind[0]]
        if kind[0] == ".csv" and layout.format == "csv" and layout.delimiter != "\t":
            delimiter = layout.delimiter
        with atomic_path(path) as temporary, _named(path), _open_bytes(temporary, zipped) as file:
            yield from _finished(_TextSink(file, layout, columns, delimiter), notes)
    else:
        raise ConfigError(f"{path}: the name does not say what to write; end it in .csv, .tsv, .csv.gz or .parquet")


def _finished(sink: _Sink, notes: list[str]) -> Iterator[Writer]:
    try:
        yield Writer(sink, notes)
    except BaseException:
        sink.abandon()
        raise
    sink.finish()


class _TextSink:
    """Delimited text; a row that was read with the same delimiter is copied as it stood."""

    def __init__(
        self, file: IO[bytes], layout: Layout, columns: Iterable[str], delimiter: str, *, live: bool = False
    ) -> None:
        self._file, self._delimiter, self._live = file, delimiter, live  # live: somebody waits for every batch
        self._verbatim = layout.format == "csv" and layout.delimiter == delimiter
        self._text = io.StringIO(newline="")
        # The module quotes a cell for the characters of its line end only, but a lone \r ends lines as well.
        self._csv = csv.writer(_Ended(self._text, layout.newline), delimiter=delimiter, lineterminator="\r\n")
        self._line(layout.columns, layout.header, [harmless(name) for name in columns])

    def write(self, ours: Iterable[Sequence[Any]], theirs: Iterable[Row] | None) -> None:
        if theirs is None:
            self._csv.writerows([_cell(value) for value in values] for values in ours)
        else:
            for values, row in zip(ours, theirs, strict=True):
                self._line(row.cells, row.raw, [_cell(value) for value in values])
        self.finish()

    def _line(self, cells: Sequence[str], raw: Any, ours: list[str]) -> None:
        if self._verbatim and raw is not None and ours:
            self._text.write(raw + self._delimiter)
            self._csv.writerow(ours)
        else:
            self._csv.writerow([*cells, *ours])

    def finish(self) -> None:
        self._file.write(self._text.getvalue().encode("utf-8", "surrogateescape"))
        if self._live:
            self._file.flush()
        self._text.seek(0)
        self._text.truncate()

    def abandon(self) -> None:
        """Nothing is held back that would have to be let go."""


class _Ended:
    """Takes records that end in ``\r\n`` and gives them another end."""

    def __init__(self, text: io.StringIO, newline: str) -> None:
        self._text, self._newline = text, newline

    def write(self, record: str) -> None:
        self._text.write(record[:-2] + self._newline)


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return harmless(value)
    return "" if value is None or value != value else str(value)  # NaN differs from itself


@contextmanager
def _open_bytes(path: Path, zipped: bool) -> Iterator[IO[bytes]]:
    with open(path, "wb") as file:
        if not zipped:
            yield file
            return
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
            yield packed  # type: ignore[misc]


@contextmanager
def _named(path: str | Path) -> Iterator[None]:
    """Give an error of the disk (full, gone) the name of the file."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; when the block ends it is moved there, after an error removed.

    A device or a pipe is written to directly. Raises :class:`DataError` where the folder is missing.
    """
    final = Path(os.path.realpath(path))
    if final.is_dir():
        raise DataError(f"{path} is a folder; name a file to write")
    if not final.parent.is_dir():
        raise DataError(f"{path}: there is no folder {final.parent}; make it first")
    if final.exists() and not final.is_file():
        yield final
        return
    temporary = scratch_path(final)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, final)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def keep_input(source: str | Path, output: str | Path) -> None:
    """Refuse to write a table over the one that is read: rows and columns that are left out would be lost.

    Raises :class:`ConfigError`.
    """
    if "-" not in (str(source), str(output)) and os.path.exists(output) and os.path.samefile(source, output):
        raise ConfigError(f"{output} is the input itself; give the output another name")


def scratch_path(final: Path) -> Path:
    """Return a new name beside ``final`` for what becomes it when it is complete."""
    return final.with_name(f"{_scratch_prefix(final)}{os.getpid()}-{secrets.token_hex(4)}.part")


def _scratch_prefix(final: Path) -> str:
    """How such names begin on this machine."""
    return f".{final.name[:200]}.{zlib.crc32(platform.node().encode()):08x}-"


def remove_orphans(path: str | Path) -> None:
    """Remove scratch files and folders for ``path`` of processes of this machine that were killed."""
    if os.name != "posix":
        return
    final = Path(os.path.realpath(path))
    prefix = _scratch_prefix(final)
    for file in final.parent.iterdir():
        number = file.name.removeprefix(prefix).partition("-")[0]
        if file.name.startswith(prefix) and file.suffix == ".part" and number.isdigit():
            try:
                os.kill(int(number), 0)  # sends nothing: asks whether there is such a process
            except ProcessLookupError:
                if file.is_dir():
                    shutil.rmtree(file, ignore_errors=True)
                else:
                    file.unlink(missing_ok=True)
            except OSError:  # somebody else's
                continue
