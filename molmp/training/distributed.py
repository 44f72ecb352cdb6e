"""One training in several processes, on one machine or many: each takes its share of every batch.

Every process reads all molecules and holds all weights; only gradients travel. A batch means the same as in one
process, and so do loss, gradient and result, but for the order in which floating point numbers are added up.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from molmp.errors import ConfigError, MolmpError
from molmp.nn.device import pick_device

__all__ = ["ALONE", "Ranks", "Share", "join"]

LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""Environment variables that torchrun sets for each process."""

PATIENCE = timedelta(hours=12)
"""Processes wait for the slowest, which may have no graphs in its cache; torchrun ends those whose partner died."""


GRACE = 2.0
"""Seconds: torchrun ends all processes when one is gone, and the one that has something to say comes first."""


class Share(NamedTuple):
    """What one process does of a batch."""

    rows: np.ndarray
    """Never empty: where there are fewer rows than processes, some repeat a row with a factor of 0."""
    factors: np.ndarray
    """Of the loss of each network, so that the mean over the processes is its loss of the batch; shape ``(E,)``."""
    places: np.ndarray
    """Where the rows stand in the batch."""

    def cut(self, pieces: int, counts: np.ndarray) -> "list[Share]":
        """Cut into pieces whose losses add up to that of the whole; ``counts`` as for :meth:`Ranks.share`.

        >>> first, second = Share(np.arange(3), np.ones(1), np.arange(3)).cut(2, np.array([[1.0, 2.0, 1.0]]))
        >>> first
        Share(rows=array([0, 1]), factors=array([0.75]), places=array([0, 1]))
        >>> second
        Share(rows=array([2]), factors=array([0.25]), places=array([2]))
        """
        if pieces == 1:
            return [self]
        total = counts[:, self.rows].sum(1)
        factors = self.factors / np.where(total > 0, total, 1.0)
        parts = np.array_split(np.arange(len(self.rows)), min(pieces, len(self.rows)))
        return [
            Share(self.rows[part], factors * counts[:, self.rows[part]].sum(1), self.places[part]) for part in parts
        ]


@dataclass(frozen=True)
class Ranks:
    """The place of this process among all that train together.

    >>> first, second = Ranks(0, 2), Ranks(1, 2)
    >>> counts = np.array([[1.0, 1.0, 2.0]])
    >>> first.share(np.array([0, 1, 2]), counts)
    Share(rows=array([0, 2]), factors=array([1.5]), places=array([0, 2]))
    >>> second.share(np.array([0, 1, 2]), counts)
    Share(rows=array([1]), factors=array([0.5]), places=array([1]))
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Place among the processes of this machine."""

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that speaks and writes."""
        return self.rank == 0

    def pick_device(self, name: str = "auto") -> torch.device:
        """As :func:`molmp.nn.device.pick_device`, but each process takes a GPU of its own.

        Raises
        ------
        ConfigError
            A GPU is named, and there are several processes.
        DeviceError
            No such device here, or fewer GPUs than processes.
        """
        if self.size == 1:
            return pick_device(name)
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        if name not in ("cuda", "cpu"):
            raise ConfigError(f"{self.size} processes train together, each on its own device: cpu or cuda, not {name}")
        return pick_device(f"cuda:{self.local_rank}" if name == "cuda" else name)

    def share(self, rows: np.ndarray, counts: np.ndarray) -> Share:
        """Take this process's part of a batch.

        Parameters
        ----------
        rows
            The whole batch.
        counts
            What each row there is weighs in the loss of each network: its weight for each label that is known, shape
            ``(E, n)``.
        """
        if self.size == 1:
            return Share(rows, np.ones(len(counts)), np.arange(len(rows)))
        places = np.arange(self.rank, len(rows), self.size)
        mine = rows[places]
        total = counts[:, rows].sum(1)
        factors = self.size * counts[:, mine].sum(1) / np.where(total > 0, total, 1.0)
        return Share(mine, factors, places) if len(mine) else Share(rows[:1], factors, np.zeros(1, np.int64))

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return a module that computes as ``model`` and whose gradients are means over the processes."""
        return model if self.size == 1 else DistributedDataParallel(model)

    def mean(self, values: Tensor) -> np.ndarray:
        """Average numbers over the processes; each gets the same."""
        if self.size > 1:
            dist.all_reduce(values)
        mean: np.ndarray = values.double().cpu().numpy() / self.size
        return mean

    def from_main(self, compute: Callable[[], np.ndarray], shape: tuple[int, ...], device: torch.device) -> np.ndarray:
        """Let the main process compute numbers for all: what is decided by them is decided alike everywhere."""
        if self.size == 1:
            return compute()
        numbers = compute() if self.is_main else np.zeros(shape)
        values = torch.from_numpy(numbers).to(device, torch.float64)
        dist.broadcast(values, src=0)
        received: np.ndarray = values.cpu().numpy()
        return received


ALONE = Ranks()


@contextmanager
def join(device: str = "auto") -> Iterator[Ranks]:
    """Join the processes that torchrun started; without torchrun, give :data:`ALONE`.

    Within the block only the main process writes to stdout and stderr. An error ends all of them, and only the first
    process that has one lets it out.

    Parameters
    ----------
    device
        Where the networks will run, as for :meth:`Ranks.pick_device`: GPUs talk over NCCL, CPUs over gloo.
    """
    if not all(name in os.environ for name in LAUNCHED) or os.environ["WORLD_SIZE"] == "1":
        yield ALONE
        return
    store, rank, size = next(rendezvous("env://"))
    ranks = Ranks(rank, size, int(os.environ["LOCAL_RANK"]))
    with ExitStack() as stack, _one_voice(store):
        where = ranks.pick_device(device)
        if where.type == "cuda":
            torch.cuda.set_device(where)
        backend = "nccl" if where.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
        if not ranks.is_main:
            nowhere = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(redirect_stdout(nowhere))
            stack.enter_context(redirect_stderr(nowhere))
        yield ranks
        # After an error the connections last until the process ends: it is the first to tell what happened.
        dist.destroy_process_group()


@contextmanager
def _one_voice(store: dist.Store) -> Iterator[None]:
    """Let the first error of all processes out; the others end in silence, with the same exit code."""
    try:
        yield
    except (MolmpError, OSError, RuntimeError, KeyboardInterrupt) as error:
        if _is_first(store):
            raise
        time.sleep(GRACE)
        sys.exit(getattr(error, "exit_code", 1))


def _is_first(store: dist.Store) -> bool:
    try:
        return store.add("molmp/errors", 1) == 1
    except RuntimeError:  # the process that keeps the store is gone, and has said why
        return False
