"""What the labels of each part of a split are: how many, where they lie, and how often each class occurs."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from molmp.training.problem import Problem
from molmp.training.targets import Target

__all__ = ["BINS", "summarize_labels"]

BINS = 24
"""Of the histograms of numbers; they span the labels of all parts."""


def summarize_labels(problem: Problem, parts: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Describe labels as plain data.

    Parameters
    ----------
    parts
        Input rows of each part.

    Returns
    -------
    For each target: ``count``, how many labels each part has, and ``bounds``, how many of all are bounds such as ``>5``
    (which count as their values). Of numbers also ``low`` and ``high``, between which ``histogram`` has :data:`BINS`
    equal bins for each part, and ``mean`` and ``std`` by part (None where there is none); of classes ``classes``, how
    often each occurs in each part.
    """
    sides = np.zeros(problem.labels.shape, np.int8) if problem.sides is None else problem.sides
    rows = np.concatenate(list(parts.values()))
    found = {}
    for item, y, side in zip(problem.targets.items, problem.labels.T, sides.T, strict=True):
        by_part = {part: y[some][~np.isnan(y[some])] for part, some in parts.items()}
        told: dict[str, Any] = {part: len(known) for part, known in by_part.items()}
        bounds = int(np.count_nonzero(side[rows][~np.isnan(y[rows])]))
        found[item.name] = {"count": told, "bounds": bounds} | _of_values(item, by_part)
    return found


def _of_values(item: Target, by_part: Mapping[str, np.ndarray]) -> dict[str, Any]:
    if item.classes:
        counts = {part: np.bincount(known.astype(int), minlength=len(item.classes)) for part, known in by_part.items()}
        return {"classes": {p: dict(zip(item.classes, c.tolist(), strict=True)) for p, c in counts.items()}}
    every = np.concatenate(list(by_part.values()))
    low, high = (float(every.min()), float(every.max())) if len(every) else (0.0, 0.0)
    ends = (low, high if high > low else low + 1.0)
    return {
        "low": low,
        "high": high,
        "histogram": {part: np.histogram(known, BINS, ends)[0].tolist() for part, known in by_part.items()},
        "mean": {part: float(known.mean()) if len(known) else None for part, known in by_part.items()},
        "std": {part: float(known.std()) if len(known) else None for part, known in by_part.items()},
    }
