"""Molecules that occur more than once, at four levels of likeness, and what their labels say about the noise."""

import math
from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from molmp.audit.molecules import Molecules, canonical_tautomers

__all__ = ["LEVELS", "Level", "Noise", "conflicts", "find_duplicates", "noise_floor"]

LEVELS = {
    "exact": "the same molecule, stereo included",
    "salt form": "the same but for counter ions, solvents or charge",
    "stereo": "the same but for stereo",
    "tautomer": "the same but for tautomerism",
}
"""From fine to coarse: what is alike at one level is alike at all that follow."""

MOST_TAUTOMERS = 2_000
"""Molecules whose tautomers are looked at, at most; some need a second each."""


class Level(NamedTuple):
    """What one level finds."""

    name: str
    groups: list[np.ndarray]
    """Input rows, two at least, of each group of molecules that are alike at this level, and which no finer level
    finds whole."""


class Noise(NamedTuple):
    """What repeated measurements of one molecule tell about the error that no model can go below."""

    groups: int
    """Molecules with two labels at least."""
    labels: int
    """Their labels."""
    identical: int
    """Molecules among them whose labels are all equal: often copies of one measurement, which hide noise."""
    floor: float
    """Regression: standard deviation of one measurement, in real units. Classes: share of wrong labels."""
    best: float | None
    """Regression: the highest R2 to be expected; classes: the highest accuracy. None where nothing varies."""


def find_duplicates(molecules: Molecules, n_jobs: int | None = None) -> tuple[list[Level], str | None]:
    """Group rows at every level of :data:`LEVELS`; a note where tautomers were not looked at.

    Tautomers have a skeleton in common, so RDKit's canonical tautomer is worked out only where several molecules do.
    """
    tautomer, note = _tautomers(molecules, n_jobs)
    keys: Sequence[Sequence[Hashable]] = (molecules.exact, molecules.parent, molecules.flat, tautomer)
    levels = []
    finer: Sequence[Hashable] = range(len(molecules.rows))
    for name, coarser in zip(LEVELS, keys, strict=True):
        groups = [group for group in _grouped(coarser) if len({finer[i] for i in group}) > 1]
        levels.append(Level(name, [molecules.rows[group] for group in groups]))
        finer = coarser
    return levels, note


def _tautomers(molecules: Molecules, n_jobs: int | None) -> tuple[list[str], str | None]:
    candidates: dict[str, set[str]] = {}
    for skeleton, flat in zip(molecules.skeleton, molecules.flat, strict=True):
        candidates.setdefault(skeleton, set()).add(flat)
    several = [flat for flats in candidates.values() if len(flats) > 1 for flat in sorted(flats)]
    chosen = several[:MOST_TAUTOMERS]
    canonical = dict(zip(chosen, canonical_tautomers(chosen, n_jobs), strict=True))
    note = None
    if len(several) > len(chosen):
        note = f"tautomers: {len(chosen):,} of {len(several):,} molecules that may have twins were looked at"
    return [canonical.get(flat, flat) for flat in molecules.flat], note


def _grouped(keys: Sequence[Hashable]) -> list[np.ndarray]:
    groups: dict[Hashable, list[int]] = {}
    for place, key in enumerate(keys):
        groups.setdefault(key, []).append(place)
    return [np.array(places) for places in groups.values() if len(places) > 1]


def conflicts(groups: Sequence[np.ndarray], values: np.ndarray) -> list[np.ndarray]:
    """Those of the groups whose known ``values``, shape ``(n,)``, differ; the widest apart first."""
    spread = [np.ptp(known) if len(known := _known(values[group])) else 0.0 for group in groups]
    order = sorted(range(len(groups)), key=lambda i: -spread[i])
    return [groups[i] for i in order if spread[i] > 0]


def noise_floor(groups: Sequence[np.ndarray], values: np.ndarray, classes: bool) -> Noise | None:
    """Estimate the noise of labels from groups of rows of one molecule; None where no molecule has two labels.

    Numbers: the pooled standard deviation within molecules, ``s``, and ``1 - s^2 / variance`` (Kramer, Kalliokoski,
    Gedeck, Vulpetti: "The experimental uncertainty of heterogeneous public Ki data", 2012, doi:10.1021/jm300131x).
    Classes: if each label is wrong with probability ``e``, two labels of a molecule differ with probability
    ``2 e (1 - e)``; the share of pairs that differ gives ``e``.

    >>> noise_floor([np.array([0, 1])], np.array([1.0, 3.0, 9.0]), classes=False).floor
    1.4142135623730951
    """
    repeated = [known for group in groups if len(known := _known(values[group])) > 1]
    if not repeated:
        return None
    counts = len(repeated), sum(map(len, repeated)), sum(np.ptp(known) == 0 for known in repeated)
    if classes:
        pairs = [a != b for known in repeated for a, b in combinations(known.tolist(), 2)]
        wrong = (1 - math.sqrt(max(0.0, 1 - 2 * sum(pairs) / len(pairs)))) / 2
        return Noise(*counts, wrong, 1 - wrong)
    squares = sum(((known - known.mean()) ** 2).sum() for known in repeated)
    noise = math.sqrt(squares / sum(len(known) - 1 for known in repeated))
    variance = float(_known(values).var())
    return Noise(*counts, noise, max(0.0, 1 - noise**2 / variance) if variance else None)


def _known(values: np.ndarray) -> np.ndarray:
    return values[~np.isnan(values)]
