"""What the kernel says of a process and of those that it has started."""

import re
from pathlib import Path

__all__ = ["children", "peak_memory"]


def children(pid: int) -> set[int]:
    """Processes that a process has started and that are still there."""
    lists = map(_read, Path(f"/proc/{pid}/task").glob("*/children"))
    return {int(number) for numbers in lists for number in numbers.split()}


def peak_memory(pid: int) -> int:
    """Bytes that a process and its children have held at most, each by itself; pages that they share count twice."""
    peaks = (re.search(r"VmHWM:\s*(\d+) kB", _read(Path(f"/proc/{one}/status"))) for one in (pid, *children(pid)))
    return sum(int(peak[1]) * 1024 for peak in peaks if peak)


def _read(path: Path) -> str:
    """Nothing of what has ended in between."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
