"""make bench-operators DATA=folder: every operator with equally many weights, on six sets and three seeds.

Each line of benchmarks/operators.jsonl is one training on a set's own split; lines that are there are not measured
again. All operators get the same epochs, batches and learning rate, the stack that they bring, and the width that
brings their network closest to so many weights; nothing is tuned to an operator or to a set.
"""

import argparse
import json
import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.accuracy_sets import Task, load_task, split_of
from benchmarks.frame import ONE_THREAD, ROOT, commit, machine
from molmp.nn.config import ModelConfig
from molmp.nn.operators import OPERATORS
from molmp.training.config import TrainConfig

__all__ = ["RESULTS", "SETS", "load_rows", "widest"]

RESULTS = ROOT / "benchmarks" / "operators.jsonl"

SETS = ("freesolv", "tdc_herg", "tdc_caco2_wang", "esol", "bace", "bbbp")

BUDGET = 60_000
"""Weights of a network."""

EPOCHS = 20

SUBJECTS: dict[str, dict[str, Any]] = {
    **{name: {"layer": name} for name in OPERATORS},
    "gps, positions": {"layer": "gps", "positions": "random-walk"},
}

KEY = ("set", "seed", "subject", "epochs", "budget")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    options = parser.parse_args()
    os.environ |= ONE_THREAD
    from molmp.nn.process import keep_memory, set_threads

    set_threads(1)
    keep_memory()
    configs = {name: widest(ModelConfig(**settings)) for name, settings in SUBJECTS.items()}
    for seed in map(int, options.seeds.split(",")):
        for name in options.sets.split(","):
            task = load_task(name, options.data)
            for subject, config in configs.items():
                key = name, seed, subject, options.epochs, BUDGET
                if key not in {tuple(row[k] for k in KEY) for row in load_rows()}:
                    row = dict(zip(KEY, key, strict=True)) | measure(task, config, seed, options.epochs)
                    with RESULTS.open("a", encoding="ascii") as file:
                        file.write(json.dumps(row) + "\n")
                    print(f"{name:16} {subject:16} seed {seed}  {row['metric']} {row['value']:.4f}", flush=True)


def widest(config: ModelConfig, budget: int = BUDGET) -> ModelConfig:
    """Return the config with the width, a multiple of 8, that makes a network of about ``budget`` weights."""
    from molmp.nn.model import MoleculeModel

    def weights(width: int) -> int:
        return sum(p.numel() for p in MoleculeModel(replace(config, hidden=width), 1).parameters())

    return replace(config, hidden=min(range(8, 264, 8), key=lambda width: abs(weights(width) - budget)))


def measure(task: Task, config: ModelConfig, seed: int, epochs: int) -> dict[str, Any]:
    """Train once and score the test rows."""
    from molmp.chem.featurize import GraphOptions, featurize
    from molmp.training.metrics import evaluate
    from molmp.training.problem import dataset_problem
    from molmp.training.run import Trained, train

    split, options = split_of(task, "column", seed), GraphOptions(features="none")
    problem = dataset_problem(task.dataset, featurize(task.dataset.smiles, options), options, split, {})
    training = TrainConfig(epochs=epochs, patience=epochs, seed=seed, ensemble=1, pretrained=False)
    started = time.process_time()
    *_, trained = train(problem, config, training, device="cpu")
    spent = time.process_time() - started
    assert isinstance(trained, Trained)
    scores = evaluate(task.dataset.task, task.dataset.target_names, task.dataset.targets[split.test],
                      trained.predictions["test"]).mean  # fmt: skip
    return {
        "metric": task.what.metric, "value": _digits(scores[task.what.metric] or 0.0),
        "cpu_s_per_epoch": _digits(spent / epochs), "molecules": len(split.train),
        "parameters": sum(t.numel() for t in trained.bundle.members[0].values()),
        "network": config.to_dict(), "machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": commit(),
    }  # fmt: skip


def load_rows(path: Path = RESULTS) -> list[dict[str, Any]]:
    """All lines."""
    return [json.loads(line) for line in path.read_text("ascii").splitlines()] if path.exists() else []


def _digits(value: float) -> float:
    return float(f"{value:.4g}")


if __name__ == "__main__":
    main()
