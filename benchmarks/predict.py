"""make bench-predict DATA=folder: `molmp predict` beside `chemprop predict`, whole processes.

The molecules are those of hiv.csv.gz and muv.csv.gz of ``folder``; the models see a part of lipo.csv for three
epochs, since speed does not depend on what they learned. The floor is RDKit's parse of the same molecules, in the
same run.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.frame import ONE_THREAD, Series, interleave, lines, save, show
from benchmarks.molecules import sample
from benchmarks.peers import python_of, versions_of
from benchmarks.process import run_process
from benchmarks.worker import Worker

__all__ = ["main"]

FLOOR = "RDKit MolFromSmiles"

WIDTH, MEMBERS = 128, 5

DEFAULT = "molmp, default recipe"
"""Networks with features of the whole molecule; the other two of molmp's see the graph alone, as Chemprop's does."""

OWN_THREADS = ", its own threads"
"""Subjects of this ending run as a user runs them; all others have one thread."""

Command = list[str | Path]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--counts", type=int, nargs="+", default=[2_000, 20_000])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commands = prepare(options.data, folder)
        for count in options.counts:
            measure(sample(options.data, count), commands, folder, options.rounds)


def prepare(data: Path, folder: Path) -> dict[str, Command]:
    """Train the models; return the command of each subject, which reads ``in.csv``."""
    with open(data / "lipo.csv", encoding="utf-8") as file:
        (folder / "train.csv").write_text("".join(islice(file, 401)), "utf-8")
    molmp, chemprop = python_of("molmp").with_name("molmp"), python_of("peers").with_name("chemprop")
    common = ["--target-columns", "logd74", "--epochs", "3", "-o"]
    run_process([chemprop, "train", "-i", "train.csv", "-s", "smiles", *common, "chemprop"], folder)
    theirs = [chemprop, "predict", "-i", "in.csv", "-s", "smiles", "--model-paths", "chemprop", "-o", "out.csv"]
    commands = {
        "Chemprop": theirs,
        "Chemprop, batch 512": [*theirs, "--batch-size", "512"],
        "Chemprop, C++ (cuik-molmaker)": [*theirs, "--use-cuikmolmaker-featurization"],
    }
    graph_alone = ["--hidden", str(WIDTH), "--features", "none", "--ensemble"]
    for number, (subject, recipe) in enumerate((
        (f"molmp, width {WIDTH}", [*graph_alone, "1"]),
        (f"molmp, width {WIDTH}, {MEMBERS} members", [*graph_alone, str(MEMBERS)]),
        (DEFAULT, []),
    )):  # fmt: skip
        run_process([molmp, "train", "train.csv", *recipe, *common, f"molmp{number}"], folder)
        commands[subject] = [molmp, "predict", "in.csv", "--model", f"molmp{number}", "-o", "out.csv"]
    commands[f"molmp, width {WIDTH}, --no-trust"] = [*commands[f"molmp, width {WIDTH}"], "--no-trust"]
    for subject in ("Chemprop, batch 512", f"molmp, width {WIDTH}"):
        commands[subject + OWN_THREADS] = commands[subject]
    return commands


def measure(smiles: list[str], commands: Mapping[str, Command], folder: Path, rounds: int) -> None:
    """Time every command on the same molecules."""
    (folder / "in.csv").write_text("smiles\n" + "".join(f"{text}\n" for text in smiles), "utf-8")
    peaks: dict[str, float] = dict.fromkeys(commands, 0.0)

    def runner(subject: str) -> Callable[[int], float]:
        def run(_: int) -> float:
            used = run_process(commands[subject], folder, one_thread=not subject.endswith(OWN_THREADS))
            peaks[subject] = max(peaks[subject], used.peak_mb)
            check_output(folder / "out.csv", smiles)
            return used.cpu_s / len(smiles)

        return run

    with Worker(python_of("molmp"), "featurize_rdkit", ONE_THREAD) as parser:
        parses = max(1, 20_000 // len(smiles))  # a second or two of work, as the others do more

        def floor(_: int) -> float:
            return statistics.median(parser.run("parse", smiles)["cpu_s"] for _ in range(parses)) / len(smiles)

        spent = interleave({FLOOR: floor, **{subject: runner(subject) for subject in commands}}, rounds=rounds)
    versions: dict[bool, Any] = {name: versions_of(python_of("peers" if name else "molmp")) for name in (False, True)}
    series = [Series(s, spent[s], peaks.get(s), versions[s.startswith("Chemprop")]) for s in spent]
    made = lines("predict", {"molecules": len(smiles)}, "molecule", series, base=FLOOR)
    save(made)
    print(f"\n{len(smiles)} molecules, {rounds} rounds")
    show(made)


def check_output(path: Path, smiles: list[str]) -> None:
    """Equal work: a prediction for every molecule, in the order of the input."""
    rows = path.read_text("utf-8").splitlines()[1:]
    path.unlink()
    assert [row.split(",")[0] for row in rows] == smiles
    assert all(row.split(",")[1] for row in rows)


if __name__ == "__main__":
    main()
