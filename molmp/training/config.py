"""Everything that decides how a network is trained, as one frozen record."""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from numbers import Integral
from typing import Any, Self

from molmp.errors import ConfigError, listed
from molmp.training.loss_names import check_quantiles

__all__ = ["CHOICES", "PRECISIONS", "TrainConfig"]

PRECISIONS = ("float32", "tf32", "bf16")
"""What products of matrices round their factors to in training, see :mod:`molmp.nn.precision`."""

CHOICES = {"views": ("mixed", "all"), "class_weight": ("none", "balanced"), "threshold": ("half", "tuned")}
"""The options of training that are words, and the words they can be."""


STEPS, FEWEST, MOST = 800, 15, 30
"""Steps that training shall make, and in how many epochs at least and at most."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to train.

    >>> TrainConfig(lr=-1.0)
    Traceback (most recent call last):
    molmp.errors.ConfigError: lr must be above 0, got -1.0
    """

    epochs: int | None = None
    """Passes over the training molecules, at most; None: as many as make 800 steps, from 15 to 30."""
    batch_size: int = 64
    """Molecules of one optimizer step."""
    lr: float = 2e-3
    """Peak learning rate: reached after ``warmup`` of all steps, then down a cosine to a hundredth."""
    warmup: float = 0.05
    """Share of the steps in which the learning rate rises."""
    weight_decay: float = 0.05
    """Of AdamW."""
    grad_clip: float = 5.0
    """Largest norm of a gradient; longer ones are shortened."""
    patience: int = 0
    """Epochs without a better validation score after which training stops; each network then keeps its best epoch.
    0: never; it keeps its last epoch, where the learning rate is low, and validation molecules choose no weight."""
    refit: bool = True
    """Whether a second set of networks, which are the model, learns from training and validation molecules together.
    The first tells what only molecules that were not seen can: validation metrics, shares, thresholds and trust. Not
    where ``patience`` lets validation molecules choose the epoch, nor with folds."""
    ensemble: int = 3
    """Networks trained together from different initial weights; their mean is the prediction, see
    :mod:`molmp.training.shares`."""
    views: str = "mixed"
    """What the networks see beside the graph: ``all`` features that there are, or ``mixed``: one network all, one none,
    one the descriptors, see :mod:`molmp.training.views`."""
    trees: bool = True
    """Whether boosted trees on the features beside the graph give half of the answer where targets are classes, see
    :mod:`molmp.training.boosting`."""
    seed: int = 0
    """Decides initial weights, batches and splits."""
    loss: str = "auto"
    """One of the task's losses in :data:`~molmp.training.loss_names.LOSS_NAMES`; ``auto`` is its first."""
    quantiles: tuple[float, ...] = (0.05, 0.5, 0.95)
    """What the loss ``quantile`` learns; the median is always among them."""
    precision: str = "float32"
    """One of :data:`PRECISIONS`, for the products of matrices while training; all else is float32."""
    class_weight: str = "none"
    """``balanced``: all classes of a target weigh the same together; ``none``: every label does."""
    task_weights: Mapping[str, float] | None = None
    """Weights of targets in the loss, by name; 1 for those that are not named."""
    threshold: str = "half"
    """Probability from which a molecule is called class 1: 0.5 (``half``), or ``tuned`` on the validation molecules."""
    pretrained: bool = True
    """Whether networks begin with encoders that have learned descriptors before, where they are of that make, see
    :mod:`molmp.training.pretrained`."""
    freeze: str = "none"
    """Weights of a trained model that are kept: ``none``, the ``encoder``, or a number of parts from the input on, see
    :meth:`~molmp.nn.model.MoleculeModel.freeze`."""

    def __post_init__(self) -> None:
        for name in ("lr", "grad_clip"):
            self._check(name, getattr(self, name) > 0, "above 0")
        epochs = () if self.epochs is None else ("epochs",)
        for name in (*epochs, "batch_size", "ensemble", "patience", "seed"):
            self._check(name, isinstance(getattr(self, name), Integral), "a whole number")
        for name in (*epochs, "batch_size", "ensemble"):
            self._check(name, getattr(self, name) >= 1, "at least 1")
        for name in ("weight_decay", "patience", "seed"):
            self._check(name, getattr(self, name) >= 0, "at least 0")
        self._check("seed", self.seed < 1 << 31, f"at most {(1 << 31) - 1:,}")
        for name in ("refit", "trees", "pretrained"):
            self._check(name, isinstance(getattr(self, name), bool), "true or false")
        self._check("warmup", 0 <= self.warmup < 1, "from 0 to below 1")
        self._check("precision", self.precision in PRECISIONS, f"one of {listed(PRECISIONS)}")
        for name, allowed in CHOICES.items():
            self._check(name, getattr(self, name) in allowed, f"one of {listed(allowed)}")
        self._check("freeze", re.fullmatch("none|encoder|[0-9]{1,3}", str(self.freeze)) is not None,
                    "none, encoder or a number of parts")  # fmt: skip
        weights = [] if self.task_weights is None else self.task_weights.values()
        self._check("task_weights", all(0 < weight < math.inf for weight in weights), "numbers above 0")
        object.__setattr__(self, "quantiles", check_quantiles(self.quantiles))

    def settled(self, num_molecules: int) -> Self:
        """With a number of epochs: many molecules are learned in fewer passes.

        >>> TrainConfig().settled(500).epochs, TrainConfig().settled(2_500).epochs, TrainConfig().settled(10**6).epochs
        (30, 20, 15)
        """
        if self.epochs is not None:
            return self
        steps = math.ceil(num_molecules / self.batch_size)
        return replace(self, epochs=min(max(math.ceil(STEPS / max(steps, 1)), FEWEST), MOST))

    @property
    def num_epochs(self) -> int:
        """The number of epochs of a config that is :meth:`settled`."""
        assert self.epochs is not None, "the number of molecules settles the number of epochs"
        return self.epochs

    def refits(self, num_folds: int) -> bool:
        """Whether the model learns from validation molecules too, in the end."""
        return self.refit and not self.patience and not num_folds

    @property
    def frozen_parts(self) -> int:
        """Parts of a network, from the input on, whose weights are kept."""
        return {"none": 0, "encoder": 3}[self.freeze] if self.freeze in ("none", "encoder") else int(self.freeze)

    def _check(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise ConfigError(f"{name} must be {rule}, got {getattr(self, name)!r}")

    def to_dict(self) -> dict[str, Any]:
        """As plain data for a file."""
        return asdict(self) | {"quantiles": list(self.quantiles)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """From plain data; unknown names are refused."""
        known = [field.name for field in fields(cls)]
        if unknown := [name for name in data if name not in known]:
            raise ConfigError(f"unknown training option {unknown[0]!r}; there are {listed(known, 20)}")
        return cls(**data)
