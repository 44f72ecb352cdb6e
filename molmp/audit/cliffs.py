"""Activity cliffs: molecules that are nearly alike and whose labels are far apart."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from molmp.chem.similarity import Pairs

__all__ = ["CLIFF_SIMILARITY", "CLIFF_STEP", "Cliff", "Cliffs", "find_cliffs"]

CLIFF_SIMILARITY = 0.8
"""Tanimoto similarity of Morgan bits from which two molecules are called alike."""

CLIFF_STEP = 2.0
"""How far apart labels must be, in standard deviations of the target; classes need only differ."""


class Cliff(NamedTuple):
    """One pair of input rows."""

    first: int
    second: int
    similarity: float
    steepness: float
    """Difference over distance, infinite for equal fingerprints: Guha, Van Drie: "Structure-activity landscape index",
    2008, doi:10.1021/ci7004093."""


class Cliffs(NamedTuple):
    """All cliffs of a target."""

    alike: int
    """Pairs of different molecules that are alike and have both a label."""
    molecules: int
    """Molecules that stand at a cliff."""
    pairs: list[Cliff]
    """The steepest first."""


def find_cliffs(pairs: Pairs, rows: np.ndarray, identity: Sequence[str], values: np.ndarray, classes: bool) -> Cliffs:
    """Find the cliffs of a target among pairs of alike molecules.

    ``pairs`` refer to the molecules of ``rows`` (input rows, shape ``(B,)``); those of the same ``identity``, shape
    ``(B,)``, are repeats and no cliffs. ``values``: labels of all input rows.
    """
    first, second = rows[pairs.first], rows[pairs.second]
    step = np.abs(values[first] - values[second])
    names = np.array(identity, dtype=object)
    different = names[pairs.first] != names[pairs.second]
    labelled = different & ~np.isnan(step)
    known = values[~np.isnan(values)]
    least = 1.0 if classes else CLIFF_STEP * (known.std() if len(known) else 0.0)
    found = np.flatnonzero(labelled & (step >= least) & (step > 0))
    distance = 1 - pairs.similarity[found]
    index = np.divide(step[found], distance, out=np.full(len(found), np.inf), where=distance > 0)
    order = np.lexsort((second[found], first[found], -step[found], -index))
    cliffs = [
        Cliff(int(first[i]), int(second[i]), float(pairs.similarity[i]), float(s))
        for i, s in zip(found[order], index[order], strict=True)
    ]
    return Cliffs(int(labelled.sum()), len(np.union1d(first[found], second[found])), cliffs)
