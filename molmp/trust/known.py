"""What the training molecules are made of: codes of atoms and bonds that occur, and ranges of simple counts.

Shapes: B molecules, C codes of all fields side by side, K counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from molmp.chem.features import ATOM_FIELDS, BOND_FIELDS, Field
from molmp.chem.graphs import MolGraphs

__all__ = ["COUNTS", "Known", "count_parts"]

COUNTS = ("atoms", "heteroatoms", "ring atoms", "total charge")
"""What is counted of each molecule."""

MARGIN = 0.1
"""Share of a range by which a molecule may leave it, at least by one; but by no charge."""

WORDS = {
    "element": "element {}", "charge": "atoms of charge {}", "radical": "radicals", "isotope": "isotope {}",
    "chirality": "{} stereocentres", "order": "{} bonds", "stereo": "double bonds marked {}",
    "aromatic": "aromatic atoms", "ring_size": "rings of {} atoms", "ring_size_fused": "rings of {} atoms",
    "ring_bonds": "atoms with {} ring bonds", "hybridization": "{} atoms", "degree": "atoms of degree {}",
    "hydrogens": "atoms with {} H",
    "conjugated": "conjugated bonds", "ring": "bonds in rings",
}  # fmt: skip
"""What a chemist calls a code of each field, whose label takes the place of the braces; what says most comes first."""

_RANK = list(WORDS)

_Strange = dict[str, tuple[int, list[str]]]
"""By words their rank, and the labels that take the place of the braces."""

INSTEAD = {
    ("aromatic", "no"): "atoms that are not aromatic", ("ring_size", "none"): "atoms outside rings",
    ("ring_size_fused", "none"): "atoms outside rings", ("ring_bonds", "0"): "atoms outside rings",
    ("isotope", "0"): "atoms without an isotope", ("chirality", "none"): "atoms that are no stereocentre",
    ("conjugated", "no"): "bonds that are not conjugated", ("ring", "no"): "bonds outside rings",
    ("stereo", "STEREONONE"): "bonds without stereo", ("stereo", "STEREOANY"): "double bonds marked either",
    ("stereo", "STEREOZ"): "double bonds marked Z", ("stereo", "STEREOE"): "double bonds marked E",
    ("radical", "0"): "atoms that are no radical", ("order", "SINGLE"): "single bonds",
    ("order", "DOUBLE"): "double bonds", ("order", "TRIPLE"): "triple bonds", ("order", "AROMATIC"): "aromatic bonds",
}  # fmt: skip
"""Labels that such words do not fit."""

_NAMES = [field.name for field in ATOM_FIELDS]


def count_parts(graphs: MolGraphs) -> np.ndarray:
    """Count what :data:`COUNTS` names, shape ``(B, K)``, int64.

    >>> from molmp.chem.featurize import featurize
    >>> count_parts(featurize(["CCO", "[NH3+]c1ccccc1"]).graphs).tolist()
    [[3, 1, 0, 0], [7, 1, 6, 1]]
    """
    table = graphs.atom_table
    element = table[:, _NAMES.index("element")]
    charge = np.array([int(label) for label in ATOM_FIELDS[_NAMES.index("charge")].labels] + [0])
    codes = np.stack([
        np.ones(len(table), np.int64),
        ~np.isin(element, [ATOM_FIELDS[0].encode(number) for number in (1, 6)]),
        table[:, _NAMES.index("ring_bonds")] > 0,
        charge[table[:, _NAMES.index("charge")]],
    ], axis=1).astype(np.int64)  # fmt: skip
    sums = np.zeros((len(graphs.atom_types) + 1, len(COUNTS)), np.int64)
    np.cumsum(codes[graphs.atom_types], axis=0, out=sums[1:])
    return np.diff(sums[graphs.atom_offsets], axis=0)


@dataclass(frozen=True, eq=False)
class Known:
    """What occurs in a set of molecules."""

    atom_codes: np.ndarray
    """Whether each code of an atom field occurs, shape ``(C,)``, bool, in the order of ``column_names``."""
    bond_codes: np.ndarray
    """The same of bonds."""
    low: np.ndarray
    """Least of each count, shape ``(K,)``."""
    high: np.ndarray
    """Most of each count, shape ``(K,)``."""

    @classmethod
    def of(cls, graphs: MolGraphs) -> Self:
        """Look through molecules, one at least."""
        counts = count_parts(graphs)
        return cls(
            _occurring(graphs.atom_table[np.unique(graphs.atom_types)], ATOM_FIELDS),
            _occurring(graphs.bond_table[np.unique(graphs.bond_types)], BOND_FIELDS),
            counts.min(0),
            counts.max(0),
        )

    def strangers(self, graphs: MolGraphs) -> list[list[str]]:
        """Say for each molecule what of it does not occur here, shape ``(B, any number)``.

        >>> from molmp.chem.featurize import featurize
        >>> known = Known.of(featurize(["CCO", "CCN"]).graphs)
        >>> for reasons in known.strangers(featurize(["C[SiH2]Cl", "CC[NH3+]"]).graphs):
        ...     print("; ".join(reasons))
        elements Si, Cl occur in no training molecule; atoms of degree 1 occur in no training molecule; \
atoms with 0 H occur in no training molecule
        atoms of charge +1 occur in no training molecule; total charge 1, training molecules have 0
        """
        strange: list[_Strange] = [{} for _ in range(len(graphs))]
        owner = np.repeat(np.arange(len(graphs)), graphs.num_atoms)
        self._note(strange, graphs.atom_table, graphs.atom_types, owner, ATOM_FIELDS, self.atom_codes)
        owner = np.repeat(np.arange(len(graphs)), graphs.num_bonds)
        self._note(strange, graphs.bond_table, graphs.bond_types, owner, BOND_FIELDS, self.bond_codes)
        found = [
            [_sentence(words, labels) for words, (_, labels) in sorted(some.items(), key=_rank)] for some in strange
        ]
        counts, margin = count_parts(graphs), np.maximum(MARGIN * (self.high - self.low), 1)
        margin[COUNTS.index("total charge")] = 0
        outside = (counts < self.low - margin) | (counts > self.high + margin)
        for row, column in zip(*np.nonzero(outside), strict=True):
            least, most = self.low[column], self.high[column]
            seen = f"{least}" if least == most else f"{least} to {most}"
            found[row].append(f"{COUNTS[column]} {counts[row, column]}, training molecules have {seen}")
        return found

    @staticmethod
    def _note(
        found: list[_Strange], table: np.ndarray, types: np.ndarray, owner: np.ndarray, fields: Sequence[Field],
        known: np.ndarray,
    ) -> None:  # fmt: skip
        """Collect strange labels by the words that they are told with."""
        start = 0
        for column, field in enumerate(fields):
            here = known[start : start + field.width]
            start += field.width
            strange = ~here[table[:, column]]
            if not strange.any():
                continue
            places = np.flatnonzero(strange[types])
            labels = (*field.labels, "other")
            pairs = np.unique(np.stack([owner[places], table[types[places], column]], axis=1), axis=0)
            for row, code in pairs.tolist():
                words = INSTEAD.get((field.name, labels[code]), WORDS[field.name])
                _, told = found[row].setdefault(words, (_RANK.index(field.name), []))
                if labels[code] not in told:
                    told.append(labels[code])


def _rank(item: tuple[str, tuple[int, list[str]]]) -> int:
    return item[1][0]


def _sentence(words: str, labels: Sequence[str]) -> str:
    one = words.endswith(" {}") and len(labels) == 1  # element Fe, isotope 13
    if words.startswith(("element", "isotope")) and not one:
        words = words.replace(" ", "s ", 1)
    verb = "occurs" if one and words.startswith(("element", "isotope")) else "occur"
    return f"{words.format(', '.join(labels))} {verb} in no training molecule"


def _occurring(table: np.ndarray, fields: Sequence[Field]) -> np.ndarray:
    return np.concatenate([
        np.bincount(table[:, column], minlength=field.width)[: field.width] > 0 for column, field in enumerate(fields)
    ])  # fmt: skip
