"""How independent the parts of a split are: molecules in two of them, scaffolds, similarity to the training part."""

from typing import NamedTuple

import numpy as np

from molmp.audit.molecules import Molecules
from molmp.chem.options import GraphOptions
from molmp.chem.similarity import TanimotoIndex
from molmp.tables.groups import find_scaffolds
from molmp.tables.splits import Split

__all__ = ["Overlap", "Part", "find_overlap"]


class Part(NamedTuple):
    """The validation or the test part, seen from the training part."""

    name: str
    size: int
    """Molecules."""
    exact: np.ndarray
    """Input rows whose molecule is in the training part too."""
    stereo: np.ndarray
    """Input rows of which only another salt form or stereoisomer is."""
    scaffolds: int
    """Molecules whose scaffold (rings and what links them) is in the training part; those without a ring left out."""
    ringed: int
    """Molecules with a ring."""
    nearest: np.ndarray
    """Similarity to the nearest training molecule, shape ``(size,)``."""


class Overlap(NamedTuple):
    """What a split keeps apart."""

    how: str
    train: int
    parts: list[Part]


def find_overlap(molecules: Molecules, split: Split, how: str, options: GraphOptions = GraphOptions()) -> Overlap:
    """Compare the parts of ``split``, input rows, with its training part; ``options`` tell the limits of a molecule."""
    place = {row: i for i, row in enumerate(molecules.rows.tolist())}
    train, val, test = ([place[row] for row in part.tolist() if row in place] for part in split)
    used = [*train, *val, *test]
    scaffolds = dict(zip(used, find_scaffolds([molecules.parent[i] for i in used], options), strict=True))
    index = TanimotoIndex(molecules.bits[train])
    exact, flat = {molecules.exact[i] for i in train}, {molecules.flat[i] for i in train}
    rings = {scaffolds[i] for i in train} - {""}
    parts = []
    for name, places in (("val", val), ("test", test)):
        same = [i for i in places if molecules.exact[i] in exact]
        twins = [i for i in places if molecules.flat[i] in flat and molecules.exact[i] not in exact]
        parts.append(
            Part(
                name, len(places), molecules.rows[same], molecules.rows[twins],
                sum(scaffolds[i] in rings for i in places), sum(scaffolds[i] != "" for i in places),
                index.nearest(molecules.bits[places]).similarity[:, 0],
            )
        )  # fmt: skip
    return Overlap(how, len(train), parts)
