"""Between labels in real units and what the network learns: scaling there, and back again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
import torch

from molmp.nn.beliefs import Belief, combine, read_belief
from molmp.training.loss_names import check_quantiles, pick_loss
from molmp.training.transforms import TRANSFORMED, Transform, choose_transform

__all__ = ["Answered", "Target", "Targets"]


@dataclass(frozen=True, kw_only=True)
class Target:
    """One measured property."""

    name: str
    unit: str | None = None
    """As the user named it; predictions are in the same unit."""
    classes: tuple[str, ...] = ()
    """Names of the classes in the order of their indices; none for regression."""
    center: float = 0.0
    """Mean of the training labels; 0 for classes."""
    scale: float = 1.0
    """Standard deviation of the training labels; 1 for classes."""
    threshold: float | None = None
    """Probability from which a molecule is of class 1, where it was tuned."""
    transform: Transform | None = None
    """What is done to the standardized labels where they are skewed."""
    shares: tuple[float, ...] = ()
    """What each network of an ensemble counts in the answer, adding up to 1; with folds those of each fold count so.
    None where all count the same. See :mod:`molmp.training.shares`."""


class Answered(NamedTuple):
    """What a model says of one target of ``n`` molecules, in the target's unit; NaN where it says nothing."""

    value: np.ndarray
    """Prediction, or probability of class 1, shape ``(n,)``; probabilities of all classes, shape ``(n, classes)``."""
    aleatoric: np.ndarray | None
    """Standard deviation of the truth that more data would not lower, shape ``(n,)``; ``None`` where the loss does not
    learn it."""
    epistemic: np.ndarray | None
    """Standard deviation of the value that more data would lower, shape ``(n,)``: what the networks of an ensemble
    disagree in, and what evidence is missing; ``None`` for one network whose loss does not learn it."""
    quantiles: np.ndarray | None
    """Of the truth, ascending, shape ``(n, quantiles)``; ``None`` where the loss does not learn them."""

    @property
    def std(self) -> np.ndarray | None:
        """Standard deviation of the truth around the value, shape ``(n,)``, from both causes where they are known."""
        parts = [part for part in (self.aleatoric, self.epistemic) if part is not None]
        return np.sqrt(sum(part**2 for part in parts)) if parts else None

    @classmethod
    def of(cls, belief: Belief) -> Self:
        """From tensors and variances."""
        value, aleatoric, epistemic, quantiles = (None if part is None else part.numpy() for part in belief)
        assert value is not None
        deviations = [None if part is None else np.sqrt(part) for part in (aleatoric, epistemic)]
        return cls(value, deviations[0], deviations[1], quantiles)


@dataclass(frozen=True)
class Targets:
    """All targets of a model: how many numbers the network gives, and what they mean.

    >>> targets = Targets("regression", (Target(name="logS"),)).fit(np.array([[1.0], [3.0], [np.nan]]))
    >>> targets.encode(np.array([[5.0]]))
    array([[3.]], dtype=float32)
    >>> targets.decode(np.array([[3.0]]))
    [array([5.])]
    """

    task: str
    items: tuple[Target, ...]
    loss: str = "auto"
    """One of :data:`~molmp.training.loss_names.LOSS_NAMES` of the task; ``auto`` is its first."""
    quantiles: tuple[float, ...] = (0.05, 0.5, 0.95)
    """What the loss ``quantile`` learns; the median is always among them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "loss", pick_loss(self.task, self.loss))
        object.__setattr__(self, "quantiles", check_quantiles(self.quantiles))

    @property
    def names(self) -> list[str]:
        """Names of the targets, in order."""
        return [target.name for target in self.items]

    @property
    def widths(self) -> list[int]:
        """Numbers the network gives for each target."""
        if self.task == "multiclass":
            return [len(target.classes) for target in self.items]
        width = {"quantile": len(self.quantiles), "mve": 2, "evidential": 4, "dirichlet": 2}.get(self.loss, 1)
        return [width] * len(self.items)

    @property
    def num_outputs(self) -> int:
        """Numbers the network gives for a molecule."""
        return sum(self.widths)

    @property
    def text_columns(self) -> set[str]:
        """Those of :attr:`column_names` that hold names of classes."""
        if self.task == "multiclass":
            return {f"{name}_pred" for name in self.names}
        return {f"{target.name}_class" for target in self.items if target.threshold is not None}

    @property
    def learns_spread(self) -> bool:
        """Whether the loss learns how far the truth is from the prediction, so that tables get a column for it."""
        return self.loss in ("mve", "evidential", "dirichlet")

    def fit(self, labels: np.ndarray, sides: np.ndarray | None = None) -> Self:
        """Return targets whose centre, scale and transform are those of the training ``labels``, shape ``(n, t)``.

        A target with bounds (``sides`` other than 0, same shape) is not transformed: predictions may go beyond them.
        """
        if self.task != "regression":
            return self
        items = []
        bounded = np.zeros(labels.shape[1], bool) if sides is None else (sides != 0).any(axis=0)
        for target, values, has_bounds in zip(self.items, labels.T, bounded, strict=True):
            known = values[~np.isnan(values)]
            spread = float(known.std()) if len(known) else 0.0
            center = float(known.mean()) if len(known) else 0.0
            scale = spread or 1.0
            transforms = self.loss in TRANSFORMED and not has_bounds
            transform = choose_transform(known, center, scale) if transforms else None
            items.append(replace(target, center=center, scale=scale, transform=transform))
        return replace(self, items=tuple(items))

    def encode(self, labels: np.ndarray) -> np.ndarray:
        """Labels in real units to what the loss sees, NaN kept; shape ``(n, t)``, float32."""
        center, scale = np.array([[t.center, t.scale] for t in self.items]).T
        encoded = (labels - center) / scale
        for column, target in enumerate(self.items):
            if target.transform is not None:
                encoded[:, column] = target.transform.encode(encoded[:, column])
        return encoded.astype(np.float32)

    def decode(self, outputs: np.ndarray) -> list[np.ndarray]:
        """Numbers of one network, shape ``(n, num_outputs)``, to predictions as ``evaluate`` takes them.

        A list with one array a target: real units ``(n,)``, probabilities of class 1 ``(n,)``, or
        probabilities of all classes ``(n, classes)``.
        """
        return [belief.value.numpy() for belief in self._beliefs(torch.from_numpy(outputs).double())]

    def answer(self, outputs: np.ndarray) -> list[Answered]:
        """Numbers of all networks of an ensemble, shape ``(networks, n, num_outputs)``, to what they say together.

        The value is their mean, in which each counts by its share; the variance of the truth is the mean of those they
        give and the variance of their values (the law of total variance).

        >>> targets = Targets("regression", (Target(name="logS", scale=2.0),), loss="mve")
        >>> (answered,) = targets.answer(np.array([[[1.0, 100.0]], [[4.0, 100.0]]]))
        >>> answered.value, answered.aleatoric, answered.epistemic
        (array([5.]), array([20.0000001]), array([3.]))
        """
        return [Answered.of(belief) for belief in self.believe(torch.from_numpy(outputs).double())]

    def believe(self, outputs: torch.Tensor) -> list[Belief]:
        """As :meth:`answer`, in tensors, and variances in place of standard deviations."""
        pairs = zip(self.items, self._beliefs(outputs), strict=True)
        return [combine(belief, _shares_of_all(target, len(outputs))) for target, belief in pairs]

    def _beliefs(self, outputs: torch.Tensor) -> list[Belief]:
        """Of each network, shape ``(..., n)``, in the targets' units."""
        median, parts = self.quantiles.index(0.5), outputs.split(self.widths, dim=-1)
        beliefs = [read_belief(self.loss, part, binary=self.task == "binary", median=median) for part in parts]
        return [_in_its_unit(target, belief) for target, belief in zip(self.items, beliefs, strict=True)]

    @property
    def column_names(self) -> list[str]:
        """Names of the prediction columns of a table.

        ``<target>_pred`` holds real units, the probability of class 1, or the name of the likeliest class; in
        the last case ``<target>_prob_<class>`` follows for each class. Where a threshold was tuned ``<target>_class``
        follows, the name of the class that it gives. Where the loss learns them, there follow
        ``<target>_std``, a standard deviation in the unit of the column before (of the truth around a number, of a
        probability), or ``<target>_q<level>`` for each quantile.
        """
        names = []
        for target in self.items:
            names.append(f"{target.name}_pred")
            if target.threshold is not None:
                names.append(f"{target.name}_class")
            if self.task == "multiclass":
                names += [f"{target.name}_prob_{name}" for name in target.classes]
            if self.learns_spread:
                names.append(f"{target.name}_std")
            if self.loss == "quantile":
                names += [f"{target.name}_q{level:g}" for level in self.quantiles]
        return names

    def columns(self, answers: Sequence[Answered]) -> list[np.ndarray]:
        """Spread what :meth:`answer` gives over the columns of :attr:`column_names`; NaN rows have no class name."""
        columns: list[np.ndarray] = []
        for target, answered in zip(self.items, answers, strict=True):
            columns += self._value_columns(target, answered.value)
            if self.learns_spread:
                std = answered.epistemic if self.loss == "dirichlet" else answered.std
                columns.append(_known(std))
            if answered.quantiles is not None:
                columns += [*answered.quantiles.T]
        return columns

    def _value_columns(self, target: Target, value: np.ndarray) -> list[np.ndarray]:
        if self.task == "multiclass":
            return [_class_names(target, value.argmax(axis=1), ~np.isnan(value).any(axis=1)), *value.T]
        if target.threshold is None:
            return [value]
        return [value, _class_names(target, value >= target.threshold, ~np.isnan(value))]

    def to_dict(self) -> dict[str, Any]:
        """As plain data for the model file."""
        items = [_plain(target) for target in self.items]
        return {"task": self.task, "loss": self.loss, "quantiles": list(self.quantiles), "targets": items}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """From plain data, of which other entries are passed over; models of molmp 0.1 may have no loss."""
        items = tuple(_target(entry) for entry in data["targets"])
        return cls(data["task"], items, data.get("loss", "auto"), tuple(data.get("quantiles", cls.quantiles)))


def _class_names(target: Target, indices: np.ndarray, known: np.ndarray) -> np.ndarray:
    names = np.full(len(indices), "", dtype=object)
    names[known] = np.array(target.classes, dtype=object)[indices[known].astype(int)]
    return names


def _shares_of_all(target: Target, networks: int) -> list[float] | None:
    """Of networks of several folds, or drawn several times, as of those of one."""
    times = networks // max(len(target.shares), 1)
    return [share / times for share in target.shares] * times if target.shares else None


def _in_its_unit(target: Target, belief: Belief) -> Belief:
    if target.transform is not None:
        back = target.transform.decode
        belief = Belief(back(belief.value), quantiles=None if belief.quantiles is None else back(belief.quantiles))
    value, aleatoric, epistemic, quantiles = belief
    return Belief(
        value * target.scale + target.center,
        None if aleatoric is None else aleatoric * target.scale**2,
        None if epistemic is None else epistemic * target.scale**2,
        None if quantiles is None else quantiles * target.scale + target.center,
    )


def _plain(target: Target) -> dict[str, Any]:
    plain = vars(target) | {"classes": list(target.classes), "shares": list(target.shares)}
    if target.transform is not None:
        plain["transform"] = vars(target.transform)
    return {name: value for name, value in plain.items() if value or name not in ("transform", "shares")}


def _target(entry: Mapping[str, Any]) -> Target:
    transform = Transform(**entry["transform"]) if "transform" in entry else None
    shares = tuple(entry.get("shares", ()))
    return Target(**{**entry, "classes": tuple(entry["classes"]), "transform": transform, "shares": shares})


def _known(array: np.ndarray | None) -> np.ndarray:
    assert array is not None, "the loss learns it"
    return array
