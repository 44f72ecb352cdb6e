"""Answers as they come, in a file that outlives the process: a run that was killed goes on where it stopped.

The file stands beside the output and holds what is dear, the answers of the network, batch by batch; a run that goes on
reads its input again, takes these answers instead of computing them, and writes the same output from its first byte.
So one way serves every format, and the output is never seen half done.

Layout: ``MAGIC``, then records of their length (8 bytes), the sha256 of their content, and their content. The first is
a JSON object, what the answers depend on; the others are batches in safetensors' layout.
"""

import hashlib
import json
import os
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

import numpy as np
from safetensors.numpy import load, save

from molmp.errors import ConfigError, DataError, FileFormatError, InvalidSmilesError, listed
from molmp.inference.answer import Answer
from molmp.tables.lock import lock_file
from molmp.tables.write import remove_orphans
from molmp.training.targets import Answered
from molmp.trust.domain import Verdict

__all__ = ["Journal", "journal_path"]

MAGIC = b"molmp-resume-1\n"

HEAD = struct.Struct("<Q32s")

BEGIN_AFTER = 5.0
"""Seconds of work below which there is no file."""

SYNC_EVERY = 5.0
"""Seconds between two calls that bring the file to the disk; a process that is killed loses nothing that it wrote."""

MOST_HELD = 4 << 20
"""Bytes that are held in memory before there is a file."""


def journal_path(output: str | Path) -> Path:
    """Name of the file that stands beside ``output`` until that is complete."""
    final = Path(os.path.realpath(output))
    return final.with_name(f"{final.name[:200]}.resume")


class _Batch(NamedTuple):
    smiles_digest: bytes
    answer: Answer


class Journal:
    """Answers that were computed for ``output``; the file is gone when the context ends without an error.

    Parameters
    ----------
    output
        The file that is written.
    made_with
        Called at most once: what the answers depend on, as plain data.
    resume
        Whether answers that are there already are used; otherwise the file begins anew.
    tell
        Called with a sentence when there are answers that are left for later.

    Raises
    ------
    ConfigError
        The answers that are there depend on something else, or another process is at work on them.
    FileFormatError
        ``resume``, and the file is none of ours.
    """

    def __init__(
        self, output: str | Path, made_with: Callable[[], Mapping[str, Any]], *, resume: bool = False,
        tell: Callable[[str], None] = lambda note: None,
    ) -> None:  # fmt: skip
        self.path, self.output = journal_path(output), str(output)
        self.num_rows = 0
        """Rows of all answers in the file."""
        self._made_with, self._tell, self._held = made_with, tell, b""
        self._file: IO[bytes] | None = None
        self._begun = self._synced = time.monotonic()
        self._found: Mapping[str, Any] = {}
        self._is_under_way = False
        if resume:
            self._reopen()
            remove_orphans(output)
            if not self._found:
                tell(f"nothing is left of an earlier run for {output}: from the start")
        elif self.path.exists():
            tell(f"{self.path} is left of an earlier run: --resume would go on with it; this one begins anew")

    @property
    def found(self) -> Mapping[str, Any]:
        """What the answers of the earlier run were made with; empty where there is none."""
        return self._found

    def _reopen(self) -> None:
        if not self.path.exists():
            return
        file = open(self.path, "r+b")  # noqa: SIM115 (closed by the context)
        self._lock(file)
        begin = file.read(len(MAGIC))
        if not MAGIC.startswith(begin):
            file.close()
            raise FileFormatError(f"{self.path} is not what an earlier run left; move it away")
        if (head := self._record(file)) is None:  # killed when it had just begun
            file.close()
            return
        self._file, self._found = file, json.loads(head)

    def check(self) -> None:
        """See that the answers of the earlier run are those that this one would give."""
        wanted = json.loads(json.dumps(self._made_with()))
        if self._found and (different := [name for name, value in wanted.items() if self._found.get(name) != value]):
            raise ConfigError(
                f"{self.output} was begun with another {listed(different)}; without --resume it is predicted anew"
            )

    def replay(self, batches: Iterator[Sequence[Any]], smiles_of: Callable[[Any], str]) -> Iterator[tuple[Any, Answer]]:
        """Take batches of rows as long as there are answers for them, and yield both.

        Raises
        ------
        DataError
            The rows are others than those that were predicted.
        """
        if self._file is None:
            return
        place = self._file.tell()
        while (content := self._record(self._file)) is not None:
            rows = next(batches, ())
            smiles = [smiles_of(row) for row in rows]
            batch = _decode(content, smiles)
            if batch.smiles_digest != _digest(smiles):
                count = len(batch.answer.values[0])
                raise DataError(
                    f"the input changed: rows {self.num_rows + 1:,} to {self.num_rows + count:,} are not those that "
                    f"were predicted for {self.output}; without --resume it is predicted anew"
                )
            self.num_rows += len(rows)
            place = self._file.tell()
            yield rows, batch.answer
        self._file.seek(place)  # behind the last record that is whole
        self._file.truncate()
        self._is_under_way = True
        self._tell(f"{self.num_rows:,} rows were predicted before")

    def add(self, smiles: Sequence[str], answer: Answer) -> None:
        """Keep the answer for a batch."""
        self.num_rows += len(smiles)
        record = _framed(_encode(smiles, answer))
        now = time.monotonic()
        if self._file is None:
            self._held += record
            if now - self._begun < BEGIN_AFTER and len(self._held) < MOST_HELD:
                return
            self._file = open(self.path, "ab")  # noqa: SIM115 (closed by the context)
            self._lock(self._file)
            self._file.truncate(0)
            self._is_under_way = True
            made_with = json.dumps(self._made_with()).encode()
            record, self._held = MAGIC + _framed(made_with) + self._held, b""
        try:
            self._file.write(record)
            self._file.flush()
            if now - self._synced >= SYNC_EVERY:
                os.fsync(self._file.fileno())
                self._synced = now
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None

    def _lock(self, file: IO[bytes]) -> None:
        if not lock_file(file):
            file.close()
            raise ConfigError(f"another process is writing {self.output}")

    def _record(self, file: IO[bytes]) -> bytes | None:
        head = file.read(HEAD.size)
        if len(head) < HEAD.size:
            return None
        size, digest = HEAD.unpack(head)
        if size > os.fstat(file.fileno()).st_size:
            return None
        content = file.read(size)
        return content if hashlib.sha256(content).digest() == digest else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()
            if value is not None and self._is_under_way:
                self._tell(f"{self.num_rows:,} rows are predicted and kept in {self.path}: --resume goes on from there")
        if value is None:
            self.path.unlink(missing_ok=True)


def _framed(content: bytes) -> bytes:
    return HEAD.pack(len(content), hashlib.sha256(content).digest()) + content


def _digest(smiles: Sequence[str]) -> bytes:
    return hashlib.sha256(json.dumps(smiles).encode()).digest()


def _encode(smiles: Sequence[str], answer: Answer) -> bytes:
    arrays = {
        f"{part}.{i}": np.ascontiguousarray(array)
        for i, target in enumerate(answer.targets)
        for part, array in target._asdict().items()
        if array is not None
    }
    errors = json.dumps([[row, error.code, error.reason] for row, error in answer.errors.items()]).encode()
    arrays |= {"smiles": np.frombuffer(_digest(smiles), np.uint8), "errors": np.frombuffer(errors, np.uint8)}
    if answer.verdict is not None:
        texts = json.dumps(answer.verdict.reasons).encode()
        arrays |= {f"verdict.{name}": a for name, a in answer.verdict._asdict().items() if isinstance(a, np.ndarray)}
        arrays["verdict.reasons"] = np.frombuffer(texts, np.uint8)
    content: bytes = save(arrays)
    return content


def _decode(content: bytes, smiles: Sequence[str]) -> _Batch:
    arrays = load(content)
    count = sum(name.startswith("value.") for name in arrays)
    parts = [{name: arrays.get(f"{name}.{i}") for name in Answered._fields[1:]} for i in range(count)]
    targets = [Answered(arrays[f"value.{i}"], **others) for i, others in enumerate(parts)]
    errors = {
        row: InvalidSmilesError(smiles[row] if row < len(smiles) else "", code, reason, row)
        for row, code, reason in json.loads(arrays["errors"].tobytes())
    }
    verdict = None
    if "verdict.reasons" in arrays:
        reasons = json.loads(arrays["verdict.reasons"].tobytes())
        nearest, similarity = arrays["verdict.nearest"], arrays["verdict.similarity"]
        verdict = Verdict(nearest, similarity, arrays.get("verdict.distance"), reasons, arrays.get("verdict.usual"))
    return _Batch(arrays["smiles"].tobytes(), Answer(targets, errors, verdict))
