"""make bench-step DATA=folder: whole training steps of molmp, of PyG with the same weights, and of Chemprop.

A step is forward, loss, backward and AdamW on a batch of HIV molecules (hiv.csv.gz of ``folder``). Before anything is
timed, molmp's outputs and gradients are compared with PyG's. Peak memory comes from a process of its own, in which
freed memory goes back to the system at once.
"""

import argparse
from contextlib import ExitStack
from pathlib import Path

from benchmarks.frame import ONE_THREAD, Series, interleave, lines, save, show
from benchmarks.molecules import sample
from benchmarks.peers import python_of, versions_of
from benchmarks.worker import Worker

__all__ = ["main"]

CASES = ((256, 64), (256, 128), (256, 200), (64, 300))
"""Molecules in a batch and hidden width."""

PYG = "PyG NNConv + GRU + Set2Set"

SUBJECTS = {
    PYG: ("nets", "pyg"),
    "molmp, flat": ("nets", "flat"),
    "molmp, compact": ("nets", "compact"),
    "molmp, compact, batch made": ("nets", "compact, batch"),
    "Chemprop, width 300": ("chemprop", "step"),
}
"""Each subject's worker and task."""

ENVIRONMENT = {"nets": "molmp", "chemprop": "peers"}

FREES_AT_ONCE = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cases", nargs="*", default=[f"{b}/{d}" for b, d in CASES], metavar="BATCH/WIDTH")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    smiles = sample(options.data, 256, sets=["hiv"])
    for case in options.cases:
        batch, hidden = map(int, case.split("/"))
        measure(smiles[:batch], hidden, options.rounds)


def measure(smiles: list[str], hidden: int, rounds: int) -> None:
    """Compare, then time, then weigh one case."""
    with ExitStack() as stack:
        workers = {name: stack.enter_context(start(name, smiles, hidden)) for name in ENVIRONMENT}
        facts = {
            "differs_float64": start_small(smiles),
            "differs_float32": workers["nets"].ask("compare", "float32"),
            **workers["nets"].ask("sizes"),
        }
        for name, task in SUBJECTS.values():
            workers[name].run(task)  # the first step makes the optimizer's state
        spent = interleave(
            {s: lambda _, w=workers[name], t=task: w.run(t)["cpu_s"] for s, (name, task) in SUBJECTS.items()},
            rounds=rounds,
        )
    peaks = weigh(smiles, hidden)
    versions = {name: versions_of(python_of(env)) for name, env in ENVIRONMENT.items()}
    series = [
        Series(s, spent[s], peaks[s], versions[name], facts if s == "molmp, compact" else None)
        for s, (name, _) in SUBJECTS.items()
    ]
    made = lines("step", {"batch": len(smiles), "width": hidden}, "step", series, base=PYG)
    save(made)
    print(f"\nbatch {len(smiles)}, width {hidden}: {facts}")
    show(made)


def start(name: str, smiles: list[str], hidden: int, env: dict[str, str] = ONE_THREAD) -> Worker:
    """The worker of one module, set up for a case."""
    width = {"hidden": hidden} if name == "nets" else {}
    return Worker(python_of(ENVIRONMENT[name]), f"step_{name}", env, smiles=smiles, **width)


def start_small(smiles: list[str]) -> float:
    """Compare in float64, on fewer molecules and a narrower network: PyG's matrices would not fit at full size."""
    with start("nets", smiles[:48], 24) as worker:
        return worker.ask("compare", "float64")


def weigh(smiles: list[str], hidden: int) -> dict[str, float]:
    """Extra peak megabytes of a step of each subject."""
    peaks = {}
    for subject, (name, task) in SUBJECTS.items():
        with start(name, smiles, hidden, {**ONE_THREAD, **FREES_AT_ONCE}) as worker:
            worker.run(task)
            peaks[subject] = worker.run(task)["peak_mb"]
    return peaks


if __name__ == "__main__":
    main()
