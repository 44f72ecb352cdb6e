"""Probabilities that mean what they say: isotonic and Platt calibration, fitted by scikit-learn, kept as numbers.

Shapes: n calibration molecules, Q queries, C classes. Two-class probabilities are those of class 1, shape ``(n,)``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from molmp.errors import ConfigError, DataError

__all__ = ["METHODS", "Calibration"]

METHODS = ("platt", "isotonic")

PRIOR = 50.0
"""Molecules that are imagined beside those of the calibration, of which the network is right: what holds Platt's two
numbers near 1 and 0, which change nothing, where there are few molecules."""

TINY = 1e-7
"""Probabilities are kept this far from 0 and 1: no finite number of molecules proves certainty."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """A map of probabilities to calibrated ones, of its own for each class, one against the rest.

    ``platt``: ``sigmoid(a logit(p) + b)``, with Platt's smoothed targets (J. Platt, Probabilistic outputs for support
    vector machines, 1999), and with :data:`PRIOR`; ``a`` is kept from falling below 0, so that the order of molecules
    stays.
    ``isotonic``: the ascending steps that fit best, linear between them (B. Zadrozny and C. Elkan, Transforming
    classifier scores into accurate multiclass probability estimates, 2002, doi:10.1145/775047.775151); needs about a
    thousand molecules.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> p = random.random(5000)
    >>> truth = (random.random(5000) < p**2).astype(float)
    >>> Calibration.fit(truth, p, "isotonic").apply(np.array([0.7])).round(1)
    array([0.5])
    """

    method: str
    curves: tuple[tuple[np.ndarray, np.ndarray], ...]
    """For each class, or class 1 of two: ``([a], [b])``, or where the steps are and what they give."""

    @classmethod
    def fit(cls, truth: np.ndarray, probabilities: np.ndarray, method: str = "platt") -> Self:
        """Learn from classes ``truth``, indices or NaN, and probabilities, shape ``(n,)`` or ``(n, C)``.

        Raises :class:`ConfigError` for a method that does not exist, :class:`DataError` where a class has no molecule.
        """
        if method not in METHODS:
            raise ConfigError(f"calibration must be one of {', '.join(METHODS)}, got {method!r}")
        known = ~np.isnan(truth)
        truth, probabilities = truth[known], probabilities[known]
        columns = [(1, probabilities)] if probabilities.ndim == 1 else list(enumerate(probabilities.T))
        learn = _platt if method == "platt" else _isotonic
        curves = []
        for number, column in columns:
            of_it = truth == number
            if not of_it.any() or of_it.all():
                raise DataError(f"calibration molecules must be of several classes; {int(of_it.sum())} of {len(of_it)} "
                                f"are of class {number}")  # fmt: skip
            curves.append(learn(of_it, column))
        return cls(method, tuple(curves))

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, same shape; those of several classes add up to 1."""
        if probabilities.ndim == 1:
            return self._map(probabilities, *self.curves[0])
        columns = zip(probabilities.T, self.curves, strict=True)
        mapped = np.stack([self._map(column, *curve) for column, curve in columns], axis=1)
        return np.asarray(mapped / mapped.sum(1, keepdims=True))

    def _map(self, probabilities: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        if self.method == "platt":
            return np.asarray(1 / (1 + np.exp(-(first[0] * _logit(probabilities) + second[0]))))
        return np.clip(np.interp(probabilities, first, second), TINY, 1 - TINY)

    def to_dict(self) -> dict[str, Any]:
        """As plain data for a file."""
        return {"method": self.method, "curves": [[first.tolist(), second.tolist()] for first, second in self.curves]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """From plain data."""
        curves = tuple((np.array(first, float), np.array(second, float)) for first, second in data["curves"])
        fits = all(a.ndim == 1 and a.shape == b.shape and np.isfinite([a, b]).all() and len(a) for a, b in curves)
        if data["method"] not in METHODS or not curves or not fits:
            raise DataError("its calibration curves are damaged")
        return cls(data["method"], curves)


def _logit(probabilities: np.ndarray) -> np.ndarray:
    clipped = np.clip(probabilities, TINY, 1 - TINY)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def _platt(of_it: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.linear_model import LogisticRegression

    some, others = of_it.sum(), (~of_it).sum()
    target = np.where(of_it, (some + 1) / (some + 2), 1 / (others + 2))
    # A target between 0 and 1 is a molecule of each class, weighted; and so is one that is what the network says.
    each = PRIOR / len(of_it)
    weights = np.concatenate([target + each * probabilities, 1 - target + each * (1 - probabilities)])
    twice, classes = np.tile(_logit(probabilities), 2)[:, None], np.repeat([1, 0], len(of_it))
    model = LogisticRegression(C=np.inf, max_iter=1000).fit(twice, classes, sample_weight=weights)
    return np.maximum(model.coef_[0], 0), model.intercept_


def _isotonic(of_it: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(out_of_bounds="clip").fit(probabilities, of_it)
    return model.X_thresholds_, model.y_thresholds_
