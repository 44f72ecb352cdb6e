"""A run as one page of HTML that can be sent to a colleague."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from molmp.inference.describe import describe
from molmp.inference.predictor import Predictor
from molmp.page.charts import bars, histogram, lines, scatter
from molmp.page.drawing import draw_smiles
from molmp.page.render import render_page
from molmp.report.run_files import Tested, read_history, read_test_rows
from molmp.training.metrics import LOWER_IS_BETTER, MAIN_METRIC
from molmp.training.targets import Target

__all__ = ["report_page"]

MOST_TARGETS = 24
"""Targets with plots of their own; the table holds all."""

CARDS = 4
"""Best and worst predictions that are drawn of each target."""

MOST_EXPLAINED = 3
"""Targets whose drawings are coloured by contributions, which takes a second for each."""


def report_page(run: str | Path, device: str = "auto", *, name: str | None = None) -> str:
    """Write HTML from a run's folder; it needs nothing else to be looked at.

    ``name`` is what the page calls the run, by default as the folder. Raises :class:`FileFormatError` where there is no
    model in the folder.
    """
    run = Path(run)
    predictor = Predictor.load(run, device)
    bundle = predictor.bundle
    rows = read_test_rows(run, bundle.targets)
    history = read_history(run)
    config = run / "config.toml"
    unreadable = run / "unreadable.csv"
    shown = list(enumerate(bundle.targets.items))[:MOST_TARGETS]
    facts = describe(bundle)
    return render_page(
        "report.html",
        name=name or run.resolve().name,
        bundle=bundle,
        facts=facts,
        examples=[draw_smiles(smiles) for smiles in rows.smiles[:8]],
        sizes=bars(bundle.data.get("split_rows", {}), "molecules"),
        curves=_curves(history, MAIN_METRIC[bundle.targets.task]),
        table=_table(predictor),
        metrics=list(bundle.metrics.get("test", {})),
        lower=LOWER_IS_BETTER,
        targets=[_target(predictor, rows, i, target) for i, target in shown],
        config=config.read_text("utf-8") if config.exists() else "",
        unreadable=max(len(unreadable.read_text("utf-8", errors="replace").splitlines()) - 1, 0)
        if unreadable.exists()
        else 0,
    )


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
    return [lines(loss, "epoch", "loss, log10"), lines(scores, "epoch", f"validation {metric}")]


def _table(predictor: Predictor) -> list[dict[str, Any]]:
    """Metrics of the test molecules by target."""
    per_target = predictor.bundle.metrics.get("per_target", {})
    return [
        {"name": item.name, "unit": item.unit or "", **per_target.get(item.name, {}).get("test", {})}
        for item in predictor.bundle.targets.items
    ]


def _target(predictor: Predictor, rows: Tested, place: int, target: Target) -> dict[str, Any]:
    truth, prediction = rows.truth[:, place], rows.prediction[:, place]
    known = np.flatnonzero(~np.isnan(truth) & ~np.isnan(prediction))
    task = predictor.bundle.targets.task
    content = {
        "name": target.name,
        "unit": target.unit or "",
        "count": len(known),
        "plots": [],
        "best": [],
        "worst": [],
    }
    if not len(known):
        return content
    error = np.abs(truth - prediction)[known] if task != "multiclass" else 1 - prediction[known]
    order = known[np.argsort(error, kind="stable")]
    content["plots"] = (_regression if task == "regression" else _binary if task == "binary" else _classes)(
        target, truth[known], prediction[known]
    )
    if task == "regression":
        base = float(np.sqrt(np.mean((truth[known] - target.center) ** 2)))
        content["mean_rmse"], content["rmse"] = base, float(np.sqrt(np.mean((truth - prediction)[known] ** 2)))
    coloured = place < MOST_EXPLAINED
    content["best"] = _cards(predictor, rows, place, order[:CARDS], coloured)
    content["worst"] = _cards(predictor, rows, place, order[::-1][:CARDS], coloured)
    return content


def _regression(target: Target, truth: np.ndarray, prediction: np.ndarray) -> list[tuple[Markup, str]]:
    unit = f" [{target.unit}]" if target.unit else ""
    return [
        (
            scatter(truth, prediction, f"measured{unit}", f"predicted{unit}", diagonal=True),
            "Predicted against measured",
        ),
        (histogram(prediction - truth, f"error{unit}", marks=[0.0]), "Errors: predicted minus measured"),
    ]


def _binary(target: Target, truth: np.ndarray, probability: np.ndarray) -> list[tuple[Markup, str]]:
    from sklearn.metrics import precision_recall_curve, roc_curve

    if len(np.unique(truth)) < 2:
        return [(histogram(probability, "probability", limits=(0.0, 1.0)), "All test labels are of one class")]
    fall_out, recall, _ = roc_curve(truth, probability)
    precision, found, _ = precision_recall_curve(truth, probability)
    groups = np.array_split(np.argsort(probability), min(10, len(truth)))
    mean, share = [probability[g].mean() for g in groups], [truth[g].mean() for g in groups]
    roc = {"model": (fall_out, recall), "chance": ([0, 1], [0, 1])}
    honest = {"model": (mean, share), "perfect": ([0, 1], [0, 1])}
    return [
        (lines(roc, "false positive rate", "true positive rate"), "ROC"),
        (lines({"model": (found[::-1], precision[::-1])}, "recall", "precision"), "Precision and recall"),
        (lines(honest, "predicted probability", "share of class 1"), "Calibration: ten groups of equal size"),
    ]


def _classes(target: Target, truth: np.ndarray, probability: np.ndarray) -> list[tuple[Markup, str]]:
    return [(histogram(probability, "probability of the true class", limits=(0.0, 1.0)), "How sure of the truth")]


def _cards(predictor: Predictor, rows: Tested, place: int, chosen: np.ndarray, coloured: bool) -> list[dict[str, Any]]:
    targets = predictor.bundle.targets
    item = targets.items[place]
    smiles = [rows.smiles[i] for i in chosen]
    if coloured:
        explained = predictor.explain(smiles, target=item.name, method="occlusion")
        pictures = ["" if one.mol is None else one.draw(limit=explained.limit) for one in explained]
        drawings = [Markup(picture[picture.find("<svg") :]) if picture else Markup("") for picture in pictures]
    else:
        drawings = [draw_smiles(text) for text in smiles]
    return [
        {"drawing": drawing, "row": rows.rows[i], "truth": _said(item, rows.truth[i, place], targets.task),
         "prediction": rows.prediction[i, place]}
        for drawing, i in zip(drawings, chosen, strict=True)
    ]  # fmt: skip


def _said(item: Target, value: float, task: str) -> str:
    return f"{value:.4g}" if task == "regression" else item.classes[int(value)]
