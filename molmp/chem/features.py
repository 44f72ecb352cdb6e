"""The atom and bond features, declared once; codes, widths, names and documentation derive from here.

Every feature is categorical. An atom is a row of small integers, one a field: the position of its value in
``choices``, or ``len(choices)`` for a value that is not listed ("other"). All fields are invariant under the
order of the atoms and the way a SMILES was written: stereo enters as CIP labels and sides of rings; ring sizes come
from bonds (every minimum cycle basis holds a shortest ring through each bond, so they do not depend on its choice).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from rdkit import Chem

__all__ = [
    "ATOM_FIELDS", "BOND_FIELDS", "Field", "atom_row", "bond_row", "chirality", "column_names", "key_parts", "key_rows",
    "key_weights", "lookup_table", "row_keys",
]  # fmt: skip

NO_LABEL, UNNAMED_STEREO = 0, 255
"""Raw values of the field ``chirality`` beside those of :data:`CIP_LABELS` and the two sides of a ring."""

CIP_LABELS = {"R": 1, "S": 2}

CIS, TRANS = 3, 4

RING_SIDE = "_molmpRingSide"
"""Property of an atom in which :mod:`molmp.chem.stereo` notes cis or trans."""

TETRAHEDRAL = (int(Chem.ChiralType.CHI_TETRAHEDRAL_CW), int(Chem.ChiralType.CHI_TETRAHEDRAL_CCW))
"""Chiral tags that a CIP label can be given to."""


class Field(NamedTuple):
    """One categorical feature: what it can be and how RDKit tells."""

    name: str
    choices: tuple[int, ...]
    labels: tuple[str, ...]
    read: Callable[[Any], int]
    """Raw value, a number from 0 to 255, of an RDKit atom or bond."""
    meaning: str

    @property
    def width(self) -> int:
        """Number of codes, the one for "other" included."""
        return len(self.choices) + 1

    def encode(self, raw: int) -> int:
        """Code of a raw value.

        >>> ATOM_FIELDS[0].encode(6), ATOM_FIELDS[0].encode(0)
        (5, 118)
        """
        return self.choices.index(raw) if raw in self.choices else len(self.choices)


def _field(name: str, choices: dict[int, str] | Sequence[int], read: Callable[[Any], int], meaning: str) -> Field:
    labels = tuple(choices.values()) if isinstance(choices, dict) else tuple(map(str, choices))
    return Field(name, tuple(choices), labels, read, meaning)


def _enum(kind: Any, names: str) -> dict[int, str]:
    return {int(getattr(kind, name)): name for name in names.split()}


def _ring_sizes(atom: Chem.Atom) -> list[int]:
    rings = atom.GetOwningMol().GetRingInfo()
    return [rings.MinBondRingSize(bond.GetIdx()) for bond in atom.GetBonds() if bond.IsInRing()]


def chirality(atom: Chem.Atom) -> int:
    """Raw value of the field ``chirality``; chem.stereo names what RDKit leaves unnamed before an atom comes here."""
    tag = int(atom.GetChiralTag())
    if tag == 0:
        return NO_LABEL
    if tag not in TETRAHEDRAL:  # what RDKit calls a square plane or an octahedron depends on the spelling
        return UNNAMED_STEREO
    if atom.HasProp("_CIPCode"):
        return CIP_LABELS.get(atom.GetProp("_CIPCode"), UNNAMED_STEREO)
    return atom.GetIntProp(RING_SIDE) if atom.HasProp(RING_SIDE) else UNNAMED_STEREO


def _clip(value: int) -> int:
    return min(max(value, 0), 255)


_ELEMENTS = {z: Chem.GetPeriodicTable().GetElementSymbol(z) for z in range(1, 119)}
_RINGS = {0: "none", **{size: str(size) for size in range(3, 9)}}
_FLAG = {0: "no", 1: "yes"}

ATOM_FIELDS: tuple[Field, ...] = (
    _field("element", _ELEMENTS, Chem.Atom.GetAtomicNum, "chemical element; other: dummy atom"),
    _field("degree", range(9), lambda a: _clip(a.GetTotalDegree()), "neighbours, hydrogens included"),
    _field("charge", {128 + c: f"{c:+d}" for c in range(-4, 5)}, lambda a: _clip(128 + a.GetFormalCharge()), "formal"),
    _field("hydrogens", range(5), lambda a: _clip(a.GetTotalNumHs()), "hydrogens that are not atoms of the graph"),
    _field("hybridization", _enum(Chem.HybridizationType, "UNSPECIFIED S SP SP2 SP3 SP2D SP3D SP3D2"),
           lambda a: int(a.GetHybridization()), "by RDKit"),
    _field("aromatic", _FLAG, lambda a: int(a.GetIsAromatic()), "by RDKit's model"),
    _field("ring_size", _RINGS, lambda a: _clip(min(_ring_sizes(a), default=0)), "smallest ring through a bond of it"),
    _field("ring_size_fused", _RINGS, lambda a: _clip(max(_ring_sizes(a), default=0)),
           "largest, over its bonds, of the smallest ring through the bond"),
    _field("ring_bonds", (0, 2, 3, 4), lambda a: _clip(len(_ring_sizes(a))), "bonds in a ring"),
    _field("radical", range(3), lambda a: _clip(a.GetNumRadicalElectrons()), "unpaired electrons"),
    _field("isotope", (0, 2, 3, 11, 13, 14, 15, 18, 32, 35, 76, 82, 123, 124, 125, 131),
           lambda a: _clip(a.GetIsotope()), "mass number where given, 0 where natural"),
    _field("chirality", {NO_LABEL: "none", 1: "R", 2: "S", CIS: "cis", TRANS: "trans"}, chirality,
           "CIP label of a stereocentre, or the side of its ring where it has none; other: neither"),
)  # fmt: skip

BOND_FIELDS: tuple[Field, ...] = (
    _field("order", _enum(Chem.BondType, "SINGLE DOUBLE TRIPLE AROMATIC DATIVE QUADRUPLE ZERO"),
           lambda b: int(b.GetBondType()), "bond type"),
    _field("conjugated", _FLAG, lambda b: int(b.GetIsConjugated()), "by RDKit"),
    _field("ring", _FLAG, lambda b: int(b.IsInRing()), "in a ring"),
    _field("stereo", _enum(Chem.BondStereo, "STEREONONE STEREOANY STEREOZ STEREOE"),
           lambda b: int(b.GetStereo()), "of a double bond, by CIP ranks"),
)  # fmt: skip


def lookup_table(field: Field) -> np.ndarray:
    """Codes of all raw values 0 to 255 at once, shape ``(256,)``, uint8."""
    table = np.full(256, len(field.choices), np.uint8)
    table[list(field.choices)] = np.arange(len(field.choices))
    return table


_ATOM_CODES, _BOND_CODES = (
    [(field.read, lookup_table(field).tolist()) for field in fields] for fields in (ATOM_FIELDS, BOND_FIELDS)
)


def atom_row(atom: Chem.Atom) -> list[int]:
    """Codes of one atom, in the order of :data:`ATOM_FIELDS`.

    >>> dict(zip([f.name for f in ATOM_FIELDS], atom_row(Chem.MolFromSmiles("OCC").GetAtomWithIdx(0))))["hydrogens"]
    1
    """
    return [codes[read(atom)] for read, codes in _ATOM_CODES]


def bond_row(bond: Chem.Bond) -> list[int]:
    """Codes of one bond, in the order of :data:`BOND_FIELDS`."""
    return [codes[read(bond)] for read, codes in _BOND_CODES]


def key_weights(fields: Sequence[Field]) -> np.ndarray:
    """What one unit of each code adds to the key of a row, shape ``(len(fields),)``, int64.

    A key is a row of codes as one number in mixed radix; keys sort as their rows do.

    >>> key_weights(BOND_FIELDS).tolist()
    [45, 15, 5, 1]
    """
    widths = [field.width for field in fields]
    return np.array([math.prod(widths[place + 1 :]) for place in range(len(widths))], np.int64)


def row_keys(rows: np.ndarray, fields: Sequence[Field]) -> np.ndarray:
    """Keys of rows of codes, shape ``(N, len(fields))`` to ``(N,)``, int64."""
    return rows.astype(np.int64) @ key_weights(fields)


def key_parts(fields: Sequence[Field]) -> dict[str, np.ndarray]:
    """What each raw value of each field adds to the key of a row, by name, shape ``(256,)``, int64."""
    weights = key_weights(fields)
    return {field.name: lookup_table(field) * weight for field, weight in zip(fields, weights, strict=True)}


def key_rows(keys: np.ndarray, fields: Sequence[Field]) -> np.ndarray:
    """Undo :func:`row_keys`; uint8.

    >>> key_rows(np.array([46]), BOND_FIELDS)
    array([[1, 0, 0, 1]], dtype=uint8)
    """
    widths = np.array([field.width for field in fields])
    return (keys[:, None] // key_weights(fields) % widths).astype(np.uint8)


def column_names(fields: Sequence[Field]) -> list[str]:
    """Name every code, in order; a model stores these and is refused where they differ.

    >>> column_names(BOND_FIELDS)[-5:]
    ['stereo=STEREONONE', 'stereo=STEREOANY', 'stereo=STEREOZ', 'stereo=STEREOE', 'stereo=other']
    """
    return [f"{field.name}={label}" for field in fields for label in (*field.labels, "other")]
