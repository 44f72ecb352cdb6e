"""Charts of one target's test molecules: pairs of a picture and what it shows.

Shapes: n test molecules that have a label.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from molmp.page.charts import columns, histogram, lines, scatter
from molmp.training.targets import Target
from molmp.trust.evaluate import expected_calibration_error

__all__ = ["Charts", "Points", "error_by_similarity", "of_classes", "of_numbers", "of_trust"]

Charts = list[tuple[Markup, str]]

EDGES = (0.0, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
"""Bins of similarity."""

MOST_SPANS = 400
"""Intervals are drawn for up to so many molecules: more would be a black area."""


class Points(NamedTuple):
    """Test molecules with a label of one target; arrays of shape ``(n,)``, NaN where something was not written."""

    truth: np.ndarray
    prediction: np.ndarray
    low: np.ndarray
    high: np.ndarray
    calibrated: np.ndarray
    right: np.ndarray
    similarity: np.ndarray
    outside: np.ndarray

    @property
    def wrong(self) -> np.ndarray:
        """Absolute errors of numbers; 1 for a wrong class and 0 for the right one."""
        return np.abs(self.prediction - self.truth) if np.isnan(self.right).all() else 1 - self.right


def of_numbers(target: Target, points: Points) -> Charts:
    """Predicted against measured, with intervals where there are any, and the errors."""
    unit = f" [{target.unit}]" if target.unit else ""
    held = np.isfinite(points.low) & np.isfinite(points.high)
    spans = (points.low, points.high) if held.any() and len(held) <= MOST_SPANS else None
    caption = "Predicted against measured"
    if points.outside.any():
        caption += "; orange: out of the domain"
    if spans is not None:
        inside = (points.low <= points.truth) & (points.truth <= points.high)
        caption += f"; lines: 90% intervals, which hold {inside[held].mean():.0%} of the measured values"
    parity = scatter(points.truth, points.prediction, f"measured{unit}", f"predicted{unit}", diagonal=True,
                     odd=points.outside, spans=spans)  # fmt: skip
    errors = histogram(points.prediction - points.truth, f"error{unit}", marks=[0.0])
    return [(parity, caption), (errors, "Errors: predicted minus measured")]


def of_classes(target: Target, points: Points) -> Charts:
    """ROC, precision and recall, and the reliability of the probabilities, of two classes; how sure, of several."""
    if len(target.classes) != 2 or np.isnan(points.prediction).all():
        return [_sureness(points)]
    truth, probability = points.truth, points.prediction
    if len(np.unique(truth)) < 2:
        return [(histogram(probability, "probability", limits=(0.0, 1.0)), "All test labels are of one class")]
    from sklearn.metrics import precision_recall_curve, roc_curve

    fall_out, recall, _ = roc_curve(truth, probability)
    precision, found, _ = precision_recall_curve(truth, probability)
    roc = {"model": (fall_out, recall), "chance": ([0, 1], [0, 1])}
    share = float(truth.mean())
    curve = {"model": (found[::-1], precision[::-1]), "chance": ([0, 1], [share, share])}
    return [
        (lines(roc, "false positive rate", "true positive rate"), "ROC"),
        (lines(curve, "recall", "precision"), f"Precision and recall of {target.classes[1]}"),
        _reliability(target, points),
    ]


def _sureness(points: Points) -> tuple[Markup, str]:
    return (
        histogram(points.prediction, "probability of the true class", limits=(0.0, 1.0)),
        "How sure the model is of the truth",
    )


def _reliability(target: Target, points: Points) -> tuple[Markup, str]:
    shown = {"network": points.prediction, "calibrated": points.calibrated}
    series: dict[str, Any] = {"perfect": ([0, 1], [0, 1])}
    words = []
    for name, probability in shown.items():
        known = np.isfinite(probability)
        if not known.any():
            continue
        p, y = probability[known], points.truth[known]
        groups = np.array_split(np.argsort(p, kind="stable"), min(10, len(p)))
        series[name] = ([p[group].mean() for group in groups], [y[group].mean() for group in groups])
        words.append(f"{name} {expected_calibration_error(y, p):.3f}")
    ordered: dict[str, Any] = {n: series[n] for n in ("network", "perfect", "calibrated") if n in series}
    return (
        lines(ordered, f"probability of {target.classes[1]}", "share of it"),
        f"Reliability in ten groups of equal size; expected calibration error: {', '.join(words)}",
    )


def error_by_similarity(points: Points, numbers: bool) -> Charts:
    """Error of the molecules in each bin of similarity to the nearest training molecule."""
    bins = []
    for begin, end in pairwise(EDGES):
        inside = (points.similarity >= begin) & ((points.similarity < end) | (end == EDGES[-1]))
        if inside.any():
            wrong = points.wrong[inside]
            value = float(np.sqrt(np.mean(wrong**2)) if numbers else wrong.mean())
            bins.append((f"{begin:g}-{end:g}", value, f"n={int(inside.sum())}"))
    name = "RMSE" if numbers else "share of wrong classes"
    caption = f"{name[0].upper()}{name[1:]} by similarity"
    return [(columns(bins, "similarity to the nearest training molecule", name), caption)]


def of_trust(figures: Mapping[str, Any], points: Points, levels: Mapping[float, float], unit: str | None) -> Charts:
    """What ``metrics.json`` tells of the trust of a target, and what its intervals do.

    ``levels``: for each coverage that was asked for, the share of the molecules whose interval held the truth.
    """
    charts: Charts = []
    if levels:
        curve: dict[str, Any] = {"intervals": (list(levels), list(levels.values())), "perfect": ([0, 1], [0, 1])}
        charts.append((lines(curve, "coverage asked for", "coverage found"), "Calibration of the intervals"))
    if bins := figures.get("by_similarity"):
        shown = [(f"{one['from']:g}-{one['to']:g}", one["coverage"], f"n={one['count']}") for one in bins]
        known = [one for one in bins if one["width"] is not None]  # others reach to infinity
        widths = ", ".join(f"{one['from']:g}-{one['to']:g}: {one['width']:.3g}" for one in known)
        picture = columns(shown, "similarity to the nearest training molecule", "coverage", mark=0.9, limits=(0.0, 1.0))
        charts.append((picture, f"Coverage of the 90% intervals by similarity{widths and f'; mean widths {widths}'}"))
    width = points.high - points.low
    if np.isfinite(width).any():
        rank = figures.get("spearman")
        told = "" if rank is None else f" (Spearman's correlation {rank:.2f})"
        of_unit = f" [{unit}]" if unit else ""
        picture = scatter(width / 2, points.wrong, f"half width of the interval{of_unit}", f"absolute error{of_unit}")
        charts.append((picture, f"Large errors should come with wide intervals{told}"))
    if selective := figures.get("selective"):
        charts.append(_selective(selective))
    return charts


def _selective(selective: Mapping[str, Any]) -> tuple[Markup, str]:
    numbers = "rmse" in selective
    kept, error = selective["retained"], selective["rmse" if numbers else "error"]
    series: dict[str, Any] = {"surest first": (kept, error), "all": ([kept[0], kept[-1]], [error[-1]] * 2)}
    ideal = ""
    if "best" in selective:
        series["ideal"], ideal = (kept, selective["best"]), "; ideal: if the errors were known"
    half = min(range(len(kept)), key=lambda i: abs(kept[i] - 0.5))
    gain = f"; the surest half has {1 - error[half] / error[-1]:.0%} less error than all" if error[-1] else ""
    return (
        lines(series, "share of the molecules kept", "RMSE" if numbers else "share of wrong classes"),
        f"Selective prediction: the least sure molecules are left out{gain}{ideal}",
    )
