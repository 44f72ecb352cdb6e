"""Where chunks of molecules are worked on: by other processes, which may be lost, or here where there is little."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import chain, islice
from typing import Any

from molmp.chem.pool import WorkerPool

__all__ = ["longest_text", "run_chunks"]

Function = Callable[[Sequence[Any], Any], Any]


def run_chunks(
    function: Function, chunks: Iterable[Sequence[Any]], options: Any, seconds: float, *, jobs: int,
    trusted: Callable[[Sequence[Any]], bool],
) -> Iterator[list[Any]]:  # fmt: skip
    """Call ``function(chunk, options)`` for chunk after chunk; yield for each, in order, what came out of it.

    The lists are those of :meth:`~molmp.chem.pool.WorkerPool.map`. Several chunks go to ``jobs`` processes. A single
    one, and each where ``jobs`` is 0, is worked on here where it is ``trusted`` neither to hang nor to crash, which
    spares the start of a process, and else by one process that is kept for that.
    """
    chunks = iter(chunks)
    first = list(islice(chunks, 2))
    chunks = chain(first, chunks)
    if jobs and len(first) == 2:
        with WorkerPool(jobs) as pool:
            yield from pool.map(function, chunks, options, seconds)
        return
    for chunk in chunks:
        answer = _here(function, chunk, options) if trusted(chunk) else None
        if answer is not None:
            yield [answer]
        else:
            yield from _guard(os.getpid()).map(function, [chunk], options, seconds)


def _here(function: Function, chunk: Sequence[Any], options: Any) -> Any:
    """Call ``function`` in this process; ``None`` where memory gives out, as RDKit says of some cages."""
    try:
        return function(chunk, options)
    except MemoryError:  # the other process will find out which molecule it was
        return None


def longest_text(chunk: Sequence[Any]) -> int:
    """Characters of the longest text of a chunk.

    >>> longest_text(["CCO", None, "C"])
    3
    """
    return max((len(text) for text in chunk if isinstance(text, str)), default=0)


@cache
def _guard(process: int) -> WorkerPool:
    """One worker for all that is not trusted, until this process ends; after a fork there must be another."""
    return WorkerPool(1)
