"""make bench-accuracy-report: the tables and the plot of docs/accuracy.md from benchmarks/accuracy.jsonl.

Text between ``<!-- table: NAME -->`` and ``<!-- end -->`` is replaced, everything else stays.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import variants_report
from benchmarks.accuracy import RESULTS, is_current, load_rows
from benchmarks.accuracy_sets import PUBLISHED, SETS
from benchmarks.tables import fill_tables, markdown, number, origin
from benchmarks.variants import load_variant_rows
from molmp.training.metrics import LOWER_IS_BETTER

__all__ = ["PAGE", "Scores", "fill", "gain", "tables"]

PAGE = RESULTS.parent.parent / "docs" / "accuracy.md"

PLOT = PAGE.with_name("accuracy.svg")

OURS = "molmp"

NAMES = {
    "molmp": "molmp",
    "molmp-single": "molmp, one network",
    "molmp-graph": "molmp, graph only",
    "molmp-all": "molmp, all see all",
    "molmp-best": "molmp, best epoch",
    "chemprop": "Chemprop 2.3.1",
    "forest": "random forest",
    "forest-ecfp4": "random forest, ECFP4",
    "boosting": "boosted trees",
    "mean": "mean",
}
"""Methods in the order of the columns."""

TITLES = {"rmse": "RMSE", "mae": "MAE", "roc_auc": "AUROC", "pr_auc": "AUPRC", "spearman": "Spearman", "r2": "R2"}


class Scores(NamedTuple):
    """One method on one set: the values of its seeds."""

    values: tuple[float, ...]
    cpu_s: float | None

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def spread(self) -> float | None:
        """Standard deviation over the seeds; None for one seed."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None


Table = dict[str, dict[str, Scores]]
"""By set and method."""


def main() -> None:
    rows = load_rows()
    PAGE.write_text(fill(PAGE.read_text("ascii"), rows, load_variant_rows()), "ascii")
    plot(collect(rows, "column"), PLOT)


def collect(rows: Sequence[Mapping[str, Any]], split: str) -> Table:
    """Scores of one kind of split, sets in the order of :data:`SETS`; lines of an older recipe are left out.

    Of balanced scaffold splits, where each seed is another test set, only the seeds that all methods there have.
    """
    found: Table = {}
    rows = [row for row in rows if is_current(row) and row["split"] == split and row["method"] in NAMES]
    for name in SETS:
        by_method: dict[str, dict[int, Mapping[str, Any]]] = {}
        for row in rows:
            if row["set"] == name:
                by_method.setdefault(row["method"], {})[row["seed"]] = row
        for method in filter(by_method.__contains__, NAMES):
            seeds = set.intersection(*map(set, by_method.values())) if split == "scaffold" else by_method[method]
            mine = [by_method[method][seed] for seed in sorted(seeds)]
            if mine:
                spent = [row["cpu_s"] for row in mine if row["cpu_s"] is not None]
                scores = Scores(tuple(r["value"] for r in mine), float(np.mean(spent)) if spent else None)
                found.setdefault(name, {})[method] = scores
    return found


def fill(text: str, rows: Sequence[Mapping[str, Any]], of_variants: Sequence[Mapping[str, Any]]) -> str:
    """Write every table into its place in the page."""
    return fill_tables(text, tables(rows) | {"variants": variants_report.table(of_variants)})


def tables(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """All tables of the page by name."""
    column, scaffold = collect(rows, "column"), collect(rows, "scaffold")
    measured = [row for row in rows if row["origin"] == "measured here" and is_current(row)]
    return {
        "column": by_set(column),
        "scaffold": by_set(scaffold),
        "summary": summary(column),
        "summary_scaffold": summary(scaffold, paired=True),
        "published": published(column),
        "origin": origin(measured) if measured else "Not measured yet.",
    }


def by_set(table: Table) -> str:
    """Mean and standard deviation over seeds (their number in brackets), the best in bold; CPU seconds of networks."""
    if not table:
        return "Not measured yet."
    methods = [m for m in NAMES if any(m in scores for scores in table.values())]
    timed = [m for m in methods if m in (OURS, "chemprop")]
    lines = []
    for name, scores in table.items():
        metric = SETS[name].metric
        means = {m: s.mean for m, s in scores.items()}
        best = (min if metric in LOWER_IS_BETTER else max)(means.values())
        cells = [_cell(scores.get(m), bold=m in means and means[m] == best) for m in methods]
        spent = [scores[m].cpu_s if m in scores else None for m in timed]
        lines.append([name, TITLES[metric], *cells, *("" if seconds is None else number(seconds) for seconds in spent)])
    return markdown(["set", "metric", *(NAMES[m] for m in methods), *(f"{NAMES[m]}, CPU s" for m in timed)], lines)


def summary(table: Table, paired: bool = False) -> str:
    """How often molmp is better, by mean over the seeds, and how often worse by more than a standard error."""
    lines = []
    for other in (m for m in NAMES if m != OURS):
        pairs = {n: (s[OURS], s[other]) for n, s in table.items() if OURS in s and other in s}
        if not pairs:
            continue
        gains = {name: gain(SETS[name].metric, *pair, paired) for name, pair in pairs.items()}
        better = sum(g > 0 for g, _ in gains.values())
        clearly_worse = [name for name, (g, error) in gains.items() if g < -error]
        clearly_better = sum(g > error for g, error in gains.values())
        worse = f"{len(clearly_worse)}" + (f" ({', '.join(clearly_worse)})" if clearly_worse else "")
        share = f"{better} of {len(pairs)} ({100 * better / len(pairs):.0f} %)"
        lines.append(
            [NAMES[other], share, str(clearly_better), str(len(pairs) - clearly_better - len(clearly_worse)), worse]
        )
    if not lines:
        return "Not measured yet."
    return markdown(["molmp against", "better by mean", "win", "tie (within a standard error)", "loss"], lines)


def gain(metric: str, mine: Scores, theirs: Scores, paired: bool = False) -> tuple[float, float]:
    """How much better ``mine`` is than ``theirs``, and the standard error of that.

    A method with one seed is given the spread of the other. ``paired``: values of the same seed belong together.

    >>> gain("rmse", Scores((1.0, 1.2), None), Scores((1.5,), None))
    (0.4, 0.17...)
    >>> gain("rmse", Scores((1.0, 2.0, 3.0), None), Scores((1.5, 2.6, 3.4), None), paired=True)
    (0.5, 0.05...)
    """
    sign = -1 if metric in LOWER_IS_BETTER else 1
    if paired:
        gains = Scores(tuple(sign * (a - b) for a, b in zip(mine.values, theirs.values, strict=True)), None)
        return round(gains.mean, 10), (gains.spread or 0.0) / len(gains.values) ** 0.5
    spreads = [s.spread for s in (mine, theirs)]
    known = [spread for spread in spreads if spread is not None]
    filled = [known[0] if known and spread is None else spread or 0.0 for spread in spreads]
    parts = zip(filled, (mine, theirs), strict=True)
    error = float(np.sqrt(sum(spread**2 / len(scores.values) for spread, scores in parts)))
    return round(sign * (mine.mean - theirs.mean), 10), error


def published(table: Table) -> str:
    """TDC's leaderboard beside molmp's mean."""
    lines = []
    for name, (chemprop, first, third, leader) in PUBLISHED.items():
        if OURS not in table.get(name, {}):
            continue
        metric, mine = SETS[name].metric, table[name][OURS]
        sign = -1 if metric in LOWER_IS_BETTER else 1
        beats = ["" if v is None else "yes" if sign * (mine.mean - v) > 0 else "no" for v in (chemprop, third, first)]
        figures = ["" if v is None else f"{v:.3f}" for v in (chemprop, third, first)]
        lines.append([name, TITLES[metric], _cell(mine), figures[0], beats[0], figures[1], beats[1],
                      f"{figures[2]} {leader}".strip(), beats[2]])  # fmt: skip
    header = ["set", "metric", "molmp", "Chemprop-RDKit", "better", "third", "better", "first", "better"]
    return markdown(header, lines) if lines else "Not measured yet."


def plot(table: Table, path: Path) -> None:
    """For each set, how much smaller or larger molmp's error is than the others'; to the right molmp is better."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams |= {"svg.hashsalt": "molmp", "svg.fonttype": "none"}
    others = {"chemprop": ("#c8553d", "o"), "forest": ("#588157", "s"), "forest-ecfp4": ("#9aa5ad", "^")}
    names = [name for name, scores in table.items() if OURS in scores and set(scores) & set(others)]
    figure, axis = pyplot.subplots(figsize=(8, 0.3 * len(names) + 1.2), layout="constrained")
    for other, (colour, marker) in others.items():
        places = [i for i, name in enumerate(names) if other in table[name]]
        gains = [
            _relative(SETS[names[i]].metric, table[names[i]][OURS].mean, table[names[i]][other].mean) for i in places
        ]
        axis.scatter(gains, places, color=colour, marker=marker, s=28, label=NAMES[other])
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_yticks(range(len(names)), [f"{name} ({TITLES[SETS[name].metric]})" for name in names], fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel("molmp's error is smaller by ... % (1 - score for AUROC, AUPRC and correlations)", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.grid(axis="x", linewidth=0.3)
    axis.legend(fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


def _relative(metric: str, mine: float, theirs: float) -> float:
    errors = (mine, theirs) if metric in LOWER_IS_BETTER else (1 - mine, 1 - theirs)
    return 100 * (1 - errors[0] / errors[1])


def _cell(scores: Scores | None, *, bold: bool = False) -> str:
    if scores is None:
        return ""
    spread = "" if scores.spread is None else f" +- {scores.spread:.3f}"
    mean = f"**{scores.mean:.3f}**" if bold else f"{scores.mean:.3f}"
    return f"{mean}{spread} ({len(scores.values)})"


if __name__ == "__main__":
    main()
