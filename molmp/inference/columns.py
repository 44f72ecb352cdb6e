"""Predictions as columns of a table: their names and types, and values with the digits that they have."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from molmp.errors import ConfigError, DataError, InvalidSmilesError
from molmp.inference.answer import Answer
from molmp.training.bundle import Bundle
from molmp.training.targets import Target, Targets
from molmp.training.told import told_of
from molmp.trust.classes import ClassTrust
from molmp.trust.domain import Domain, Verdict
from molmp.trust.numbers import NumberTrust
from molmp.trust.told import Told
from molmp.trust.trusted import COVERAGE, TargetTrust, Trust, check_coverage

__all__ = ["ON_ERROR", "Columns", "check_on_error", "rows_to_keep"]

ON_ERROR = ("keep", "drop", "fail")
"""What happens to a row without a prediction: it stays with its reason, it is left out, or everything stops."""

EMPTY_SET = "none"
"""What stands for a set of no classes: the molecule is unlike those of each class."""


def check_on_error(on_error: str) -> None:
    """Refuse a word that is none of :data:`ON_ERROR`."""
    if on_error not in ON_ERROR:
        raise ConfigError(f"on_error must be one of {', '.join(ON_ERROR)}, got {on_error!r}")


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns that prediction adds.

    For each target those of :attr:`Targets.column_names`, and behind them, where the model was calibrated,

    - of numbers ``<target>_low`` and ``<target>_high``, the interval that holds the truth with probability
      ``coverage``; empty where it is infinite,
    - of classes ``<target>_calibrated``, the calibrated probability of class 1 (of several classes
      ``<target>_calibrated_<class>`` for each), and ``<target>_set``, the classes of the conformal set, joined by
      ``|``,
    - ``<target>_spread``, the standard deviation of the prediction among the networks and by what evidence is missing,
      where it is known.

    Then, where the model keeps its training molecules, ``nearest``, the one most similar, ``similarity``, how similar
    that is, ``in_domain``, yes or no, and ``domain_reason``, why not. Last ``error``.
    """

    targets: Targets
    trust: Trust | None = None
    """None for the bare columns."""
    coverage: float = COVERAGE
    has_spread: bool = False
    """Whether the model knows how much its prediction would change with more data."""

    @classmethod
    def of(cls, bundle: Bundle, trust: bool = True, coverage: float = COVERAGE) -> Self:
        """Those of a model; a model without trust, or ``trust=False``, has the bare columns.

        Raises :class:`ConfigError` for a coverage that is not between 0 and 1.
        """
        check_coverage(coverage)
        has_spread = len(bundle.members) + len(bundle.trees) > 1 or bundle.targets.loss in ("evidential", "dirichlet")
        return cls(bundle.targets, bundle.trust if trust else None, coverage, has_spread)

    @property
    def types(self) -> dict[str, type]:
        """The columns, in order, and what they hold."""
        columns: dict[str, type] = {}
        for target, trust in self._each():
            bare = replace(self.targets, items=(target,))
            columns |= {name: str if name in bare.text_columns else float for name in bare.column_names}
            columns |= self._types_of_trust(target, trust)
        if self._domain is not None:
            columns |= {"nearest": str, "similarity": float, "in_domain": str, "domain_reason": str}
        return columns | {"error": str}

    @property
    def notes(self) -> list[str]:
        """Sentences on what cannot be told."""
        return [] if self.trust is None else self.trust.notes(self.targets.names, self.coverage)

    def arrays(self, answer: Answer) -> dict[str, np.ndarray]:
        """Values of :attr:`types`: numbers with NaN, and texts that are empty, in rows without a prediction."""
        arrays: list[np.ndarray] = []
        for place, (target, trust) in enumerate(self._each()):
            answered = answer.targets[place]
            arrays += replace(self.targets, items=(target,)).columns([answered])
            arrays += self._trust_of(target, trust, told_of(answered, answer.verdict, self.targets, place))
        count = len(arrays[0])
        if (domain := self._domain) is not None:
            arrays += _domain_arrays(domain, answer.verdict, answer.errors)
        errors = np.full(count, "", object)
        for row, error in answer.errors.items():
            errors[row] = error.outcome
        return dict(zip(self.types, [*arrays, errors], strict=True))

    def values(self, answer: Answer) -> dict[str, list[Any]]:
        """As :meth:`arrays`, in lists: ``None`` in rows without a prediction, where ``error`` says why.

        Numbers are rounded to seven significant digits, which is what single precision holds.
        """
        lists = {name: _cells(array) for name, array in self.arrays(answer).items()}
        for row in answer.errors:
            for name, cells in lists.items():
                if name != "error":
                    cells[row] = None
        return lists

    @property
    def _domain(self) -> Domain | None:
        return None if self.trust is None else self.trust.domain

    def _each(self) -> Iterator[tuple[Target, TargetTrust | None]]:
        """Targets, and what is known of each."""
        count = len(self.targets.items)
        yield from zip(self.targets.items, [None] * count if self.trust is None else self.trust.targets, strict=True)

    def _types_of_trust(self, target: Target, trust: TargetTrust | None) -> dict[str, type]:
        columns: dict[str, type] = {}
        if isinstance(trust, NumberTrust):
            columns = {f"{target.name}_low": float, f"{target.name}_high": float}
        elif isinstance(trust, ClassTrust):
            of_classes = [f"_{name}" for name in target.classes] if self.targets.task == "multiclass" else [""]
            columns = {f"{target.name}_calibrated{name}": float for name in of_classes} | {f"{target.name}_set": str}
        return columns | ({f"{target.name}_spread": float} if self.trust is not None and self.has_spread else {})

    def _trust_of(self, target: Target, trust: TargetTrust | None, told: Told) -> list[np.ndarray]:
        arrays: list[np.ndarray] = []
        if isinstance(trust, NumberTrust):
            interval = trust.interval(told, self.coverage)
            arrays = [np.where(np.isfinite(end), end, np.nan) for end in interval]
        elif isinstance(trust, ClassTrust):
            calibrated = trust.calibrated(told)
            arrays = list(calibrated.T) if calibrated.ndim == 2 else [calibrated]
            arrays.append(_set_texts(trust.members(told, self.coverage), target.classes, told.known))
        if self.trust is not None and self.has_spread:
            arrays.append(np.full(len(told.value), np.nan) if told.spread is None else told.spread)
        return arrays


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


def _domain_arrays(
    domain: Domain, verdict: Verdict | None, errors: Mapping[int, InvalidSmilesError]
) -> list[np.ndarray]:
    if verdict is None:
        raise DataError("these molecules were not compared with those of training: featurize with Predictor.options()")
    names = np.array(["" if row < 0 else domain.names[row] for row in verdict.nearest.tolist()], object)
    inside = np.where(verdict.inside, "yes", "no").astype(object)
    inside[verdict.nearest < 0] = ""
    return [names, verdict.similarity, inside, np.array(verdict.reasons, object)]


def _set_texts(members: np.ndarray, classes: tuple[str, ...], known: np.ndarray) -> np.ndarray:
    """Names of the classes in each set; of few sets that there can be, each is written once."""
    distinct, which = np.unique(members, axis=0, return_inverse=True)
    texts = ["|".join(np.array(classes, object)[row]) or EMPTY_SET for row in distinct]
    return np.where(known, np.array(texts, object)[which.ravel()], "").astype(object)


def _cells(column: np.ndarray) -> list[Any]:
    values = column.tolist()
    if column.dtype == object:
        return values
    return [None if value != value else float(f"{value:.7g}") for value in values]
