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


def run_process(command: Sequence[str | Path], folder: Path) -> Usage:
    """Run to the end with one thread, ``folder`` the working directory; what it prints goes to ``folder/log.txt``.

    Raises
    ------
    RuntimeError
        The exit status is not 0; the message ends with the last lines printed.
    """
    log = folder / "log.txt"
    started = time.perf_counter()
    with open(log, "wb") as file:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **ONE_THREAD}, stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
        raise RuntimeError(f"{Path(command[0]).name} {command[1]} ended with {process.returncode}\n{last}")
    return Usage(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6, time.perf_counter() - started)
