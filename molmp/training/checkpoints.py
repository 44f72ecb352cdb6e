"""Checkpoints of a training: whole or absent, the last two kept, removed when the training is done.

They stand in a folder beside the run's: one file each, made under another name, brought to the disk, then renamed. A
process that is killed at any moment leaves at least the one before.
"""

import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from molmp.errors import ConfigError, FileFormatError, listed
from molmp.tables.lock import lock_file
from molmp.tables.whole import write_whole
from molmp.training.state import from_bytes, to_bytes

__all__ = ["Checkpoints", "checkpoint_folder"]

EVERY = 10.0
"""Seconds between two checkpoints, or more where to write one takes more than a hundredth of that."""

SHARE = 0.01
"""Of the time, spent on checkpoints at most."""

KEPT = 2

SUFFIX = ".checkpoint"


def checkpoint_folder(output: str | Path) -> Path:
    """Name of the folder that stands beside ``output`` while that is not complete.

    >>> checkpoint_folder("runs/first").as_posix()
    'runs/first.resume'
    """
    output = Path(output)
    return output.with_name(f"{output.name}.resume")


class Checkpoints:
    """Checkpoints in ``folder``, which is gone when the context ends without an error.

    Parameters
    ----------
    folder
        Made when the first checkpoint is written.
    resume
        Whether the last checkpoint that is there is used; otherwise they are written anew.
    is_writer
        Whether this process writes them; of several that train together one does.
    tell
        Called with a sentence about what is used, and left.

    Raises
    ------
    ConfigError
        Another process trains into the folder.

    Examples
    --------
    ::

        with Checkpoints(checkpoint_folder("run"), resume=True, tell=print) as checkpoints:
            *_, trained = train(problem, network, config, checkpoints=checkpoints)
    """

    def __init__(
        self, folder: str | Path, *, resume: bool = False, is_writer: bool = True,
        tell: Callable[[str], None] = lambda note: None,
    ) -> None:  # fmt: skip
        self.folder, self.resume, self.is_writer, self._tell = Path(folder), resume, is_writer, tell
        self._made_with: Mapping[str, Any] = {}
        self._number, self._last, self._cost = 0, time.monotonic(), 0.0
        self._lock: IO[bytes] | None = None
        if not self._there():
            if resume:
                tell(f"nothing is left of an earlier run in {self.folder}: from the start")
        elif not resume:
            tell(f"{self.folder} is left of an earlier run: --resume would go on with it; this one begins anew")
        elif is_writer:
            self._take()

    def load(self, made_with: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the last state that is whole, or ``None`` where the training begins.

        Parameters
        ----------
        made_with
            What the training depends on, as plain data; kept with each checkpoint.

        Raises
        ------
        ConfigError
            The checkpoints depend on something else.
        FileFormatError
            None of them is whole.
        """
        self._made_with = json.loads(json.dumps(made_with))
        if not self.resume or not (there := self._there()):
            return None
        for path in reversed(there):
            try:
                checkpoint = from_bytes(path.read_bytes())
            except FileFormatError as error:
                self._tell(f"{path} is damaged: {error}")
                continue
            self._check(checkpoint["made_with"])
            self._number = int(path.stem)
            state: dict[str, Any] = checkpoint["state"]
            return state
        raise FileFormatError(f"no checkpoint in {self.folder} is whole; without --resume training begins anew")

    def found(self, name: str) -> Any:
        """What the checkpoints that are used were made with; ``None`` where there are none."""
        for path in reversed(self._there() if self.resume else []):
            try:
                return from_bytes(path.read_bytes())["made_with"].get(name)
            except FileFormatError:
                continue
        return None

    def is_due(self) -> bool:
        """Whether it is time for the next one."""
        return self.is_writer and time.monotonic() - self._last >= max(EVERY, self._cost / SHARE)

    def save(self, state: Mapping[str, Any]) -> None:
        """Write a checkpoint, then remove the third last.

        Raises
        ------
        OSError
            The disk is full, or gone; those before are as they were.
        """
        begun = time.monotonic()
        if self._lock is None:
            self._take()
            for path in self._there():  # of an earlier run
                path.unlink()
        content = to_bytes({"made_with": self._made_with, "state": state})
        self._number += 1
        write_whole(self.folder / f"{self._number:09d}{SUFFIX}", content)
        for path in self._there()[:-KEPT]:
            path.unlink()
        self._last = time.monotonic()
        self._cost = self._last - begun

    def _there(self) -> list[Path]:
        """Checkpoints, the last one last."""
        return sorted(path for path in self.folder.glob(f"*{SUFFIX}") if path.stem.isdigit())

    def _take(self) -> None:
        """Make the folder, and be the only process that works in it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = open(self.folder / "lock", "ab")  # noqa: SIM115 (closed by the context)
        if not lock_file(lock):
            lock.close()
            raise ConfigError(f"another process is training, and keeps its checkpoints in {self.folder}")
        self._lock = lock

    def _check(self, before: Mapping[str, Any]) -> None:
        names = [*before, *(name for name in self._made_with if name not in before)]
        different = [name for name in names if before.get(name) != self._made_with.get(name)]
        if different:
            words = listed([_difference(name, before.get(name), self._made_with.get(name)) for name in different], 3)
            raise ConfigError(
                f"{self.folder} holds the checkpoints of another training ({words}); without --resume it begins anew"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        if self._lock is None:
            return
        self._lock.close()
        if value is None or not self._there():
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            self._tell(
                f"the last checkpoint is kept in {self.folder}: the same command with --resume goes on from there"
            )


def _difference(name: str, before: Any, now: Any) -> str:
    if any(len(str(value)) > 20 for value in (before, now)):
        return f"other {name}"
    return f"{name} was {before}, is {now}"
