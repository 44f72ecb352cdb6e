"""What a run's folder says, as arrays."""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from molmp.errors import FileFormatError
from molmp.tables.labels import is_number
from molmp.tables.ours import unharmed
from molmp.training.targets import Targets

__all__ = ["Tested", "read_history", "read_test_rows"]


class Tested(NamedTuple):
    """The test molecules, ``n`` of them, with ``t`` targets."""

    rows: list[str]
    """Their rows in the training file, counted from 1."""
    smiles: list[str]
    truth: np.ndarray
    """Labels, indices of classes for several; NaN where missing or only a bound; shape ``(n, t)``."""
    prediction: np.ndarray
    """Values, probabilities of class 1, or of several classes that of the true one; shape ``(n, t)``."""


def read_history(run: Path) -> list[dict[str, float]]:
    """Epochs of ``history.csv``, with all that are numbers; none where there is no such file."""
    return [
        {k: float(v) for k, v in line.items() if v is not None and is_number(v)} for line in _lines(run, "history.csv")
    ]


def read_test_rows(run: Path, targets: Targets) -> Tested:
    """Read ``predictions.csv``; no rows where there is no such file.

    Raises
    ------
    FileFormatError
        It has other columns than the model.
    """
    lines = [{unharmed(k): unharmed(v) for k, v in line.items()} for line in _lines(run, "predictions.csv")]
    try:
        truth = [[_number(line[t.name], t.classes if targets.task == "multiclass" else ()) for t in targets.items]
                 for line in lines]  # fmt: skip
        prediction = [[_prediction(line, t.name, targets.task) for t in targets.items] for line in lines]
        rows, smiles = [line["row"] for line in lines], [line["smiles"] for line in lines]
    except KeyError as error:
        raise FileFormatError(f"{run / 'predictions.csv'} has no column {error}") from None
    shape = (-1, len(targets.items))
    return Tested(rows, smiles, np.array(truth, float).reshape(shape), np.array(prediction, float).reshape(shape))


def _lines(run: Path, name: str) -> list[dict[str, str]]:
    try:
        with (run / name).open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        return []


def _number(cell: str, classes: tuple[str, ...]) -> float:
    if classes:
        return float(classes.index(cell)) if cell in classes else np.nan
    return float(cell) if is_number(cell) else np.nan


def _prediction(line: dict[str, str], name: str, task: str) -> float:
    cell = line[f"{name}_pred"] if task != "multiclass" else line.get(f"{name}_prob_{line[name]}", "")
    return float(cell) if is_number(cell) else np.nan
