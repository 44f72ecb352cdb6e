"""All three limits of message passing in one go, for an operator or for a trained model; numbers as files."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from molmp.diagnose.expressiveness import PAIRS, Expressiveness, expressiveness, told_apart
from molmp.diagnose.smoothing import Smoothing, smoothing, smoothing_of, variants
from molmp.diagnose.squashing import LONG, Squashing, remedies, squashing, squashing_of
from molmp.diagnose.states import MOLECULES, graphs_of
from molmp.nn.config import ModelConfig
from molmp.nn.operators import OPERATORS
from molmp.training.bundle import Bundle

__all__ = ["Diagnosis", "diagnose", "diagnose_model", "write_diagnosis"]


class Diagnosis(NamedTuple):
    """What was measured, a row for each network and point."""

    smoothing: list[Smoothing]
    squashing: list[Squashing]
    expressiveness: list[Expressiveness]


def diagnose(config: ModelConfig, *, seed: int = 0) -> Diagnosis:
    """Measure an operator that has learned nothing, what is said to help it, and all operators on the pairs."""
    operators = {name: ModelConfig(layer=name, hidden=16) for name in OPERATORS}
    if isinstance(config.layer, type):
        operators[config.layer_name] = config
    return Diagnosis(
        smoothing(variants(config), seed=seed), squashing(remedies(config), seed=seed),
        expressiveness(operators, seed=seed),
    )  # fmt: skip


def diagnose_model(bundle: Bundle, *, seed: int = 0) -> Diagnosis:
    """Measure the first network of a trained model, beside what :func:`diagnose` tells of its operator."""
    model, rest = bundle.models()[0].double(), diagnose(bundle.network, seed=seed)
    positions = bundle.network.positions
    pairs = [
        Expressiveness("trained", rings, positions, pair.name, *told_apart(model, pair, ring_features=rings))
        for rings in (False, True)
        for pair in PAIRS
    ]
    return Diagnosis(
        smoothing_of(model, graphs_of(MOLECULES, bundle.options)) + rest.smoothing,
        squashing_of(model, graphs_of(LONG, bundle.options)) + rest.squashing,
        pairs + rest.expressiveness,
    )


def write_diagnosis(diagnosis: Diagnosis, folder: str | Path) -> None:
    """Write ``diagnosis.json``, and a CSV file for each of the three, into ``folder``, which is made where missing."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    records = {name: [row._asdict() for row in rows] for name, rows in diagnosis._asdict().items()}
    (folder / "diagnosis.json").write_text(json.dumps(records, indent=1) + "\n")
    for name, rows in records.items():
        _write(folder / f"{name}.csv", rows)


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
