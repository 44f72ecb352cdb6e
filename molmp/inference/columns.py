"""Predictions as columns of a table: their names and types, and values with the digits that they have."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from molmp.errors import ConfigError, DataError, InvalidSmilesError
from molmp.inference.predictor import Answer
from molmp.training.targets import Targets

__all__ = ["ON_ERROR", "check_on_error", "column_types", "column_values", "rows_to_keep"]

ON_ERROR = ("keep", "drop", "fail")
"""What happens to a row without a prediction: it stays with its reason, it is left out, or everything stops."""


def check_on_error(on_error: str) -> None:
    """Refuse a word that is none of :data:`ON_ERROR`."""
    if on_error not in ON_ERROR:
        raise ConfigError(f"on_error must be one of {', '.join(ON_ERROR)}, got {on_error!r}")


def column_types(targets: Targets) -> dict[str, type]:
    """The columns that prediction adds: those of the targets (numbers, or names of classes), then ``error``."""
    columns: dict[str, type] = {name: str if name in targets.text_columns else float for name in targets.column_names}
    return columns | {"error": str}


def column_values(targets: Targets, answer: Answer) -> dict[str, list[Any]]:
    """Values of :func:`column_types`, a list each: ``None`` in rows without a prediction, where ``error`` says why.

    Numbers are rounded to seven significant digits, which is what single precision holds.
    """
    lists = [_cells(column) for column in targets.columns(answer.targets)]
    errors = [""] * len(lists[0])
    for row, error in answer.errors.items():
        errors[row] = error.outcome
        for cells in lists:
            cells[row] = None
    return dict(zip(column_types(targets), [*lists, errors], strict=True))


def rows_to_keep(
    errors: Mapping[int, InvalidSmilesError], count: int, on_error: str, where: Callable[[int], str]
) -> list[int]:
    """Rows of a batch that are written; ``where`` says for a message what a row is called.

    Raises
    ------
    DataError
        With ``on_error="fail"``, for the first row without a prediction.
    """
    if errors and on_error == "fail":
        row = min(errors)
        raise DataError(f"{where(row)}: {errors[row].smiles!r} has no prediction: {errors[row].reason}")
    return [row for row in range(count) if row not in errors or on_error == "keep"]


def _cells(column: np.ndarray) -> list[Any]:
    values = column.tolist()
    return values if values and isinstance(values[0], str) else [float(f"{value:.7g}") for value in values]
