"""Features of a table as NumPy arrays in one ``.npz``, row by row: however many there are, a few of them are held.

>>> import pathlib
>>> path = pathlib.Path(tempfile.mkdtemp(), "out.npz")
>>> with arrays_writer(path, ["a", "b"]) as arrays:
...     arrays.write(np.eye(2), ["C", "CO"], ["", ""])
>>> with np.load(path) as found:
...     found["features"].dtype, found["smiles"].tolist(), found["names"].tolist()
(dtype('float32'), ['C', 'CO'], ['a', 'b'])
"""

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from molmp.tables.write import atomic_path

__all__ = ["ArraysWriter", "arrays_writer"]

PIECE = 1 << 20
"""Characters that are laid out at a time."""


class _Texts:
    """Texts that wait in a file, until it is known how long the longest is."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.width, self.count = file, 1, 0

    def add(self, texts: Sequence[str]) -> None:
        self.width = max([self.width, *map(len, texts)])
        self.count += len(texts)
        self._file.write(json.dumps(list(texts)).encode() + b"\n")

    def copy(self, target: IO[bytes]) -> None:
        """Write them as NumPy does, all of one width."""
        kind = f"<U{self.width}"
        _write_header(target, kind, (self.count,))
        self._file.seek(0)
        rows = max(PIECE // self.width, 1)
        for line in self._file:
            texts = json.loads(line)
            for start in range(0, len(texts), rows):
                target.write(np.array(texts[start : start + rows], kind).tobytes())


class ArraysWriter:
    """An ``.npz`` under way; see :func:`arrays_writer`."""

    def __init__(self, names: Sequence[str], files: Sequence[IO[bytes]]) -> None:
        self._names = names
        self._numbers = files[0]
        self._smiles, self._errors = map(_Texts, files[1:])

    def write(self, features: np.ndarray, smiles: Sequence[str], errors: Sequence[str]) -> None:
        """Add rows: ``features`` of shape ``(rows, names)``, and as many texts."""
        self._numbers.write(np.ascontiguousarray(features, "<f4").tobytes())
        self._smiles.add(smiles)
        self._errors.add(errors)

    def finish(self, path: Path) -> None:
        """Write what was added into ``path``."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            with archive.open("features.npy", "w", force_zip64=True) as target:
                _write_header(target, "<f4", (self._smiles.count, len(self._names)))
                self._numbers.seek(0)
                shutil.copyfileobj(self._numbers, target)
            with archive.open("names.npy", "w") as target:
                np.lib.format.write_array(target, np.array(list(self._names), str), allow_pickle=False)
            for name, texts in (("smiles", self._smiles), ("error", self._errors)):
                with archive.open(f"{name}.npy", "w", force_zip64=True) as target:
                    texts.copy(target)


@contextmanager
def arrays_writer(path: str | Path, names: Sequence[str]) -> Iterator[ArraysWriter]:
    """Write ``features`` (rows, names), ``names``, ``smiles`` and ``error`` as compressed arrays.

    The file appears when the block ends without an error; what waits for that stands in unnamed files beside it.
    """
    with atomic_path(path) as temporary, ExitStack() as stack:
        spools = [stack.enter_context(tempfile.TemporaryFile(dir=temporary.parent)) for _ in range(3)]
        writer = ArraysWriter(names, spools)
        yield writer
        writer.finish(temporary)


def _write_header(target: IO[bytes], kind: str, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(target, {"descr": kind, "fortran_order": False, "shape": shape})
