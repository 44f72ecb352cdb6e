"""What is remembered of one target with classes: probabilities that mean what they say, and sets of classes.

Shapes: n calibration molecules, Q queries, C classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from molmp.errors import DataError
from molmp.trust.probabilities import Calibration
from molmp.trust.sets import ConformalSets
from molmp.trust.told import Told

__all__ = ["ClassTrust"]

MANY, MANY_OF_CLASS = 1_000, 100
"""Calibration molecules, in all and of each class, from which isotonic steps are fitted; below, Platt's two numbers."""


@dataclass(frozen=True, eq=False)
class ClassTrust:
    """Calibrated on ``count`` molecules.

    Sets are made from the network's own probabilities, so that their promise does not depend on the calibration.

    Examples
    --------
    >>> trust = ClassTrust.fit(np.array([0.0, 1.0] * 10), Told(np.array([0.3, 0.8] * 10)))
    >>> told = Told(np.array([0.9]))
    >>> trust.calibrated(told).round(2), trust.members(told, 0.9)
    (array([0.93]), array([[False,  True]]))
    """

    count: int
    calibration: Calibration | None
    """None where the calibration molecules lack a class."""
    sets: ConformalSets

    @classmethod
    def fit(cls, truth: np.ndarray, told: Told) -> Self | None:
        """Learn from classes ``truth``, indices or NaN, shape ``(n,)``; None where nothing is known."""
        rows = np.flatnonzero(~np.isnan(truth) & told.known)
        if not len(rows):
            return None
        truth, value = truth[rows], told.value[rows]
        columns = _of_all(value)
        counts = np.bincount(truth.astype(int), minlength=columns.shape[1])
        method = "isotonic" if len(rows) >= MANY and counts.min() >= MANY_OF_CLASS else "platt"
        calibration = Calibration.fit(truth, value, method) if counts.min() else None
        return cls(len(rows), calibration, ConformalSets.fit(truth, columns))

    @property
    def method(self) -> str:
        """What was done, in words."""
        sets = "conformal sets by class"
        return sets if self.calibration is None else f"{self.calibration.method} calibration, {sets}"

    def calibrated(self, told: Told) -> np.ndarray:
        """Calibrated probabilities, shaped as ``told.value``; NaN without a prediction, or a calibration."""
        full = np.full(told.value.shape, np.nan)
        if self.calibration is not None:
            rows = np.flatnonzero(told.known)
            full[rows] = self.calibration.apply(told.value[rows])
        return full

    def members(self, told: Told, coverage: float) -> np.ndarray:
        """Whether each class is in the set that holds the true one with probability ``coverage``, shape ``(Q, C)``."""
        return self.sets.members(_of_all(told.value), coverage)

    def to_dict(self) -> dict[str, Any]:
        """As plain data for a file."""
        calibration = None if self.calibration is None else self.calibration.to_dict()
        return {"kind": "classes", "count": self.count, "calibration": calibration, "sets": self.sets.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """From plain data; :class:`DataError` where it is none of ours."""
        if type(data["count"]) is not int:
            raise DataError(f"its count is {data['count']!r}")
        calibration = None if data["calibration"] is None else Calibration.from_dict(data["calibration"])
        return cls(data["count"], calibration, ConformalSets.from_dict(data["sets"]))


def _of_all(value: np.ndarray) -> np.ndarray:
    """Probabilities of all classes, shape ``(n, C)``."""
    return np.stack([1 - value, value], axis=1) if value.ndim == 1 else value
