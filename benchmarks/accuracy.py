"""make bench-accuracy DATA=folder: every method on every set, one line a run in benchmarks/accuracy.jsonl.

    make bench-accuracy DATA=folder SETS=esol,bace METHODS=molmp,forest SEEDS=0,1,2 SPLIT=column

Lines that are there are not measured again, unless the method's settings have changed since. Methods learn the training
rows and may look at the validation rows; all are scored on the same test rows by the same code.
"""

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.accuracy_methods import METHODS, Method, versions
from benchmarks.accuracy_sets import SETS, Task, load_task, split_of
from benchmarks.frame import ONE_THREAD, ROOT, commit, machine

__all__ = ["RESULTS", "SCHEMA", "is_current", "load_rows", "measure", "measure_all", "save_row", "settings_of"]

RESULTS = ROOT / "benchmarks" / "accuracy.jsonl"

SCHEMA = {
    "set": str,
    "targets": list,
    "split": str,  # column: the set's own; scaffold, inner: see accuracy_sets.split_of
    "seed": int,
    "method": str,
    "metric": str,
    "value": float,  # of the metric, mean over the targets, on the test rows
    "metrics": dict,  # all of them
    "sizes": dict,  # rows of each part
    "cpu_s": (float, type(None)),
    "wall_s": (float, type(None)),
    "settings": dict,
    "versions": dict,
    "machine": dict,
    "date": str,
    "commit": str,
    "origin": str,  # "measured here", or where the figures come from
}
"""Fields of a line and their types."""

KEY = ("set", "split", "seed", "method")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--split", default="column")
    options = parser.parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    measure_all(options.data, options.sets.split(","), options.split, seeds, options.methods.split(","))


def measure_all(
    data: Path, sets: Sequence[str], kind: str, seeds: Sequence[int], names: Sequence[str],
    methods: Mapping[str, Method] = METHODS, path: Path = RESULTS,
) -> None:  # fmt: skip
    """Measure and save every line that the file ``path`` lacks, seed after seed on each set."""
    from molmp.nn.process import set_threads

    os.environ |= ONE_THREAD
    set_threads(1)  # torch may have been loaded before
    for name in sets:
        wanted = [(m, s) for s in seeds for m in names if not is_there(load_rows(path), name, kind, s, m, methods)]
        task = load_task(name, data) if wanted else None
        for method, seed in wanted:
            assert task is not None
            row = measure(task, kind, seed, method, methods)
            save_row(row, path)
            what = f"{row['metric']} {row['value']:.4f}  {row['cpu_s']:.0f} s"
            print(f"{name:32} {method:12} seed {seed}  {what}", flush=True)


def measure(task: Task, kind: str, seed: int, name: str, methods: Mapping[str, Method] = METHODS) -> dict[str, Any]:
    """Let one method learn and predict; the line for the results file."""
    from molmp.training.metrics import evaluate

    method, dataset = methods[name], task.dataset
    split = split_of(task, kind, seed)
    wall, cpu = time.perf_counter(), _cpu_seconds()
    predictions = method.run(task, split, seed)
    wall, cpu = time.perf_counter() - wall, _cpu_seconds() - cpu
    scores = evaluate(dataset.task, dataset.target_names, dataset.targets[split.test], predictions).mean
    rounded = {metric: _digits(value) for metric, value in scores.items() if value is not None}
    rounded.setdefault(task.what.metric, 0.0)  # a constant correlates with nothing
    return {
        "set": task.name, "targets": list(dataset.target_names), "split": kind, "seed": seed, "method": name,
        "metric": task.what.metric, "value": rounded[task.what.metric], "metrics": rounded,
        "sizes": {part: len(rows) for part, rows in split._asdict().items()},
        "cpu_s": _digits(cpu), "wall_s": _digits(wall), "settings": settings_of(method), "versions": versions(method),
        "machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": commit(), "origin": "measured here",
    }  # fmt: skip


def is_there(
    rows: Sequence[Mapping[str, Any]], name: str, kind: str, seed: int, method: str,
    methods: Mapping[str, Method] = METHODS,
) -> bool:  # fmt: skip
    """Whether the file has this line, made with the settings that the method has now."""
    key = (name, kind, seed, method)
    return any(tuple(row[k] for k in KEY) == key and is_current(row, methods) for row in rows)


def is_current(row: Mapping[str, Any], methods: Mapping[str, Method] = METHODS) -> bool:
    """Whether a line was made with the settings that its method has now; an option that is newer changes nothing.

    Lines that were not measured here are what they are.
    """
    if row["origin"] != "measured here":
        return True
    if row["method"] not in methods:
        return False
    now = settings_of(methods[row["method"]])
    return row["settings"].get("recipe") == now.get("recipe") and _agree(row["settings"], now)


def _agree(then: Any, now: Any) -> bool:
    if not (isinstance(then, dict) and isinstance(now, dict)):
        return bool(then == now)
    return all(name in now and _agree(value, now[name]) for name, value in then.items())


def settings_of(method: Method) -> dict[str, Any]:
    """As they come back from the file."""
    settings: dict[str, Any] = json.loads(json.dumps(method.settings()))
    return settings


def load_rows(path: Path = RESULTS) -> list[dict[str, Any]]:
    """All lines; of several with the same key the last."""
    lines = path.read_text("ascii").splitlines() if path.exists() else []
    by_key = {tuple(row[k] for k in KEY): row for row in map(json.loads, lines)}
    return list(by_key.values())


def save_row(row: Mapping[str, Any], path: Path = RESULTS) -> None:
    """Add a line at the end: several runs may write at the same time."""
    with open(path, "a", encoding="ascii") as file:
        file.write(json.dumps(row) + "\n")


def _cpu_seconds() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _digits(value: float) -> float:
    return float(f"{value:.5g}")


if __name__ == "__main__":
    main()
