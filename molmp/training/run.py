"""From labelled molecules to a trained model: scale, fit each member, score every part of the split."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from molmp.errors import DataError
from molmp.nn.batch import DeviceGraphs
from molmp.nn.model import ModelConfig, MoleculeModel
from molmp.training.bundle import Bundle
from molmp.training.config import TrainConfig
from molmp.training.distributed import ALONE, Ranks
from molmp.training.loop import Epoch, Examples, Step, fit, predict_outputs
from molmp.training.metrics import evaluate
from molmp.training.problem import Problem
from molmp.training.targets import Targets, mean_prediction

__all__ = ["MemberDone", "Trained", "new_model", "train"]


class MemberDone(NamedTuple):
    """One network of the ensemble is trained."""

    member: int
    """Counted from 0."""
    num_epochs: int
    best_epoch: int
    val_score: float
    """The task's main metric in the best epoch."""
    molecules_per_second: float
    """Mean over the epochs."""


class Trained(NamedTuple):
    """The end of training."""

    bundle: Bundle
    history: list[dict[str, Any]]
    """One record an epoch and member, as in ``history.csv``."""
    parts: dict[str, np.ndarray]
    """``train``, ``val``, ``test``: the input rows that were used, ascending."""
    predictions: dict[str, list[np.ndarray]]
    """For each part what ``Targets.decode`` gives, in the order of ``parts``."""


def train(problem: Problem, network: ModelConfig, config: TrainConfig, *, device: str = "auto",
          ranks: Ranks = ALONE) -> Iterator[Step | Epoch | MemberDone | Trained]:  # fmt: skip
    """Train a model. Yields each step, each epoch, each finished member, and last a :class:`Trained`.

    ``ranks`` are those of :func:`molmp.training.distributed.join` where several processes train together.
    """
    where = ranks.pick_device(device)
    graphs = DeviceGraphs(problem.featurized.graphs, where, steps=network.steps)
    parts = {name: _places(problem.featurized.rows, getattr(problem.split, name)) for name in ("train", "val", "test")}
    labels = problem.labels[problem.featurized.rows]
    weights = np.ones(len(labels)) if problem.weights is None else problem.weights[problem.featurized.rows]
    _check_parts(parts, labels, problem.targets)
    counts = (~np.isnan(labels)).any(axis=1) & (weights > 0)
    useful = parts["train"][counts[parts["train"]]]
    targets = problem.targets.fit(labels[useful])
    examples = Examples(graphs, targets, labels, weights)
    models: list[MoleculeModel] = []
    history: list[dict[str, Any]] = []
    for member in range(config.ensemble):
        model = new_model(network, targets.num_outputs, config.seed + member).to(where)
        epochs = []
        for record in fit(model, examples, useful, parts["val"], config, seed=config.seed + member, ranks=ranks):
            if isinstance(record, Epoch):
                epochs.append(record)
            yield record
        models.append(model)
        history += [{"member": member, **epoch._asdict()} for epoch in epochs]
        best = [epoch for epoch in epochs if epoch.best][-1]
        speed = len(epochs) * len(useful) / sum(epoch.seconds for epoch in epochs)
        yield MemberDone(member, len(epochs), best.epoch, best.val_score, speed)
    predictions = {name: _ensemble(models, targets, graphs, rows) for name, rows in parts.items()}
    metrics = _metrics(targets, labels, parts, predictions)
    members = tuple({n: t.detach().cpu().clone() for n, t in model.state_dict().items()} for model in models)
    sizes = {name: len(rows) for name, rows in parts.items()}
    bundle = Bundle(
        targets=targets, options=problem.options, network=network, training=config, members=members,
        data=dict(problem.data) | {"split_rows": sizes}, metrics=metrics,
    )  # fmt: skip
    used = {name: problem.featurized.rows[rows] for name, rows in parts.items()}
    yield Trained(bundle, history, used, predictions)


def new_model(network: ModelConfig, num_outputs: int, seed: int) -> MoleculeModel:
    """Build a network whose initial weights depend on ``seed`` alone, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MoleculeModel(network, num_outputs)


def _places(readable: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Positions in the graphs of those input rows that could be read, ascending."""
    return np.flatnonzero(np.isin(readable, rows))


def _check_parts(parts: Mapping[str, np.ndarray], labels: np.ndarray, targets: Targets) -> None:
    for name, meaning in (("train", "training"), ("val", "validation")):
        known = ~np.isnan(labels[parts[name]])
        if not known.any():
            raise DataError(f"no {meaning} molecule that can be read has a label")
    known = ~np.isnan(labels[parts["train"]])
    for target, column in zip(targets.names, known.T, strict=True):
        if not column.any():
            raise DataError(f"target {target!r} has no label among the training molecules")


def _ensemble(
    models: Sequence[MoleculeModel], targets: Targets, graphs: DeviceGraphs, rows: np.ndarray
) -> list[np.ndarray]:
    return mean_prediction([targets.decode(predict_outputs(model, graphs, rows)) for model in models])


def _metrics(targets: Targets, labels: np.ndarray, parts: Mapping[str, np.ndarray],
             predictions: Mapping[str, list[np.ndarray]]) -> dict[str, Any]:  # fmt: skip
    scores = {n: evaluate(targets.task, targets.names, labels[rows], predictions[n]) for n, rows in parts.items()}
    per_target = {name: {part: s.per_target[name] for part, s in scores.items()} for name in targets.names}
    return {part: s.mean for part, s in scores.items()} | {"per_target": per_target}
