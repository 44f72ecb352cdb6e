"""Bytes in: a path or standard input, compressed or not, told apart by content and never by name."""

import difflib
import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import IO, Any, NamedTuple

from molmp.errors import DataError, FileFormatError
from molmp.tables.unpack import compression_of, decompress, read_some

__all__ = ["MAX_LINE", "Source", "open_source", "open_text", "seekable"]

MAX_LINE = 1 << 24
"""Characters; a longer line is not a table, and reading it whole would take the memory."""

_HEAD = 4096
_FOREIGN = {
    b"PK\x03\x04": "a zip archive or an Excel workbook; unpack it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word document; save the sheet as CSV",
    b"%PDF": "a PDF document",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array",
    b"\x7fELF": "a program",
    b"SQLite format 3": "an SQLite database; export the table as CSV",
    b"ARROW1": "an Arrow IPC file; save it as Parquet or CSV",
    b"\x89PNG": "a picture",
}
_BOMS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


class Source(NamedTuple):
    """An open stream of uncompressed bytes."""

    where: str
    """The name for messages."""
    path: Path | None
    """``None`` for standard input."""
    stream: IO[bytes]
    compression: str | None
    head: bytes
    """The first bytes, uncompressed; they are still in the stream."""
    file: IO[bytes]
    """The compressed bytes."""

    def close(self) -> None:
        if self.path is not None:
            self.file.close()


class _Chained(io.RawIOBase):
    """``head``, then the rest of ``inner``, with damage reported in words."""

    def __init__(self, head: bytes, inner: IO[bytes], where: str, kind: str | None) -> None:
        self._head, self._inner, self._where, self._kind = head, inner, where, kind

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._head:
            count = min(len(buffer), len(self._head))
            buffer[:count], self._head = self._head[:count], self._head[count:]
            return count
        data = read_some(self._inner, len(buffer), self._where, self._kind)
        buffer[: len(data)] = data
        return len(data)


def open_source(source: str | Path) -> Source:
    """Open a path, or standard input as ``-``, and take off one layer of gzip, bzip2, xz or zstd.

    Raises :class:`DataError` for what is missing, a folder or empty, :class:`FileFormatError` for damaged
    compression and for well-known files that are no table.
    """
    path = None if str(source) == "-" else Path(source)
    where = "standard input" if path is None else str(path)
    file: IO[bytes] = sys.stdin.buffer if path is None else _open_path(path)
    magic = _fill(file, 6, where, None)
    kind = compression_of(magic)
    inner: IO[bytes] = io.BufferedReader(_Chained(magic, file, where, None), 1 << 16)
    if kind is not None:
        inner = decompress(inner, kind, where)
    head = _fill(inner, _HEAD, where, kind)
    if not head:
        raise DataError(f"{where} is empty")
    _refuse_foreign(head, where)
    stream = io.BufferedReader(_Chained(head, inner, where, kind), 1 << 16)
    return Source(where, path, stream, kind, head, file)


def _open_path(path: Path) -> IO[bytes]:
    if path.is_dir():
        raise DataError(f"{path} is a folder, not a table")
    try:
        return open(path, "rb", buffering=0)
    except FileNotFoundError:
        folder = path.parent
        there = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
        close = difflib.get_close_matches(path.name, there, n=3, cutoff=0.75)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise DataError(f"no such file: {path}{hint}") from None


def _fill(stream: IO[bytes], count: int, where: str, kind: str | None) -> bytes:
    """Read ``count`` bytes or all there are; a pipe may hand them out in drops."""
    data = b""
    while len(data) < count and (more := read_some(stream, count - len(data), where, kind)):
        data += more
    return data


def _refuse_foreign(head: bytes, where: str) -> None:
    for start, what in _FOREIGN.items():
        if head.startswith(start):
            raise FileFormatError(f"{where} is no table but {what}")
    if head.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        raise FileFormatError(f"{where} is no table but an HTML page; perhaps a download went wrong")


def open_text(source: Source) -> io.TextIOWrapper:
    """Decode a stream so that its bytes can be written out again unchanged.

    UTF-8 with or without a byte order mark, UTF-16 with one; other bytes pass through as they are.
    """
    bom = next((bom for bom in _BOMS if source.head.startswith(bom)), b"")
    encoding = _BOMS.get(bom, "utf-8")
    if encoding == "utf-8" and b"\0" in source.head:
        if not source.head[:64:2].strip(b"\0") or not source.head[1:64:2].strip(b"\0"):
            raise FileFormatError(
                f"{source.where} looks like UTF-16 without its byte order mark; save it as UTF-8, or with the mark"
            )
        raise FileFormatError(f"{source.where} is no table: it holds binary data")
    source.stream.read(len(bom))
    errors = "surrogateescape" if encoding == "utf-8" else "strict"
    return io.TextIOWrapper(source.stream, encoding=encoding, errors=errors, newline="")


def seekable(source: Source) -> IO[bytes]:
    """Return the bytes as a file that can be read twice: the file itself, or a temporary copy."""
    if source.path is not None and source.compression is None and source.path.is_file():
        source.close()
        return open(source.path, "rb")
    copy = tempfile.TemporaryFile()  # noqa: SIM115 (its reader closes it)
    shutil.copyfileobj(source.stream, copy, 1 << 20)
    source.close()
    copy.seek(0)
    return copy
