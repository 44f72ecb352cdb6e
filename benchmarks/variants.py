"""make bench-variants DATA=folder: each change of the recipe alone, against the default, in benchmarks/variants.jsonl.

    make bench-variants DATA=folder SETS=freesolv,esol VARIANTS=default,huber SEEDS=0,1

The sets' own test rows are left out: their other rows are split anew by scaffold with the seed, so that a recipe that
is chosen by these lines has not seen what docs/accuracy.md judges it by. Lines that are there are not measured again.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from torch import Tensor

from benchmarks.accuracy import RESULTS, load_rows, measure_all
from benchmarks.accuracy_methods import Learn, Method, learn, molmp
from benchmarks.accuracy_sets import SETS
from molmp.chem.molecule_features import DEFAULT_FEATURES, feature_columns
from molmp.nn.config import ModelConfig
from molmp.nn.heads import MLP
from molmp.training.config import TrainConfig
from molmp.training.objective import Known, objective
from molmp.training.place import Best
from molmp.training.problem import Problem
from molmp.training.run import Trained, train
from molmp.training.start import Start
from molmp.training.targets import Target, Targets

__all__ = ["DEVELOPMENT", "ONLY", "VARIANTS", "VARIANT_RESULTS", "load_variant_rows"]

VARIANT_RESULTS = RESULTS.with_name("variants.jsonl")

DESCRIPTORS = len(feature_columns("descriptors"))

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


def trees_alone(problem: Problem, network: ModelConfig, config: TrainConfig) -> Trained:
    """The networks, which learn for an epoch only, have no share."""
    with patch("molmp.training.shares.TREES", 1.0):
        return learn(problem, network, replace(config, epochs=1))


def averaged(problem: Problem, network: ModelConfig, config: TrainConfig) -> Trained:
    """Each network keeps the mean of its weights after the last ten epochs.

    P. Izmailov et al., Averaging weights leads to wider optima and better generalization, 2018, arXiv:1803.05407.
    """
    seen: Counter[int] = Counter()
    means: dict[int, tuple[int, dict[str, Tensor]]] = {}

    def best(*record: Any) -> Best:
        if not record or record[1] <= config.num_epochs - 10:
            return Best(*record)
        criterion, epoch, weights = record
        member, seen[epoch] = seen[epoch], seen[epoch] + 1  # networks come in their order
        number, mean = means.get(member, (0, weights))
        means[member] = number + 1, {n: t + (weights[n] - t) / (number + 1) for n, t in mean.items()}
        return Best(criterion, epoch, means[member][1])

    with patch("molmp.training.loop.Best", best):
        return learn(problem, network, config)


def mixed(problem: Problem, network: ModelConfig, config: TrainConfig) -> Trained:
    """What the head reads of a molecule is mixed with what it reads of another, and so are the losses.

    H. Zhang et al., mixup: Beyond empirical risk minimization, 2018, arXiv:1710.09412; of what is inside a network:
    V. Verma et al., Manifold mixup, 2019, arXiv:1806.05236.
    """
    draw = np.random.default_rng(config.seed)
    forward = MLP.forward
    share, order = 1.0, np.zeros(0, np.int64)

    def of_two(head: MLP, vector: Tensor) -> Tensor:
        nonlocal share, order
        if not head.training:
            return forward(head, vector)
        share, order = draw.beta(0.2, 0.2), draw.permutation(len(vector) // config.ensemble)
        others = vector.unflatten(0, (config.ensemble, -1))[:, order].flatten(0, 1)
        return forward(head, share * vector + (1 - share) * others)

    def both(targets: Targets) -> Callable[[Tensor, Known], Tensor]:
        loss = objective(targets)
        return lambda outputs, known: share * loss(outputs, known) + (1 - share) * loss(outputs, known.at(order))

    with patch.object(MLP, "forward", of_two), patch("molmp.training.loop.objective", both):
        return learn(problem, network, config)


def pretext(problem: Problem) -> tuple[np.ndarray, tuple[Target, ...]]:
    """Every sixth descriptor of the molecules as labels, for all input rows."""
    features, read = problem.featurized.graphs.features, problem.featurized.rows
    assert features is not None
    labels = np.full((len(problem.labels), len(range(0, DESCRIPTORS, 6))), np.nan)
    labels[read] = features[:, :DESCRIPTORS:6]
    return labels, tuple(Target(name=f"descriptor {column}") for column in range(0, DESCRIPTORS, 6))


def auxiliary(problem: Problem, network: ModelConfig, config: TrainConfig) -> Trained:
    """Descriptors are learned beside the target, each with a weight of 0.05."""
    labels, items = pretext(problem)
    targets = replace(problem.targets, items=problem.targets.items + items)
    both = replace(problem, labels=np.concatenate([problem.labels, labels], axis=1), targets=targets)
    trained = learn(both, network, replace(config, task_weights={item.name: 0.05 for item in items}))
    answers = {part: found[: problem.labels.shape[1]] for part, found in trained.answers.items()}
    return trained._replace(answers=answers)


def warm_start(problem: Problem, network: ModelConfig, config: TrainConfig) -> Trained:
    """The encoders have learned descriptors of the training molecules before they learn the target."""
    labels, items = pretext(problem)
    before = learn(replace(problem, labels=labels, targets=Targets("regression", items)), network, config)
    start = Start.of(before.bundle, problem.options, before.bundle.network, problem.targets, config)
    *_, trained = train(problem, network, config, device="cpu", start=start)
    assert isinstance(trained, Trained)
    return trained


def change(network: Mapping[str, Any], training: Mapping[str, Any], features: str = DEFAULT_FEATURES,
           how: Learn = learn) -> Method:  # fmt: skip
    """The default with these options; one set of networks, which costs half and tells as much about a change.

    From random weights, as an encoder of another make must; 30 epochs, which is the default for sets as small.
    """
    return molmp(network, {"refit": False, "pretrained": False, "epochs": 30, **training}, features, how)


VARIANTS: dict[str, Method] = {
    "default": change({}, {}),
    "pretrained encoders": change({}, {"pretrained": True}),
    "pretrained encoders frozen": change({}, {"pretrained": True, "freeze": "encoder"}),
    "learned anew with the validation molecules": change({}, {"refit": True}),
    "pretrained encoders and 15 epochs": change({}, {"pretrained": True, "epochs": 15}),
    "60 epochs": change({}, {"epochs": 60}),
    "100 epochs": change({}, {"epochs": 100}),
    "1500 steps": change({}, {}, how=in_steps(1_500)),
    "width 128": change({"hidden": 128}, {}),
    "Huber's loss": change({}, {"loss": "huber"}),
    "six networks": change({}, {"ensemble": 6}),
    "networks count alike": change({}, {}, how=equal_shares),
    "no trees": change({}, {"trees": False}),
    "trees alone": change({}, {}, how=trees_alone),
    "absolute error": change({}, {"loss": "mae"}),
    "targets as they are": change({}, {}, how=without_transform),
    "focal loss": change({}, {"loss": "focal"}),
    "classes balanced": change({}, {"class_weight": "balanced"}),
    "batches of 32": change({}, {"batch_size": 32}),
    "learning rate 1e-3": change({}, {"lr": 1e-3}),
    "learning rate 4e-3": change({}, {"lr": 4e-3}),
    "steps 4": change({"steps": 4}, {}),
    "set2set steps 6": change({"readout_steps": 6}, {}),
    "readouts set2set+sum+mean+max": change({"readout": "set2set+sum+mean+max"}, {}),
    "readout set2set": change({"readout": "set2set"}, {}),
    "molecules not normalized": change({"normalize": False}, {}),
    "layer norm after each step": change({"norm": "layer"}, {}),
    "residuals between steps": change({"residual": True}, {}),
    "virtual node": change({"virtual_node": True}, {}),
    "a matrix for each step": change({"weights": "own"}, {}),
    "random walk positions": change({"positions": "random-walk"}, {}),
    "all steps seen by the readout": change({"jumping": "cat"}, {}),
    "one network": change({}, {"ensemble": 1}),
    "dropout 0.3": change({"dropout": 0.3}, {}),
    "dropout 0.5": change({"dropout": 0.5}, {}),
    "descriptors as further targets": change({}, {}, how=auxiliary),
    "mixup": change({}, {}, how=mixed),
    "encoders that have learned descriptors": change({}, {}, how=warm_start),
    "weights averaged over ten epochs": change({}, {}, how=averaged),
    "states dropped between steps": change({"step_dropout": 0.1}, {}),
    "best epoch": change({}, {"patience": 30}),
    "weight decay 0.2": change({}, {"weight_decay": 0.2}),
    "all see all": change({}, {"views": "all"}),
    "graph alone": change({}, {}, features="none"),
    "descriptors alone beside": change({}, {}, features="descriptors"),
}
"""What is compared: to the first, the recipe of `molmp train` from random weights and without its second set of
networks."""

ONLY = {
    "descriptors as further targets": True,
    "Huber's loss": True,
    "targets as they are": True,
    "focal loss": False,
    "classes balanced": False,
    "no trees": False,
    "trees alone": False,
}
"""Whether a change is one for numbers alone or for classes alone."""


if __name__ == "__main__":
    main()
