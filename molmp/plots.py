"""Pictures of a training run: learning curves, and how predictions of the test molecules compare with the truth."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from molmp.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_curves", "plot_parity", "plot_roc"]

MOST_PANELS = 6
"""Targets that get a panel each; further ones share the roc plot or are left to the table."""

INK, ACCENT, MUTED = "#22303c", "#0b6e99", "#9aa5ad"


def plot_curves(history: Sequence[Mapping[str, Any]], metric: str, path: str | Path) -> None:
    """Draw loss and validation metric against epochs, of each network and dashed of their mean; the epoch that each
    keeps is marked."""
    figure, (left, right) = _figure(1, 2, width=9)
    members = sorted({record["member"] for record in history})
    for member in members:
        epochs = [record for record in history if record["member"] == member]
        x = [record["epoch"] for record in epochs]
        left.plot(x, [record["train_loss"] for record in epochs], color=MUTED)
        left.plot(x, [record["val_loss"] for record in epochs], color=ACCENT)
        right.plot(x, [record["val_score"] for record in epochs], color=ACCENT)
        if len(members) > 1:
            right.plot(x, [record["ensemble_score"] for record in epochs], "--", color=INK, label="their mean")
        for record in [record for record in epochs if record["best"]][-1:]:
            right.plot(record["epoch"], record["val_score"], "o", color=INK, label=f"kept: epoch {record['epoch']}")
    left.set(xlabel="epoch", ylabel="loss")
    left.set_yscale("log")
    right.set(xlabel="epoch", ylabel=f"validation {_title(metric)}")
    left.legend(left.lines[:2], ["training", "validation"], frameon=False)
    handles, names = right.get_legend_handles_labels()
    told = dict(zip(names, handles, strict=True))  # the same epoch of several networks once
    right.legend(told.values(), told.keys(), frameon=False)
    _save(figure, path)


def plot_parity(names: Sequence[str], labels: np.ndarray, predictions: Sequence[np.ndarray],
                scores: Mapping[str, Mapping[str, Any]], path: str | Path,
                sides: np.ndarray | None = None) -> None:  # fmt: skip
    """Draw predicted against measured values, a panel for each of the first six targets.

    ``labels`` have shape ``(n, t)`` with NaN where missing; ``predictions`` hold ``t`` arrays of shape ``(n,)``. Labels
    that are bounds (``sides``, shape ``(n, t)``, 1 or -1) are triangles that point to where the truth is.
    """
    figure, panels = _panels(len(names))
    sides = np.zeros(labels.shape) if sides is None else sides
    for axes, name, y, p, side in zip(panels, names, labels.T, predictions, sides.T, strict=False):
        known = ~np.isnan(y)
        ends = [min(y[known].min(), p[known].min()), max(y[known].max(), p[known].max())] if known.any() else [0, 1]
        axes.plot(ends, ends, color=MUTED, linewidth=1, zorder=0)
        for marker, kind in (("o", 0), (">", 1), ("<", -1)):
            own = known & (side == kind)
            axes.scatter(y[own], p[own], s=12, color=ACCENT, alpha=0.6, linewidths=0, rasterized=True, marker=marker)
        axes.set(xlabel=f"measured {name}", ylabel=f"predicted {name}", aspect="equal", title=_caption(scores[name]))
    _save(figure, path)


def plot_roc(names: Sequence[str], labels: np.ndarray, predictions: Sequence[np.ndarray], path: str | Path) -> None:
    """Draw ROC curves of two-class targets into one panel; targets with one class only are left out."""
    from sklearn.metrics import roc_auc_score, roc_curve

    figure, (axes,) = _figure(1, 1, width=5)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1)
    for name, y, p in zip(names, labels.T, predictions, strict=True):
        known = ~np.isnan(y)
        if len(np.unique(y[known])) == 2:
            fall_out, recall, _ = roc_curve(y[known], p[known])
            axes.plot(fall_out, recall, label=f"{name}  {roc_auc_score(y[known], p[known]):.3f}")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=7, title="ROC-AUC", loc="lower right")
    _save(figure, path)


def _figure(rows: int, columns: int, width: float) -> "tuple[Figure, list[Axes]]":
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "report", "drawing plots") from None
    figure = Figure(figsize=(width, width / columns * rows * 0.85), layout="constrained")
    panels = [figure.add_subplot(rows, columns, i + 1) for i in range(rows * columns)]
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels


def _panels(count: int) -> "tuple[Figure, list[Axes]]":
    count = min(count, MOST_PANELS)
    columns = min(count, 3)
    rows = -(-count // columns)
    figure, panels = _figure(rows, columns, width=4.5 * columns)
    for axes in panels[count:]:
        axes.set_visible(False)
    return figure, panels[:count]


def _caption(scores: Mapping[str, Any]) -> str:
    shown = [f"{_title(name)} {scores[name]:.3f}" for name in ("rmse", "r2") if scores.get(name) is not None]
    return ", ".join([*shown, f"{scores['count']} molecules"])


def _title(metric: str) -> str:
    return {"rmse": "RMSE", "mae": "MAE", "r2": "R2", "roc_auc": "ROC-AUC", "log_loss": "log-loss"}.get(metric, metric)


def _save(figure: "Figure", path: str | Path) -> None:
    figure.savefig(path, dpi=150)
