"""One part of a job that is spread over many machines: every n-th row of a table, or every n-th file of a folder."""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple, Self, TypeVar

from molmp.errors import ConfigError

__all__ = ["Shard"]

Item = TypeVar("Item")

_FORM = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")


class Shard(NamedTuple):
    """Part ``part`` of ``parts``; both count from 1. All parts together hold every item once.

    >>> list(Shard.parse("2/3").of("abcdefgh"))
    ['b', 'e', 'h']
    """

    part: int
    parts: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``i/n``.

        >>> Shard.parse("4/3")
        Traceback (most recent call last):
        molmp.errors.ConfigError: a shard is i/n with i from 1 to n, such as 1/8; got '4/3'
        """
        form = _FORM.fullmatch(text.strip())
        part, parts = (int(form[1]), int(form[2])) if form else (0, 0)
        if not 1 <= part <= parts:
            raise ConfigError(f"a shard is i/n with i from 1 to n, such as 1/8; got {text!r}")
        return cls(part, parts)

    def of(self, items: Iterable[Item]) -> Iterator[Item]:
        """Items of this part, in order."""
        return islice(items, self.part - 1, None, self.parts)
