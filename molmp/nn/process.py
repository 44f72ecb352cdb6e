"""Settings of a process in which networks run on CPU: how many threads, and what becomes of memory that was freed.

Measured on two cores with other work on them, whole training steps: OpenMP's threads, which wait for each other by
spinning, made a step 8 to 20 times slower in wall time than one thread; with ``OMP_WAIT_POLICY=PASSIVE`` in the
environment before torch is loaded it was 1.2 times.
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from molmp.errors import DeviceError

__all__ = ["deterministic", "fewer_threads", "keep_memory", "pick_threads", "set_threads"]

MOST = 4
"""The products of a step are small: further threads add more waiting than work."""


def set_threads(number: int | None = None) -> int:
    """Set the number of threads that torch computes with, and return it.

    Parameters
    ----------
    number
        Threads wanted, for example those of a run that is resumed: sums are equal to the bit only with equally many.
        ``None`` leaves the choice to the environment variable ``OMP_NUM_THREADS`` or else to :func:`pick_threads`.
    """
    if number is None and "OMP_NUM_THREADS" not in os.environ:
        number = pick_threads(_usable_cores(), os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0)
    if number is not None:
        torch.set_num_threads(number)
    return torch.get_num_threads()


@contextmanager
def fewer_threads() -> Iterator[None]:
    """Compute in this block as :func:`set_threads` chooses, with no more threads than before, and then as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(before, set_threads()))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def pick_threads(cores: float, load: float) -> int:
    """Half of the cores that have nothing to do, but at most 4 and at least 1.

    >>> pick_threads(cores=2, load=0.0), pick_threads(cores=16, load=1.0), pick_threads(cores=16, load=11.0)
    (1, 4, 2)
    """
    return max(1, min(MOST, int((cores - load) / 2)))


def keep_memory() -> bool:
    """Let freed memory stay with the process, where the C library is glibc; tell whether it is.

    Otherwise tensors of many megabytes go back to the system after every step and come back as pages of zeros: 10 to
    25 % of the CPU time of a training step at widths 64 and 300, 20 % of a network's on batches of 4,000 molecules.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
    largest = 2**31 - 1
    return bool(libc.mallopt(trim_threshold, largest) and libc.mallopt(mmap_threshold, 1 << 30))


@contextmanager
def deterministic(wanted: bool = True) -> Iterator[None]:
    """Compute the same bits from the same numbers in this block, on a GPU too, or refuse.

    Raises
    ------
    DeviceError
        An operation has no form that does so on its device.
    """
    if not wanted:
        yield
        return
    memory: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), memory.fill_uninitialized_memory
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # is read when CUDA is first used
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = False
    try:
        yield
    except RuntimeError as error:
        if "determinis" not in str(error):
            raise
        reason = str(error).partition(",")[0].partition(". ")[0]
        raise DeviceError(
            f"not with the same bits each time: {reason}; leave --deterministic out, or use the CPU"
        ) from error
    finally:
        torch.use_deterministic_algorithms(before[0])
        memory.fill_uninitialized_memory = before[1]


def _usable_cores() -> float:
    cores: float = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of CPU time in so many of wall time
    if limit.is_file():
        quota, _, period = limit.read_text().strip().partition(" ")
        if quota.isdigit() and period.isdigit():
            cores = min(cores, int(quota) / int(period))
    return cores
