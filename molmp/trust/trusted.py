"""What a model remembers of the molecules that its weights did not see: everything behind the columns of trust."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from molmp.errors import ConfigError, DataError
from molmp.trust.classes import ClassTrust
from molmp.trust.conformal import ConformalIntervals, ConformalQuantiles, conformal_quantile
from molmp.trust.domain import Domain
from molmp.trust.numbers import NumberTrust

__all__ = ["COVERAGE", "TargetTrust", "Trust", "check_coverage"]

COVERAGE = 0.9
"""Share of the molecules whose interval or set is to hold the truth, unless somebody says otherwise."""

TargetTrust = NumberTrust | ClassTrust


def check_coverage(coverage: float) -> float:
    """Return a coverage that makes sense: above 0 and below 1."""
    if not 0 < coverage < 1:
        raise ConfigError(f"coverage must be above 0 and below 1, got {coverage!r}")
    return coverage


@dataclass(frozen=True, eq=False)
class Trust:
    """How far to believe a model, target by target, and where it may be asked."""

    targets: tuple[TargetTrust | None, ...]
    """None where no molecule with a label was left to calibrate on."""
    domain: Domain | None = None
    """None where the model keeps no molecules."""

    def notes(self, names: Sequence[str], coverage: float) -> list[str]:
        """Say of which targets nothing, or not enough, is known for that coverage."""
        notes = []
        for name, target in zip(names, self.targets, strict=True):
            if target is None:
                notes.append(f"{name}: no calibration molecule has a label; nothing tells how far to believe it")
            elif isinstance(target, NumberTrust):
                few = [scores for scores in _scores(target) if not np.isfinite(conformal_quantile(scores, coverage))]
                if few:
                    notes.append(f"{name}: {len(few[0])} calibration molecules are too few for intervals of coverage "
                                 f"{coverage:g}; they are infinite, and left empty")  # fmt: skip
            else:
                notes += _notes_of_classes(name, target, coverage)
        return notes

    def to_dict(self) -> dict[str, Any]:
        """All but the domain, as plain data for ``model.json``."""
        return {"targets": [None if target is None else target.to_dict() for target in self.targets]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], widths: Sequence[int], domain: Domain | None) -> Self:
        """Inverse of :meth:`to_dict`; ``widths``: for each target the number of its probabilities, 0 for numbers.

        Raises :class:`DataError` where the data are none of ours.
        """
        entries = data["targets"]
        if len(entries) != len(widths):
            raise DataError(f"it tells of {len(entries)} targets, the model has {len(widths)}")
        return cls(tuple(map(_target, entries, widths)), domain)


def _target(entry: Mapping[str, Any] | None, width: int) -> TargetTrust | None:
    if entry is None:
        return None
    if not width:
        if entry["kind"] not in ("intervals", "quantiles"):
            raise DataError(f"trust of numbers is of kind {entry['kind']!r}")
        return NumberTrust.from_dict(entry)
    if entry["kind"] != "classes":
        raise DataError(f"trust of classes is of kind {entry['kind']!r}")
    target = ClassTrust.from_dict(entry)
    curves = width if target.calibration is None else len(target.calibration.curves)
    if (len(target.sets.scores), curves) != (max(2, width), width):
        raise DataError(f"it tells of {len(target.sets.scores)} classes and {curves} curves for {width} probabilities")
    return target


def _scores(target: NumberTrust) -> tuple[np.ndarray, ...]:
    if isinstance(target.intervals, ConformalQuantiles):
        return (target.intervals.scores,)
    assert isinstance(target.intervals, ConformalIntervals)
    return target.intervals.scores


def _notes_of_classes(name: str, target: ClassTrust, coverage: float) -> list[str]:
    notes = []
    if target.calibration is None:
        notes.append(f"{name}: the calibration molecules lack a class; its probabilities are not calibrated")
    few = [scores for scores in target.sets.scores if not np.isfinite(conformal_quantile(scores, coverage))]
    if few:
        notes.append(f"{name}: {len(few)} of its classes have too few calibration molecules for sets of coverage "
                     f"{coverage:g}; such a class is in every set")  # fmt: skip
    return notes
