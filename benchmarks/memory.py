"""make bench-memory DATA=folder: `molmp predict` on ten thousand rows and a million, and when its first row is there.

The rows are those of hiv.csv.gz of ``folder``, repeated. The peak is that of the whole process, the number that
``/usr/bin/time -v`` calls its maximum resident set size. Predictions go to standard output, where they appear batch by
batch; the CPU time until the first one, imports included, is what an idle machine would make one wait.
"""

import argparse
import csv
import gzip
import os
import subprocess
import tempfile
import time
from itertools import chain, cycle, islice
from pathlib import Path
from typing import NamedTuple

from benchmarks.frame import ONE_THREAD, Series, lines, save, show
from benchmarks.peers import python_of, versions_of
from benchmarks.process import run_process

__all__ = ["main"]

WIDTH = 128


class Stream(NamedTuple):
    """A whole process that writes rows to its standard output."""

    rows: int
    first_cpu_s: float
    """CPU time it had used when its first row of data could be read."""
    first_wall_s: float
    cpu_s: float
    peak_mb: float
    written: int
    """Bytes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000])
    options = parser.parse_args()
    molmp = python_of("molmp").with_name("molmp")
    versions = versions_of(python_of("molmp"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        few = repeated(options.data / "hiv.csv.gz", 400, folder / "train.csv")
        sizes = ["--hidden", str(WIDTH), "--epochs", "3", "--target-columns", few[1]]
        run_process([molmp, "train", "train.csv", *sizes, "-o", "run"], folder)
        for rows in options.rows:
            repeated(options.data / "hiv.csv.gz", rows, folder / "in.csv")
            used = stream([molmp, "predict", "in.csv", "--model", "run"], folder)
            if used.rows != rows:
                raise SystemExit(f"{used.rows} predictions for {rows} rows")
            facts = {
                "first_row_cpu_s": round(used.first_cpu_s, 2),
                "first_row_wall_s": round(used.first_wall_s, 2),
                "bytes_read_per_row": round((folder / "in.csv").stat().st_size / rows, 1),
                "bytes_written_per_row": round(used.written / rows, 1),
            }
            series = [Series(f"molmp predict, width {WIDTH}", [used.cpu_s / rows], used.peak_mb, versions, facts)]
            made = lines("memory", {"rows": rows}, "molecule", series, base=None)
            save(made)
            show(made)
            print(facts)


def repeated(source: Path, count: int, target: Path) -> list[str]:
    """Write the first ``count`` rows of a table that begins anew at its end; return the names of two columns."""
    with gzip.open(source, "rt", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    label = next(place for place, name in enumerate(header) if name != "smiles")
    text = header.index("smiles")
    with open(target, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["smiles", header[label]])
        writer.writerows([row[text], row[label]] for row in islice(cycle(rows), count))
    return ["smiles", header[label]]


def stream(command: list[str | Path], folder: Path) -> Stream:
    """Run a command with one thread and read what it writes."""
    started = time.perf_counter()
    with open(folder / "log.txt", "wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **ONE_THREAD}, stdout=subprocess.PIPE, stderr=log
        )
    assert process.stdout is not None
    written = len(process.stdout.readline())  # the header
    first = process.stdout.readline()
    wall, cpu = time.perf_counter() - started, _cpu_s(process.pid)
    rows = 0
    for line in chain([first], process.stdout):
        rows += 1
        written += len(line)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[1]} ended with {process.returncode}: {(folder / 'log.txt').read_text()}")
    return Stream(rows, cpu, wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6, written)


def _cpu_s(pid: int) -> float:
    """CPU time of a process that runs (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
