"""What each change of the recipe does to error and cost: the table ``variants`` of docs/accuracy.md."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.accuracy import is_current
from benchmarks.tables import markdown
from benchmarks.variants import VARIANTS
from molmp.training.metrics import LOWER_IS_BETTER

__all__ = ["error_of", "ratios", "table"]

DEFAULT = "default"

Rows = Sequence[Mapping[str, Any]]


def table(rows: Rows) -> str:
    """One line a variant: ratios of its error and its CPU time to the default's, on the same sets and seeds."""
    lines = []
    for variant in VARIANTS:
        errors = ratios(rows, variant, error_of)
        if variant == DEFAULT or not errors:
            continue
        best, worst = min(errors, key=errors.__getitem__), max(errors, key=errors.__getitem__)
        cells = [_mean(errors), f"{errors[best]:.3f} ({best})", f"{errors[worst]:.3f} ({worst})"]
        better = sum(ratio < 1 for ratio in errors.values())
        runs = len(_pairs(rows, variant))
        cost = _mean(ratios(rows, variant, lambda row: row["cpu_s"]), digits=1)
        lines.append([variant, *cells, f"{better} of {len(errors)}", str(runs), cost])
    header = ["change", "error", "best set", "worst set", "better on", "runs", "CPU time"]
    return markdown(header, lines) if lines else "Not measured yet."


def ratios(rows: Rows, variant: str, number: Any) -> dict[str, float]:
    """Of a number of the variant's lines to that of the default's, by set: geometric means over the seeds.

    >>> lines = [{"set": "esol", "seed": 0, "method": m, "x": x} for m, x in (("default", 2.0), ("wide", 1.0))]
    >>> ratios([line | {"origin": "elsewhere"} for line in lines], "wide", lambda line: line["x"])
    {'esol': 0.5}
    """
    found: dict[str, list[float]] = {}
    for mine, theirs in _pairs(rows, variant):
        found.setdefault(mine["set"], []).append(np.log(number(mine) / number(theirs)))
    return {name: float(np.exp(np.mean(logs))) for name, logs in found.items()}


def error_of(row: Mapping[str, Any]) -> float:
    """What is lacking to a perfect score: RMSE, MAE, or 1 minus an AUROC or a correlation.

    >>> error_of({"metric": "roc_auc", "value": 0.75}), error_of({"metric": "rmse", "value": 0.75})
    (0.25, 0.75)
    """
    value: float = row["value"]
    return max(value if row["metric"] in LOWER_IS_BETTER else 1 - value, 1e-3)  # no perfect score wins without end


def _pairs(rows: Rows, variant: str) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Lines of the variant, each with the default's of the same set and seed; none of an older recipe."""
    current = {(row["set"], row["seed"], row["method"]): row for row in rows if is_current(row, VARIANTS)}
    keys = [key for key in current if key[2] == variant and (*key[:2], DEFAULT) in current]
    return [(current[key], current[*key[:2], DEFAULT]) for key in keys]


def _mean(by_set: Mapping[str, float], digits: int = 3) -> str:
    return f"{np.exp(np.mean(np.log(list(by_set.values())))):.{digits}f}"
