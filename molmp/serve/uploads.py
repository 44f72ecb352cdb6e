"""A table that somebody sends, through the code of `molmp predict`, and back."""

import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from molmp.errors import DataError, MolmpError
from molmp.inference.predictor import Predictor
from molmp.inference.tables import Outcome, predict_table
from molmp.serve.limits import Limits, Seats, StoppedError, TooLargeError
from molmp.tables.parquet import MAGIC
from molmp.tables.smi import SMI_SUFFIXES
from molmp.tables.source import open_source
from molmp.trust.trusted import COVERAGE

__all__ = ["Predicted", "Progress", "Uploads", "predict_upload", "safe_stem"]

CHUNK = 1 << 20


@dataclass
class Progress:
    """How far a table is."""

    rows: int = 0
    lines: int = 0
    """Of the table, once they are counted: about as many as its rows, which may have several, or share one."""
    stopped: threading.Event = field(default_factory=threading.Event)


class Uploads:
    """The tables under way, by the names that their senders gave them."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._seats = Seats(limits.max_uploads, "tables")
        self._running: dict[str, Progress] = {}

    @contextmanager
    def begin(self, name: str) -> Iterator[Progress]:
        """Be under way for the block; at its end, whatever works on the table is told to stop."""
        progress = Progress()
        with self._seats.take():
            self._running[name] = progress
            try:
                yield progress
            finally:
                progress.stopped.set()
                self._running.pop(name, None)

    def __getitem__(self, name: str) -> Progress | None:
        return self._running.get(name)


class Predicted(NamedTuple):
    """What became of a table."""

    path: Path
    outcome: Outcome
    notes: list[str]


def predict_upload(
    predictor: Predictor, file: IO[bytes], name: str, folder: Path, limits: Limits, progress: Progress,
    coverage: float = COVERAGE,
) -> Predicted:  # fmt: skip
    """Predict a table into a file of ``folder``.

    Parameters
    ----------
    file
        Its bytes: delimited text, SMI or SDF, compressed or not.
    name
        What the sender calls it. It is never used as a path: only whether it ends as an SMI file does.

    coverage
        As :func:`~molmp.inference.tables.predict_table` takes it.

    Raises
    ------
    TooLargeError
        More rows, or unpacked bytes, than the limits allow.
    MolmpError
        As :func:`~molmp.inference.tables.predict_table` raises for a table that cannot be used.
    """
    is_smi = set(PurePosixPath(name.lower()).suffixes) & set(SMI_SUFFIXES)
    path = folder / ("table.smi" if is_smi else "table.csv")
    output, notes = folder / "predictions.csv", list[str]()

    def watch(rows: int) -> None:
        progress.rows = rows
        if progress.stopped.is_set():
            raise StoppedError
        if rows > limits.max_rows:
            raise TooLargeError(f"the table has more than {limits.max_rows:,} rows")

    try:
        with path.open("wb") as copy:
            shutil.copyfileobj(file, copy, CHUNK)
        progress.lines = _count_lines(path, limits)
        outcome = predict_table(predictor, path, output, coverage=coverage, tell=notes.append, watch=watch)
    except MolmpError as error:
        _rename(error, path)
        raise
    return Predicted(output, outcome, notes)


def safe_stem(name: str) -> str:
    """The name of a file without folders and endings, of characters that are letters everywhere.

    >>> safe_stem("../my data.csv.gz"), safe_stem("C:\\\\t\\\\a.b.csv"), safe_stem("..")
    ('my_data', 'a.b', 'table')
    """
    last = re.split(r"[/\\]", name)[-1]
    stem = re.sub(r"(\.(csv|tsv|tab|txt|smi|smiles|ism|sdf|gz|bz2|xz|zst))+$", "", last, flags=re.IGNORECASE)
    return re.sub(r"[^A-Za-z0-9.-]+", "_", stem).strip("._-")[:80] or "table"


def _count_lines(path: Path, limits: Limits) -> int:
    """Count lines; refuse what a table swells to, before anything is made of it."""
    source = open_source(path)
    try:
        if source.head.startswith(MAGIC):
            raise DataError("Parquet files are not taken here; `molmp predict` reads them")
        lines = size = 0
        while block := source.stream.read(CHUNK):
            lines, size = lines + block.count(b"\n"), size + len(block)
            if size > limits.unpacked_bytes:
                raise TooLargeError(f"the table unpacks to more than {limits.unpacked_bytes:,} bytes")
        return lines
    finally:
        source.close()


def _rename(error: MolmpError, path: Path) -> None:
    """Let an error speak of the sender's file, not of where it lies here."""
    error.args = tuple(arg.replace(str(path), "the table") if isinstance(arg, str) else arg for arg in error.args)
