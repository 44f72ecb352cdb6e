"""make bench-featurize DATA=folder: SMILES to graphs, molmp beside its peers, over RDKit's own parse.

``folder`` holds hiv.csv.gz and muv.csv.gz with a column ``smiles``. RDKit's speed depends on its version, so each
subject is held against the parse of its own environment, and molmp runs in both.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.frame import ONE_THREAD, Series, interleave, lines, save, show
from benchmarks.molecules import sample
from benchmarks.peers import python_of, versions_of
from benchmarks.worker import Worker

__all__ = ["main"]

BATCH, STEPS, CHUNK = 64, 3, 1000

FLOOR = "RDKit MolFromSmiles"

MOLMP = {
    "molmp, packed store": ("molmp", "packed"),
    "molmp, flat batches": ("molmp", "flat"),
    "molmp, batches": ("molmp", "batches"),
}
PEERS = {
    "Chemprop, Python, graphs": ("chemprop", "graphs"),
    "Chemprop, Python, batches": ("chemprop", "batches"),
    "Chemprop, C++ (cuik-molmaker), batches": ("chemprop", "cuik"),
    "PyG from_smiles": ("pyg", "graphs"),
}
PARSES = {FLOOR: ("rdkit", "parse"), f"{FLOOR}, beside a thread that sleeps": ("threaded", "parse")}
SUBJECTS = {"molmp": {**PARSES, **MOLMP}, "peers": {**PARSES, **MOLMP, **PEERS}}
"""By environment: each subject's module and task."""

SETTINGS = {
    "rdkit": {},
    "threaded": {},
    "molmp": {"batch_size": BATCH, "steps": STEPS},
    "chemprop": {"batch_size": BATCH},
    "pyg": {},
}

Workers = Mapping[tuple[str, str], Worker]
"""By environment and module."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--count", type=int, default=8_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    everything = sample(options.data, options.count)
    stereo = sample(options.data, options.count // 4, sets=["muv"], stereo=True)  # HIV's strings have none
    samples = {"all": everything, "stereo": stereo}
    with all_workers() as workers:
        samples = {name: agreed(smiles, workers) for name, smiles in samples.items()}
    for name, smiles in samples.items():
        # Others than those that were asked: what that leaves of the heap slows RDKit down, and not all alike.
        with all_workers() as workers:
            measure(workers, name, smiles, options.rounds)


@contextmanager
def all_workers() -> Iterator[Workers]:
    """A new process for each module in each environment."""
    needed = {(env, module) for env, subjects in SUBJECTS.items() for module, _ in subjects.values()}
    with ExitStack() as stack:
        yield {key: stack.enter_context(start(*key)) for key in sorted(needed)}


def start(env: str, module: str) -> Worker:
    """The worker of a subject's module in an environment, set up."""
    return Worker(python_of(env), f"featurize_{module}", ONE_THREAD, **SETTINGS[module])


def agreed(smiles: list[str], workers: Workers) -> list[str]:
    """Check that all do the same work; molecules that PyG cannot take are left out for everybody."""
    expected = workers["molmp", "rdkit"].ask("census", smiles)
    left_out: set[int] = set()
    for (env, module), worker in workers.items():
        for task in (name for name in worker.tasks if name.startswith("census")):
            found = worker.ask(task, smiles)
            if len(found) != len(smiles):
                raise SystemExit(f"{module} in {env} gave {len(found)} molecules for {len(smiles)}")
            left_out |= {i for i, one in enumerate(found) if one is None}
            for text, mine, other in zip(smiles, expected, found, strict=True):
                if other is not None and mine != other:
                    raise SystemExit(
                        f"{module} in {env}, {task}: other atoms or bonds than RDKit in {text}\n{mine}\n{other}"
                    )
    print(f"all agree on {len(smiles)} molecules; {len(left_out)} that PyG refuses are left out")
    return [text for i, text in enumerate(smiles) if i not in left_out]


def measure(workers: Workers, molecules: str, smiles: list[str], rounds: int) -> None:
    """Time every subject on chunk after chunk."""
    chunks = [smiles[i : i + CHUNK] for i in range(0, len(smiles), CHUNK)]

    def runner(worker: Worker, task: str) -> Callable[[int], float]:
        worker.run(task, chunks[0][:200])  # first calls load tables
        return lambda k: worker.run(task, chunks[k])["cpu_s"] / len(chunks[k])

    runs = {
        (env, subject): runner(workers[env, module], task)
        for env, subjects in SUBJECTS.items()
        for subject, (module, task) in subjects.items()
    }
    spent = interleave(runs, rounds=rounds, chunks=len(chunks))
    print(f"\n{molecules}: {len(smiles)} molecules, {rounds} rounds")
    for env, subjects in SUBJECTS.items():
        versions = versions_of(python_of(env))
        facts = {"molmp, packed store": {"bytes_per_molecule": workers[env, "molmp"].ask("store bytes", smiles)}}
        series = [Series(s, spent[env, s], versions=versions, facts=facts.get(s)) for s in subjects]
        parameters = {"molecules": molecules, "batch": BATCH, "environment": env}
        made = lines("featurize", parameters, "molecule", series, base=FLOOR)
        save(made)
        print(f"environment {env}, RDKit {versions['rdkit']}")
        show(made)


if __name__ == "__main__":
    main()
