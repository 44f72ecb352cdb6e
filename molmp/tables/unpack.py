"""Compressed bytes to plain ones: bounded in memory and in what they may swell to, damage told in words."""

import bz2
import gzip
import importlib
import io
import lzma
import sys
import zlib
from typing import IO, Any

from molmp.errors import FileFormatError, MissingExtraError

__all__ = ["MAX_RATIO", "compression_of", "decompress", "read_some"]

MAX_RATIO = 500
"""A table that swells more than this was made to fill disks; real ones do not reach 100."""

FREE = 1 << 26
"""Bytes that are handed out before the ratio is looked at: short files of one repeated line are harmless."""

XZ_MEMORY = 1 << 28
"""Bytes; `xz -9` needs a quarter of it, a hostile file could ask for 4 GiB."""

_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


def compression_of(head: bytes) -> str | None:
    """Tell how a file is compressed by its first bytes.

    >>> compression_of(gzip.compress(b"C"))
    'gzip'
    """
    return next((kind for start, kind in _MAGIC.items() if head.startswith(start)), None)


def decompress(file: IO[bytes], kind: str, where: str) -> IO[bytes]:
    """Return the plain bytes of ``file`` as a stream that may raise what :func:`read_some` puts into words."""
    counted = _Counted(file)
    packed = io.BufferedReader(counted, 1 << 16)
    match kind:
        case "gzip":
            plain: Any = gzip.GzipFile(fileobj=packed)
        case "bzip2":
            plain = bz2.BZ2File(packed)
        case "xz":
            plain = io.BufferedReader(_Xz(packed))
        case _:
            try:
                plain = _zstd().ZstdFile(packed)
            except ImportError:
                purpose = f"reading {where}, which is compressed with zstd,"
                raise MissingExtraError("backports.zstd", "zstd", purpose) from None
    return io.BufferedReader(_Bounded(plain, counted, where), 1 << 16)


def read_some(stream: IO[bytes], count: int, where: str, kind: str | None) -> bytes:
    """Read at most ``count`` bytes; raise :class:`FileFormatError` where compressed data are damaged."""
    if kind is None:  # of a pipe, what is there: whoever writes it may be waiting for our answer
        return getattr(stream, "read1", stream.read)(count) or b""
    broken: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error, lzma.LZMAError)
    if kind == "zstd":
        broken = (*broken, _zstd().ZstdError)
    try:
        return stream.read(count)
    except broken as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's fault, not the file's
        raise FileFormatError(f"{where}: damaged {kind} data: {error}") from error
    except MemoryError as error:
        raise FileFormatError(f"{where}: its {kind} data need more memory than there is") from error


class _Counted(io.RawIOBase):
    """Bytes of ``inner``, counted."""

    def __init__(self, inner: IO[bytes]) -> None:
        self._inner, self.count = inner, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = getattr(self._inner, "read1", self._inner.read)(len(buffer)) or b""
        buffer[: len(data)] = data
        self.count += len(data)
        return len(data)


class _Bounded(io.RawIOBase):
    """Plain bytes, as long as they do not outgrow the packed ones."""

    def __init__(self, plain: IO[bytes], packed: _Counted, where: str) -> None:
        self._plain, self._packed, self._where, self._count = plain, packed, where, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._plain.read(len(buffer))
        buffer[: len(data)] = data
        self._count += len(data)
        if self._count > FREE and self._count > MAX_RATIO * self._packed.count:
            raise FileFormatError(
                f"{self._where} unpacks to more than {MAX_RATIO} times its size, which no table does; "
                "if it is what you want, unpack it first"
            )
        return len(data)


class _Xz(io.RawIOBase):
    """One xz stream after the other, in bounded memory."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed, self._stream = packed, self._new()

    def _new(self) -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            if self._stream.eof:
                rest = self._stream.unused_data.lstrip(b"\0") or self._packed.read(1 << 16).lstrip(b"\0")
                if not rest:
                    return 0
                self._stream = self._new()
            else:
                rest = self._packed.read(1 << 16) if self._stream.needs_input else b""
                if not rest and self._stream.needs_input:
                    raise EOFError("it ends before its end mark")
            data = self._stream.decompress(rest, len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)


def _zstd() -> Any:
    return importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
