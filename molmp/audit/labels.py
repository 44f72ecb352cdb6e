"""What the labels of a target look like: counts, bounds, spread, skew, outliers, balance. Never refuses a cell."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from molmp.errors import DataError
from molmp.tables.labels import Column, Labels, read_labels
from molmp.tables.numbers import is_missing, is_number, split_bound

__all__ = ["OUTLIER", "TargetAudit", "audit_target"]

OUTLIER = 3.5
"""Modified z-score beyond which a value is called an outlier, as its inventors suggest."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TargetAudit:
    """One target."""

    name: str
    kind: str
    """``regression``, ``binary``, ``multiclass``, or ``none`` where there is nothing to learn."""
    values: np.ndarray
    """Numbers or indices of classes; NaN where missing, unusable or only a bound; shape ``(n,)``."""
    classes: tuple[str, ...] = ()
    missing: int = 0
    unusable: tuple[int, ...] = ()
    """Rows whose cell is no label."""
    bounds: dict[str, int] = field(default_factory=dict)
    """How many labels are only bounds, by their sign: ``<``, ``>``, ``~``."""
    trouble: str = ""
    """Why the column as it is cannot be a target, in a sentence; empty where it can."""

    @property
    def known(self) -> np.ndarray:
        """Values that are not missing."""
        return self.values[~np.isnan(self.values)]

    @property
    def balance(self) -> dict[str, int]:
        """Labels of each class."""
        return {name: int((self.values == i).sum()) for i, name in enumerate(self.classes)}

    @property
    def summary(self) -> dict[str, float | None]:
        """Mean, standard deviation, skewness and quartiles of numbers."""
        known = self.known
        if self.classes or not len(known):
            return {}
        low, q1, median, q3, high = np.quantile(known, [0, 0.25, 0.5, 0.75, 1]).tolist()
        return {"mean": float(known.mean()), "sd": float(known.std()), "skew": skewness(known), "min": low,
                "q1": q1, "median": median, "q3": q3, "max": high}  # fmt: skip

    @property
    def log_helps(self) -> bool:
        """Whether numbers, all above 0, are skewed, and their logarithms much less."""
        known = self.known
        if self.classes or len(known) < 10 or not (known > 0).all():
            return False
        plain, logged = skewness(known), skewness(np.log(known))
        return plain is not None and logged is not None and abs(plain) > 1 and abs(logged) < abs(plain) / 2

    @property
    def outliers(self) -> list[tuple[int, float]]:
        """Rows of outlying numbers with their modified z-score, ``0.6745 (y - median) / MAD``, the farthest first.

        Iglewicz, Hoaglin: "How to detect and handle outliers", 1993, ASQC Quality Press. None where more than half of
        the numbers are equal.
        """
        known = self.known
        if self.classes or not len(known):
            return []
        median = np.median(known)
        mad = np.median(np.abs(known - median))
        if not mad:
            return []
        score = 0.6745 * (self.values - median) / mad
        rows = np.flatnonzero(np.abs(score) > OUTLIER)
        return sorted(((int(row), float(score[row])) for row in rows), key=lambda pair: -abs(pair[1]))


def skewness(values: np.ndarray) -> float | None:
    """Third standardized moment; None where nothing varies.

    >>> skewness(np.array([0.0, 0.0, 3.0]))
    0.7071067811865475
    """
    centred = values - values.mean()
    variance = (centred**2).mean()
    return float((centred**3).mean() / variance**1.5) if variance else None


def audit_target(
    where: str, name: str, cells: Sequence[str], lines: Sequence[int], skip: Collection[int] = (),
    task: str | None = None,
) -> TargetAudit:  # fmt: skip
    """Read a column as a target; ``skip`` are malformed rows."""
    judged = ["" if row in skip else cell.strip() for row, cell in enumerate(cells)]
    split = [split_bound(cell) for cell in judged]
    bounds = Counter(sign for sign, _ in split if sign)
    plain = ["" if sign else rest for sign, rest in split]
    missing = sum(is_missing(cell) for row, cell in enumerate(judged) if row not in skip)
    column = Column(where, name, plain, lines, skip)
    unusable: tuple[int, ...] = ()
    try:
        labels, trouble = read_labels(column, task), ""
        unusable = tuple(labels.strays or ())
    except DataError as error:
        trouble = str(error)
        numbers = np.array([float(cell) if is_number(cell) else np.nan for cell in plain])
        unusable = tuple(row for row, cell in enumerate(plain) if not is_missing(cell) and not is_number(cell))
        varied = len(np.unique(numbers[~np.isnan(numbers)])) > 1
        labels = Labels("regression" if varied else "none", numbers, ())
    return TargetAudit(
        name=name, kind=labels.task, values=labels.values, classes=labels.classes, missing=missing, unusable=unusable,
        bounds=dict(bounds), trouble=trouble,
    )  # fmt: skip
