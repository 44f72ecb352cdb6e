"""From labelled molecules to a trained model: scale, fit all members in one pass, score every part of the split."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from molmp.chem.featurize import GraphOptions
from molmp.chem.graphs import MolGraphs
from molmp.chem.molecule_features import least_deviations
from molmp.errors import ConfigError
from molmp.nn.batch import DeviceGraphs
from molmp.nn.members import Members
from molmp.nn.model import ModelConfig, MoleculeModel, graphs_for
from molmp.nn.process import set_threads
from molmp.nn.trees import Trees, with_trees
from molmp.training.boosting import boost, has_trees
from molmp.training.bundle import Bundle, versions
from molmp.training.calibration import calibrate
from molmp.training.checkpoints import Checkpoints
from molmp.training.checks import check_parts
from molmp.training.config import TrainConfig
from molmp.training.cross import network_parts, score, union
from molmp.training.distributed import ALONE, Ranks
from molmp.training.loop import Epoch, Examples, Plan, Step, fit
from molmp.training.loss_names import check_bounds
from molmp.training.pretrained import own_start
from molmp.training.problem import Problem
from molmp.training.shares import with_shares
from molmp.training.start import Start, check_freeze
from molmp.training.state import digest
from molmp.training.targets import Answered, Targets
from molmp.training.threshold import tune_thresholds
from molmp.training.validation import predict_outputs
from molmp.training.views import seen
from molmp.training.weighting import label_weights
from molmp.trust.domain import Verdict

__all__ = ["Grown", "MemberDone", "Trained", "fit_features", "new_model", "train"]

SEEDS = 1_000
"""Networks that a seed has initial weights for: those of the next seed are others."""


class MemberDone(NamedTuple):
    """One network of the ensemble is trained."""

    member: int
    """Counted from 0."""
    num_epochs: int
    kept_epoch: int
    """The one whose weights it keeps."""
    val_score: float
    """The task's main metric in that epoch."""
    molecules_per_second: float
    """Mean over the epochs; the networks learn at the same time."""


class Grown(NamedTuple):
    """The boosted trees beside some of the networks are grown."""

    number: int
    """Of them, counted from 1."""
    total: int


class Trained(NamedTuple):
    """The end of training."""

    bundle: Bundle
    history: list[dict[str, Any]]
    """One record an epoch and member, as in ``history.csv``."""
    parts: dict[str, np.ndarray]
    """``train``, ``val``, ``test``: the input rows that were used, ascending; with folds, in any of them."""
    answers: dict[str, list[Answered]]
    """For each part what ``Targets.answer`` gives, in the order of ``parts``; each row is answered by those networks
    only for which it plays that part."""
    verdicts: dict[str, Verdict | None]
    """How the molecules of ``val`` and ``test`` compare with those that their networks learned from; None where no
    molecules are kept."""

    @property
    def predictions(self) -> dict[str, list[np.ndarray]]:
        """The values of ``answers``."""
        return {part: [answered.value for answered in answers] for part, answers in self.answers.items()}


def train(problem: Problem, network: ModelConfig, config: TrainConfig, *, device: str = "auto",
          ranks: Ranks = ALONE, checkpoints: Checkpoints | None = None, start: Start | None = None,
          ) -> Iterator[Step | Epoch | MemberDone | Grown | Trained]:  # fmt: skip
    """Train a model. Yields each step, each epoch of each member, the members and the trees when they are
    done, and last a :class:`Trained`.

    ``ranks`` are those of :func:`molmp.training.distributed.join` where several processes train together. With
    ``checkpoints`` a training that was stopped goes on: on the CPU all ends the same to the bit, computed with as many
    threads. With ``start`` the networks begin with its weights, of which ``config.freeze`` tells what is kept.

    Raises
    ------
    DataError, DeviceError
        There is nothing to learn from; a loss is no longer finite; there is no such device.
    ConfigError, FileFormatError
        ``checkpoints`` that shall be resumed are those of another training, or damaged.
    """
    config = config.settled(problem.num_training)
    where = ranks.pick_device(device)
    if start is None and config.pretrained:
        start = own_start(problem.options, network)
    state = None if checkpoints is None else _last_state(checkpoints, problem, network, config, where, ranks, start)
    check_freeze(config, network, start)
    problem = replace(
        problem, data={**problem.data, "start": "starting from random weights" if start is None else start.note}
    )
    graphs = graphs_for(network, problem.featurized.graphs, where)
    refit = config.refits(len(problem.folds))
    each = network_parts(problem, config.ensemble, refit)
    judges = config.ensemble * max(len(problem.folds), 1)  # networks that speak for validation molecules
    examples, plans = _material(problem, config, graphs, each, judges, start)
    network = replace(network, num_features=graphs.num_features)
    models = _networks(problem, network, config, examples.targets, plans, judges, start)
    members = Members([model.to(where) for model in models])
    epochs: list[Epoch] = []
    for record in fit(members, examples, plans, config, ranks=ranks, state=state, checkpoints=checkpoints):
        if isinstance(record, Epoch):
            epochs.append(record)
        yield record
    for member in range(judges):
        yield _done([epoch for epoch in epochs if epoch.member == member])
    trees: list[Trees] = []
    if config.trees and has_trees(examples.targets, network.num_features):
        of_sets = plans[:: config.ensemble]
        for plan in of_sets:
            trees.append(boost(examples, _features(problem), plan.train, config.seed))
            yield Grown(len(trees), len(of_sets))
    yield _concluded(problem, config, members, examples, trees, models[0], epochs)


def _concluded(problem: Problem, config: TrainConfig, members: Members, examples: Examples, trees: Sequence[Trees],
               model: MoleculeModel, epochs: Sequence[Epoch]) -> Trained:  # fmt: skip
    """Let all that was learned speak, score it and put it together; ``model`` becomes the first of its networks."""
    refit, voices = config.refits(len(problem.folds)), config.ensemble + bool(trees)
    each = network_parts(problem, voices, refit)
    parts = union(each)
    outputs = {name: predict_outputs(members, examples.graphs, rows) for name, rows in parts.items()}
    if trees:
        outputs = {name: _beside(outputs[name], trees, _features(problem)[rows]) for name, rows in parts.items()}
    examples = _with_chosen(examples, outputs, each, config, voices)
    answers, metrics = score(examples, outputs, each, len(problem.folds))
    kept = range(config.ensemble if refit else 0, members.num_members)
    weights = tuple({name: t.cpu() for name, t in members.weights(member).items()} for member in kept)
    sizes = {name: len(rows) for name, rows in parts.items()}
    model.load_state_dict(weights[0])
    calibrated = calibrate(problem, examples, each[::voices], parts, answers, model.to(examples.graphs.device))
    bundle = Bundle(
        targets=examples.targets, options=replace(problem.options, bits=False), network=model.config, training=config,
        members=weights, trees=tuple(trees[int(refit) :]),
        data=dict(problem.data) | {"split_rows": sizes, "learned_from": ["train", "val"] if refit else ["train"]},
        metrics=metrics | {"trust": calibrated.figures}, trust=calibrated.trust,
    )  # fmt: skip
    used = {name: problem.featurized.rows[rows] for name, rows in parts.items()}
    return Trained(bundle, [epoch._asdict() for epoch in epochs], used, answers, calibrated.verdicts)


def _material(problem: Problem, config: TrainConfig, graphs: DeviceGraphs, each: Sequence[Mapping[str, np.ndarray]],
              judges: int, start: Start | None) -> tuple[Examples, list[Plan]]:  # fmt: skip
    """What there is to learn, and which rows each network learns from; nothing here sees a label that judges."""
    labels = problem.labels[problem.featurized.rows]
    weights = np.ones(len(labels)) if problem.weights is None else problem.weights[problem.featurized.rows]
    sides = None if problem.sides is None else problem.sides[problem.featurized.rows]
    for fold, own in enumerate(each[: judges : config.ensemble], start=1):
        check_parts(own, labels, problem.targets, f" in fold {fold}" if problem.folds else "")
    counts = (~np.isnan(labels)).any(axis=1) & (weights > 0)
    plans = [
        Plan(SEEDS * config.seed + member, own["learns"][counts[own["learns"]]], own["val"])
        for member, own in enumerate(each)
    ]
    useful = np.unique(np.concatenate([plan.train for plan in plans[:judges]]))
    targets = replace(problem.targets, loss=config.loss, quantiles=config.quantiles).fit(
        labels[useful], None if sides is None else sides[useful]
    )
    if start is not None:
        targets = start.targets(targets)
    if config.threshold == "tuned" and targets.task != "binary":
        raise ConfigError(f"threshold tuned is for targets of two classes; the task is {targets.task}")
    if sides is not None:
        check_bounds(targets.loss, int(np.count_nonzero(sides)))
    weights = label_weights(
        targets, labels, weights, task_weights=config.task_weights, class_weight=config.class_weight, train=useful
    )
    return Examples(graphs, targets, labels, weights, sides), plans


def _networks(problem: Problem, network: ModelConfig, config: TrainConfig, targets: Targets, plans: Sequence[Plan],
              judges: int, start: Start | None) -> list[MoleculeModel]:  # fmt: skip
    """One for each plan, as they are before the first step; a second set starts where the first does."""
    models = [new_model(network, targets.num_outputs, plan.seed) for plan in plans]
    for member, (model, plan) in enumerate(zip(models, plans, strict=True)):
        sees_F = seen(problem.options.features, config.views, member % config.ensemble)
        fit_features(model, problem.featurized.graphs, plan.train, problem.options, sees_F)
        if start is not None:
            start.load(model, member % judges)
            model.freeze(config.frozen_parts)
    return models


def _features(problem: Problem) -> np.ndarray:
    features = problem.featurized.graphs.features
    assert features is not None, "there are trees where there are features"
    return features


def _beside(outputs_EnO: np.ndarray, trees: Sequence[Trees], features_nF: np.ndarray) -> np.ndarray:
    """Outputs of the networks with those of the trees beside them."""
    answers = [grown.answer(torch.from_numpy(features_nF)) for grown in trees]
    return with_trees(torch.from_numpy(outputs_EnO), answers).numpy()


def _with_chosen(examples: Examples, outputs: Mapping[str, np.ndarray], each: Sequence[Mapping[str, np.ndarray]],
                 config: TrainConfig, voices: int) -> Examples:  # fmt: skip
    """Let validation molecules choose what each network counts and, where that was asked for, thresholds."""
    targets = with_shares(examples, outputs["val"], each, config.ensemble, voices > config.ensemble)
    examples = replace(examples, targets=targets)
    if config.threshold != "tuned":
        return examples
    answers, _ = score(examples, outputs, each)
    return replace(
        examples, targets=tune_thresholds(examples.targets, examples.labels[union(each)["val"]], answers["val"])
    )


def new_model(network: ModelConfig, num_outputs: int, seed: int) -> MoleculeModel:
    """Build a network whose initial weights depend on ``seed`` alone, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MoleculeModel(network, num_outputs)


def _last_state(checkpoints: Checkpoints, problem: Problem, network: ModelConfig, config: TrainConfig,
                device: torch.device, ranks: Ranks, start: Start | None) -> dict[str, Any] | None:  # fmt: skip
    """Return the state that an earlier run has left, if this one has the same data and options."""
    if device.type == "cpu" and (threads := checkpoints.found("threads")):
        set_threads(threads)
    return checkpoints.load(
        {
            **network.to_dict(),
            **config.to_dict(),
            "data": digest(problem),
            "start": None if start is None else start.digest(),
            "device": device.type,
            "threads": torch.get_num_threads() if device.type == "cpu" else None,
            "processes": ranks.size,
            **{f"version of {name}": version for name, version in versions().items() if name != "python"},
        }
    )


def fit_features(
    model: MoleculeModel, graphs: MolGraphs, train: np.ndarray, options: GraphOptions, sees_F: np.ndarray
) -> None:
    """Scale what stands beside the graphs by the training molecules, in place; the network sees only ``sees_F``."""
    if model.beside is not None and graphs.features is not None:
        model.beside.fit(graphs.features[train], least_deviations(options.features), sees_F)


def _done(epochs: Sequence[Epoch]) -> MemberDone:
    kept = [epoch for epoch in epochs if epoch.best][-1]
    speed = float(np.mean([epoch.molecules_per_second for epoch in epochs]))
    return MemberDone(kept.member, len(epochs), kept.epoch, kept.val_score, speed)
