"""The three limits as one picture."""

from pathlib import Path
from typing import TYPE_CHECKING

from molmp.diagnose.report import Diagnosis
from molmp.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_diagnosis"]

COLORS = ("#0b6e99", "#c2571a", "#22303c", "#9aa5ad", "#5a8f3c", "#8a4f9e", "#c9a227", "#d45d79")

FLOOR = 1e-8
"""Smaller numbers are drawn here: the scale is logarithmic."""


def plot_diagnosis(diagnosis: Diagnosis, path: str | Path) -> None:
    """Draw over-smoothing, over-squashing and expressiveness side by side.

    Raises
    ------
    MissingExtraError
        There is no matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "report", "drawing plots") from None
    figure = Figure(figsize=(17, 5.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.1))
    _curves(left, [(s.network, s.depth, s.distance) for s in diagnosis.smoothing])
    left.set(xlabel="steps", ylabel="distance of two atoms' states", title="over-smoothing", yscale="log")
    _curves(middle, [(s.network, s.distance, s.jacobian) for s in diagnosis.squashing])
    middle.set(
        xlabel="bonds between two atoms",
        ylabel="length of the Jacobian (none: at the bottom)",
        title="over-squashing",
        yscale="log",
    )
    _table(right, diagnosis)
    figure.savefig(path, dpi=110)


def _curves(axes: "Axes", points: list[tuple[str, int, float]]) -> None:
    for i, network in enumerate(dict.fromkeys(name for name, _, _ in points)):
        mine = [(x, max(y, FLOOR)) for name, x, y in points if name == network]
        axes.plot(*zip(*mine, strict=True), color=COLORS[i % len(COLORS)], marker="o", markersize=3, label=network)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)


def _table(axes: "Axes", diagnosis: Diagnosis) -> None:
    rows = list(dict.fromkeys(one.network for one in diagnosis.expressiveness))
    columns = list(dict.fromkeys((one.ring_features, one.positions) for one in diagnosis.expressiveness))
    pairs = list(dict.fromkeys(one.pair for one in diagnosis.expressiveness))
    for one in diagnosis.expressiveness:
        x = columns.index((one.ring_features, one.positions)) * len(pairs) + pairs.index(one.pair)
        color = COLORS[4] if one.told_apart else COLORS[1]
        axes.scatter(x, rows.index(one.network), s=70, marker="o" if one.told_apart else "x", color=color)
    names = [("ring features" if rings else "no ring features", positions) for rings, positions in columns]
    labels = [f"{pair}\n{a}" + (f", {b}" if b != "none" else "") for a, b in names for pair in pairs]
    axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right", fontsize=7)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.invert_yaxis()
    axes.set_title("told apart (o) or not (x)")
    axes.spines[["top", "right"]].set_visible(False)
