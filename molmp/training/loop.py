"""Many epochs for all networks of an ensemble in one pass: ``fit`` yields what happened and prints nothing.

Shapes: E networks, n molecules, B of them in a batch, O outputs of a network.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from molmp.errors import DataError
from molmp.nn.batch import DeviceGraphs
from molmp.nn.device import send
from molmp.nn.dropout import dropout_seeds
from molmp.nn.members import Members
from molmp.nn.precision import check_precision, products_in
from molmp.training.checkpoints import Checkpoints
from molmp.training.config import TrainConfig
from molmp.training.distributed import ALONE, Ranks
from molmp.training.metrics import LOWER_IS_BETTER, MAIN_METRIC, Scores, evaluate
from molmp.training.objective import Known, objective
from molmp.training.place import Best, Epoch, Place
from molmp.training.targets import Targets

__all__ = ["Epoch", "Examples", "Plan", "Step", "fit", "predict_outputs"]

EVALUATION_BATCH = 1024


class Step(NamedTuple):
    """One optimizer step is done."""

    epoch: int
    num_molecules: int


@dataclass(frozen=True, eq=False)
class Examples:
    """Graphs on the device and their labels, one row a molecule."""

    graphs: DeviceGraphs
    targets: Targets
    labels: np.ndarray
    """Real units or class indices, NaN where missing, shape ``(n, t)``."""
    weights: np.ndarray
    """Of each label, shape ``(n, t)``."""
    sides: np.ndarray | None = None
    """Of labels that are bounds: 1 where the truth is there or above, -1 where it is there or below, else 0."""

    def known(self, device: torch.device | str) -> Known:
        """What the loss sees of the labels, on the device."""
        sides = None if self.sides is None else torch.from_numpy(self.sides.astype(np.float32))
        encoded, weights = self.targets.encode(self.labels), self.weights.astype(np.float32)
        return Known(torch.from_numpy(encoded), torch.from_numpy(weights), sides).to(device)

    def score(self, rows: np.ndarray, predictions: Sequence[np.ndarray]) -> Scores:
        """Metrics of predictions for those rows."""
        sides = None if self.sides is None else self.sides[rows]
        return evaluate(self.targets.task, self.targets.names, self.labels[rows], predictions, sides)

    def counts(self) -> np.ndarray:
        """What each molecule weighs in the loss: the weights of its labels that are known, shape ``(n,)``."""
        return np.asarray((self.weights * ~np.isnan(self.labels)).sum(axis=1))


class Plan(NamedTuple):
    """What one network of an ensemble learns from."""

    seed: int
    """Decides what dropout draws; initial weights came with the network."""
    train: np.ndarray
    """Rows that it learns from."""
    val: np.ndarray
    """Rows that choose its best epoch."""


def fit(members: Members, examples: Examples, plans: Sequence[Plan], config: TrainConfig, *, ranks: Ranks = ALONE,
        state: Mapping[str, Any] | None = None, checkpoints: Checkpoints | None = None,
        ) -> Iterator[Step | Epoch]:  # fmt: skip
    """Train all ``members`` in one pass and in place; when the iterator ends they hold their best epochs' weights.

    All see the same batches of the rows that any of them learns from; a row that is not in a network's plan weighs
    nothing for it. Each has its own loss, gradient and norm, draws its own dropout, keeps its own best epoch and stops
    when its own patience is over: the result is that of training one after the other on these batches.

    The order of epoch ``e`` depends on ``(config.seed, e)`` alone, and what dropout draws in it on ``(plan.seed, e)``;
    among several processes dropout draws something else in each.

    ``checkpoints`` keep where the training is; given back as ``state``, training goes on there and ends the same to the
    bit on the CPU. The records of epochs that were done before come first again.

    Raises
    ------
    DataError
        A loss is no longer finite; the networks then hold the best epochs before that.
    """
    learner = _Learner(members, examples, plans, config, ranks)
    place = Place(learner.new_totals(), [Best() for _ in plans], []) if state is None else learner.restore(state)
    if place.records:
        yield Step(place.epoch - 1, (place.epoch - 1) * len(learner.rows))
    yield from place.records
    while place.epoch <= config.epochs and not all(b.is_over(place.epoch, config.patience) for b in place.best):
        started = time.perf_counter() - place.seconds
        members.train()
        for step, rows in enumerate(_batches(learner.rows, config.batch_size, config.seed, place.epoch)):
            if step >= place.step:
                with products_in(config.precision):
                    place.totals.add_(learner.step(rows, place.epoch, step))
            yield Step(place.epoch, len(rows))
            # Of several processes each has added up its own share of the losses: they wait for the epoch's end.
            if checkpoints is not None and step >= place.step and ranks.size == 1 and checkpoints.is_due():
                checkpoints.save(learner.state(replace(place, step=step + 1, seconds=time.perf_counter() - started)))
        records = _judge(learner, examples, config, place, started)
        yield from records
        place = Place(learner.new_totals(), place.best, place.records + records, place.epoch + 1)
        if checkpoints is not None and checkpoints.is_due():
            checkpoints.save(learner.state(place))
    _restore(members, place.best)


class _Learner:
    """The networks, what they learn from, and how a batch changes them."""

    def __init__(
        self, members: Members, examples: Examples, plans: Sequence[Plan], config: TrainConfig, ranks: Ranks
    ) -> None:
        self.members, self.plans, self.ranks, self.grad_clip = members, plans, ranks, config.grad_clip
        self.graphs, self.device = examples.graphs, examples.graphs.device
        check_precision(config.precision, self.device)
        self.rows = np.unique(np.concatenate([plan.train for plan in plans]))
        everyone = np.arange(len(examples.labels))
        self.learns_En = np.stack([np.isin(everyone, plan.train) for plan in plans])
        self.counts_En = self.learns_En * examples.counts()
        self.known, self.loss_of = examples.known(self.device), objective(examples.targets)
        self.mask_En = torch.from_numpy(self.learns_En).to(self.device)
        self.network = ranks.wrap(members)
        self.optimizer = torch.optim.AdamW(
            members.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True
        )
        shape = _Schedule(config, math.ceil(len(self.rows) / config.batch_size))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, shape)

    def new_totals(self) -> Tensor:
        """Losses of an epoch that begins."""
        return torch.zeros(self.members.num_members, device=self.device)

    def state(self, place: Place) -> dict[str, Any]:
        """All that decides how the training goes on from ``place``."""
        parts: dict[str, Any] = {"network": self.members, "optimizer": self.optimizer, "schedule": self.schedule}
        return {name: part.state_dict() for name, part in parts.items()} | {"place": place.to_dict()}

    def restore(self, state: Mapping[str, Any]) -> Place:
        """Go on from what :meth:`state` returned."""
        self.members.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        return Place.from_dict(state["place"], self.device)

    @property
    def rate(self) -> float:
        """The learning rate now."""
        rate: float = self.optimizer.param_groups[0]["lr"]
        return rate

    def step(self, rows: np.ndarray, epoch: int, step: int) -> Tensor:
        """Learn from a batch; return the loss of each network times the molecules there that it learns from."""
        share = self.ranks.share(rows, self.counts_En)
        places = send(torch.from_numpy(share.rows), self.device)
        seeds = [_seed(plan.seed, epoch, step, self.ranks.rank) for plan in self.plans]
        self.optimizer.zero_grad(set_to_none=True)
        with dropout_seeds(seeds, self.device):
            outputs_EBO = self.network(self.graphs.batch(share.rows))
        known, pairs = self.known.at(places), zip(outputs_EBO, self.mask_En[:, places], strict=True)
        losses_E = torch.stack([self.loss_of(outputs, known.only(mask)) for outputs, mask in pairs])
        losses_E = losses_E * self._numbers(share.factors)
        losses_E.sum().backward()
        self.members.clip_gradients(self.grad_clip)
        self.optimizer.step()
        self.schedule.step()
        return losses_E.detach() * self._numbers(self.learns_En[:, rows].sum(1))

    def _numbers(self, values: Sequence[float] | np.ndarray) -> Tensor:
        return send(torch.as_tensor(values, dtype=torch.float32), self.device)


@torch.inference_mode()
def predict_outputs(members: Members, graphs: DeviceGraphs, rows: np.ndarray) -> np.ndarray:
    """Outputs of each network for those rows, in that order, shape ``(E, len(rows), num_outputs)``."""
    members.eval()
    parts = [rows[start : start + EVALUATION_BATCH] for start in range(0, len(rows), EVALUATION_BATCH)]
    if not parts:
        return np.zeros((members.num_members, 0, members.network.num_outputs), np.float32)
    return torch.cat([members(graphs.batch(part)).float().cpu() for part in parts], dim=1).numpy()


class _Schedule:
    """Factor of the learning rate at a step: up a line, then down half a cosine to 0.01."""

    def __init__(self, config: TrainConfig, steps_per_epoch: int) -> None:
        self.total = max(config.epochs * steps_per_epoch, 1)
        self.rising = max(round(config.warmup * self.total), 1)

    def __call__(self, step: int) -> float:
        if step < self.rising:
            return (step + 1) / self.rising
        done = (step - self.rising) / max(self.total - self.rising, 1)
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def _batches(rows: np.ndarray, size: int, seed: int, epoch: int) -> Iterator[np.ndarray]:
    order = np.random.default_rng([seed, epoch]).permutation(rows)
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _judge(learner: _Learner, examples: Examples, config: TrainConfig, place: Place, started: float) -> list[Epoch]:
    """Score every network after an epoch, and keep the weights of those that are better than before."""
    members, ranks, records = learner.members, learner.ranks, []
    train_losses = ranks.mean(place.totals) / [len(plan.train) for plan in learner.plans]
    validate = partial(_validate, members, examples, learner.plans)
    scores = ranks.from_main(validate, (len(learner.plans), 2), learner.device)
    seconds = time.perf_counter() - started
    for e, (train_loss, val_loss, val_score) in enumerate(np.column_stack([train_losses, scores]).tolist()):
        if place.best[e].is_over(place.epoch, config.patience):
            continue
        if not math.isfinite(train_loss + val_loss):
            _restore(members, place.best)
            raise DataError(_diverged(place.epoch, config))
        criterion = _criterion(examples.targets, val_loss, val_score)
        if improved := criterion < place.best[e].criterion:
            place.best[e] = Best(criterion, place.epoch, members.weights(e))
        speed = len(learner.rows) / seconds
        records.append(Epoch(e, place.epoch, train_loss, val_loss, val_score, improved, learner.rate, seconds, speed))
    return records


def _validate(members: Members, examples: Examples, plans: Sequence[Plan]) -> np.ndarray:
    """Loss and main metric of each network on its own validation rows, shape ``(E, 2)``; NaN where not finite."""
    rows = np.unique(np.concatenate([plan.val for plan in plans]))
    outputs_EnO = predict_outputs(members, examples.graphs, rows)
    return np.array([
        _score(outputs_nO[np.searchsorted(rows, plan.val)], examples, plan.val)
        for outputs_nO, plan in zip(outputs_EnO, plans, strict=True)
    ])  # fmt: skip


def _score(outputs_nO: np.ndarray, examples: Examples, rows: np.ndarray) -> tuple[float, float]:
    targets = examples.targets
    if not np.isfinite(outputs_nO).all():
        return math.nan, math.nan
    loss = objective(targets)(torch.from_numpy(outputs_nO), examples.known("cpu").at(torch.from_numpy(rows)))
    score = examples.score(rows, targets.decode(outputs_nO)).mean[MAIN_METRIC[targets.task]]
    return float(loss), math.nan if score is None else score


def _criterion(targets: Targets, val_loss: float, val_score: float) -> tuple[float, float]:
    """Lower is better: the main metric, where that is equal or undefined the loss.

    Where the loss judges more than predictions, spreads or quantiles, it decides alone.
    """
    if math.isnan(val_score) or (targets.task == "regression" and max(targets.widths) > 1):
        return 0.0, val_loss
    return val_score if MAIN_METRIC[targets.task] in LOWER_IS_BETTER else -val_score, val_loss


def _restore(members: Members, best: Sequence[Best]) -> None:
    for e, of_member in enumerate(best):
        if of_member.weights:
            members.set_weights(e, of_member.weights)


def _diverged(epoch: int, config: TrainConfig) -> str:
    return (
        f"training diverged in epoch {epoch}: the loss is not finite. "
        f"A lower --lr than {config.lr:g} or a look at extreme labels usually helps"
    )
