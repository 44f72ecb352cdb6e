"""make bench-variants DATA=folder: each change of the recipe alone, against the default, in benchmarks/variants.jsonl.

    make bench-variants DATA=folder SETS=freesolv,esol VARIANTS=default,huber SEEDS=0,1

The sets' own test rows are left out: their other rows are split anew by scaffold with the seed, so that a recipe that
is chosen by these lines has not seen what docs/accuracy.md judges it by. Lines that are there are not measured again.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.accuracy import RESULTS, load_rows, measure_all
from benchmarks.accuracy_methods import Learn, Method, learn, molmp
from benchmarks.accuracy_sets import SETS
from molmp.nn.config import ModelConfig
from molmp.tables.splits import Split
from molmp.training.config import TrainConfig
from molmp.training.problem import Problem
from molmp.training.run import Trained

__all__ = ["DEVELOPMENT", "ONLY", "VARIANTS", "VARIANT_RESULTS", "load_variant_rows"]

VARIANT_RESULTS = RESULTS.with_name("variants.jsonl")

DEVELOPMENT = ("freesolv", "tdc_half_life_obach", "tdc_caco2_wang", "tdc_herg", "esol", "clintox")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(DEVELOPMENT))
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--seeds", default="0,1")
    options = parser.parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    for variant in options.variants.split(","):
        sets = [name for name in options.sets.split(",") if ONLY.get(variant) in (None, is_regression(name))]
        measure_all(options.data, sets, "inner", seeds, [variant], VARIANTS, VARIANT_RESULTS)


def is_regression(name: str) -> bool:
    """Whether a set has numbers and no classes."""
    return not SETS[name].metric.endswith("_auc")


def load_variant_rows() -> list[dict[str, object]]:
    """As :func:`benchmarks.accuracy.load_rows`, of the variants."""
    return load_rows(VARIANT_RESULTS)


def in_steps(least: int) -> Learn:
    """As many epochs as make ``least`` steps, from 30 to 200."""

    def by_steps(problem: Problem, network: ModelConfig, config: TrainConfig) -> Trained:
        steps = -(-len(problem.split.train) // config.batch_size)
        return learn(problem, network, replace(config, epochs=int(np.clip(-(-least // steps), 30, 200))))

    by_steps.__name__ = f"{least} steps"
    return by_steps


def without_transform(problem: Problem, network: ModelConfig, config: TrainConfig) -> Trained:
    """Skewed targets as they are."""
    with patch("molmp.training.transforms.SKEWED", np.inf):
        return learn(problem, network, config)


def equal_shares(problem: Problem, network: ModelConfig, config: TrainConfig) -> Trained:
    """All networks count alike."""
    with patch("molmp.training.run.with_shares", lambda examples, *_: examples.targets):
        return learn(problem, network, config)


def refitted(problem: Problem, network: ModelConfig, config: TrainConfig) -> Trained:
    """Learn from the validation rows too; networks then count alike, for no row tells which is better."""
    train, val, test = problem.split
    everything = Split(np.sort(np.concatenate([train, val])), val, test)
    return equal_shares(replace(problem, split=everything), network, config)


VARIANTS: dict[str, Method] = {
    "default": molmp({}, {}),
    "60 epochs": molmp({}, {"epochs": 60}),
    "100 epochs": molmp({}, {"epochs": 100}),
    "1500 steps": molmp({}, {}, how=in_steps(1_500)),
    "width 128": molmp({"hidden": 128}, {}),
    "Huber's loss": molmp({}, {"loss": "huber"}),
    "validation rows learned too": molmp({}, {}, how=refitted),
    "six networks": molmp({}, {"ensemble": 6}),
    "networks count alike": molmp({}, {}, how=equal_shares),
    "absolute error": molmp({}, {"loss": "mae"}),
    "targets as they are": molmp({}, {}, how=without_transform),
    "focal loss": molmp({}, {"loss": "focal"}),
    "classes balanced": molmp({}, {"class_weight": "balanced"}),
    "batches of 32": molmp({}, {"batch_size": 32}),
    "learning rate 1e-3": molmp({}, {"lr": 1e-3}),
    "learning rate 4e-3": molmp({}, {"lr": 4e-3}),
    "steps 4": molmp({"steps": 4}, {}),
    "set2set steps 6": molmp({"readout_steps": 6}, {}),
    "dropout 0.3": molmp({"dropout": 0.3}, {}),
    "best epoch": molmp({}, {"patience": 30}),
    "weight decay 0.2": molmp({}, {"weight_decay": 0.2}),
    "all see all": molmp({}, {"views": "all"}),
    "graph alone": molmp({}, {}, features="none"),
    "descriptors alone beside": molmp({}, {}, features="descriptors"),
}
"""What is compared; the first is what `molmp train` does."""

ONLY = {"Huber's loss": True, "targets as they are": True, "focal loss": False, "classes balanced": False}
"""Whether a change is one for numbers alone or for classes alone."""


if __name__ == "__main__":
    main()
