"""Between labels in real units and what the network learns: scaling there, and back again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

__all__ = ["Target", "Targets", "mean_prediction"]


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

    @property
    def names(self) -> list[str]:
        """Names of the targets, in order."""
        return [target.name for target in self.items]

    @property
    def widths(self) -> list[int]:
        """Numbers the network gives for each target: as many as classes in ``multiclass``, else one."""
        return [len(t.classes) if self.task == "multiclass" else 1 for t in self.items]

    @property
    def num_outputs(self) -> int:
        """Numbers the network gives for a molecule."""
        return sum(self.widths)

    def fit(self, labels: np.ndarray) -> Self:
        """Return targets whose centre and scale are those of the training ``labels``, shape ``(n, t)``."""
        if self.task != "regression":
            return self
        items = []
        for target, values in zip(self.items, labels.T, strict=True):
            known = values[~np.isnan(values)]
            spread = float(known.std()) if len(known) else 0.0
            center = float(known.mean()) if len(known) else 0.0
            items.append(Target(name=target.name, unit=target.unit, center=center, scale=spread or 1.0))
        return type(self)(self.task, tuple(items))

    def encode(self, labels: np.ndarray) -> np.ndarray:
        """Labels in real units to what the loss sees, NaN kept; shape ``(n, t)``, float32."""
        center, scale = np.array([[t.center, t.scale] for t in self.items]).T
        return ((labels - center) / scale).astype(np.float32)

    def decode(self, outputs: np.ndarray) -> list[np.ndarray]:
        """Numbers of the network, shape ``(n, num_outputs)``, to predictions as ``evaluate`` takes them.

        A list with one array a target: real units ``(n,)``, probabilities of class 1 ``(n,)``, or
        probabilities of all classes ``(n, classes)``.
        """
        outputs = outputs.astype(np.float64)
        parts = np.split(outputs, np.cumsum(self.widths)[:-1], axis=1)
        if self.task == "regression":
            return [part[:, 0] * t.scale + t.center for part, t in zip(parts, self.items, strict=True)]
        from scipy import special  # takes longer to load than 1,000 molecules to predict

        if self.task == "binary":
            return [special.expit(part[:, 0]) for part in parts]
        return [special.softmax(part, axis=1) for part in parts]

    @property
    def column_names(self) -> list[str]:
        """Names of the prediction columns of a table.

        ``<target>_pred`` holds real units, the probability of class 1, or the name of the likeliest class; in
        the last case ``<target>_prob_<class>`` follows for each class.
        """
        names = []
        for target in self.items:
            names.append(f"{target.name}_pred")
            if self.task == "multiclass":
                names += [f"{target.name}_prob_{name}" for name in target.classes]
        return names

    def columns(self, predictions: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Spread what :meth:`decode` gives over the columns of :attr:`column_names`; NaN rows have no class name."""
        if self.task != "multiclass":
            return list(predictions)
        columns: list[np.ndarray] = []
        for target, value in zip(self.items, predictions, strict=True):
            known = ~np.isnan(value).any(axis=1)
            names = np.full(len(value), "", dtype=object)
            names[known] = np.array(target.classes, dtype=object)[value[known].argmax(axis=1)]
            columns += [names, *value.T]
        return columns

    def to_dict(self) -> dict[str, Any]:
        """As plain data for the model file."""
        return {"task": self.task, "targets": [vars(t) | {"classes": list(t.classes)} for t in self.items]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """From plain data."""
        return cls(data["task"], tuple(Target(**t | {"classes": tuple(t["classes"])}) for t in data["targets"]))


def mean_prediction(predictions: Sequence[list[np.ndarray]]) -> list[np.ndarray]:
    """Mean over the members of an ensemble of what ``Targets.decode`` gives for each."""
    return [np.mean(of_target, axis=0) for of_target in zip(*predictions, strict=True)]
