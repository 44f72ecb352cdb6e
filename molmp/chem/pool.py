"""Worker processes that read SMILES, each at the end of two pipes and with a thread here that waits for it.

Not :mod:`multiprocessing`: a worker need not import the main script again (so that scripts need no guard), and when
one dies it is known which chunk it held while the others go on.
"""

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

import numpy as np

from molmp.chem.clock import AFTER_ROWS, BEFORE_ROWS, SIZE, TIME_IS_UP, Place
from molmp.chem.graphs import MolGraphs
from molmp.chem.options import GraphOptions
from molmp.chem.reader import Answer, join_answers, read_chunk
from molmp.chem.worker import NO_MEMORY
from molmp.errors import ConfigError, EngineError, InvalidSmilesError

__all__ = ["Lost", "WorkerPool", "answer_of", "count_jobs"]

PROGRAM = "import sys; sys.path[:] = {path!r}; from molmp.chem.worker import serve; serve()"

ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}
"""Of a worker: NumPy would start threads that nothing here needs, and in a process with any RDKit is slower, since
memory is then handed out under locks."""

PYTHON_EXCEPTION = 1
"""Exit code of a worker that met a bug of ours; its traceback stands on stderr."""


PATIENCE = 3
"""Workers that may end before they begin."""


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


class Lost(NamedTuple):
    """A row that ended the process at work on it."""

    row: Any
    code: str
    """``crash`` or ``timeout``."""
    reason: str

    def error(self, row: int) -> InvalidSmilesError:
        """As an error of the row of this number."""
        return InvalidSmilesError(str(self.row), self.code, self.reason, row)


def answer_of(pieces: Sequence[Answer | Lost]) -> Answer:
    """The answer for a chunk of SMILES, of which some rows may be lost."""
    return join_answers([_refused(piece) if isinstance(piece, Lost) else piece for piece in pieces])


def _refused(lost: Lost) -> Answer:
    return MolGraphs.empty(), np.zeros(0, np.int64), {0: lost.error(0)}


class WorkerPool:
    """``n_jobs`` workers; leaving the context ends them.

    A molecule that takes a worker longer than its time limit, or kills it, costs its own row and nothing else.

    >>> with WorkerPool(2) as pool:
    ...     [graphs for graphs, rows, errors in pool.read([["CCO"], ["C"]])]
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

    def read(self, chunks: Iterable[Sequence[str]], options: GraphOptions = GraphOptions()) -> Iterator[Answer]:
        """Read chunk after chunk; the answers come in order, and few are under way at a time."""
        return map(answer_of, self.map(read_chunk, chunks, options, options.time_limit))

    def map(
        self, function: Callable[[Sequence[Any], Any], Any], chunks: Iterable[Sequence[Any]], options: Any,
        seconds: float,
    ) -> Iterator[list[Any]]:  # fmt: skip
        """Call ``function(chunk, options)`` in the workers; yield for each chunk, in order, what came out of it.

        That is a list of one answer as a rule. Where rows were lost it holds the answers for the parts of the chunk
        between them, and a :class:`Lost` for each. ``function`` is one that can be imported; ``seconds`` of processor
        time is what a row may take where ``function`` goes through them by :func:`molmp.chem.clock.timed`.
        """
        job = _Job(function, options, seconds)
        pending: deque[Future[list[Any]]] = deque()
        for chunk in chunks:
            pending.append(self.threads.submit(self._call, job, chunk))
            if len(pending) > 2 * len(self.workers):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    def _call(self, job: "_Job", chunk: Sequence[Any]) -> list[Any]:
        worker = self.idle.get()
        try:
            return worker.call(job, chunk)
        finally:
            self.idle.put(worker)


class _Job(NamedTuple):
    function: Callable[[Sequence[Any], Any], Any]
    options: Any
    seconds: float


class _WorkerDeathError(Exception):
    """A worker ended before it answered."""

    def __init__(self, code: int, row: int) -> None:
        self.code, self.row = code, row
        super().__init__(code, row)


class _Worker:
    """One process, started when it is first needed and replaced when it dies."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.closed = False
        self.place: Place | None = None

    def call(self, job: _Job, chunk: Sequence[Any]) -> list[Any]:
        """Return the answers for parts of ``chunk``, in order, and between them a :class:`Lost` for each lost row."""
        pieces: list[Any] = []
        waiting: list[_Part | Lost] = [_Part(chunk, 0)]  # the next one last
        while waiting:
            part = waiting.pop()
            if isinstance(part, Lost):
                pieces.append(part)
                continue
            try:
                pieces.append(self._ask(job, part.rows))
            except _WorkerDeathError as death:
                if self.closed or death.code == PYTHON_EXCEPTION:
                    raise RuntimeError("a worker process failed; its traceback stands above") from None
                waiting += reversed(_after(death, part, job.seconds))
        return pieces

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
        process.kill()
        assert process.stdin is not None
        with suppress(OSError):  # what a dead worker did not take is still to be written
            process.stdin.close()
        with process:  # closes the other pipe, and waits
            pass
        return process.returncode

    def _ask(self, job: _Job, rows: Sequence[Any]) -> Any:
        order = pickle.dumps((job.function, rows, job.options, job.seconds), protocol=pickle.HIGHEST_PROTOCOL)
        process = self.process or self._start()
        inbox, outbox = process.stdin, process.stdout
        assert inbox is not None
        assert outbox is not None
        if self.place is not None:
            self.place.set(BEFORE_ROWS)
        try:
            inbox.write(order)
            inbox.flush()
            return pickle.load(outbox)
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            code = self.reap()
            raise _WorkerDeathError(code, AFTER_ROWS if self.place is None else self.place.get()) from None

    def _start(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-c", PROGRAM.format(path=sys.path)]
        with _memory() as file:
            file.truncate(SIZE)
            shared: tuple[int, ...] = ()
            if TIME_IS_UP is not None:
                self.place, shared = Place(file.fileno()), (file.fileno(),)
            self.process = subprocess.Popen(
                [*command, *map(str, shared)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=shared, env=os.environ | ENVIRONMENT,
            )  # fmt: skip
        return self.process


def _memory() -> IO[bytes]:
    """A file that two processes can share; in memory where possible, for a full disk ends whoever maps its files."""
    return open(os.memfd_create("molmp"), "w+b") if hasattr(os, "memfd_create") else tempfile.TemporaryFile()


class _Part(NamedTuple):
    """Rows for a worker, and how many workers have died of just these."""

    rows: Sequence[Any]
    deaths: int


def _after(death: _WorkerDeathError, part: _Part, seconds: float) -> list[_Part | Lost]:
    """What is left to do of a part whose worker has died; in the end the row that it died of is found."""
    rows, row = part.rows, death.row
    timeout = TIME_IS_UP is not None and death.code == -TIME_IS_UP
    if row == BEFORE_ROWS:  # ended from outside, as those are that wait
        if part.deaths == PATIENCE:
            raise EngineError(f"{1 + PATIENCE} worker processes ended before they began ({_said(death.code)})")
        return [_Part(rows, part.deaths + 1)]
    if len(rows) == 1:
        if timeout:
            return [Lost(rows[0], "timeout", f"it takes more than {seconds:g} s of processor time")]
        if part.deaths:
            return [Lost(rows[0], "crash", f"the process that read it died ({_said(death.code)})")]
        return [_Part(rows, 1)]  # perhaps somebody else ended the process
    if not 0 <= row < len(rows):  # at what is done for all rows together
        middle = len(rows) // 2
        return [_Part(rows[:middle], 0), _Part(rows[middle:], 0)]
    this = _after(death, _Part(rows[row : row + 1], 0), seconds)
    around: list[_Part | Lost] = [_Part(rows[:row], 0), *this, _Part(rows[row + 1 :], 0)]
    return [item for item in around if isinstance(item, Lost) or len(item.rows)]


def _said(code: int) -> str:
    if code == NO_MEMORY:
        return "out of memory"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"
