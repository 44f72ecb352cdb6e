"""A time limit for each row, kept by the kernel, and word to the outside of which row is being read.

For worker processes only: a row that takes longer ends the process, wherever in RDKit it is, and whoever started the
process sees from a few bytes of shared memory which row that was.
"""

import mmap
import signal
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

__all__ = ["AFTER_ROWS", "BEFORE_ROWS", "SIZE", "TIME_IS_UP", "Place", "start_clock", "stop_clock", "timed"]

Item = TypeVar("Item")

SIZE = 8
"""Bytes of shared memory."""

BEFORE_ROWS, AFTER_ROWS = -1, -2
"""Places before the first row is begun, and while something is done for all rows together."""

TIME_IS_UP = getattr(signal, "SIGPROF", None)
"""What the kernel ends a process with whose time is up; ``None`` where it cannot."""


class Place:
    """The row that is being read, in memory that two processes share; ``fd`` is a file of :data:`SIZE` bytes."""

    def __init__(self, fd: int) -> None:
        self._number = memoryview(mmap.mmap(fd, SIZE)).cast("q")

    def get(self) -> int:
        return int(self._number[0])

    def set(self, row: int) -> None:
        self._number[0] = row


class _Clock(NamedTuple):
    place: Place
    seconds: float

    def tick(self, row: int) -> None:
        self.place.set(row)
        signal.setitimer(signal.ITIMER_PROF, self.seconds)


_running: list[_Clock] = []


def start_clock(place: Place, seconds: float) -> None:
    """From now on, every row that :func:`timed` hands out has ``seconds`` of processor time."""
    _running[:] = [_Clock(place, seconds)]


def stop_clock() -> None:
    """No limit any more."""
    if _running:
        _running.clear()
        signal.setitimer(signal.ITIMER_PROF, 0)


def timed(items: Sequence[Item]) -> Iterator[tuple[int, Item]]:
    """Enumerate the rows of a chunk, the clock set for each of them where there is one.

    >>> list(timed("ab"))
    [(0, 'a'), (1, 'b')]
    """
    return _ticking(items, _running[0]) if _running else enumerate(items)


def _ticking(items: Sequence[Any], clock: _Clock) -> Iterator[tuple[int, Any]]:
    for row, item in enumerate(items):
        clock.tick(row)
        yield row, item
    clock.tick(AFTER_ROWS)
