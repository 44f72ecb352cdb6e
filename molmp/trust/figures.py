"""How well a model knows what it does not know, measured on molecules that neither trained nor calibrated it.

All figures are plain numbers for ``metrics.json``; None where one is undefined, as that of no molecules.

Shapes: n molecules, C classes.
"""

from typing import Any

import numpy as np

from molmp.trust.classes import ClassTrust
from molmp.trust.conformal import Interval
from molmp.trust.evaluate import (
    calibration_error,
    coverage_by_bin,
    expected_calibration_error,
    interval_scores,
    normal_nll,
    rank_of_errors,
    selective_curve,
)
from molmp.trust.numbers import NumberTrust
from molmp.trust.told import Told
from molmp.trust.trusted import TargetTrust

__all__ = ["SIMILARITY_EDGES", "class_figures", "number_figures", "target_figures"]

SIMILARITY_EDGES = (0.0, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
"""Bins of the similarity to the nearest training molecule in which coverage is told."""

RETAINED = tuple(np.linspace(0.1, 1, 10).round(1).tolist())


def target_figures(
    trust: TargetTrust, truth: np.ndarray, told: Told, inside: np.ndarray | None, coverage: float
) -> dict[str, Any]:
    """Figures of one target: :func:`number_figures` or :func:`class_figures`."""
    rows = np.flatnonzero(~np.isnan(truth) & told.known)
    calibration = {"count": trust.count, "method": trust.method}
    if not len(rows):
        return {"count": 0, "calibration": calibration}
    told, truth = told.at(rows), truth[rows]
    inside = None if inside is None else inside[rows]
    if isinstance(trust, NumberTrust):
        found = number_figures(trust, truth, told, inside, coverage)
    else:
        found = class_figures(trust, truth, told, inside, coverage)
    return _plain(found) | {"calibration": calibration}


def number_figures(
    trust: NumberTrust, truth: np.ndarray, told: Told, inside: np.ndarray | None, coverage: float
) -> dict[str, Any]:
    """Coverage and width of intervals, errors inside and outside of the domain, and what uncertainty says of errors.

    ``truth`` of shape ``(n,)``, none NaN; ``inside``: which molecules are in the domain. ``selective`` is the error of
    those kept when only the surest are, see :func:`~molmp.trust.evaluate.selective_curve`.
    """
    interval, sigma = trust.interval(told, coverage), trust.sigma(told)
    curve = selective_curve(truth, told.value, sigma, RETAINED)
    found: dict[str, Any] = {"count": len(truth), **interval_scores(truth, *interval)}
    for name, part in _sides(inside):
        found[f"count_{name}"] = int(part.sum())
        found[f"coverage_{name}"] = float(_covered(truth, interval)[part].mean()) if part.any() else None
        found[f"rmse_{name}"] = float(np.sqrt(np.mean((truth - told.value)[part] ** 2))) if part.any() else None
    if told.similarity is not None:
        found["by_similarity"] = coverage_by_bin(truth, *interval, told.similarity, SIMILARITY_EDGES)
    return found | {
        "ence": calibration_error(truth, told.value, sigma),
        "nll": normal_nll(truth, told.value, sigma),
        "spearman": rank_of_errors(truth, told.value, sigma),
        "selective": {name: values.tolist() for name, values in curve._asdict().items()},
    }


def class_figures(
    trust: ClassTrust, truth: np.ndarray, told: Told, inside: np.ndarray | None, coverage: float
) -> dict[str, Any]:
    """Calibration before and after, coverage and size of the sets, and errors by domain and by certainty.

    ``truth``: indices of classes, shape ``(n,)``, none NaN. The error of ``selective`` is the share of molecules whose
    likeliest class is not the true one, of those kept when only the surest are.
    """
    classes = truth.astype(int)
    raw, better = _columns(told.value), _columns(trust.calibrated(told))
    members = trust.members(told, coverage)
    covered, wrong = members[np.arange(len(classes)), classes], raw.argmax(1) != classes
    found: dict[str, Any] = {"count": len(truth), "set_coverage": covered.mean(), "set_size": members.sum(1).mean()}
    for name, part in _sides(inside):
        found[f"count_{name}"] = int(part.sum())
        found[f"set_coverage_{name}"] = covered[part].mean() if part.any() else None
        found[f"accuracy_{name}"] = 1 - wrong[part].mean() if part.any() else None
    for name, columns in (("", better), ("_uncalibrated", raw)):
        known = not np.isnan(columns).any()
        found[f"ece{name}"] = _ece(classes, columns) if known else None
        found[f"log_loss{name}"] = _log_loss(classes, columns) if known else None
    order = np.argsort(-raw.max(1), kind="stable")
    counts = np.maximum(1, np.round(np.array(RETAINED) * len(order))).astype(int)
    error = np.cumsum(wrong[order])[counts - 1] / counts
    return found | {"selective": {"retained": list(RETAINED), "error": error.tolist()}}


def _sides(inside: np.ndarray | None) -> list[tuple[str, np.ndarray]]:
    return [] if inside is None else [("in_domain", inside), ("out_of_domain", ~inside)]


def _covered(truth: np.ndarray, interval: Interval) -> np.ndarray:
    return np.asarray((interval.low <= truth) & (truth <= interval.high))


def _columns(probabilities: np.ndarray) -> np.ndarray:
    return np.stack([1 - probabilities, probabilities], 1) if probabilities.ndim == 1 else probabilities


def _ece(classes: np.ndarray, columns: np.ndarray) -> float:
    """Mean over the classes, one against the rest; of two classes that of either."""
    each = enumerate(columns.T) if columns.shape[1] > 2 else [(1, columns[:, 1])]
    return float(np.mean([expected_calibration_error((classes == c).astype(float), p) for c, p in each]))


def _log_loss(classes: np.ndarray, columns: np.ndarray) -> float:
    return float(-np.log(np.maximum(columns[np.arange(len(classes)), classes], 1e-15)).mean())


def _plain(value: Any) -> Any:
    """Python's numbers, and None in the place of those that are not finite."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value
