"""One network, many epochs: ``fit`` yields what happened and prints nothing."""

import copy
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from molmp.errors import DataError
from molmp.nn.batch import DeviceGraphs
from molmp.nn.model import MoleculeModel
from molmp.training.config import TrainConfig
from molmp.training.distributed import ALONE, Ranks
from molmp.training.metrics import LOWER_IS_BETTER, MAIN_METRIC, evaluate
from molmp.training.objective import task_loss
from molmp.training.targets import Targets

__all__ = ["Epoch", "Examples", "Step", "fit", "predict_outputs"]

EVALUATION_BATCH = 1024


class Step(NamedTuple):
    """One optimizer step is done."""

    epoch: int
    num_molecules: int


class Epoch(NamedTuple):
    """One pass over the training molecules is done."""

    epoch: int
    """Counted from 1."""
    train_loss: float
    val_loss: float
    val_score: float
    """The task's main metric on the validation molecules."""
    best: bool
    """Whether this is the best epoch so far."""
    lr: float
    seconds: float
    molecules_per_second: float
    """Training molecules over the time of the whole epoch, validation included."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Graphs on the device and their labels, one row a molecule."""

    graphs: DeviceGraphs
    targets: Targets
    labels: np.ndarray
    """Real units or class indices, NaN where missing, shape ``(n, t)``."""
    weights: np.ndarray
    """Of each molecule, shape ``(n,)``."""

    def tensors(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Encoded labels ``(n, t)`` and weights ``(n,)`` on the device."""
        encoded = torch.from_numpy(self.targets.encode(self.labels))
        return encoded.to(device), torch.from_numpy(self.weights.astype(np.float32)).to(device)

    def counts(self) -> np.ndarray:
        """What each molecule weighs in the loss: its weight for each label that is known, shape ``(n,)``."""
        return self.weights * (~np.isnan(self.labels)).sum(axis=1)


def fit(model: MoleculeModel, examples: Examples, train: np.ndarray, val: np.ndarray, config: TrainConfig,
        *, seed: int, ranks: Ranks = ALONE) -> Iterator[Step | Epoch]:  # fmt: skip
    """Train ``model`` in place on rows ``train``; when the iterator ends it holds the best epoch's weights.

    The order of epoch ``e`` and what dropout draws in it depend on ``(seed, e)`` alone; among several processes dropout
    draws something else in each.

    Raises
    ------
    DataError
        The loss is no longer finite; the model then holds the best epoch before that.
    """
    device = examples.graphs.device
    labels, weights = examples.tensors(device)
    counts, network = examples.counts(), ranks.wrap(model)
    loss_of = task_loss(examples.targets.task, examples.targets.widths)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True)
    steps_per_epoch = math.ceil(len(train) / config.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _Schedule(config, steps_per_epoch))
    best, best_epoch, weights_of_best = (math.inf, math.inf), 0, None
    for epoch in range(1, config.epochs + 1):
        started = time.perf_counter()
        model.train()
        total = torch.zeros((), device=device)
        for step, rows in enumerate(_batches(train, config.batch_size, seed, epoch)):
            share = ranks.share(rows, counts)
            places = torch.from_numpy(share.rows).to(device)
            optimizer.zero_grad(set_to_none=True)
            with _randomness(device, seed, epoch, step, ranks.rank):
                outputs = network(examples.graphs.batch(share.rows))
            loss = share.factor * loss_of(outputs, labels[places], weights[places])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
            optimizer.step()
            schedule.step()
            total += loss.detach() * len(rows)
            yield Step(epoch, len(rows))
        train_loss = ranks.mean(total) / len(train)
        val_loss, val_score = ranks.from_main(lambda: _validate(model, examples, val, labels, weights), device)
        if not math.isfinite(train_loss + val_loss):
            _restore(model, weights_of_best)
            raise DataError(_diverged(epoch, config))
        criterion = _criterion(examples.targets.task, val_loss, val_score)
        if improved := criterion < best:
            best, best_epoch, weights_of_best = criterion, epoch, copy.deepcopy(model.state_dict())
        seconds = time.perf_counter() - started
        rate = optimizer.param_groups[0]["lr"]
        yield Epoch(epoch, train_loss, val_loss, val_score, improved, rate, seconds, len(train) / seconds)
        if config.patience and epoch - best_epoch >= config.patience:
            break
    _restore(model, weights_of_best)


@torch.inference_mode()
def predict_outputs(model: MoleculeModel, graphs: DeviceGraphs, rows: np.ndarray) -> np.ndarray:
    """Outputs of the network for those rows, in that order, shape ``(len(rows), num_outputs)``."""
    model.eval()
    parts = [rows[start : start + EVALUATION_BATCH] for start in range(0, len(rows), EVALUATION_BATCH)]
    outputs = [model(graphs.batch(part)).float().cpu() for part in parts]
    return torch.cat(outputs).numpy() if outputs else np.zeros((0, model.num_outputs), np.float32)


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


@contextmanager
def _randomness(device: torch.device, *numbers: int) -> Iterator[None]:
    """Let what dropout draws depend on these numbers alone, and leave the caller's generators as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))
        yield


def _validate(
    model: MoleculeModel, examples: Examples, val: np.ndarray, labels: Tensor, weights: Tensor
) -> tuple[float, float]:
    targets = examples.targets
    outputs = predict_outputs(model, examples.graphs, val)
    rows = torch.from_numpy(val)
    loss = task_loss(targets.task, targets.widths)(torch.from_numpy(outputs), labels.cpu()[rows], weights.cpu()[rows])
    if not np.isfinite(outputs).all():
        return math.nan, math.nan
    scores = evaluate(targets.task, targets.names, examples.labels[val], targets.decode(outputs))
    score = scores.mean[MAIN_METRIC[targets.task]]
    return float(loss), math.nan if score is None else score


def _criterion(task: str, val_loss: float, val_score: float) -> tuple[float, float]:
    """Lower is better: the main metric, where that is equal or undefined the loss."""
    if math.isnan(val_score):
        return 0.0, val_loss
    return val_score if MAIN_METRIC[task] in LOWER_IS_BETTER else -val_score, val_loss


def _restore(model: MoleculeModel, weights: dict[str, Tensor] | None) -> None:
    if weights is not None:
        model.load_state_dict(weights)


def _diverged(epoch: int, config: TrainConfig) -> str:
    return (
        f"training diverged in epoch {epoch}: the loss is not finite. "
        f"A lower --lr than {config.lr:g} or a look at extreme labels usually helps"
    )
