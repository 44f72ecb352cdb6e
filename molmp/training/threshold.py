"""The probability from which a molecule is said to be of class 1, chosen on molecules that were not learned from."""

from dataclasses import replace

import numpy as np

from molmp.training.targets import Answered, Targets

__all__ = ["best_threshold", "tune_thresholds"]


def tune_thresholds(targets: Targets, labels: np.ndarray, answers: list[Answered]) -> Targets:
    """Return targets with the :func:`best_threshold` of each for ``labels`` of shape ``(n, t)``."""
    items = [
        replace(target, threshold=best_threshold(y, answered.value))
        for target, y, answered in zip(targets.items, labels.T, answers, strict=True)
    ]
    return replace(targets, items=tuple(items))


def best_threshold(y: np.ndarray, p: np.ndarray) -> float:
    """Return the threshold with the largest Matthews correlation; of several, that next to 0.5.

    0.5 where only one class is there. The measure is chosen because it does not grow by favouring the larger class:
    D. Chicco, G. Jurman, The advantages of the Matthews correlation coefficient (MCC) over F1 score and accuracy in
    binary classification evaluation, 2020, doi 10.1186/s12864-019-6413-7.

    Parameters
    ----------
    y
        0, 1 or NaN where missing, shape ``(n,)``.
    p
        Probabilities of class 1, shape ``(n,)``.

    >>> best_threshold(np.array([0, 0, 0, 1, np.nan]), np.array([0.01, 0.1, 0.02, 0.2, 0.9]))
    0.15
    """
    known = ~np.isnan(y)
    y, p = y[known], p[known]
    if len(np.unique(y)) < 2:
        return 0.5
    values = np.unique(p)
    cuts = (values[1:] + values[:-1]) / 2
    if not len(cuts):
        return 0.5
    positive, above = np.sort(p[y == 1]), np.sort(p)
    true = len(positive) - np.searchsorted(positive, cuts)
    called = len(above) - np.searchsorted(above, cuts)
    n, ones = len(y), len(positive)
    mcc = (true * n - called * ones) / np.sqrt(called * (n - called) * ones * (n - ones))
    best = cuts[mcc >= mcc.max() - 1e-12]
    return round(float(best[np.abs(best - 0.5).argmin()]), 12)
