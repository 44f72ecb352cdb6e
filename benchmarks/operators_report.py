"""make bench-operators-report: the table and the plot of docs/operators.md from benchmarks/operators.jsonl."""

import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.operators import BUDGET, RESULTS, SETS, SUBJECTS, load_rows
from molmp.training.metrics import LOWER_IS_BETTER

__all__ = ["PAGE", "means", "page"]

PAGE = RESULTS.parent.parent / "docs" / "operators.md"

PLOT = PAGE.with_name("operators.svg")

Scores = dict[str, dict[str, list[float]]]
"""By set and subject, the values of the seeds."""


def main() -> None:
    rows = load_rows()
    text = PAGE.read_text("ascii")
    filled = re.sub(r"(?s)(<!-- operators -->\n).*?(<!-- end -->)", lambda m: m[1] + page(rows) + m[2], text)
    PAGE.write_text(filled, "ascii")
    plot(rows)


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """The measured part of the page."""
    scores = collect(rows)
    sets = [name for name in SETS if name in scores]
    better = {row["set"]: row["metric"] for row in rows}
    head = [f"{name} ({metric(better[name])})" for name in sets]
    lines = [
        "| operator | width | weights | " + " | ".join(head) + " | CPU s an epoch of 1,000 molecules |",
        "| --- | --- | --- |" + " --- |" * (len(sets) + 1),
    ]
    for subject in SUBJECTS:
        mine = [row for row in rows if row["subject"] == subject]
        cells = [cell(scores[name], subject, better[name]) for name in sets]
        speed = statistics.median(1000 * row["cpu_s_per_epoch"] / row["molecules"] for row in mine)
        size = f"{mine[0]['network']['hidden']} | {mine[0]['parameters']:,}"
        lines.append(f"| `{subject.replace(', ', '` + `')}` | {size} | " + " | ".join(cells) + f" | {speed:.2f} |")
    seeds = {name: [len(values) for values in scores[name].values()] for name in sets}
    told = "; ".join(
        f"{name} {min(n)}" if min(n) == max(n) else f"{name} {min(n)} to {max(n)}" for name, n in seeds.items()
    )
    sizes = sorted({row["parameters"] for row in rows})
    return (
        f"About {BUDGET:,} weights each ({sizes[0]:,} to {sizes[-1]:,}), {rows[0]['epochs']} epochs, each set's own\n"
        "split, nothing tuned to an operator or a set. Mean over the seeds with the standard deviation. Seeds\n"
        f"measured: {told}.\n\n" + "\n".join(lines) + "\n\n" + verdict(scores, sets, better)
        + "\n![Rank of each operator on each set](operators.svg)\n\n"
    )  # fmt: skip


def collect(rows: Sequence[Mapping[str, Any]]) -> Scores:
    """Values of the seeds, of the sets on which every subject has at least one."""
    found: Scores = {}
    for row in rows:
        found.setdefault(row["set"], {}).setdefault(row["subject"], []).append(row["value"])
    return {name: of_set for name, of_set in found.items() if of_set.keys() == SUBJECTS.keys()}


def means(scores: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Mean over the seeds of each subject."""
    return {subject: statistics.mean(values) for subject, values in scores.items()}


def ranks(scores: Mapping[str, Sequence[float]], name: str) -> dict[str, int]:
    """Place of each subject, 1 for the best."""
    mean = means(scores)
    order = sorted(mean, key=lambda subject: mean[subject] if name in LOWER_IS_BETTER else -mean[subject])
    return {subject: place for place, subject in enumerate(order, 1)}


def verdict(scores: Scores, sets: Sequence[str], better: Mapping[str, str]) -> str:
    """Who wins where, and by how much more than chance."""
    sentences = []
    for name in sets:
        places = ranks(scores[name], better[name])
        first, second = sorted(places, key=lambda subject: places[subject])[:2]
        mean = means(scores[name])
        both = (scores[name][first], scores[name][second])
        spread = max((statistics.stdev(values) for values in both if len(values) > 1), default=0.0)
        close = "within the spread of the seeds of" if abs(mean[first] - mean[second]) < spread else "ahead of"
        sentences.append(f"- {name}: `{first}`, {close} `{second}`")
    full = {s: statistics.mean(ranks(scores[name], better[name])[s] for name in sets) for s in SUBJECTS}
    order = sorted(full, key=lambda subject: full[subject])
    listed = ", ".join(f"`{subject}` {full[subject]:.1f}" for subject in order)
    return "Best on each set:\n\n" + "\n".join(sentences) + f"\n\nMean rank: {listed}.\n"


def cell(scores: Mapping[str, Sequence[float]], subject: str, name: str) -> str:
    """Mean and deviation, bold for the best."""
    values = scores[subject]
    text = f"{statistics.mean(values):.3f}" + (f" +- {statistics.stdev(values):.3f}" if len(values) > 1 else "")
    return f"**{text}**" if ranks(scores, name)[subject] == 1 else text


def metric(name: str) -> str:
    """Its usual name, and which way is better."""
    titles = {"rmse": "RMSE", "mae": "MAE", "roc_auc": "AUROC"}
    return titles[name] + (", lower" if name in LOWER_IS_BETTER else ", higher")


def plot(rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw the rank of each operator on each set."""
    from matplotlib.figure import Figure

    scores, better = collect(rows), {row["set"]: row["metric"] for row in rows}
    sets = [name for name in SETS if name in scores]
    places = {name: ranks(scores[name], better[name]) for name in sets}
    shown = sorted(SUBJECTS, key=lambda s: statistics.mean(places[name][s] for name in sets))
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for i, name in enumerate(sets):
        color = ("#0b6e99", "#c2571a", "#22303c", "#9aa5ad", "#5a8f3c", "#8a4f9e")[i % 6]
        axes.plot(shown, [places[name][s] for s in shown], "o", color=color, alpha=0.8, label=name)
    axes.plot(
        shown, [statistics.mean(places[name][s] for name in sets) for s in shown], "k_", markersize=24, label="mean"
    )
    axes.invert_yaxis()
    axes.set_ylabel("rank")
    axes.tick_params(axis="x", rotation=35)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.18))
    figure.savefig(PLOT, metadata={"Date": None})


if __name__ == "__main__":
    main()
