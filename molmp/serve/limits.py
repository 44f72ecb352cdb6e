"""What one request may cost a server, and how many may be under way."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from molmp.errors import ConfigError, MolmpError

__all__ = ["BusyError", "Limits", "Seats", "StoppedError", "TooLargeError"]

MEGABYTE = 1 << 20


class TooLargeError(MolmpError, ValueError):
    """A request that asks for more than a server gives."""


class StoppedError(Exception):
    """Nobody waits any more for what is being done."""


class BusyError(MolmpError, RuntimeError):
    """More requests than a server takes on at a time."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is refused, with a sentence; the limits of a single molecule stand in the model.

    >>> Limits(max_molecules=10).max_body
    8388608
    """

    max_molecules: int = 1_000
    """Molecules of one request to the JSON API."""
    max_rows: int = 100_000
    """Rows of a table that is sent in."""
    max_upload: int = 50
    """Megabytes (of 2**20 bytes) of a table that is sent in."""
    max_body: int = 8 * MEGABYTE
    """Bytes of any other request."""
    max_waiting: int = 32
    """Requests that may be under way at a time; the next one is told to come back."""
    max_uploads: int = 2
    """Tables that may be under way at a time."""

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ConfigError(f"{name} must be a whole number above 0, not {value!r}")

    @property
    def upload_bytes(self) -> int:
        """Bytes of a table as it is sent."""
        return self.max_upload * MEGABYTE

    @property
    def unpacked_bytes(self) -> int:
        """Bytes of a compressed table once it is unpacked."""
        return 10 * self.upload_bytes


class Seats:
    """So many may be inside at a time; nobody waits at the door.

    >>> seats = Seats(1, "tables")
    >>> with seats.take(), seats.take():
    ...     pass
    Traceback (most recent call last):
    ...
    molmp.serve.limits.BusyError: the server is at work on 1 tables already; try again in a moment
    """

    def __init__(self, number: int, what: str) -> None:
        self._number, self._what = number, what
        self._free = threading.BoundedSemaphore(number)

    @contextmanager
    def take(self) -> Iterator[None]:
        """Stay inside for the block; :class:`BusyError` where all seats are taken."""
        if not self._free.acquire(blocking=False):
            raise BusyError(f"the server is at work on {self._number} {self._what} already; try again in a moment")
        try:
            yield
        finally:
            self._free.release()
