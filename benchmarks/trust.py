"""make bench-trust DATA=folder: does trust hold what it says? One line a run in benchmarks/trust.jsonl.

    make bench-trust DATA=folder SETS=esol,bace SEEDS=0,1,2

`molmp train --split scaffold` with defaults, and the trust columns that it gives the test molecules: scaffolds that
neither the networks nor the calibration have seen. Lines that are there are not measured again, unless the defaults
have changed since.
"""

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy_sets import Task, load_task, split_of
from benchmarks.frame import ONE_THREAD, ROOT, commit, machine
from benchmarks.peers import python_of, versions_of

__all__ = ["COVERAGE", "RESULTS", "SCHEMA", "SETS", "figures", "is_made_with", "load_rows", "measure", "save_row"]

RESULTS = ROOT / "benchmarks" / "trust.jsonl"

SETS = (
    "freesolv", "esol", "bace", "lipo", "tdc_caco2_wang", "tdc_herg", "bbbp",
    "tdc_half_life_obach", "fang2023_sol", "mace_chembl4792_ki",
    "tdc_hia_hou", "tdc_bioavailability_ma", "tdc_pgp_broccatelli", "clintox", "tdc_bbb_martins",
)  # fmt: skip
"""Names as in :mod:`benchmarks.accuracy_sets`."""

COVERAGE = 0.9

SCHEMA = {
    "set": str,
    "target": str,
    "task": str,
    "seed": int,
    "sizes": dict,  # rows of each part
    "figures": dict,  # on the test molecules, see figures()
    "train_cpu_s": float,
    "predict_us": float,  # CPU time of a molecule without trust, once it is read and packed
    "predict_trust_us": float,  # the same with it
    "settings": dict,
    "versions": dict,
    "machine": dict,
    "date": str,
    "commit": str,
}
"""Fields of a line and their types."""

KEY = ("set", "seed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", default="0,1,2")
    options = parser.parse_args()
    os.environ |= ONE_THREAD
    for seed in map(int, options.seeds.split(",")):
        for name in options.sets.split(","):
            if is_there(load_rows(), name, seed):
                continue
            row = measure(load_task(name, options.data), seed)
            save_row(row)
            shown = {key: row["figures"][key] for key in ("error", "error_in", "error_out", "error_half")}
            print(f"{name:16} seed {seed}  coverage in domain {row['figures']['coverage_in']}  {shown}", flush=True)


def settings() -> dict[str, Any]:
    """Defaults that decide the results, as they come back from the file."""
    from molmp.chem.molecule_features import DEFAULT_FEATURES
    from molmp.nn.config import ModelConfig
    from molmp.training.config import TrainConfig
    from molmp.trust.difficulty import SOURCES

    found = {"network": asdict(ModelConfig()), "training": asdict(TrainConfig()) | {"seed": None},
             "features": DEFAULT_FEATURES, "difficulty": SOURCES}  # fmt: skip
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def measure(task: Task, seed: int, **options: Any) -> dict[str, Any]:
    """Train once and look at the columns of the test molecules; the line for the results file.

    ``options`` are ``network`` and ``training``, for tests; by default the defaults.
    """
    from molmp.chem.featurize import GraphOptions, featurize
    from molmp.chem.molecule_features import DEFAULT_FEATURES
    from molmp.inference.predictor import Predictor
    from molmp.nn.config import ModelConfig
    from molmp.training.config import TrainConfig
    from molmp.training.problem import dataset_problem, name_molecules
    from molmp.training.run import Trained, train

    dataset, split = task.dataset, split_of(task, "scaffold", seed)
    network, training = options.get("network", ModelConfig()), options.get("training", TrainConfig(seed=seed))
    graphs = GraphOptions(features=DEFAULT_FEATURES, bits=True)
    start = _cpu_seconds()
    problem = dataset_problem(dataset, featurize(dataset.smiles, graphs), graphs, split, {})
    problem = replace(problem, names=name_molecules(dataset.smiles))
    *_, trained = train(problem, network, training, device="cpu")
    assert isinstance(trained, Trained)
    spent = _cpu_seconds() - start
    predictor = Predictor(trained.bundle, "cpu")
    table = predictor.predict([dataset.smiles[row] for row in split.test], coverage=COVERAGE)
    (name,), (truth,) = dataset.target_names, dataset.targets[split.test].T
    return {
        "set": task.name, "target": name, "task": dataset.task, "seed": seed,
        "sizes": {part: len(rows) for part, rows in split._asdict().items()},
        "figures": figures(dataset.task, truth, {column: table[column].to_numpy() for column in table}, name,
                           dataset.class_names.get(name, ())),
        "train_cpu_s": _digits(spent), "predict_us": _prediction_time(predictor, dataset.smiles, task.rows, False),
        "predict_trust_us": _prediction_time(predictor, dataset.smiles, task.rows, True), "settings": settings(),
        "versions": versions_of(python_of("molmp")), "machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit(),
    }  # fmt: skip


def figures(
    task: str, truth: np.ndarray, columns: Mapping[str, np.ndarray], name: str, classes: Sequence[str] = ()
) -> dict[str, Any]:
    """What the columns of trust are worth, from nothing but them and the truth.

    ``error``: root mean square error, or of classes the share of molecules whose likelier class is the wrong one; with
    ``_in`` and ``_out`` of the domain, with ``_half`` of the surest half (by width of the interval; by probability of
    the likelier class). ``spearman``: correlation of absolute errors with the widths, or with 1 minus that probability.

    >>> columns = {"y_pred": np.zeros(4), "y_low": -np.array([1.0, 2, 3, 4]), "y_high": np.array([1.0, 2, 3, 4]),
    ...     "in_domain": np.array(["yes", "yes", "no", "no"])}
    >>> found = figures("regression", np.array([0.0, 1, 1, 5]), columns, "y")
    >>> found["coverage"], found["coverage_in"], found["coverage_out"], found["width"], found["error_in"]
    (0.75, 1.0, 0.5, 5.0, 0.70711)
    """
    from scipy import stats

    known = ~np.isnan(truth)
    value, inside = columns[f"{name}_pred"], columns["in_domain"] == "yes"
    parts = {"": known, "_in": known & inside, "_out": known & ~inside}
    found: dict[str, Any] = {"count": int(known.sum()), "count_in": int(parts["_in"].sum())}
    if task == "regression":
        low, high = columns[f"{name}_low"], columns[f"{name}_high"]
        doubt, wrong = (high - low) / 2, (value - truth) ** 2
        found["width"] = _digits((high - low)[known].mean())
        holds = (low <= truth) & (truth <= high)
    else:
        doubt, wrong = np.minimum(value, 1 - value), ((value >= 0.5) != truth).astype(float)
        sets = [text.split("|") for text in columns[f"{name}_set"]]
        holds = np.array([y == y and classes[int(y)] in some for y, some in zip(truth, sets, strict=True)])
        found["set_size"] = _digits(np.mean([sum(name in some for name in classes) for some in sets]))
        calibrated = columns[f"{name}_calibrated"]
        found |= {"ece": _ece(truth, calibrated), "ece_uncalibrated": _ece(truth, value)}
    for suffix, part in parts.items():
        mean = wrong[part].mean() if part.any() else None
        found[f"error{suffix}"] = None if mean is None else _digits(np.sqrt(mean) if task == "regression" else mean)
        found[f"coverage{suffix}"] = _digits(holds[part].mean()) if part.any() else None
    surest = np.flatnonzero(known)[np.argsort(doubt[known], kind="stable")][: (int(known.sum()) + 1) // 2]
    mean = wrong[surest].mean()
    found["error_half"] = _digits(np.sqrt(mean) if task == "regression" else mean)
    error = np.abs(value - truth)[known]
    found["spearman"] = _digits(stats.spearmanr(error, doubt[known]).statistic) if np.ptp(doubt[known]) else None
    return found


def is_there(rows: Sequence[Mapping[str, Any]], *key: Any) -> bool:
    """Whether the file has this line, made with the settings that molmp has now."""
    return any(tuple(row[k] for k in KEY) == key and is_made_with(row, settings()) for row in rows)


def is_made_with(row: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether these settings would make a line again; numbers have no trees, whatever the option says."""

    def relevant(some: Mapping[str, Any]) -> dict[str, Any]:
        passed_over = {"trees"} if row["task"] == "regression" else set()
        return {**some, "training": {k: v for k, v in some.get("training", {}).items() if k not in passed_over}}

    return relevant(row["settings"]) == relevant(wanted)


def load_rows(path: Path = RESULTS) -> list[dict[str, Any]]:
    """All lines, the newest last; of several with the same key the last."""
    lines = path.read_text("ascii").splitlines() if path.exists() else []
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in map(json.loads, lines):
        key = tuple(row[k] for k in KEY)
        found.pop(key, None)
        found[key] = row
    return list(found.values())


def save_row(row: Mapping[str, Any], path: Path = RESULTS) -> None:
    """Add a line at the end: several runs may write at the same time."""
    with open(path, "a", encoding="ascii") as file:
        file.write(json.dumps(row) + "\n")


def _prediction_time(predictor: Any, smiles: Sequence[str], rows: np.ndarray, trust: bool) -> float:
    """Microseconds of processor time that a molecule takes once it is read, the best of three."""
    from molmp.chem.featurize import featurize
    from molmp.inference.columns import Columns

    some = [smiles[row] for row in rows[:1000]]
    columns, featurized = Columns.of(predictor.bundle, trust), featurize(some, predictor.options(trust))
    spent = []
    for _ in range(3):
        start = time.process_time()
        columns.arrays(predictor.answer(featurized))
        spent.append(time.process_time() - start)
    return _digits(1e6 * min(spent) / len(some))


def _ece(truth: np.ndarray, probability: np.ndarray) -> float | None:
    from molmp.trust.evaluate import expected_calibration_error

    known = ~np.isnan(truth)
    error = expected_calibration_error(truth[known], probability[known])
    return _digits(error) if error == error else None


def _cpu_seconds() -> float:
    used = os.times()
    return used.user + used.system


def _digits(value: float) -> float:
    return float(f"{value:.5g}")


if __name__ == "__main__":
    main()
