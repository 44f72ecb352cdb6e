"""A run as one page of HTML that can be sent to a colleague."""

import math
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from molmp.chem.featurize import featurize
from molmp.inference.columns import Columns
from molmp.inference.describe import describe
from molmp.inference.predictor import Predictor
from molmp.page.charts import bars, lines, stacked
from molmp.page.render import render_page
from molmp.report.cards import example_cards, prediction_cards
from molmp.report.plots import Charts, Points, error_by_similarity, of_classes, of_numbers, of_trust
from molmp.report.run_files import Tested, read_history, read_settings, read_test_rows
from molmp.report.story import findings, split_words
from molmp.training.bundle import Bundle
from molmp.training.metrics import LOWER_IS_BETTER, MAIN_METRIC

__all__ = ["report_page"]

MOST_TARGETS = 24
"""Targets with plots of their own; the table holds all."""

CARDS = 4
"""Best and worst predictions that are drawn of each target."""

MOST_EXPLAINED = 3
"""Targets whose drawings are coloured."""

COVERAGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)

MOST_ASKED = 2_000
"""Test molecules, at most, of which intervals of all coverages are asked."""

BASELINES = ("mean", "forest")


def report_page(run: str | Path, device: str = "auto", *, name: str | None = None) -> str:
    """Write HTML from a run's folder; it needs nothing else to be looked at.

    ``name`` is what the page calls the run, by default as the folder. Raises :class:`FileFormatError` where there is no
    model in the folder.
    """
    run = Path(run)
    predictor = Predictor.load(run, device)
    bundle = predictor.bundle
    rows = read_test_rows(run, bundle.targets)
    config = run / "config.toml"
    task, metrics = bundle.targets.task, bundle.metrics
    levels = _levels(predictor, rows)
    labelled = int((~np.isnan(rows.truth)).any(axis=1).sum())
    return render_page(
        "report.html",
        name=name or run.resolve().name,
        bundle=bundle,
        facts=describe(bundle),
        findings=findings(metrics, task, labelled),
        labels=_labels(bundle),
        examples=example_cards(rows, bundle.targets.items, task),
        sizes=bars(bundle.data.get("split_rows", {}), "molecules"),
        split=split_words(read_settings(run)),
        domain=_domain(rows),
        curves=_curves(read_history(run), MAIN_METRIC[task]),
        main=MAIN_METRIC[task],
        table=_table(bundle),
        about=metrics.get("baselines", {}).get("forest", {}).get("about", ""),
        metrics=list(metrics.get("test", {})),
        lower=LOWER_IS_BETTER,
        targets=[_target(predictor, rows, place, levels) for place in range(len(bundle.targets.items[:MOST_TARGETS]))],
        config=config.read_text("utf-8") if config.exists() else "",
        unreadable=_count_lines(run / "unreadable.csv"),
    )


def _count_lines(path: Path) -> int:
    return max(len(path.read_text("utf-8", errors="replace").splitlines()) - 1, 0) if path.exists() else 0


def _labels(bundle: Bundle) -> Charts:
    """How the labels of each target are distributed over the parts."""
    charts: Charts = []
    units = {item.name: item.unit for item in bundle.targets.items}
    for name, told in islice(bundle.metrics.get("labels", {}).items(), MOST_TARGETS):
        unit = f" [{units[name]}]" if units.get(name) else ""
        bounds = f"; {told['bounds']:,} of them are bounds" if told["bounds"] else ""
        caption = f"{name}: {sum(told['count'].values()):,} labels{bounds}"
        if "classes" in told:
            parts = told["classes"].values()
            charts.append((bars({c: sum(part[c] for part in parts) for c in next(iter(parts))}, name), caption))
        else:
            charts.append((stacked(told["histogram"], told["low"], told["high"], f"{name}{unit}", "labels"), caption))
    return charts


def _domain(rows: Tested) -> dict[str, Any] | None:
    """How like the training molecules the test molecules are."""
    if not rows.has_domain:
        return None
    similarity = rows.similarity[np.isfinite(rows.similarity)]
    inside, outside = (
        np.histogram(rows.similarity[mask & np.isfinite(rows.similarity)], 25, (0, 1))[0].tolist()
        for mask in (~rows.outside, rows.outside)
    )
    return {
        "chart": stacked({"in the domain": inside, "out of it": outside}, 0.0, 1.0, "Tanimoto similarity"),
        "median": float(np.median(similarity)),
        "share": float(1 - rows.outside.mean()),
    }


def _curves(history: list[dict[str, float]], metric: str) -> list[Markup]:
    if not history:
        return []
    members = sorted({int(epoch["member"]) for epoch in history if "member" in epoch})[:3]
    chosen = {member: [epoch for epoch in history if epoch.get("member") == member] for member in members}
    first = chosen[members[0]]
    epochs = [epoch["epoch"] for epoch in first]
    loss = {
        name: (epochs, [math.log10(max(epoch.get(key, np.nan), 1e-12)) for epoch in first])
        for name, key in (("training", "train_loss"), ("validation", "val_loss"))
    }
    scores = {
        f"network {member + 1}": ([e["epoch"] for e in some], [e.get("val_score", np.nan) for e in some])
        for member, some in chosen.items()
    }
    if len(members) > 1:
        scores["their mean"] = (epochs, [e.get("ensemble_score", np.nan) for e in first])
    return [lines(loss, "epoch", "loss, log10"), lines(scores, "epoch", f"validation {metric}")]


def _table(bundle: Bundle) -> list[dict[str, Any]]:
    """Metrics of the test molecules by target, and the main one of the baselines; of several targets the mean too."""
    metric = MAIN_METRIC[bundle.targets.task]
    metrics = bundle.metrics
    baselines = {name: metrics.get("baselines", {}).get(name, {}) for name in BASELINES}
    lines = []
    for item in bundle.targets.items:
        mine = metrics.get("per_target", {}).get(item.name, {}).get("test", {})
        theirs = {n: b.get("per_target", {}).get(item.name, {}).get(metric) for n, b in baselines.items()}
        lines.append({"name": item.name, "unit": item.unit or "", "mine": mine, "theirs": theirs})
    if len(lines) > 1:
        theirs = {name: baseline.get("test", {}).get(metric) for name, baseline in baselines.items()}
        lines.append({"name": "mean of all", "unit": "", "mine": metrics.get("test", {}), "theirs": theirs})
    return lines


def _levels(predictor: Predictor, rows: Tested) -> dict[str, dict[float, float]]:
    """For each target of numbers, and each coverage asked for, the share of test molecules whose interval holds.

    None with folds, where the networks that speak for a molecule here have learned from it.
    """
    bundle = predictor.bundle
    if bundle.trust is None or bundle.targets.task != "regression" or "folds" in bundle.metrics or not rows.smiles:
        return {}
    some = np.arange(len(rows.smiles))[:MOST_ASKED]
    answer = predictor.answer(featurize([rows.smiles[i] for i in some], predictor.options()))
    found: dict[str, dict[float, float]] = {}
    for coverage in COVERAGES:
        columns = Columns.of(bundle, coverage=coverage).arrays(answer)
        for name, truth in zip(bundle.targets.names[:MOST_TARGETS], rows.truth[some].T, strict=False):
            low, high = (columns.get(f"{name}_{end}", np.zeros(0)) for end in ("low", "high"))
            if len(low) and (known := np.isfinite(truth) & np.isfinite(low) & np.isfinite(high)).any():
                held = (low <= truth) & (truth <= high)
                found.setdefault(name, {})[coverage] = float(held[known].mean())
    return found


def _target(
    predictor: Predictor, rows: Tested, place: int, levels: Mapping[str, Mapping[float, float]]
) -> dict[str, Any]:
    bundle = predictor.bundle
    target, numbers = bundle.targets.items[place], bundle.targets.task == "regression"
    content: dict[str, Any] = {"name": target.name, "unit": target.unit or "", "plots": [], "trust": [], "cards": []}
    known = np.flatnonzero(~np.isnan(rows.truth[:, place]) & ~np.isnan(rows.prediction[:, place]))
    if not len(known):
        return content
    points = _points(rows, place, known, numbers)
    content["plots"] = (of_numbers if numbers else of_classes)(target, points)
    figures = (bundle.metrics.get("trust") or {}).get("targets", {}).get(target.name, {})
    content["trust"] = of_trust(figures, points, levels.get(target.name, {}), target.unit)
    if rows.has_domain:
        content["trust"] += error_by_similarity(points, numbers)
    error = np.abs(points.truth - points.prediction) if bundle.targets.task != "multiclass" else 1 - points.prediction
    order = known[np.argsort(error, kind="stable")]
    best, worst = prediction_cards(predictor, rows, place, _ends(order), place < MOST_EXPLAINED)
    content["cards"] = [("Best predictions", best), ("Worst predictions", worst)]
    return content


def _ends(order: np.ndarray) -> Sequence[Sequence[int]]:
    return order[:CARDS].tolist(), order[::-1][:CARDS].tolist()


def _points(rows: Tested, place: int, known: np.ndarray, numbers: bool) -> Points:
    columns = (rows.truth, rows.prediction, rows.low, rows.high, rows.calibrated, rows.right)
    y, p, low, high, calibrated, right = (column[known, place] for column in columns)
    if numbers:
        right = np.full(len(known), np.nan)
    return Points(y, p, low, high, calibrated, right, rows.similarity[known], rows.outside[known])
