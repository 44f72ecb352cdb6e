"""What a run's folder says, as arrays."""

import csv
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from molmp.errors import FileFormatError
from molmp.tables.labels import is_number
from molmp.tables.ours import unharmed
from molmp.training.targets import Targets

__all__ = ["Tested", "read_history", "read_settings", "read_test_rows"]


class Tested(NamedTuple):
    """The test molecules, ``n`` of them, with ``t`` targets; NaN is what is missing or was not written."""

    rows: list[str]
    """Their rows in the training file, counted from 1."""
    smiles: list[str]
    truth: np.ndarray
    """Labels, indices of classes for several; NaN where missing or only a bound; shape ``(n, t)``."""
    prediction: np.ndarray
    """Values, probabilities of class 1, or of several classes that of the true one; shape ``(n, t)``."""
    low: np.ndarray
    """Lower ends of the intervals, shape ``(n, t)``."""
    high: np.ndarray
    calibrated: np.ndarray
    """Calibrated probabilities of class 1, shape ``(n, t)``."""
    right: np.ndarray
    """1 where the likeliest class is the true one, else 0; of classes only; shape ``(n, t)``."""
    similarity: np.ndarray
    """To the nearest training molecule, shape ``(n,)``."""
    outside: np.ndarray
    """Whether each molecule is out of the domain, bool, shape ``(n,)``."""
    reasons: list[str]
    """Why."""

    @property
    def has_domain(self) -> bool:
        """Whether the molecules were compared with those of training."""
        return bool(np.isfinite(self.similarity).any())


def read_history(run: Path) -> list[dict[str, float]]:
    """Epochs of ``history.csv``, with all that are numbers; none where there is no such file."""
    return [
        {k: float(v) for k, v in line.items() if v is not None and is_number(v)} for line in _lines(run, "history.csv")
    ]


def read_settings(run: Path) -> dict[str, Any]:
    """The options of ``config.toml``; none where there is no such file, or it is no TOML."""
    try:
        return tomllib.loads((run / "config.toml").read_text("utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}


def read_test_rows(run: Path, targets: Targets) -> Tested:
    """Read ``predictions.csv``; no rows where there is no such file.

    Raises
    ------
    FileFormatError
        It has other columns than the model.
    """
    lines = [
        {unharmed(k): unharmed(v) for k, v in line.items() if isinstance(k, str) and isinstance(v, str)}
        for line in _lines(run, "predictions.csv")
    ]
    several = targets.task == "multiclass"

    def numbers(suffix: str) -> np.ndarray:
        return _table([[_number(line.get(f"{t.name}_{suffix}", "")) for t in targets.items] for line in lines], targets)

    try:
        truth = [[_number(line[t.name], t.classes if several else ()) for t in targets.items] for line in lines]
        prediction = [[_prediction(line, t.name, several) for t in targets.items] for line in lines]
        rows, smiles = [line["row"] for line in lines], [line["smiles"] for line in lines]
    except KeyError as error:
        raise FileFormatError(f"{run / 'predictions.csv'} has no column {error}") from None
    y, p = _table(truth, targets), _table(prediction, targets)
    right = ((p >= 0.5) == (y == 1)).astype(float)
    if several:
        said = [[float(line[t.name] == line[f"{t.name}_pred"]) for t in targets.items] for line in lines]
        right = _table(said, targets)
    return Tested(
        rows, smiles, y, p, numbers("low"), numbers("high"), numbers("calibrated"),
        np.where(np.isnan(y), np.nan, right), np.array([_number(line.get("similarity", "")) for line in lines], float),
        np.array([line.get("in_domain") == "no" for line in lines], bool),
        [line.get("domain_reason") or "" for line in lines],
    )  # fmt: skip


def _table(cells: list[list[float]], targets: Targets) -> np.ndarray:
    return np.array(cells, float).reshape(len(cells), len(targets.items))


def _lines(run: Path, name: str) -> list[dict[str, str]]:
    try:
        with (run / name).open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        return []


def _number(cell: str, classes: tuple[str, ...] = ()) -> float:
    if classes:
        return float(classes.index(cell)) if cell in classes else np.nan
    return float(cell) if is_number(cell) else np.nan


def _prediction(line: dict[str, str], name: str, several: bool) -> float:
    return _number(line[f"{name}_pred"] if not several else line.get(f"{name}_prob_{line[name]}", ""))
