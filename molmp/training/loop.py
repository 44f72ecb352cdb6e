"""Many epochs for all networks of an ensemble in one pass: ``fit`` yields what happened and prints nothing.

Shapes: E networks, n molecules, B of them in a batch, O outputs of a network.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from molmp.errors import DataError, DeviceError
from molmp.nn.adamw import AdamW
from molmp.nn.device import send
from molmp.nn.dropout import dropout_seeds
from molmp.nn.members import Members
from molmp.nn.memory import let_go
from molmp.nn.precision import check_precision, products_in
from molmp.training.alarm import Alarm, likely_cause
from molmp.training.checkpoints import Checkpoints
from molmp.training.config import TrainConfig
from molmp.training.distributed import ALONE, Ranks, Share
from molmp.training.examples import Examples, Plan
from molmp.training.objective import objective
from molmp.training.place import Best, Epoch, Place
from molmp.training.validation import criterion_of, validate_members

__all__ = ["Epoch", "Examples", "Plan", "Step", "fit"]


class Step(NamedTuple):
    """One optimizer step is done."""

    epoch: int
    num_molecules: int
    pieces: int = 1
    """In how many pieces the batch was computed; more than one where the memory of a GPU asked for it."""


def fit(members: Members, examples: Examples, plans: Sequence[Plan], config: TrainConfig, *, ranks: Ranks = ALONE,
        state: Mapping[str, Any] | None = None, checkpoints: Checkpoints | None = None,
        ) -> Iterator[Step | Epoch]:  # fmt: skip
    """Train all ``members`` in one pass and in place; when the iterator ends they hold the weights of
    their last epochs, or with ``config.patience`` of their best.

    All see the same batches of the rows that any of them learns from; a row that is not in a network's plan weighs
    nothing for it. Each has its own loss, gradient and norm, draws its own dropout, keeps its own epoch and stops
    when its own patience is over: the result is that of training one after the other on these batches.

    The order of epoch ``e`` depends on ``(config.seed, e)`` alone, and what dropout draws in it on ``(plan.seed, e)``,
    however a batch is shared or cut; dropout between message passing steps does depend on that, since its rows are no
    molecules.

    ``checkpoints`` keep where the training is; given back as ``state``, training goes on there and ends the same to the
    bit on the CPU. The records of epochs that were done before come first again.

    Raises
    ------
    DataError
        A loss or gradient is no longer finite; the networks then hold what they would have kept before that.
    DeviceError
        A single molecule does not fit into the memory; batches that do not are computed in pieces.
    """
    learner = _Learner(members, examples, plans, config, ranks)
    place = Place(learner.new_totals(), [Best() for _ in plans], []) if state is None else learner.restore(state)
    if place.records:
        yield Step(place.epoch - 1, (place.epoch - 1) * len(learner.rows))
    yield from place.records
    try:
        while place.epoch <= config.num_epochs and not all(b.is_over(place.epoch, config.patience) for b in place.best):
            started = time.perf_counter() - place.seconds
            members.train()
            for step, rows in enumerate(_batches(learner.rows, config.batch_size, config.seed, place.epoch)):
                if step >= place.step:
                    with products_in(config.precision):
                        place.totals.add_(learner.step(rows, place.epoch, step))
                yield Step(place.epoch, len(rows), learner.pieces)
                # Of several processes each has added up its own share of the losses: they wait for the epoch's end.
                if step >= place.step and ranks.size == 1:
                    _keep(checkpoints, learner, replace(place, step=step + 1, seconds=time.perf_counter() - started))
            records = _judge(learner, examples, config, place, started)
            yield from records
            place = Place(learner.new_totals(), place.best, place.records + records, place.epoch + 1)
            _keep(checkpoints, learner, place)
    finally:
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
        learning = [parameter for parameter in members.parameters() if parameter.requires_grad]
        self.optimizer = AdamW(learning, weight_decay=config.weight_decay)
        cause = likely_cause(examples.targets, examples.labels, self.known.labels.cpu().numpy(), config.lr)
        self.alarm, self.pieces = Alarm(self.device, cause), 1
        self.schedule = _Schedule(config, math.ceil(len(self.rows) / config.batch_size))
        self.steps, self.highest_rate = 0, config.lr

    def new_totals(self) -> Tensor:
        """Losses of an epoch that begins."""
        return torch.zeros(self.members.num_members, device=self.device)

    def state(self, place: Place) -> dict[str, Any]:
        """All that decides how the training goes on from ``place``."""
        parts: dict[str, Any] = {"network": self.members, "optimizer": self.optimizer}
        made = {name: part.state_dict() for name, part in parts.items()}
        return made | {"steps": self.steps, "place": place.to_dict()}

    def restore(self, state: Mapping[str, Any]) -> Place:
        """Go on from what :meth:`state` returned."""
        self.members.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.steps = state["steps"]
        return Place.from_dict(state["place"], self.device)

    @property
    def rate(self) -> float:
        """The learning rate now."""
        return self.highest_rate * self.schedule(self.steps)

    def step(self, rows: np.ndarray, epoch: int, step: int) -> Tensor:
        """Learn from a batch; return the loss of each network times the molecules there that it learns from."""
        share = self.ranks.share(rows, self.counts_En)
        seeds = [_seed(plan.seed, epoch, step) for plan in self.plans]
        losses_E = self._gradient(share, len(rows), seeds)
        norms_E = self.members.clip_gradients(self.grad_clip)
        self.alarm.watch(losses_E if self.ranks.size == 1 else norms_E, norms_E, step)
        if self.device.type == "cpu":
            self.alarm.check(epoch)
        self.optimizer.step(self.rate)
        self.steps += 1
        return losses_E * self._numbers(self.learns_En[:, rows].sum(1))

    def _gradient(self, share: Share, num_molecules: int, seeds: Sequence[int]) -> Tensor:
        """Work out the gradient of a share of a batch, in as many pieces as the memory asks for; return the losses."""
        while True:
            self.optimizer.zero_grad()
            try:
                losses = []
                for piece in share.cut(self.pieces, self.counts_En):
                    part = None if len(piece.places) == num_molecules else self._send(piece.places)
                    with dropout_seeds(seeds, self.device, molecules=part, num_molecules=num_molecules):
                        losses.append(self._backward(piece))
                return torch.stack(losses).sum(0)
            except torch.OutOfMemoryError as error:
                if self.ranks.size > 1 or self.pieces >= len(share.rows):
                    raise DeviceError(f"out of memory on {self.device}; a lower --batch-size may help") from error
            self.pieces *= 2
            let_go()

    def _backward(self, share: Share) -> Tensor:
        places = self._send(share.rows)
        outputs_EBO = self.network(self.graphs.batch(share.rows))
        known, pairs = self.known.at(places), zip(outputs_EBO, self.mask_En[:, places], strict=True)
        losses_E = torch.stack([self.loss_of(outputs, known.only(mask)) for outputs, mask in pairs])
        losses_E = losses_E * self._numbers(share.factors)
        losses_E.sum().backward()
        return losses_E.detach()

    def _send(self, rows: np.ndarray) -> Tensor:
        return send(torch.from_numpy(rows), self.device)

    def _numbers(self, values: Sequence[float] | np.ndarray) -> Tensor:
        return send(torch.as_tensor(values, dtype=torch.float32), self.device)


class _Schedule:
    """Factor of the learning rate at a step: up a line, then down half a cosine to 0.01."""

    def __init__(self, config: TrainConfig, steps_per_epoch: int) -> None:
        self.total = max(config.num_epochs * steps_per_epoch, 1)
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
    """Score the networks after an epoch, and keep the weights: of all, or of those that are better than before.

    There is no record of networks without validation rows.
    """
    members, ranks, records = learner.members, learner.ranks, []
    learner.alarm.check(place.epoch)
    train_losses = ranks.mean(place.totals) / [len(plan.train) for plan in learner.plans]
    validate = partial(validate_members, members, examples, learner.plans)
    scores = ranks.from_main(validate, (len(learner.plans), 3), learner.device)
    seconds = time.perf_counter() - started
    for e, judged in enumerate(np.column_stack([train_losses, scores]).tolist()):
        train_loss, val_loss, val_score, of_all = judged
        if place.best[e].is_over(place.epoch, config.patience):
            continue
        if not math.isfinite(train_loss + val_loss):
            raise DataError(f"training diverged in epoch {place.epoch}: a loss is not finite. {learner.alarm.advice}")
        criterion = criterion_of(examples.targets, config, val_loss, val_score)
        if kept := criterion < place.best[e].criterion or not config.patience:
            place.best[e] = Best(criterion, place.epoch, members.weights(e))
        speed = len(learner.rows) / seconds
        if len(learner.plans[e].val):
            records.append(
                Epoch(e, place.epoch, train_loss, val_loss, val_score, of_all, kept, learner.rate, seconds, speed)
            )
    return records


def _keep(checkpoints: Checkpoints | None, learner: _Learner, place: Place) -> None:
    """Write a checkpoint if it is time, but none of a training that went wrong."""
    if checkpoints is not None and checkpoints.is_due():
        learner.alarm.check(place.epoch)
        checkpoints.save(learner.state(place))


def _restore(members: Members, best: Sequence[Best]) -> None:
    for e, of_member in enumerate(best):
        if of_member.weights:
            members.set_weights(e, of_member.weights)
