"""Worker processes that read SMILES, each at the end of two pipes and with a thread here that waits for it.

Not :mod:`multiprocessing`: a worker need not import the main script again (so that scripts need no guard), and when
one dies it is known which chunk it held while the others go on.
"""

import os
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

import numpy as np

from molmp.chem.graphs import MolGraphs
from molmp.chem.reader import Answer, join_answers
from molmp.errors import ConfigError, InvalidSmilesError

__all__ = ["WorkerPool", "count_jobs"]

PROGRAM = "import sys; sys.path[:] = {path!r}; from molmp.chem.worker import serve; serve()"

PYTHON_EXCEPTION = 1
"""Exit code of a worker that met a bug of ours; its traceback stands on stderr."""


def count_jobs(n_jobs: int | None) -> int:
    """Number of processes meant by ``n_jobs``: None is 1, -1 all processors, -2 all but one, and so on.

    >>> count_jobs(3), count_jobs(None)
    (3, 1)
    """
    if n_jobs == 0:
        raise ConfigError("n_jobs must not be 0; -1 means all processors")
    if n_jobs is None or n_jobs > 0:
        return n_jobs or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, usable + 1 + n_jobs)


class WorkerPool:
    """``n_jobs`` workers; leaving the context ends them.

    >>> with WorkerPool(2) as pool:
    ...     [graphs for graphs, rows, errors in pool.read([["CCO"], ["C"]], {})]
    [MolGraphs(1 molecules, 3 atoms, 2 bonds), MolGraphs(1 molecules, 1 atoms, 0 bonds)]
    """

    def __init__(self, n_jobs: int) -> None:
        self.workers = [_Worker() for _ in range(n_jobs)]
        self.idle: SimpleQueue[_Worker] = SimpleQueue()
        for worker in self.workers:
            self.idle.put(worker)
        self.threads = ThreadPoolExecutor(n_jobs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for worker in self.workers:
            worker.kill()
        self.threads.shutdown(cancel_futures=True)
        for worker in self.workers:
            worker.reap()

    def read(self, chunks: Iterable[Sequence[str]], options: dict[str, Any]) -> Iterator[Answer]:
        """Read chunk after chunk; the answers come in order, and few are under way at a time."""
        pending: deque[Future[list[Answer]]] = deque()
        for chunk in chunks:
            pending.append(self.threads.submit(self._read, chunk, options))
            if len(pending) > 2 * len(self.workers):
                yield join_answers(pending.popleft().result())
        while pending:
            yield join_answers(pending.popleft().result())

    def _read(self, texts: Sequence[str], options: dict[str, Any]) -> list[Answer]:
        worker = self.idle.get()
        try:
            return worker.read(texts, options)
        finally:
            self.idle.put(worker)


class _WorkerDeathError(Exception):
    """Before it answered; the argument is its exit code."""


class _Worker:
    """One process, started when it is first needed and replaced when it dies."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.closed = False

    def read(self, texts: Sequence[str], options: dict[str, Any]) -> list[Answer]:
        """Answers that together are that for ``texts``; the molecule that kills the worker is found by halving."""
        try:
            return [self._ask(texts, options)]
        except _WorkerDeathError as death:
            (code,) = death.args
            if self.closed or code == PYTHON_EXCEPTION:
                raise RuntimeError("a worker process failed; its traceback stands above") from None
        if len(texts) > 1:
            middle = len(texts) // 2
            return self.read(texts[:middle], options) + self.read(texts[middle:], options)
        error = InvalidSmilesError(texts[0], "crash", f"the process that read it died (exit code {code})", 0)
        return [(MolGraphs.empty(), np.zeros(0, np.int64), {0: error})]

    def kill(self) -> None:
        """End the process whatever it does; the thread that waits for it sees its pipe end."""
        self.closed = True
        if self.process is not None:
            self.process.kill()

    def reap(self) -> int:
        """Wait for the end of the process and return its exit code."""
        if self.process is None:
            return 0
        process, self.process = self.process, None
        with process:  # closes the pipes
            process.kill()
        return process.returncode

    def _ask(self, texts: Sequence[str], options: dict[str, Any]) -> Answer:
        if self.process is None:
            command = [sys.executable, "-c", PROGRAM.format(path=sys.path)]
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        inbox, outbox = self.process.stdin, self.process.stdout
        assert inbox is not None
        assert outbox is not None
        try:
            pickle.dump((texts, options), inbox, protocol=pickle.HIGHEST_PROTOCOL)
            inbox.flush()
            answer: Answer = pickle.load(outbox)
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            raise _WorkerDeathError(self.reap()) from None
        return answer
