"""How large an error is to be expected, learned from the errors of molecules that the weights did not see.

Shapes: n molecules, S sources.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from molmp.errors import DataError
from molmp.tables.groups import stable_rng
from molmp.trust.told import Told

__all__ = ["SOURCES", "Difficulty"]

SOURCES = ("spread", "noise", "unlikeness", "surprise")
"""What errors may grow with: deviations that the model itself gives, one minus the similarity to the nearest training
molecule, and how far the prediction is from the labels of those nearest."""

LEAST = 0.25
"""Share of the mean error that is the least to be expected anywhere."""

PRIOR = 10.0
"""Molecules that the guess, every source alike, counts for: what holds the weights where there are few molecules."""

FOLDS = 10


@dataclass(frozen=True)
class Difficulty:
    """Expected absolute error, ``max(sum_s w_s x_s, floor)`` of sources ``x_s`` scaled to mean 1, no weight below 0.

    The weights are those of least squares on absolute errors, with a ridge that draws them to equal shares. Normalised
    conformal prediction makes intervals of them that hold whatever they are; the better they are, the narrower.

    >>> told = Told(np.zeros(4), spread=np.array([1.0, 2.0, 3.0, 4.0]))
    >>> Difficulty.fit(np.array([0.5, 1.0, 1.5, 2.0]), told).expect(told).round(2)
    array([0.88, 1.14, 1.41, 1.67])
    """

    weights: Mapping[str, float]
    """Error in the target's unit for each unit of a source; ``""`` is what is there without any."""
    floor: float

    @classmethod
    def fit(cls, error: np.ndarray, told: Told) -> Self:
        """Learn from absolute errors, shape ``(n,)``, at least one and none NaN."""
        from scipy.optimize import nnls

        columns = {"": np.ones(len(error))} | _sources(told)
        means = {name: float(column.mean()) for name, column in columns.items()}
        used = [name for name, mean in means.items() if mean > 0]
        scaled = np.stack([columns[name] / means[name] for name in used], axis=1)
        typical = float(error.mean())
        ridge = np.sqrt(PRIOR) * np.eye(len(used))
        guess = np.sqrt(PRIOR) * np.full(len(used), typical / len(used))
        found, _ = nnls(np.concatenate([scaled, ridge]), np.concatenate([error, guess]))
        weights = {name: float(weight / means[name]) for name, weight in zip(used, found, strict=True)}
        return cls(weights, max(LEAST * typical, float(np.finfo(np.float32).tiny)))

    def expect(self, told: Told) -> np.ndarray:
        """Expected absolute errors, above 0, shape ``(n,)``; NaN where there is no prediction."""
        columns = {"": np.ones(len(told.value))} | _sources(told)
        total = np.zeros(len(told.value))
        for name, weight in self.weights.items():
            if name not in columns:
                raise DataError(f"errors were calibrated on {name}, which these molecules do not come with")
            total += weight * columns[name]
        return np.maximum(total, self.floor)

    @classmethod
    def cross_fit(cls, error: np.ndarray, told: Told) -> np.ndarray:
        """Expected errors of the molecules themselves, each from those of other folds, shape ``(n,)``."""
        fold = stable_rng(0).permutation(len(error)) % FOLDS
        expected = np.empty(len(error))
        for number in np.unique(fold):
            held = fold == number
            others = ~held if not held.all() else held
            expected[held] = cls.fit(error[others], told.at(others)).expect(told.at(held))
        return expected

    def to_dict(self) -> dict[str, Any]:
        """As plain data for a file."""
        return {"weights": dict(self.weights), "floor": self.floor}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """From plain data; :class:`DataError` where it is none of ours."""
        weights = {name: float(weight) for name, weight in data["weights"].items()}
        floor = float(data["floor"])
        if not set(weights) <= {"", *SOURCES} or not np.isfinite([floor, *weights.values()]).all():
            raise DataError(f"its weights of errors are {data['weights']!r}")
        if floor <= 0 or any(weight < 0 for weight in weights.values()):
            raise DataError("its expected errors are not above 0")
        return cls(weights, floor)


def _sources(told: Told) -> dict[str, np.ndarray]:
    unlike = None if told.similarity is None else 1 - told.similarity
    columns = dict(zip(SOURCES, (told.spread, told.noise, unlike, told.surprise), strict=True))
    return {name: np.asarray(column, float) for name, column in columns.items() if column is not None}
