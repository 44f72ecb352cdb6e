"""Test molecules drawn: the best and the worst predictions, and examples of the data."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from molmp.inference.predictor import Predictor
from molmp.page.drawing import MOST_ATOMS, draw_smiles
from molmp.report.run_files import Tested
from molmp.training.targets import Target

__all__ = ["Card", "example_cards", "prediction_cards"]


class Card(NamedTuple):
    """A drawing and the lines below it."""

    drawing: Markup
    lines: list[str]


def example_cards(rows: Tested, items: Sequence[Target], task: str, most: int = 8) -> list[Card]:
    """Draw test molecules from the lowest to the highest label of the first target."""
    if not len(rows.smiles):
        return []
    order = np.argsort(rows.truth[:, 0], kind="stable")
    order = order[~np.isnan(rows.truth[order, 0])] if (~np.isnan(rows.truth[:, 0])).any() else order
    chosen = np.unique(np.linspace(0, len(order) - 1, min(most, len(order))).round().astype(int))
    item = items[0]
    unit = f" {item.unit}" if item.unit else ""
    return [
        Card(draw_smiles(rows.smiles[i]), [f"{item.name} {_said(item, rows.truth[i, 0], task)}{unit}"])
        for i in order[chosen]
    ]


def prediction_cards(
    predictor: Predictor, rows: Tested, place: int, chosen: Sequence[Sequence[int]], coloured: bool
) -> list[list[Card]]:
    """Draw groups of test molecules with what was measured and predicted of the target at ``place``.

    With ``coloured`` atoms are coloured by what the prediction loses without them (occlusion), all on one scale.
    """
    smiles = [rows.smiles[i] for some in chosen for i in some]
    if coloured:
        drawings = iter(_coloured(predictor, smiles, predictor.bundle.targets.names[place]))
    else:
        drawings = map(draw_smiles, smiles)
    return [[Card(next(drawings), _lines(predictor, rows, place, i)) for i in some] for some in chosen]


def _coloured(predictor: Predictor, smiles: Sequence[str], target: str) -> list[Markup]:
    explained = predictor.explain(smiles, target=target, method="occlusion")
    drawings = []
    for text, one in zip(smiles, explained, strict=True):
        if one.mol is None or one.mol.GetNumAtoms() > MOST_ATOMS:
            drawings.append(draw_smiles(text))
            continue
        picture = one.draw(limit=explained.limit, width=320, height=260, plain=True)
        drawings.append(Markup(picture[picture.find("<svg") :]))
    return drawings


def _lines(predictor: Predictor, rows: Tested, place: int, row: int) -> list[str]:
    targets = predictor.bundle.targets
    item = targets.items[place]
    value = rows.prediction[row, place]
    lines = [f"row {rows.rows[row]}: measured {_said(item, rows.truth[row, place], targets.task)}"]
    if targets.task == "regression":
        low, high = rows.low[row, place], rows.high[row, place]
        held = f" ({low:.4g} to {high:.4g})" if np.isfinite(low) and np.isfinite(high) else ""
        lines.append(f"predicted {value:.4g}{held}")
    else:
        of = item.classes[1] if targets.task == "binary" else "that class"
        lines.append(f"probability of {of} {value:.3f}")
    if np.isfinite(rows.similarity[row]):
        lines.append(f"similarity to training {rows.similarity[row]:.2f}")
    if rows.outside[row]:
        lines.append(f"out of the domain: {rows.reasons[row]}")
    return lines


def _said(item: Target, value: float, task: str) -> str:
    if np.isnan(value):
        return "unknown"
    return f"{value:.4g}" if task == "regression" else item.classes[int(value)]
