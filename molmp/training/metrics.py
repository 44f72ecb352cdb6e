"""How good predictions are: per target and on average, in lower-case names, undefined ones with a reason.

Every metric is scikit-learn's or SciPy's; a label that is missing (NaN) takes no part.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ["LOWER_IS_BETTER", "MAIN_METRIC", "Scores", "evaluate"]

MAIN_METRIC = {"regression": "rmse", "binary": "roc_auc", "multiclass": "log_loss"}
"""The main metric of each task: it chooses the best epoch, where one is chosen, and stands first in what is printed."""

LOWER_IS_BETTER = frozenset(["rmse", "mae", "log_loss", "brier"])
"""Metrics that are errors; all others are the better the higher."""


Measures = tuple[Mapping[str, Callable[[], float]], Mapping[str, str]]
"""Functions that work out metrics; and which of them are undefined, with the reason."""


class Scores(NamedTuple):
    """Metrics of one set of predictions; ``None`` where a metric is undefined."""

    mean: dict[str, float | None]
    """Mean over the targets for which the metric is defined."""
    per_target: dict[str, dict[str, Any]]
    """By target: its metrics, ``count`` of labels and, where any, how many of them are ``bounds`` and what is
    ``undefined``: metric -> reason."""


def evaluate(task: str, names: Sequence[str], labels: np.ndarray, predictions: Sequence[np.ndarray],
             sides: np.ndarray | None = None, thresholds: Sequence[float] | None = None,
             only: str | None = None) -> Scores:  # fmt: skip
    """Score predictions.

    Parameters
    ----------
    task
        ``"regression"``, ``"binary"`` or ``"multiclass"``.
    names
        Names of the ``t`` targets.
    labels
        True values, or indices of classes; NaN where missing; shape ``(n, t)``.
    predictions
        For each target: values in real units, shape ``(n,)``; probabilities of class 1, shape ``(n,)``; or
        probabilities of all classes, shape ``(n, classes)``.
    sides
        Of labels that are bounds, shape ``(n, t)``: 1 where the truth is there or above, -1 where it is there or below,
        else 0. A prediction on the allowed side of a bound is no error; on the other it is as wrong as it is far from
        the bound. So count ``rmse`` and ``mae``; the other metrics are of the labels that are values.
    thresholds
        For each of ``t`` binary targets the probability from which a molecule is of class 1; 0.5 where ``None``.
    only
        The one metric that is wanted; all where ``None``.

    Examples
    --------
    >>> scores = evaluate("regression", ["a"], np.array([[0.0], [2.0], [np.nan]]), [np.array([1.0, 2.0, 9.0])])
    >>> round(scores.mean["rmse"], 4), scores.per_target["a"]["count"]
    (0.7071, 2)
    """
    kinds: dict[str, Callable[..., Measures]] = {"regression": _regression, "multiclass": _multiclass}
    per_target: dict[str, dict[str, Any]] = {}
    columns = np.zeros_like(labels) if sides is None else sides
    cuts = [0.5] * len(names) if thresholds is None else thresholds
    for name, y, p, side, cut in zip(names, labels.T, predictions, columns.T, cuts, strict=True):
        known = ~np.isnan(y)
        per_target[name] = {"count": int(known.sum())}
        if (side[known] != 0).any():
            per_target[name]["bounds"] = int((side[known] != 0).sum())
            functions, undefined = _bounded(y[known], p[known], side[known])
        elif task == "binary":
            functions, undefined = _binary(y[known], p[known], cut)
        else:
            functions, undefined = kinds[task](y[known], p[known])
        wanted = functions if only is None else {only: functions[only]}
        per_target[name] |= _score(wanted, {metric: why for metric, why in undefined.items() if metric in wanted})
    return Scores(_means(per_target), per_target)


def _means(per_target: Mapping[str, Mapping[str, Any]]) -> dict[str, float | None]:
    names = [k for k in next(iter(per_target.values()), {}) if k not in ("count", "bounds", "undefined")]
    defined = {n: [t[n] for t in per_target.values() if t[n] is not None] for n in names}
    return {n: float(np.mean(v)) if v else None for n, v in defined.items()}


def _score(functions: Mapping[str, Callable[[], float]], undefined: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns where a class is never predicted: 0 is meant
        for name, function in functions.items():
            values[name] = None if name in undefined else float(function())
    return values | ({"undefined": dict(undefined)} if undefined else {})


def _regression(y: np.ndarray, p: np.ndarray) -> Measures:
    functions: dict[str, Callable[[], float]] = {
        "rmse": lambda: np.sqrt(np.mean((y - p) ** 2)),
        "mae": lambda: np.mean(np.abs(y - p)),
        "r2": lambda: _r2(y, p),
        "pearson": lambda: _correlation("pearsonr", y, p),
        "spearman": lambda: _correlation("spearmanr", y, p),
        "kendall": lambda: _correlation("kendalltau", y, p),
    }
    undefined: dict[str, str] = {}
    if len(y) == 0:
        undefined = dict.fromkeys(functions, "no labels")
    elif len(y) == 1 or np.ptp(y) == 0:
        undefined = dict.fromkeys(("r2", "pearson", "spearman", "kendall"), f"all {len(y)} labels are equal")
    elif np.ptp(p) == 0:
        undefined = dict.fromkeys(("pearson", "spearman", "kendall"), "all predictions are equal")
    return functions, undefined


def _r2(y: np.ndarray, p: np.ndarray) -> float:
    from sklearn.metrics import r2_score

    return float(r2_score(y, p))


def _correlation(name: str, y: np.ndarray, p: np.ndarray) -> float:
    from scipy import stats

    return float(getattr(stats, name)(y, p).statistic)


def _bounded(y: np.ndarray, p: np.ndarray, side: np.ndarray) -> Measures:
    error = np.where(side * (p - y) > 0, 0.0, p - y)
    exact = side == 0
    functions, undefined = _regression(y[exact], p[exact])
    functions = {
        **functions,
        "rmse": lambda: float(np.sqrt(np.mean(error**2))),
        "mae": lambda: float(np.abs(error).mean()),
    }
    undefined = {k: "no labels that are values" if not exact.any() else why
                 for k, why in undefined.items() if k not in ("rmse", "mae")}  # fmt: skip
    return functions, undefined


def _binary(y: np.ndarray, p: np.ndarray, cut: float) -> Measures:
    from sklearn import metrics as sk

    hard = (p >= cut).astype(int)
    functions = {
        "roc_auc": lambda: sk.roc_auc_score(y, p),
        "pr_auc": lambda: sk.average_precision_score(y, p),
        "accuracy": lambda: sk.accuracy_score(y, hard),
        "balanced_accuracy": lambda: sk.balanced_accuracy_score(y, hard),
        "f1": lambda: sk.f1_score(y, hard),
        "mcc": lambda: sk.matthews_corrcoef(y, hard),
        "log_loss": lambda: sk.log_loss(y, p, labels=[0, 1]),
        "brier": lambda: np.mean((y - p) ** 2),
    }
    need_both = ("roc_auc", "pr_auc", "balanced_accuracy", "f1", "mcc")
    return functions, _undefined_classes(y, functions, need_both)


def _multiclass(y: np.ndarray, p: np.ndarray) -> Measures:
    from sklearn import metrics as sk

    classes = np.arange(p.shape[1])
    hard, one_hot = p.argmax(1), np.eye(p.shape[1])[y.astype(int)]
    present = np.unique(y).astype(int)
    functions = {
        "log_loss": lambda: sk.log_loss(y, p, labels=classes),
        "accuracy": lambda: sk.accuracy_score(y, hard),
        "balanced_accuracy": lambda: sk.balanced_accuracy_score(y, hard),
        "f1": lambda: sk.f1_score(y, hard, average="macro"),
        "mcc": lambda: sk.matthews_corrcoef(y, hard),
        # One class against the rest, over the classes that occur.
        "roc_auc": lambda: np.mean([sk.roc_auc_score(y == c, p[:, c]) for c in present]),
        "pr_auc": lambda: np.mean([sk.average_precision_score(y == c, p[:, c]) for c in present]),
        "brier": lambda: np.mean(((one_hot - p) ** 2).sum(1)),
    }
    return functions, _undefined_classes(y, functions, ("balanced_accuracy", "f1", "mcc", "roc_auc", "pr_auc"))


def _undefined_classes(y: np.ndarray, functions: Mapping[str, Any], need_both: Sequence[str]) -> dict[str, str]:
    if len(y) == 0:
        return dict.fromkeys(functions, "no labels")
    if len(np.unique(y)) == 1:
        return dict.fromkeys(need_both, f"all {len(y)} labels are of one class")
    return {}
