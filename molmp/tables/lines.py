"""Text as lines that are numbered, bounded, and can be put back."""

from collections import deque
from collections.abc import Iterable
from io import TextIOBase
from typing import Self

from molmp.errors import FileFormatError
from molmp.tables.source import MAX_LINE

__all__ = ["Lines"]


class Lines:
    """Iterate over the lines of ``stream``, ends of line included.

    >>> import io
    >>> lines = Lines(io.StringIO("a\\nb\\nc"), "t.csv")
    >>> lines.peek(2)
    ['a\\n', 'b\\n']
    >>> next(lines), lines.number
    ('a\\n', 1)
    """

    def __init__(self, stream: TextIOBase, where: str, limit: int = MAX_LINE) -> None:
        self.where = where
        self.number = 0
        """Lines handed out so far."""
        self.taken: list[str] = []
        """The lines handed out since a caller last emptied this list."""
        self._stream, self._limit = stream, limit
        self._back: deque[str] = deque()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._back.popleft() if self._back else self._read()
        if not line:
            raise StopIteration
        self.number += 1
        self.taken.append(line)
        return line

    def _read(self) -> str:
        try:
            line = self._stream.readline(self._limit)
        except UnicodeDecodeError as error:
            raise FileFormatError(f"{self.where} is not UTF-16 text as its first bytes say: {error.reason}") from error
        if len(line) == self._limit:
            raise FileFormatError(f"{self.where}: line {self.number + 1} is longer than {self._limit:,} characters")
        return line

    def put_back(self, lines: Iterable[str]) -> None:
        """Hand these lines out again, in this order, before the others."""
        lines = list(lines)
        self.number -= len(lines)
        self._back.extendleft(reversed(lines))

    def peek(self, count: int) -> list[str]:
        """Look at the next ``count`` lines, or as many as there are."""
        seen = []
        for line in self:
            seen.append(line)
            if len(seen) == count:
                break
        self.taken.clear()
        self.put_back(seen)
        return seen
