"""The frame of every benchmark: subjects interleaved and repeated, medians and ratios, one JSON line each.

Times are CPU seconds of one process with one thread: on a machine that others use too they stay put where wall time
does not. Subjects that are compared run in turn within one run, so that whatever slows the machine slows them alike.
"""

import json
import os
import platform
import random
import statistics
import subprocess
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["RESULTS", "SCHEMA", "ONE_THREAD", "Series", "interleave", "lines", "load", "median_ratio", "save"]

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results.jsonl"

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "0",
}
"""Environment variables of every process that is timed."""

SCHEMA = {
    "benchmark": str,  # featurize, step, train, predict, gpu
    "parameters": dict,  # what was asked for; with ``benchmark`` the key: a new run replaces the old lines
    "subject": str,
    "unit": str,  # what ``seconds`` are for: molecule, step, process
    "clock": str,  # whose seconds: ``cpu`` time of the process, or the ``device``'s
    "seconds": float,  # median of one unit
    "turns": int,  # how often it was measured
    "ratio_to": (str, type(None)),  # subject in whose seconds ``ratio`` counts
    "ratio": (float, type(None)),  # median over turns
    "peak_mb": (float, type(None)),  # of a whole process, or above the resting level for a step
    "facts": dict,  # further figures of this subject
    "versions": dict,
    "machine": dict,
    "date": str,
    "commit": str,
}
"""Fields of a line of the results file and their types."""


@dataclass(frozen=True)
class Series:
    """What one subject took, turn by turn."""

    subject: str
    seconds: Sequence[float]
    """Of one unit, in each turn."""
    peak_mb: float | None = None
    versions: Mapping[str, str] | None = None
    facts: Mapping[str, Any] | None = None


Name = TypeVar("Name", bound=Hashable)


def interleave(
    runs: Mapping[Name, Callable[[int], float]], *, rounds: int, chunks: int = 1, seed: int = 0
) -> dict[Name, list[float]]:
    """Let every subject do chunk after chunk in turn, in an order drawn anew for each chunk.

    ``runs[subject](chunk)`` returns CPU seconds; the result holds those of every chunk of every round, in that order.

    >>> interleave({"a": lambda k: 1.0, "b": lambda k: k + 1.0}, rounds=2, chunks=3)
    {'a': [1.0, 1.0, 1.0, 1.0, 1.0, 1.0], 'b': [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]}
    """
    shuffler = random.Random(seed)
    spent: dict[Name, list[float]] = {subject: [] for subject in runs}
    for chunk in [*range(chunks)] * rounds:
        for subject in shuffler.sample(list(runs), len(runs)):
            spent[subject].append(runs[subject](chunk))
    return spent


def median_ratio(seconds: Sequence[float], base: Sequence[float]) -> float:
    """Median over the turns of ``seconds / base``: a turn that was slow for both does not count.

    >>> median_ratio([2.0, 30.0, 2.2], [1.0, 10.0, 1.0])
    2.2
    """
    return statistics.median(mine / other for mine, other in zip(seconds, base, strict=True))


def lines(
    benchmark: str,
    parameters: Mapping[str, Any],
    unit: str,
    series: Iterable[Series],
    *,
    base: str | None,
    clock: str = "cpu",
) -> list[dict[str, Any]]:
    """Lines of the results file for subjects that ran together; ratios are to the subject ``base``."""
    series = list(series)
    seconds = {s.subject: s.seconds for s in series}
    common = {"machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": commit()}
    return [
        {
            "benchmark": benchmark,
            "parameters": dict(parameters),
            "subject": s.subject,
            "unit": unit,
            "clock": clock,
            "seconds": _round(statistics.median(s.seconds)),
            "turns": len(s.seconds),
            "ratio_to": base,
            "ratio": None if base is None else _round(median_ratio(s.seconds, seconds[base])),
            "peak_mb": None if s.peak_mb is None else round(s.peak_mb, 1),
            "facts": dict(s.facts or {}),
            "versions": dict(s.versions or {}),
            **common,
        }
        for s in series
    ]


def load(path: Path = RESULTS) -> list[dict[str, Any]]:
    """All lines of the results file."""
    return [json.loads(line) for line in path.read_text("ascii").splitlines()] if path.exists() else []


def save(new: Sequence[Mapping[str, Any]], path: Path = RESULTS) -> None:
    """Add lines; earlier ones of the same benchmark with the same parameters go, git remembers them."""
    replaced = [_key(line) for line in new]
    kept = [line for line in load(path) if _key(line) not in replaced]
    together = sorted([*kept, *new], key=lambda line: json.dumps(_key(line)))
    path.write_text("".join(json.dumps(line) + "\n" for line in together), "ascii")


def show(new: Sequence[Mapping[str, Any]]) -> None:
    """Print lines for the person who runs the benchmark."""
    for line in new:
        ratio = "" if line["ratio"] is None else f"{line['ratio']:9.3f} x {line['ratio_to']}"
        peak = "" if line["peak_mb"] is None else f"{line['peak_mb']:9.1f} MB"
        print(f"{line['subject']:44} {line['seconds'] * 1e3:12.4f} ms/{line['unit']:8} {peak:12} {ratio}", flush=True)


def machine() -> dict[str, Any]:
    """The kind of machine; nothing that names this one."""
    return {"cpu": _cpu_model(), "cores": os.cpu_count(), "os": f"{platform.system()} {platform.machine()}"}


def commit() -> str:
    """The commit that was measured, with a plus where the code had been changed since."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "molmp", "cli") else "")


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    models = (
        [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")] if cpuinfo.exists() else []
    )
    return models[0].partition(":")[2].strip() if models else platform.processor()


def _key(line: Mapping[str, Any]) -> tuple[str, str]:
    return line["benchmark"], json.dumps(line["parameters"], sort_keys=True)


def _round(value: float) -> float:
    return float(f"{value:.4g}")
