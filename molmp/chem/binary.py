"""Packed graphs from RDKit's binary form of many molecules at once, without a call for each atom.

``Mol.ToBinary`` holds everything the features need. What is not understood here (dummy atoms, atom maps,
queries) goes the plain way, and everything does where RDKit writes an unknown version of the format or a
first test of this process finds a difference.

Shapes: B molecules, N atoms, M bonds, one after the other in the order of the molecules.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from rdkit import Chem

from molmp.chem import records
from molmp.chem.features import ATOM_FIELDS, BOND_FIELDS, CIP_LABELS, TETRAHEDRAL, UNNAMED_STEREO, key_parts
from molmp.chem.graphs import MolGraphs
from molmp.chem.plain import plain_graphs
from molmp.chem.records import Batch, is_wide, tagged_atoms, version
from molmp.chem.rings import ring_counts
from molmp.chem.stereo import stereo_labels

__all__ = ["binary_graphs", "binary_is_known", "lacks_labels", "to_binary"]

KNOWN_VERSIONS = {(16, 2), (16, 3), (16, 4)}
"""Written by RDKit 2024.9 to 2025.9, 2026.3 and 2026.9; each was compared with plain calls on 134,000 molecules."""

SELF_TEST = (
    "CC[N+](C)(C)C", "[13CH3][CH2]", "F/C=C/c1ccc2[nH]ccc2c1", "C[C@H](N)C(=O)[O-].[Na+]", "C[C@H]1CC[C@@H](C)CC1",
    "C1CC2CCC1C2", "OB(O)c1ccc(S(C)(=O)=O)cc1", "N->[Cu+2]", "C[Si](C)(C)C#N", "[2H]C", "*C", "[CH3:1]O",
    "C[C@@H](O)[C@H](F)Cl",
)  # fmt: skip
"""Read both ways once in each process."""

WIDE_BATCH = 16
"""Molecules of over 255 atoms read together: a table of atoms by atoms is made of each."""

NO_PROPERTIES = 0
LABELS = int(Chem.PropertyPickleOptions.AtomProps | Chem.PropertyPickleOptions.PrivateProps)
LABEL_NAME = b"_CIPCode"
LABEL = re.compile(len(LABEL_NAME).to_bytes(4, "little") + LABEL_NAME + rb"\x00\x01\x00\x00\x00([RS])", re.DOTALL)

_ATOM_PARTS, _BOND_PARTS = key_parts(ATOM_FIELDS), key_parts(BOND_FIELDS)
_SP3 = int(Chem.HybridizationType.SP3)
_SINGLE = int(Chem.BondType.SINGLE)


@cache
def binary_is_known() -> bool:
    """Whether this RDKit writes a binary form that is read here, tested on a few molecules."""
    mols = [Chem.MolFromSmiles(smiles) for smiles in SELF_TEST]
    buffers = [to_binary(mol, smiles) for mol, smiles in zip(mols, SELF_TEST, strict=True)]
    if version(buffers[0]) not in KNOWN_VERSIONS:
        return False
    unnamed = {row: mol for row, mol in enumerate(mols) if lacks_labels(buffers[row], SELF_TEST[row])}
    return binary_graphs(buffers, unnamed, mols.__getitem__, rings=True) == plain_graphs(mols, rings=True)


def to_binary(mol: Chem.Mol, text: str) -> bytes:
    """The binary form of ``mol``, with its CIP labels where ``text``, its SMILES, marks stereocentres."""
    buffer: bytes = mol.ToBinary(LABELS if "@" in text else NO_PROPERTIES)
    return buffer


def lacks_labels(buffer: bytes, text: str) -> bool:
    """Whether the binary form has not as many CIP labels as ``text`` has marks of stereocentres."""
    return buffer.count(LABEL_NAME) != text.count("@") - text.count("@@")


def binary_graphs(
    buffers: Sequence[bytes], unnamed: Mapping[int, Chem.Mol], again: Callable[[int], Chem.Mol], *, rings: bool = False
) -> MolGraphs:
    """Pack the molecules of these binary forms; equal to :func:`molmp.chem.plain.plain_graphs` of them.

    ``unnamed`` holds the molecules whose binary form lacks labels; ``again(i)`` gives molecule ``i`` once more where it
    has to go the plain way. With ``rings`` what stands beside the graphs is what :func:`molmp.chem.rings.count_rings`
    says of them.
    """
    labels = {row: stereo_labels(mol, tagged_atoms(buffers[row])) for row, mol in unnamed.items()}
    wide = [row for row, buffer in enumerate(buffers) if is_wide(buffer)]
    groups = [sorted(set(range(len(buffers))).difference(wide))]
    groups += [wide[start : start + WIDE_BATCH] for start in range(0, len(wide), WIDE_BATCH)]
    parts: list[MolGraphs] = []
    order: list[int] = []
    slow: list[int] = []
    for rows in filter(None, groups):
        added = {place: labels[row] for place, row in enumerate(rows) if row in labels}
        reader = _Reader([buffers[row] for row in rows], added, is_wide(buffers[rows[0]]))
        parts.append(reader.graphs(rings))
        order += [row for row, good in zip(rows, reader.good, strict=True) if good]
        slow += [row for row, good in zip(rows, reader.good, strict=True) if not good]
    if len(parts) == 1 and not slow:
        return parts[0]
    both = MolGraphs.concat([*parts, plain_graphs([again(row) for row in slow], rings=rings)])
    return both.select(np.argsort([*order, *slow]))


class _RingWalk(NamedTuple):
    """All rings of a batch, as :func:`molmp.chem.rings.ring_counts` takes them."""

    owners: np.ndarray
    lengths: np.ndarray
    here: np.ndarray
    after: np.ndarray


class _Reader(Batch):
    """What the records of a batch mean."""

    def __init__(self, buffers: Sequence[bytes], labels: Mapping[int, Sequence[int]], wide: bool) -> None:
        super().__init__(buffers, wide)
        owners, values = self._labels(labels)
        tagged = self.at(self.atoms.places + 2) & np.uint8(1 << records.CHIRAL_TAG) != 0
        tags = np.bincount(self.atoms.owners[tagged], minlength=len(buffers))
        self.good &= tags == np.bincount(owners, minlength=len(buffers))
        self.labels = values[self.good[owners]]
        self.drop()
        self.offsets = np.cumsum(self.num_atoms) - self.num_atoms

    def _labels(self, added: Mapping[int, Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
        """Molecule and raw value of each label, those found in the binary form and those added, in order."""
        found = [(match.start(), CIP_LABELS[match[1].decode()]) for match in LABEL.finditer(self.joined)]
        places, values = np.array(found, np.int64).reshape(-1, 2).T
        owners = np.searchsorted(self.starts, places, side="right") - 1
        counts = [len(labels) for labels in added.values()]
        keep = ~np.isin(owners, list(added))
        owners = np.concatenate([owners[keep], np.repeat(np.array(list(added), np.int64), counts)])
        values = np.concatenate([values[keep], *(np.array(labels, np.int64) for labels in added.values())])
        order = np.argsort(owners, kind="stable")
        return owners[order], values[order]

    def graphs(self, with_rings: bool) -> MolGraphs:
        """Pack the good molecules."""
        places, owners, _ = self.bonds
        begins, ends = self.index(places), self.index(places + self.width)
        first = self.offsets[owners]
        tips = np.concatenate([first + begins, first + ends])
        walk = self._ring_walk()
        rings = self._bond_ring_sizes(begins, ends, walk)
        return MolGraphs.pack_keys(
            self._atom_keys(tips) + self._ring_keys(tips, rings), self._bond_keys(rings),
            begins, ends, self.num_atoms[self.good], self.num_bonds[self.good],
            ring_counts(*walk, self.num_atoms)[self.good] if with_rings else None,
        )  # fmt: skip

    def _atom_keys(self, tips: np.ndarray) -> np.ndarray:
        places = self.atoms.places
        bits = self.at(places + 2)
        part = _ATOM_PARTS

        def payload(field: int) -> tuple[np.ndarray, np.ndarray]:
            """Atoms that have this field, and their values."""
            there = np.flatnonzero(bits & (1 << field))
            before = records.ONES[bits[there] & (records.ATOM_BITS & ((1 << field) - 1))]
            return there, self.at(places[there] + 6 + before)

        keys = part["element"][self.at(places)]
        keys += part["aromatic"][self.at(places + 1) >> 6 & 1]
        hydrogens = np.zeros(len(places), np.uint8)
        for field in (records.EXPLICIT_HYDROGENS, records.IMPLICIT_HYDROGENS):
            there, values = payload(field)
            hydrogens[there] += values
        keys += part["hydrogens"][hydrogens]
        keys += part["degree"][np.minimum(hydrogens + np.bincount(tips, minlength=len(places)), 255)]
        there, tags = payload(records.CHIRAL_TAG)
        labels = np.where(np.isin(tags, TETRAHEDRAL), self.labels, UNNAMED_STEREO)
        _add(keys, part["chirality"], 0, there, labels)
        there, values = payload(records.CHARGE)
        _add(keys, part["charge"], 128, there, values + np.uint8(128))
        _add(keys, part["hybridization"], _SP3, *payload(records.HYBRIDIZATION))
        _add(keys, part["radical"], 0, *payload(records.RADICAL))
        there = np.flatnonzero(self.at(places + 3) & records.ISOTOPE)
        isotopes = self.int32(places[there] + 6 + records.ONES[bits[there] & records.ATOM_BITS])
        _add(keys, part["isotope"], 0, there, np.minimum(isotopes, 255))
        return keys

    def _ring_keys(self, tips: np.ndarray, rings: np.ndarray) -> np.ndarray:
        part = _ATOM_PARTS
        sizes = np.concatenate([rings, rings])
        inside = np.flatnonzero(sizes)
        tips, sizes = tips[inside], sizes[inside]
        largest = np.zeros(len(self.atoms.places), np.uint8)
        np.maximum.at(largest, tips, sizes)
        smallest = np.full_like(largest, 255)
        np.minimum.at(smallest, tips, sizes)
        smallest[smallest == 255] = 0
        bonds = np.minimum(np.bincount(tips, minlength=len(largest)), 255)
        return part["ring_size"][smallest] + part["ring_size_fused"][largest] + part["ring_bonds"][bonds]

    def _bond_keys(self, rings: np.ndarray) -> np.ndarray:
        places = self.bonds.places
        flags = self.bond_flags(places)
        tails = places + 2 * self.width + 1
        part = _BOND_PARTS
        keys = part["conjugated"][flags >> 5 & 1] + part["ring"][(rings > 0).astype(np.uint8)]
        there = np.flatnonzero(flags & records.BOND_TYPE)
        _add(keys, part["order"], _SINGLE, there, self.at(tails[there]))
        there = np.flatnonzero(flags & records.BOND_STEREO)
        _add(keys, part["stereo"], 0, there, self.at(tails[there] + records.BOND_TAIL[flags[there]] - 3))
        return keys

    def _ring_walk(self) -> "_RingWalk":
        """Go along all rings."""
        rings = self.rings()
        lengths = self.index(rings.places)
        member = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        last = member + 1 == np.repeat(lengths, lengths)
        first = np.repeat(rings.places + self.width, lengths)
        here, after = (self.index(first + self.width * m) for m in (member, np.where(last, 0, member + 1)))
        return _RingWalk(rings.owners, lengths, here, after)

    def _bond_ring_sizes(self, begins: np.ndarray, ends: np.ndarray, walk: "_RingWalk") -> np.ndarray:
        """Size of the smallest ring through each bond, 0 where there is none, shape ``(M,)``, uint8."""
        ring_owners, lengths, here, after = walk
        # One square of atoms by atoms for each molecule.
        areas = self.num_atoms**2
        corners = np.cumsum(areas) - areas
        squares = np.full(areas.sum(), 255, np.uint8)
        corner, width = (np.repeat(each[ring_owners], lengths) for each in (corners, self.num_atoms))
        size = np.repeat(np.minimum(lengths, 254).astype(np.uint8), lengths)  # 255 stands for no ring
        np.minimum.at(squares, corner + here * width + after, size)
        np.minimum.at(squares, corner + after * width + here, size)
        owners = self.bonds.owners
        smallest = squares[corners[owners] + begins * self.num_atoms[owners] + ends]
        smallest[smallest == 255] = 0
        return smallest


def _add(keys: np.ndarray, part: np.ndarray, default: int, there: np.ndarray, values: np.ndarray) -> None:
    """Add the part of a field that most records lack: ``values`` to those ``there``, ``default`` to the others."""
    keys += part[default]
    keys[there] += part[values] - part[default]
