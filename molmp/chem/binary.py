"""Packed graphs from RDKit's binary form of many molecules at once: NumPy walks their records in lockstep.

``Mol.ToBinary(0)`` holds everything the features need but CIP labels, in records of variable length. The j-th atoms
of all molecules of a batch are found in one step, then the (j+1)-th. What this reader does not understand (dummy
atoms, atom maps, queries, over 255 atoms) goes the plain way, and everything does where RDKit writes an unknown
version of the format or a first test of this process finds a difference.

Shapes: B molecules, N atoms, M bonds, one after the other in the order of the molecules.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from rdkit import Chem

from molmp.chem.features import ATOM_FIELDS, BOND_FIELDS, CIP_LABELS, TETRAHEDRAL, UNNAMED_STEREO, key_parts
from molmp.chem.graphs import MolGraphs
from molmp.chem.plain import plain_graphs
from molmp.chem.stereo import name_stereocentres

__all__ = ["binary_graphs", "binary_is_known"]

KNOWN_VERSIONS = {(16, 2), (16, 3), (16, 4)}
"""Written by RDKit 2024.9 to 2025.9, 2026.3 and 2026.9; each was compared with plain calls on 134,000 molecules."""

NUM_ATOMS, NUM_BONDS, FIRST_ATOM = 20, 24, 30
"""Places in the header."""

BEGIN_BONDS, BEGIN_RINGS = 11, (19, 66, 67, 68)
"""Tags that close the sections of the atoms and of the bonds."""

MAX_ATOMS = 254
"""Above 255, indices take four bytes; and the size 255 stands for no ring."""

MAX_RINGS = 1_000

# An atom: element, flags, four bytes of which the bits say what follows, then one byte for each.
AROMATIC_ATOM, NO_IMPLICIT = 0x40, 0x20
CHARGE, CHIRAL_TAG, HYBRIDIZATION, EXPLICIT_HYDROGENS, IMPLICIT_HYDROGENS, RADICAL = 1, 2, 3, 4, 6, 7
ATOM_BITS = 0b11111110
ISOTOPE = 0b1  # of the second byte; it takes four bytes

# A bond: its two atoms, flags, then one byte for each of the type, the direction, the stereo (with its atoms).
CONJUGATED, BOND_TYPE, BOND_DIRECTION, BOND_STEREO = 0x20, 0x08, 0x04, 0x02
BOND_FLAGS = 0x40 | CONJUGATED | BOND_TYPE | BOND_DIRECTION | BOND_STEREO

_BYTES = np.arange(256)
_ONES = np.array([int(byte).bit_count() for byte in _BYTES])
_ATOM_SIZE = 6 + _ONES[_BYTES & ATOM_BITS]
_ISOTOPE_SIZE = np.where(_BYTES & ISOTOPE, 4, 0)
_BOND_SIZE = 3 + _ONES[_BYTES & (BOND_TYPE | BOND_DIRECTION)] + np.where(_BYTES & BOND_STEREO, 2, 0)

SELF_TEST = (
    "CC[N+](C)(C)C", "[13CH3][CH2]", "F/C=C/c1ccc2[nH]ccc2c1", "C[C@H](N)C(=O)[O-].[Na+]", "C[C@H]1CC[C@@H](C)CC1",
    "C1CC2CCC1C2", "OB(O)c1ccc(S(C)(=O)=O)cc1", "N->[Cu+2]", "C[Si](C)(C)C#N", "[2H]C", "*C", "[CH3:1]O",
)  # fmt: skip
"""Read both ways once in each process."""


class _Records(NamedTuple):
    """Records of one kind: where each begins, whose it is, and where those of each molecule end."""

    places: np.ndarray
    owners: np.ndarray
    ends: np.ndarray


@cache
def binary_is_known() -> bool:
    """Whether this RDKit writes a binary form that is read here, tested on a few molecules."""
    mols = [Chem.MolFromSmiles(smiles) for smiles in SELF_TEST]
    buffers = [mol.ToBinary(0) for mol in mols]
    if _version(buffers[0]) not in KNOWN_VERSIONS:
        return False
    return binary_graphs(buffers, dict(enumerate(mols)), mols.__getitem__) == plain_graphs(mols)


def binary_graphs(
    buffers: Sequence[bytes], chiral: Mapping[int, Chem.Mol], again: Callable[[int], Chem.Mol]
) -> MolGraphs:
    """Pack the molecules whose ``ToBinary(0)`` these are; equal to :func:`molmp.chem.plain.plain_graphs` of them.

    ``chiral`` holds at least those with stereocentres, for their labels; ``again(i)`` gives molecule ``i`` once more
    where it has to go the plain way.
    """
    if not buffers:
        return MolGraphs.empty()
    reader = _Reader(buffers)
    fast = reader.graphs(chiral)
    if reader.good.all():
        return fast
    slow = np.flatnonzero(~reader.good)
    both = MolGraphs.concat([fast, plain_graphs([again(int(row)) for row in slow])])
    order = np.empty(len(buffers), np.int64)
    order[np.concatenate([np.flatnonzero(reader.good), slow])] = np.arange(len(buffers))
    return both.select(order)


def _version(buffer: bytes) -> tuple[int, int]:
    return int.from_bytes(buffer[8:12], "little"), int.from_bytes(buffer[12:16], "little")


_ATOM_PARTS, _BOND_PARTS = key_parts(ATOM_FIELDS), key_parts(BOND_FIELDS)
_SP3 = int(Chem.HybridizationType.SP3)
_SINGLE = int(Chem.BondType.SINGLE)


class _Reader:
    """The records of one batch; ``good`` says which molecules are understood, shape ``(B,)``."""

    def __init__(self, buffers: Sequence[bytes]) -> None:
        sizes = np.fromiter(map(len, buffers), np.int64, len(buffers))
        self.starts = np.cumsum(sizes) - sizes
        self.bytes = np.frombuffer(b"".join(buffers), np.uint8)
        self.num_atoms, self.num_bonds = self._int32(self.starts + NUM_ATOMS), self._int32(self.starts + NUM_BONDS)
        self.good = self.num_atoms <= MAX_ATOMS
        self.atoms = self._walk(self.starts + FIRST_ATOM, self.num_atoms, self._atom_size)
        self.good &= self._at(self.atoms.ends) == BEGIN_BONDS
        self.bonds = self._walk(self.atoms.ends + 1, self.num_bonds, self._bond_size)
        self.good &= np.isin(self._at(self.bonds.ends), BEGIN_RINGS)
        self._refuse()

    def _at(self, places: np.ndarray) -> np.ndarray:
        # Clipped: a molecule that is not understood may lead beyond the end before it is found out.
        return self.bytes.take(places, mode="clip")

    def _int32(self, places: np.ndarray) -> np.ndarray:
        return self._at(places[:, None] + np.arange(4)).view("<i4").ravel().astype(np.int64)

    def _walk(self, starts: np.ndarray, counts: np.ndarray, size: Callable[[np.ndarray], np.ndarray]) -> _Records:
        """Find all records, one of each molecule in a step; those of molecules that are not good are left out."""
        counts = np.where(self.good, counts, 0)
        order = np.argsort(-counts, kind="stable")
        slots = (np.cumsum(counts) - counts)[order]
        places = starts[order]
        found = np.empty(counts.sum(), np.int64)
        # The molecules with more records come first, so those still being read are a head of the array.
        for active in np.searchsorted(-counts[order], -np.arange(counts.max(initial=0)), side="left").tolist():
            here = places[:active]
            found[slots[:active]] = here
            slots[:active] += 1
            here += size(here)
        ends = np.empty_like(places)
        ends[order] = places
        return _Records(found, np.repeat(np.arange(len(counts)), counts), ends)

    def _atom_size(self, places: np.ndarray) -> np.ndarray:
        return _ATOM_SIZE[self._at(places + 2)] + _ISOTOPE_SIZE[self._at(places + 3)]

    def _bond_size(self, places: np.ndarray) -> np.ndarray:
        flags = self._at(places + 2)
        sizes = _BOND_SIZE[flags]
        stereo = np.flatnonzero(flags & BOND_STEREO)
        sizes[stereo] += self._at(places[stereo] + sizes[stereo] - 1)  # the last byte counts the atoms that follow
        return sizes

    def _refuse(self) -> None:
        """Give up the molecules with a record that has a flag of unknown meaning, and drop their records."""
        at, bt = self.atoms, self.bonds
        strange = self._at(at.places + 1) & ~np.uint8(AROMATIC_ATOM | NO_IMPLICIT)
        strange |= self._at(at.places + 2) & ~np.uint8(ATOM_BITS)
        strange |= self._at(at.places + 3) & ~np.uint8(ISOTOPE)
        self.good[at.owners[strange != 0]] = False
        self.good[bt.owners[(self._at(bt.places + 2) & ~np.uint8(BOND_FLAGS)) != 0]] = False
        self.good &= self._int32(bt.ends + 1) <= MAX_RINGS
        if not self.good.all():
            self.atoms, self.bonds = (
                _Records(r.places[self.good[r.owners]], r.owners[self.good[r.owners]], r.ends) for r in (at, bt)
            )
        self.num_atoms, self.num_bonds = (np.where(self.good, n, 0) for n in (self.num_atoms, self.num_bonds))
        self.offsets = np.cumsum(self.num_atoms) - self.num_atoms

    def graphs(self, chiral: Mapping[int, Chem.Mol]) -> MolGraphs:
        """Pack the good molecules."""
        places, owners, _ = self.bonds
        begins, ends = self._at(places), self._at(places + 1)
        first = self.offsets[owners]
        tips = np.concatenate([first + begins, first + ends])
        rings = self._bond_ring_sizes(begins, ends)
        return MolGraphs.pack_keys(
            self._atom_keys(tips, rings, chiral), self._bond_keys(rings),
            begins, ends, self.num_atoms[self.good], self.num_bonds[self.good],
        )  # fmt: skip

    def _atom_keys(self, tips: np.ndarray, rings: np.ndarray, chiral: Mapping[int, Chem.Mol]) -> np.ndarray:
        places = self.atoms.places
        bits = self._at(places + 2)
        part = _ATOM_PARTS

        def payload(field: int) -> tuple[np.ndarray, np.ndarray]:
            """Atoms that have this field, and their values."""
            there = np.flatnonzero(bits & (1 << field))
            before = _ONES[bits[there] & (ATOM_BITS & ((1 << field) - 1))]
            return there, self._at(places[there] + 6 + before)

        keys = part["element"][self._at(places)]
        keys += part["aromatic"][self._at(places + 1) >> 6 & 1]
        hydrogens = np.zeros(len(places), np.uint8)
        for field in (EXPLICIT_HYDROGENS, IMPLICIT_HYDROGENS):
            there, values = payload(field)
            hydrogens[there] += values
        keys += part["hydrogens"][hydrogens]
        degree = hydrogens + np.bincount(tips, minlength=len(places))
        keys += part["degree"][np.minimum(degree, 255)]
        for name, field, default, shift in (
            ("charge", CHARGE, 128, 128),
            ("hybridization", HYBRIDIZATION, _SP3, 0),
            ("radical", RADICAL, 0, 0),
        ):
            there, values = payload(field)
            keys += part[name][default]
            keys[there] += (part[name] - part[name][default])[values + np.uint8(shift)]
        there, tags = payload(CHIRAL_TAG)
        keys += part["chirality"][0]
        keys[there] += (part["chirality"] - part["chirality"][0])[self._labels(there, tags, chiral)]
        there = np.flatnonzero(self._at(places + 3) & ISOTOPE)
        isotope = self._int32(places[there] + 6 + _ONES[bits[there] & ATOM_BITS])
        keys += part["isotope"][0]
        keys[there] += (part["isotope"] - part["isotope"][0])[np.minimum(isotope, 255)]
        return keys + self._ring_parts(tips, rings)

    def _ring_parts(self, tips: np.ndarray, rings: np.ndarray) -> np.ndarray:
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

    def _labels(self, atoms: np.ndarray, tags: np.ndarray, chiral: Mapping[int, Chem.Mol]) -> np.ndarray:
        """Raw values of ``chirality`` for the atoms with a chiral tag."""
        labels = np.full(len(atoms), UNNAMED_STEREO, np.uint8)
        owners = self.atoms.owners[atoms]
        inner = atoms - self.offsets[owners]
        centres: dict[int, list[tuple[int, Chem.Atom]]] = {}
        for place in np.flatnonzero(np.isin(tags, TETRAHEDRAL)).tolist():
            owner = int(owners[place])
            atom = chiral[owner].GetAtomWithIdx(int(inner[place]))
            centres.setdefault(owner, []).append((place, atom))
        for owner, centre in centres.items():
            name_stereocentres(chiral[owner], [atom for _, atom in centre])
            for place, atom in centre:
                if atom.HasProp("_CIPCode"):
                    labels[place] = CIP_LABELS.get(atom.GetProp("_CIPCode"), UNNAMED_STEREO)
        return labels

    def _bond_keys(self, rings: np.ndarray) -> np.ndarray:
        places = self.bonds.places
        flags = self._at(places + 2)
        part = _BOND_PARTS
        keys = part["conjugated"][flags >> 5 & 1] + part["ring"][(rings > 0).astype(np.uint8)]
        keys += part["order"][_SINGLE] + part["stereo"][0]
        there = np.flatnonzero(flags & BOND_TYPE)
        keys[there] += (part["order"] - part["order"][_SINGLE])[self._at(places[there] + 3)]
        there = np.flatnonzero(flags & BOND_STEREO)
        stereo = self._at(places[there] + _BOND_SIZE[flags[there]] - 2)
        keys[there] += (part["stereo"] - part["stereo"][0])[stereo]
        return keys

    def _bond_ring_sizes(self, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Size of the smallest ring through each bond, 0 where there is none, shape ``(M,)``, uint8."""
        heads = self.bonds.ends + 1
        rings = self._walk(heads + 4, self._int32(heads), lambda places: 1 + self._at(places).astype(np.int64))
        sizes = self._at(rings.places)
        lengths = sizes.astype(np.int64)
        member = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        last = member + 1 == np.repeat(lengths, lengths)
        first = np.repeat(rings.places + 1, lengths)
        here, after = self._at(first + member), self._at(first + np.where(last, 0, member + 1))
        # One square of atoms by atoms for each molecule.
        areas = self.num_atoms**2
        corners = np.cumsum(areas) - areas
        squares = np.full(areas.sum(), 255, np.uint8)
        corner, width = (np.repeat(each[rings.owners], lengths) for each in (corners, self.num_atoms))
        size = np.repeat(sizes, lengths)
        np.minimum.at(squares, corner + here * width + after, size)
        np.minimum.at(squares, corner + after * width + here, size)
        owners = self.bonds.owners
        smallest = squares[corners[owners] + begins * self.num_atoms[owners] + ends]
        smallest[smallest == 255] = 0
        return smallest
