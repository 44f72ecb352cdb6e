"""Prediction sets: the classes that a molecule may be of, the true one among them as often as they say.

Shapes: n calibration molecules, Q queries, C classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from molmp.errors import DataError
from molmp.trust.conformal import ascending_scores, conformal_quantile

__all__ = ["ConformalSets"]


TINY = 1e-6
"""So much two computations of one probability may differ: a calibration molecule that is asked again stays inside."""


@dataclass(frozen=True, eq=False)
class ConformalSets:
    """A class is in the set of a molecule where its probability is not unusually low for molecules of that class.

    Mondrian by class: rare classes are covered as well as frequent ones. V. Vovk, A. Gammerman and G. Shafer,
    Algorithmic learning in a random world, 2005, doi:10.1007/b106715; M. Sadinle, J. Lei and L. Wasserman, Least
    ambiguous set-valued classifiers with bounded error levels, 2019, doi:10.1080/01621459.2017.1395341.

    Examples
    --------
    >>> probabilities = np.array([[0.9, 0.1]] * 9 + [[0.2, 0.8]] * 9)
    >>> sets = ConformalSets.fit(np.repeat([0.0, 1.0], 9), probabilities)
    >>> sets.members(np.array([[0.95, 0.05], [0.5, 0.5]]), 0.9)
    array([[ True, False],
           [False, False]])
    """

    scores: tuple[np.ndarray, ...]
    """Of each class: how improbable it was for molecules that are of it, ascending."""

    @classmethod
    def fit(cls, truth: np.ndarray, probabilities: np.ndarray, *, by_class: bool = True) -> Self:
        """Remember probabilities, shape ``(n, C)``, of the true classes ``truth``, indices or NaN, shape ``(n,)``.

        Without ``by_class`` all classes are judged alike: the coverage holds for all molecules together only.
        """
        rows = np.flatnonzero(~np.isnan(truth))
        if not len(rows):
            raise DataError("no calibration molecule has a label")
        classes = truth[rows].astype(int)
        score = 1 - probabilities[rows, classes]
        count = probabilities.shape[1]
        if not by_class:
            return cls((np.sort(score),) * count)
        return cls(tuple(np.sort(score[classes == c]) for c in range(count)))

    def members(self, probabilities: np.ndarray, coverage: float) -> np.ndarray:
        """Whether each class is in each set, shape ``(Q, C)``; a set may be empty, or hold all classes."""
        most = np.array([conformal_quantile(scores, coverage) for scores in self.scores])
        return np.asarray(1 - probabilities <= most + TINY)

    def to_dict(self) -> dict[str, Any]:
        """As plain data for a file."""
        return {"scores": [scores.tolist() for scores in self.scores]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """From plain data."""
        return cls(tuple(ascending_scores(scores) for scores in data["scores"]))
