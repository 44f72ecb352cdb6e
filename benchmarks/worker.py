"""A subject in a process of its own, in the environment it needs, that answers each JSON line with one.

    {"setup": {...}}             the subject's ``setup(**parameters)``  -> {"tasks": [...]}
    {"run": task, "with": data}  -> {"cpu_s": CPU seconds, those of processes it starts and ends included,
                                     "peak_mb": megabytes above the level before}
    {"ask": task, "with": data}  -> {"answer": what the task returned}; nothing is timed

A subject is a module of ``benchmarks.subjects`` with a function ``setup`` that returns tasks by name. This file runs
in the peers' environments as well, so it needs the standard library only.
"""

import gc
import importlib
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

__all__ = ["Worker", "timed"]

ROOT = Path(__file__).resolve().parent.parent


class Worker:
    """The calling side. Use it in a ``with`` block: the process ends with the block."""

    def __init__(self, python: Path, subject: str, env: dict[str, str], **parameters: Any) -> None:
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.worker", f"benchmarks.subjects.{subject}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, **env},
        )  # fmt: skip
        self.tasks: list[str] = self._send({"setup": parameters})["tasks"]

    def run(self, task: str, data: Any = None) -> dict[str, float]:
        """CPU seconds and extra peak memory of one run."""
        return self._send({"run": task, "with": data})

    def ask(self, task: str, data: Any = None) -> Any:
        """What the task returns, as JSON carries it."""
        return self._send({"ask": task, "with": data})["answer"]

    def _send(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        reply = self._process.stdout.readline()
        if not reply:
            raise RuntimeError(f"a worker ended with status {self._process.wait()}; what it said is above")
        return json.loads(reply)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.communicate()


def serve(subject: str) -> None:
    """The called side."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print does not belong into the replies
    tasks: dict[str, Any] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "setup" in request:
            tasks = importlib.import_module(subject).setup(**request["setup"])
            reply: dict[str, Any] = {"tasks": list(tasks)}
        elif "run" in request:
            reply = timed(tasks[request["run"]], request["with"])
        else:
            reply = {"answer": tasks[request["ask"]](request["with"])}
        print(json.dumps(reply), file=replies, flush=True)


def timed(task: Any, data: Any) -> dict[str, float]:
    """Run ``task(data)`` and drop what it returns: freeing is part of the work."""
    gc.collect()
    reset_peak()
    before = memory_mb("VmRSS")
    started = cpu_seconds()
    task(data)
    return {"cpu_s": cpu_seconds() - started, "peak_mb": memory_mb("VmHWM") - before}


def cpu_seconds() -> float:
    """What this process has used, and those that it has started and seen the end of."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def reset_peak() -> None:
    """Let the kernel count the peak of this process's memory from here on (Linux)."""
    if os.path.exists("/proc/self/clear_refs"):
        Path("/proc/self/clear_refs").write_text("5")


def memory_mb(field: str) -> float:
    """A line of the kernel's account of this process in megabytes; 0 where there is none."""
    status = Path("/proc/self/status")
    found = (
        [line.split()[1] for line in status.read_text().splitlines() if line.startswith(field)]
        if status.exists()
        else []
    )
    return float(found[0]) * 1024 / 1e6 if found else 0.0


if __name__ == "__main__":
    serve(sys.argv[1])
