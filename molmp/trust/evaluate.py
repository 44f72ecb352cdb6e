"""How good uncertainties are: coverage, sharpness, calibration, and whether they point at the errors.

Shapes: n molecules. NaN truths take no part.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from molmp.errors import DataError

__all__ = [
    "SelectiveCurve", "calibration_error", "coverage_by_bin", "expected_calibration_error", "interval_scores",
    "normal_nll", "rank_of_errors", "selective_curve", "z_scale",
]  # fmt: skip

MOST_GROUPS = 20


def z_scale(truth: np.ndarray, prediction: np.ndarray, sigma: np.ndarray) -> float:
    """Factor by which standard deviations must be multiplied so that errors are one of them in size.

    ``sqrt(mean(((y - p) / sigma)^2))``, which also makes normal errors likeliest: D. Levi, L. Gispan, N. Giladi and E.
    Fetaya, Evaluating and calibrating uncertainty prediction in regression tasks, 2022, doi:10.3390/s22155540.

    >>> z_scale(np.array([1.0, -1.0, np.nan]), np.zeros(3), np.full(3, 0.5))
    2.0
    """
    y, p, s = _known(truth, prediction, sigma)
    return float(np.sqrt(np.mean(((y - p) / s) ** 2)))


def interval_scores(truth: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, float]:
    """Share of truths within their intervals, and the mean width of these.

    >>> interval_scores(np.array([0.0, 5.0]), np.array([-1.0, 0.0]), np.array([1.0, 2.0]))
    {'coverage': 0.5, 'width': 2.0}
    """
    y, a, b = _known(truth, low, high)
    return {"coverage": float(np.mean((a <= y) & (y <= b))), "width": float(np.mean(b - a))}


def coverage_by_bin(
    truth: np.ndarray, low: np.ndarray, high: np.ndarray, values: np.ndarray, edges: Sequence[float]
) -> list[dict[str, Any]]:
    """:func:`interval_scores` in bins of ``values`` such as similarity; ``edges``: those of the bins, ascending.

    The last bin includes its upper edge; bins without molecules are left out.
    """
    found = []
    for begin, end in pairwise(edges):
        inside = (values >= begin) & ((values < end) | ((end == edges[-1]) & (values == end))) & ~np.isnan(truth)
        if inside.any():
            scores = interval_scores(truth[inside], low[inside], high[inside])
            found.append({"from": begin, "to": end, "count": int(inside.sum()), **scores})
    return found


def calibration_error(truth: np.ndarray, prediction: np.ndarray, sigma: np.ndarray, groups: int = 10) -> float:
    """Expected normalized calibration error (ENCE): do larger standard deviations come with larger errors?

    Molecules are sorted by ``sigma`` into groups of equal size; the mean of ``|RMV - RMSE| / RMV``, RMV being the root
    mean square of ``sigma`` in a group. Levi et al. 2022, doi:10.3390/s22155540. 0 is best.
    """
    y, p, s = _known(truth, prediction, sigma)
    parts = np.array_split(np.argsort(s, kind="stable"), min(groups, MOST_GROUPS, len(y)))
    mean = [(np.sqrt(np.mean(s[part] ** 2)), np.sqrt(np.mean((y[part] - p[part]) ** 2))) for part in parts]
    return float(np.mean([abs(spread - error) / spread for spread, error in mean]))


def expected_calibration_error(truth: np.ndarray, probability: np.ndarray, groups: int = 10) -> float:
    """ECE of class 1: mean distance between probability and frequency, in groups of equal size by probability.

    M. P. Naeini, G. F. Cooper and M. Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning, 2015,
    doi:10.1609/aaai.v29i1.9602; groups of equal size as in Nixon et al. 2019, arXiv:1904.01685.
    """
    y, p = _known(truth, probability)
    parts = np.array_split(np.argsort(p, kind="stable"), min(groups, len(y)))
    return float(sum(len(part) * abs(y[part].mean() - p[part].mean()) for part in parts) / len(y))


def rank_of_errors(truth: np.ndarray, prediction: np.ndarray, sigma: np.ndarray) -> float | None:
    """Spearman's correlation of absolute errors with uncertainties; None where one of them does not vary."""
    from scipy import stats

    y, p, s = _known(truth, prediction, sigma)
    error = np.abs(y - p)
    return float(stats.spearmanr(error, s).statistic) if np.ptp(error) and np.ptp(s) else None


def normal_nll(truth: np.ndarray, prediction: np.ndarray, sigma: np.ndarray) -> float:
    """Mean negative logarithm of the likelihood of the truths under normal distributions, in nats.

    >>> round(normal_nll(np.array([0.0]), np.array([0.0]), np.array([1.0])), 4)
    0.9189
    """
    y, p, s = _known(truth, prediction, sigma)
    return float(np.mean(0.5 * np.log(2 * np.pi * s**2) + 0.5 * ((y - p) / s) ** 2))


class SelectiveCurve(NamedTuple):
    """Error when only the surest molecules are kept."""

    retained: np.ndarray
    """Share of the molecules that is kept, ascending to 1."""
    rmse: np.ndarray
    """Root mean square error of those kept."""
    best: np.ndarray
    """The same if the molecules were sorted by their true errors: what no uncertainty can beat."""


def selective_curve(
    truth: np.ndarray,
    prediction: np.ndarray,
    sigma: np.ndarray,
    retained: Sequence[float] = tuple(np.linspace(0.1, 1, 10)),
) -> SelectiveCurve:
    """Sort molecules by uncertainty and watch the error as the least sure are left out.

    Y. Geifman and R. El-Yaniv, Selective classification for deep neural networks, 2017, arXiv:1705.08500.
    """
    y, p, s = _known(truth, prediction, sigma)
    squares = (y - p) ** 2
    counts = np.maximum(1, np.round(np.array(retained) * len(y))).astype(int)

    def errors(order: np.ndarray) -> np.ndarray:
        return np.sqrt(np.cumsum(squares[order])[counts - 1] / counts)

    return SelectiveCurve(np.array(retained), errors(np.argsort(s, kind="stable")), errors(np.argsort(squares)))


def _known(truth: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    known = ~np.isnan(truth)
    if not known.any():
        raise DataError("no molecule has a label")
    return tuple(array[known] for array in (truth, *others))
