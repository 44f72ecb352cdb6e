"""Intervals that hold the truth as often as they say, whatever the network: conformal prediction.

All of them take predictions and labels of molecules that the weights did not see, and remember nothing but numbers: how
far from the truth the predictions were. The share of new molecules whose interval holds the truth is then at least the
coverage asked for, where they are like those molecules.

Shapes: n calibration molecules, Q queries, K folds. Numbers in real units.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from molmp.errors import ConfigError, DataError

__all__ = [
    "Bins",
    "ConformalIntervals",
    "ConformalQuantiles",
    "CrossConformal",
    "Interval",
    "ascending_scores",
    "conformal_quantile",
]


class Interval(NamedTuple):
    """Lower and upper ends, shape ``(Q,)`` each; infinite where the calibration molecules are too few."""

    low: np.ndarray
    high: np.ndarray


def conformal_quantile(scores: np.ndarray, coverage: float) -> float:
    """Score that a new one does not exceed with probability ``coverage`` at least, given ascending ``scores``.

    It is the ``ceil((n + 1) coverage)``-th smallest; infinite where there are fewer.

    >>> [conformal_quantile(np.arange(1.0, 10.0), c) for c in (0.5, 0.9, 0.95)]
    [5.0, 9.0, inf]
    """
    if not 0 < coverage < 1:
        raise ConfigError(f"coverage must be above 0 and below 1, got {coverage!r}")
    rank = int(np.ceil((len(scores) + 1) * coverage - 1e-9))
    return float(scores[rank - 1]) if rank <= len(scores) else float("inf")


@dataclass(frozen=True)
class Bins:
    """Bins of a number such as the similarity to the training molecules, each with enough calibration molecules."""

    edges: tuple[float, ...]
    """What divides the bins, ascending; none for a single bin. A number on an edge belongs to the bin above."""

    @classmethod
    def fit(cls, values: np.ndarray, most: int = 4, least: int = 50) -> Self:
        """Divide into bins of about equal size, ``most`` at most, ``least`` molecules in each at least.

        >>> Bins.fit(np.arange(100.0), most=2, least=10)
        Bins(edges=(49.5,))
        """
        count = max(1, min(most, len(values) // least))
        edges = np.unique(np.quantile(values, np.linspace(0, 1, count + 1)[1:-1])) if count > 1 else np.zeros(0)
        kept = [edge for edge in edges.tolist() if (values < edge).sum() >= least <= (values >= edge).sum()]
        return cls(tuple(kept))

    def of(self, values: np.ndarray) -> np.ndarray:
        """Number of the bin of each value, from 0."""
        return np.searchsorted(np.array(self.edges), values, side="right")

    def __len__(self) -> int:
        return len(self.edges) + 1


@dataclass(frozen=True, eq=False)
class ConformalIntervals:
    """Split conformal intervals, ``prediction +- q difficulty``; of their own in each bin (Mondrian).

    H. Papadopoulos, K. Proedrou, V. Vovk and A. Gammerman, Inductive confidence machines for regression, 2002,
    doi:10.1007/3-540-36755-1_29; bins: V. Vovk, D. Lindsay, I. Nouretdinov and A. Gammerman, Mondrian confidence
    machine, 2003.

    Examples
    --------
    >>> truth, prediction = np.arange(9.0), np.zeros(9)
    >>> ConformalIntervals.fit(truth, prediction).interval(np.array([10.0]), 0.8)
    Interval(low=array([3.]), high=array([17.]))
    """

    scores: tuple[np.ndarray, ...]
    """Ascending, of each bin."""

    @classmethod
    def fit(
        cls, truth: np.ndarray, prediction: np.ndarray, *, difficulty: np.ndarray | None = None,
        bins: np.ndarray | None = None, num_bins: int = 1,
    ) -> Self:  # fmt: skip
        """Remember errors.

        ``difficulty``: how uncertain each prediction is, above 0, in any unit (normalised conformal prediction);
        ``bins``: number of each molecule's bin, below ``num_bins``. All of shape ``(n,)``; truths that are NaN are
        left out. Raises :class:`DataError` for no truths, and for difficulties that are not above 0.
        """
        known = ~np.isnan(truth)
        if not known.any():
            raise DataError("no calibration molecule has a label")
        error = np.abs(truth - prediction) / _checked(difficulty, len(truth))
        places = np.zeros(len(truth), int) if bins is None else bins
        return cls(tuple(np.sort(error[known & (places == i)]) for i in range(num_bins)))

    def interval(
        self, prediction: np.ndarray, coverage: float, *, difficulty: np.ndarray | None = None,
        bins: np.ndarray | None = None,
    ) -> Interval:  # fmt: skip
        """Intervals around predictions, shape ``(Q,)``, that hold the truth with probability ``coverage``."""
        quantiles = np.array([conformal_quantile(scores, coverage) for scores in self.scores])
        half = quantiles[np.zeros(len(prediction), int) if bins is None else bins]
        half = half * _checked(difficulty, len(prediction))
        return Interval(prediction - half, prediction + half)

    def to_dict(self) -> dict[str, Any]:
        """As plain data for a file."""
        return {"scores": [scores.tolist() for scores in self.scores]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """From plain data; :class:`DataError` where it is none of ours."""
        return cls(tuple(ascending_scores(scores) for scores in data["scores"]))


@dataclass(frozen=True, eq=False)
class ConformalQuantiles:
    """Conformalized quantile regression: predicted quantiles, moved until they cover.

    Y. Romano, E. Patterson and E. J. Candes, Conformalized quantile regression, 2019, arXiv:1905.03222.

    >>> band = ConformalQuantiles.fit(np.arange(9.0), np.full(9, 2.0), np.full(9, 6.0))
    >>> band.interval(np.array([0.0]), np.array([1.0]), 0.8)
    Interval(low=array([-2.]), high=array([3.]))
    """

    scores: np.ndarray
    """How far each truth lies outside its band, ascending; negative for those within."""

    @classmethod
    def fit(cls, truth: np.ndarray, low: np.ndarray, high: np.ndarray) -> Self:
        """Remember how far outside truths lie; all of shape ``(n,)``."""
        known = ~np.isnan(truth)
        if not known.any():
            raise DataError("no calibration molecule has a label")
        return cls(np.sort(np.maximum(low - truth, truth - high)[known]))

    def interval(self, low: np.ndarray, high: np.ndarray, coverage: float) -> Interval:
        """Bands widened or narrowed alike; one that would turn over shrinks to its middle."""
        move = conformal_quantile(self.scores, coverage)
        middle = (low + high) / 2
        return Interval(np.minimum(low - move, middle), np.maximum(high + move, middle))

    def to_dict(self) -> dict[str, Any]:
        """As plain data for a file."""
        return {"scores": self.scores.tolist()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """From plain data."""
        return cls(ascending_scores(data["scores"]))


@dataclass(frozen=True, eq=False)
class CrossConformal:
    """CV+ intervals, for sets too small to put calibration molecules aside: every molecule calibrates.

    Each of ``K`` networks is trained without one fold and judged on it. An interval holds the truth with probability
    ``2 coverage - 1`` at least, and in practice with about ``coverage``: R. F. Barber, E. J. Candes, A. Ramdas and
    R. J. Tibshirani, Predictive inference with the jackknife+, 2021, doi:10.1214/20-AOS1965.

    Examples
    --------
    >>> truth, folds = np.arange(10.0), np.arange(10) % 5
    >>> cross = CrossConformal.fit(truth, truth + np.tile([1.0, -1.0], 5), folds)
    >>> cross.interval(np.array([[3.0], [3.0], [3.0], [3.0], [3.5]]), 0.8)
    Interval(low=array([2.]), high=array([4.5]))
    """

    errors: np.ndarray
    """Of each training molecule under the network that did not see it, shape ``(n,)``."""
    folds: np.ndarray
    """Which network that was, shape ``(n,)``."""

    @classmethod
    def fit(cls, truth: np.ndarray, prediction: np.ndarray, folds: np.ndarray) -> Self:
        """Remember the errors of out-of-fold predictions, all of shape ``(n,)``."""
        known = ~np.isnan(truth)
        if not known.any():
            raise DataError("no calibration molecule has a label")
        return cls(np.abs(truth - prediction)[known], folds[known].astype(np.int64))

    def interval(self, predictions: np.ndarray, coverage: float) -> Interval:
        """Intervals from what each network predicts, shape ``(K, Q)``."""
        if self.folds.max() >= len(predictions):
            raise DataError(f"there are {self.folds.max() + 1} folds but predictions of {len(predictions)} networks")
        rank = int(np.ceil((len(self.errors) + 1) * coverage - 1e-9))
        if rank > len(self.errors):
            nothing = np.full(predictions.shape[1], np.inf)
            return Interval(-nothing, nothing)
        low, high = np.empty(predictions.shape[1]), np.empty(predictions.shape[1])
        for query, row in enumerate(predictions.T[:, self.folds]):
            low[query] = -np.partition(self.errors - row, rank - 1)[rank - 1]
            high[query] = np.partition(self.errors + row, rank - 1)[rank - 1]
        return Interval(low, high)

    def to_dict(self) -> dict[str, Any]:
        """As plain data for a file."""
        return {"errors": self.errors.tolist(), "folds": self.folds.tolist()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """From plain data."""
        errors, folds = np.array(data["errors"], float), np.array(data["folds"])
        if errors.shape != folds.shape or folds.dtype.kind != "i" or not len(errors) or (folds < 0).any():
            raise DataError("its errors and folds do not fit together")
        return cls(errors, folds)


def _checked(difficulty: np.ndarray | None, count: int) -> np.ndarray:
    if difficulty is None:
        return np.ones(count)
    if not (np.isfinite(difficulty).all() and (difficulty > 0).all()):
        raise DataError("difficulties must be finite and above 0")
    return difficulty


def ascending_scores(scores: Sequence[float]) -> np.ndarray:
    """Scores read from a file; :class:`DataError` where they are not ascending numbers."""
    array = np.array(scores, float)
    if array.ndim != 1 or np.isnan(array).any() or (np.diff(array) < 0).any():
        raise DataError("its scores are not ascending numbers")
    return array
