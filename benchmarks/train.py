"""make bench-train DATA=folder: `molmp train` beside `chemprop train`, both with their defaults, whole processes.

``folder`` holds lipo.csv with columns ``smiles``, ``logd74`` and ``split``. Three seeds. Chemprop's runs take minutes
each; its line in the results file serves again where it was made with the same versions on the same kind of machine,
unless ``--again`` is given.
"""

import argparse
import csv
import json
import math
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.frame import Series, lines, load, machine, save, show
from benchmarks.peers import python_of, versions_of
from benchmarks.process import Usage, run_process

__all__ = ["main"]

CHEMPROP, MOLMP, NO_REFIT = "Chemprop", "molmp", "molmp --no-refit"

SEEDS = (0, 1, 2)

MOLMP_RUNS = {MOLMP: (), NO_REFIT: ("--no-refit",)}
"""Options. By default a second set of networks learns from the validation molecules too, which Chemprop has
not; without it the two do the same."""

PARAMETERS = {"set": "lipo", "target": "logd74"}

COLUMNS = ["--target-columns", "logd74"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = prepare(options.data / "lipo.csv", folder)
        chemprop = (None if options.again else stored()) or chemprop_train(folder, rows)
        assert chemprop.facts is not None
        goal = statistics.median(chemprop.facts["val_rmse"])
        ours = [molmp_train(folder, goal, subject) for subject in MOLMP_RUNS]
        all_of_them = [with_start(chemprop, "peers", folder), *(with_start(one, "molmp", folder) for one in ours)]
        made = lines("train", PARAMETERS, "process", all_of_them, base=None)
    for line in made:  # of medians: they did not run in the same turns, nor as often
        line |= {"ratio_to": CHEMPROP, "ratio": round(line["seconds"] / made[0]["seconds"], 4)}
    save(made)
    show(made)
    for line in made:
        print(line["subject"], line["facts"])


def prepare(source: Path, folder: Path) -> list[dict[str, str]]:
    """Write ``data.csv`` and ``val.csv`` with the names of parts that both know; return the validation rows."""
    with open(source, encoding="utf-8", newline="") as file:
        rows = [row | {"split": {"valid": "val"}.get(row["split"], row["split"])} for row in csv.DictReader(file)]
    val = [row for row in rows if row["split"] == "val"]
    for name, part in (("data.csv", rows), ("val.csv", val)):
        with open(folder / name, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(part)
    return val


def chemprop_train(folder: Path, val: list[dict[str, str]]) -> Series:
    """Train; then, not counted, predict the validation rows with the model that it kept."""
    program = python_of("peers").with_name("chemprop")
    used, rmse = [], []
    for seed in SEEDS:
        run, scored = f"chemprop{seed}", f"preds{seed}.csv"
        command = [program, "train", "-i", "data.csv", "-s", "smiles", *COLUMNS, "--splits-column", "split"]
        used.append(run_process([*command, "--pytorch-seed", str(seed), "-o", run], folder))
        run_process([program, "predict", "-i", "val.csv", "-s", "smiles", "--model-paths", run, "-o", scored], folder)
        with open(folder / scored, encoding="utf-8", newline="") as file:
            errors = [float(p["logd74"]) - float(v["logd74"]) for p, v in zip(csv.DictReader(file), val, strict=True)]
        rmse.append(round(math.sqrt(sum(e * e for e in errors) / len(errors)), 4))
    return _series(CHEMPROP, used, {"val_rmse": rmse}, versions_of(python_of("peers")))


def molmp_train(folder: Path, goal: float, subject: str) -> Series:
    """Train; from the history tell what had been spent when the mean of the networks reached the validation error
    ``goal``.
    """
    program = python_of("molmp").with_name("molmp")
    used, rmse, reached = [], [], []
    common = [program, "train", "data.csv", *COLUMNS, "--split-column", "split", "--no-cache", *MOLMP_RUNS[subject]]
    for seed in SEEDS:
        run = f"{subject}{seed}"
        used.append(run_process([*common, "--seed", str(seed), "-o", run], folder))
        with open(folder / run / "history.csv", encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["member"] == "0"]  # of all alike
        history = [(float(row["ensemble_score"]), float(row["seconds"])) for row in rows]
        rmse.append(round(json.loads((folder / run / "metrics.json").read_text("utf-8"))["val"]["rmse"], 4))
        reached.append(_spent_before(goal, history, used[-1]) or (used[-1].cpu_s if rmse[-1] <= goal else None))
    facts = {"val_rmse": rmse, "cpu_s_to_chemprop": reached}
    return _series(subject, used, facts, versions_of(python_of("molmp")))


def _spent_before(goal: float, history: Sequence[tuple[float, float]], used: Usage) -> float | None:
    first = next((epoch for epoch, (score, _) in enumerate(history, 1) if score <= goal), None)
    if first is None:
        return None
    # Epochs are timed by the clock on the wall: those that came after are taken off in the process's own ratio.
    after = sum(seconds for _, seconds in history[first:])
    return round(used.cpu_s * (1 - after / used.wall_s), 1)


def with_start(series: Series, env: str, folder: Path) -> Series:
    """Add what it costs to print the help and to import the package."""
    name = series.subject.lower().partition(" ")[0]
    python = python_of(env)
    commands = {"help_cpu_s": [python.with_name(name), "--help"], "import_cpu_s": [python, "-c", f"import {name}"]}
    spent = {
        fact: round(statistics.median(run_process(command, folder).cpu_s for _ in range(3)), 3)
        for fact, command in commands.items()
    }
    return replace(series, facts={**(series.facts or {}), **spent})


def stored() -> Series | None:
    """Chemprop's line in the results file, if it still holds."""
    for line in load():
        same = line["benchmark"] == "train" and line["parameters"] == PARAMETERS and line["subject"] == CHEMPROP
        if same and line["machine"] == machine() and line["versions"] == versions_of(python_of("peers")):
            return Series(CHEMPROP, [line["seconds"]] * line["turns"], line["peak_mb"], line["versions"], line["facts"])
    return None


def _series(subject: str, used: Sequence[Usage], facts: dict[str, Any], versions: dict[str, str]) -> Series:
    return Series(subject, [one.cpu_s for one in used], max(one.peak_mb for one in used), versions, facts)


if __name__ == "__main__":
    main()
