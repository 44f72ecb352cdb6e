"""make bench-store DATA=folder: what the packed store costs besides reading: processes, disk, loading, the next run.

``folder`` holds hiv.csv.gz and muv.csv.gz. Measured are `molmp featurize` with one and with two processes (whole
processes, the workers included), a store of a million molecules on disk and the time to map it, and the graphs of a
training file when they are made and when the next run finds them in its cache.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.frame import ONE_THREAD, Series, interleave, lines, save, show
from benchmarks.molecules import sample
from benchmarks.peers import python_of, versions_of
from benchmarks.process import run_process
from benchmarks.worker import Worker

__all__ = ["main"]

MILLION = 1_000_000

ONE, TWO = "molmp featurize --n-jobs 1", "molmp featurize --n-jobs 2"
MADE, KEPT = "graphs of a file, made", "graphs of a file, from the cache"
LOADED = "a store of 1,000,000 molecules, mapped"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--count", type=int, default=80_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    smiles = sample(options.data, options.count)
    versions = versions_of(python_of("molmp"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pool(smiles, folder, options.rounds, versions)
        few = smiles[: options.count // 2]
        with Worker(python_of("molmp"), "store", ONE_THREAD, folder=name, smiles=few) as worker:
            loading(worker, versions)
            cache(worker, len(few), options.rounds, versions)


def pool(smiles: list[str], folder: Path, rounds: int, versions: dict[str, str]) -> None:
    """CPU time of whole processes, workers included, and that they write the same file."""
    (folder / "in.csv").write_text("smiles\n" + "".join(f"{text}\n" for text in smiles), "utf-8")
    program = python_of("molmp").with_name("molmp")

    def runner(jobs: str) -> Callable[[int], float]:
        def run(_: int) -> float:
            command = [program, "featurize", "in.csv", "--kind", "graph", "--n-jobs", jobs, "-o", f"{jobs}.graphs"]
            return run_process(command, folder).cpu_s / len(smiles)

        return run

    spent = interleave({ONE: runner("1"), TWO: runner("2")}, rounds=rounds)
    if (folder / "1.graphs").read_bytes() != (folder / "2.graphs").read_bytes():
        raise SystemExit("two processes wrote another store than one")
    series = [Series(s, spent[s], versions=versions) for s in spent]
    _keep({"part": "pool", "molecules": len(smiles)}, "molecule", series, base=ONE)


def loading(worker: Worker, versions: dict[str, str]) -> None:
    """Disk and clock for a million molecules."""
    facts = worker.ask("save", MILLION)
    _keep({"part": "load"}, "store", [Series(LOADED, worker.ask("load", 50), versions=versions, facts=facts)], "wall")


def cache(worker: Worker, count: int, rounds: int, versions: dict[str, str]) -> None:
    """CPU time to have the graphs of a file, the first time and the second."""
    made = [worker.run("graphs", f"cache{turn}")["cpu_s"] for turn in range(rounds)]
    kept = [worker.run("graphs", f"cache{turn}")["cpu_s"] for turn in range(rounds)]
    series = [Series(MADE, made, versions=versions), Series(KEPT, kept, versions=versions)]
    _keep({"part": "cache", "molecules": count}, "file", series, base=MADE)


def _keep(parameters: dict[str, object], unit: str, series: list[Series], clock: str = "cpu", *, base: str | None = None
          ) -> None:  # fmt: skip
    made = lines("store", parameters, unit, series, base=base, clock=clock)
    save(made)
    show(made)


if __name__ == "__main__":
    main()
