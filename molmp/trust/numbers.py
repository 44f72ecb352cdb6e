"""What is remembered of one regression target: how large errors are to be expected, and intervals that hold the truth.

Shapes: n calibration molecules, Q queries. Numbers in the target's unit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from molmp.errors import DataError
from molmp.trust.conformal import Bins, ConformalIntervals, ConformalQuantiles, Interval
from molmp.trust.difficulty import Difficulty
from molmp.trust.evaluate import z_scale
from molmp.trust.told import Told

__all__ = ["NumberTrust"]

ONE_BIN = Bins(())

LEAST_OF_BIN = 100
"""Calibration molecules of a bin of similarity, at least: with fewer, its interval is a matter of luck."""


@dataclass(frozen=True, eq=False)
class NumberTrust:
    """Calibrated on ``count`` molecules.

    Intervals are normalised by the expected error (H. Papadopoulos, A. Gammerman and V. Vovk, Normalized nonconformity
    measures for regression conformal prediction, 2008), with scores of their own for each bin of similarity where there
    are molecules enough; those of a model that predicts quantiles are its quantiles, conformalized.

    Examples
    --------
    >>> truth = np.arange(20.0)
    >>> trust = NumberTrust.fit(truth, Told(truth + np.tile([1.0, -1.0], 10)))
    >>> [round(float(end[0]), 6) for end in trust.interval(Told(np.array([5.0])), 0.9)]
    [4.0, 6.0]
    """

    count: int
    difficulty: Difficulty
    scale: float
    """What turns an expected error into a standard deviation of the error."""
    intervals: ConformalIntervals | ConformalQuantiles
    bins: Bins = ONE_BIN

    @classmethod
    def fit(cls, truth: np.ndarray, told: Told) -> Self | None:
        """Remember the errors for ``truth``, shape ``(n,)``, NaN where unknown; None where nothing is known."""
        rows = np.flatnonzero(~np.isnan(truth) & told.known)
        if not len(rows):
            return None
        truth, told = truth[rows], told.at(rows)
        error = np.abs(truth - told.value)
        if not error.any():  # nothing to learn from, and no scale
            error = np.full(len(error), np.finfo(np.float32).tiny)
        difficulty, expected = Difficulty.fit(error, told), Difficulty.cross_fit(error, told)
        scale = z_scale(truth, told.value, expected) or 1.0
        if told.quantiles is not None:
            band = ConformalQuantiles.fit(truth, told.quantiles[:, 0], told.quantiles[:, -1])
            return cls(len(rows), difficulty, scale, band)
        bins = Bins(()) if told.similarity is None else Bins.fit(told.similarity, least=LEAST_OF_BIN)
        places = _places(bins, told)
        intervals = ConformalIntervals.fit(truth, told.value, difficulty=expected, bins=places, num_bins=len(bins))
        return cls(len(rows), difficulty, scale, intervals, bins)

    @property
    def method(self) -> str:
        """What the intervals are, in words."""
        if isinstance(self.intervals, ConformalQuantiles):
            return "conformalized quantiles"
        of_bins = f", {len(self.bins)} bins of similarity" if len(self.bins) > 1 else ""
        return f"conformal, normalised by the expected error{of_bins}"

    def interval(self, told: Told, coverage: float) -> Interval:
        """Intervals that hold the truth with probability ``coverage``, shape ``(Q,)`` each.

        NaN where there is no prediction; infinite where the calibration molecules are too few.
        """
        low, high = np.full(len(told.value), np.nan), np.full(len(told.value), np.nan)
        rows = np.flatnonzero(told.known)
        some = told.at(rows)
        if isinstance(self.intervals, ConformalQuantiles):
            if some.quantiles is None:
                raise DataError("intervals were calibrated on quantiles, which these predictions do not come with")
            low[rows], high[rows] = self.intervals.interval(some.quantiles[:, 0], some.quantiles[:, -1], coverage)
        else:
            places, expected = _places(self.bins, some), self.difficulty.expect(some)
            low[rows], high[rows] = self.intervals.interval(some.value, coverage, difficulty=expected, bins=places)
        return Interval(low, high)

    def sigma(self, told: Told) -> np.ndarray:
        """Standard deviations of the errors, calibrated (z-scaling), shape ``(Q,)``; NaN without a prediction."""
        sigma = np.full(len(told.value), np.nan)
        rows = np.flatnonzero(told.known)
        sigma[rows] = self.scale * self.difficulty.expect(told.at(rows))
        return sigma

    def to_dict(self) -> dict[str, Any]:
        """As plain data for a file."""
        kind = "quantiles" if isinstance(self.intervals, ConformalQuantiles) else "intervals"
        return {
            "kind": kind, "count": self.count, "difficulty": self.difficulty.to_dict(), "scale": self.scale,
            "bins": list(self.bins.edges), "scores": self.intervals.to_dict()["scores"],
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """From plain data; :class:`DataError` where it is none of ours."""
        edges, scale = tuple(float(edge) for edge in data["bins"]), float(data["scale"])
        if not (np.isfinite([*edges, scale]).all() and scale > 0 and (np.diff(edges) > 0).all()):
            raise DataError(f"its bins or its scale are damaged: {data['bins']!r}, {data['scale']!r}")
        how = ConformalQuantiles if data["kind"] == "quantiles" else ConformalIntervals
        intervals = how.from_dict(data)
        if isinstance(intervals, ConformalIntervals) and len(intervals.scores) != len(edges) + 1:
            raise DataError(f"it has scores of {len(intervals.scores)} bins, but {len(edges)} edges")
        if type(data["count"]) is not int:
            raise DataError(f"its count is {data['count']!r}")
        return cls(data["count"], Difficulty.from_dict(data["difficulty"]), scale, intervals, Bins(edges))


def _places(bins: Bins, told: Told) -> np.ndarray:
    if len(bins) == 1:
        return np.zeros(len(told.value), int)
    if told.similarity is None:
        raise DataError("intervals were calibrated by similarity, which these molecules do not come with")
    return bins.of(told.similarity)
