"""Whole processes, from the command line to the exit: what a user waits and pays for."""

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.frame import ONE_THREAD

__all__ = ["Usage", "run_process"]


class Usage(NamedTuple):
    """What a process used, its children included."""

    cpu_s: float
    peak_mb: float
    wall_s: float


def run_process(command: Sequence[str | Path], folder: Path, *, one_thread: bool = True) -> Usage:
    """Run to the end, ``folder`` the working directory; what it prints goes to ``folder/log.txt``.

    Without ``one_thread`` the program takes as many as it likes.

    Raises
    ------
    RuntimeError
        The exit status is not 0; the message ends with the last lines printed.
    """
    env = {name: value for name, value in os.environ.items() if name not in ONE_THREAD}
    if one_thread:
        env |= ONE_THREAD
    log = folder / "log.txt"
    started = time.perf_counter()
    with open(log, "wb") as file:
        process = subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
        raise RuntimeError(f"{Path(command[0]).name} {command[1]} ended with {process.returncode}\n{last}")
    return Usage(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6, time.perf_counter() - started)
