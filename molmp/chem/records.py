"""Where the records of many molecules lie in RDKit's binary form: NumPy walks all molecules in lockstep.

The j-th atoms of all molecules of a batch are found in one step, then the (j+1)-th; so with bonds and rings.

Shapes: B molecules, N atoms, M bonds, one after the other in the order of the molecules.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Batch", "Records", "is_wide", "tagged_atoms", "version"]

NUM_ATOMS, NUM_BONDS, FIRST_ATOM = 20, 24, 30
"""Places in the header."""

BEGIN_BONDS, BEGIN_RINGS = 11, (19, 66, 67, 68)
"""Tags that close the sections of the atoms and of the bonds."""

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
ONES = np.array([int(byte).bit_count() for byte in _BYTES])
"""Number of bits that are set in a byte."""

ATOM_SIZE = 6 + ONES[_BYTES & ATOM_BITS]
BOND_TAIL = 1 + ONES[_BYTES & (BOND_TYPE | BOND_DIRECTION)] + np.where(_BYTES & BOND_STEREO, 2, 0)
_ISOTOPE_SIZE = np.where(_BYTES & ISOTOPE, 4, 0)
_ATOM_SIZES = ATOM_SIZE.tolist()


class Records(NamedTuple):
    """Records of one kind: where each begins, whose it is, and where those of each molecule end."""

    places: np.ndarray
    owners: np.ndarray
    ends: np.ndarray


def version(buffer: bytes) -> tuple[int, int]:
    """Version of the format, major and minor."""
    return int.from_bytes(buffer[8:12], "little"), int.from_bytes(buffer[12:16], "little")


def tagged_atoms(buffer: bytes) -> list[int]:
    """Atoms of one molecule that have a chiral tag; none where its records are not understood.

    >>> from rdkit import Chem
    >>> tagged_atoms(Chem.MolFromSmiles("C[C@H](F)O").ToBinary(0))
    [1]
    """
    tagged: list[int] = []
    place = FIRST_ATOM
    for atom in range(int.from_bytes(buffer[NUM_ATOMS:NUM_BONDS], "little")):
        flags, bits, isotope = buffer[place + 1 : place + 4]
        if flags & ~(AROMATIC_ATOM | NO_IMPLICIT) or bits & ~ATOM_BITS or isotope & ~ISOTOPE:
            return []
        if bits & 1 << CHIRAL_TAG:
            tagged.append(atom)
        place += _ATOM_SIZES[bits] + 4 * isotope
    return tagged


def is_wide(buffer: bytes) -> bool:
    """Whether an index takes four bytes in this molecule: it has more than 255 atoms."""
    return bool(buffer[NUM_ATOMS + 1] or buffer[NUM_ATOMS + 2] or buffer[NUM_ATOMS + 3])


class Batch:
    """The records of molecules of one width; ``good`` says which are understood, shape ``(B,)``."""

    def __init__(self, buffers: Sequence[bytes], wide: bool) -> None:
        self.width = 4 if wide else 1
        sizes = np.fromiter(map(len, buffers), np.int64, len(buffers))
        self.starts = np.cumsum(sizes) - sizes
        self.joined = b"".join(buffers)
        self.bytes = np.frombuffer(self.joined, np.uint8)
        self.num_atoms, self.num_bonds = self.int32(self.starts + NUM_ATOMS), self.int32(self.starts + NUM_BONDS)
        self.good = np.ones(len(buffers), bool)
        self.atoms = self.walk(self.starts + FIRST_ATOM, self.num_atoms, self._atom_size)
        self.good &= self.at(self.atoms.ends) == BEGIN_BONDS
        self.bonds = self.walk(self.atoms.ends + 1, self.num_bonds, self._bond_size)
        self.good &= np.isin(self.at(self.bonds.ends), BEGIN_RINGS)
        self.good &= self.int32(self.bonds.ends + 1) <= MAX_RINGS
        strange = self.at(self.atoms.places + 1) & ~np.uint8(AROMATIC_ATOM | NO_IMPLICIT)
        strange |= self.at(self.atoms.places + 2) & ~np.uint8(ATOM_BITS)
        strange |= self.at(self.atoms.places + 3) & ~np.uint8(ISOTOPE)
        self.good[self.atoms.owners[strange != 0]] = False
        self.good[self.bonds.owners[(self.bond_flags(self.bonds.places) & ~np.uint8(BOND_FLAGS)) != 0]] = False

    def drop(self) -> None:
        """Forget the records of the molecules that are not good."""
        if not self.good.all():
            kept = [self.good[records.owners] for records in (self.atoms, self.bonds)]
            self.atoms, self.bonds = (
                Records(records.places[keep], records.owners[keep], records.ends)
                for records, keep in zip((self.atoms, self.bonds), kept, strict=True)
            )
            self.num_atoms, self.num_bonds = (np.where(self.good, n, 0) for n in (self.num_atoms, self.num_bonds))

    def rings(self) -> Records:
        """Records of the rings: the number of members, then the members along the ring, all of them indices."""
        heads = self.bonds.ends + 1
        return self.walk(heads + 4, self.int32(heads), lambda places: self.width * (1 + self.index(places)))

    def index(self, places: np.ndarray) -> np.ndarray:
        """Indices of atoms that begin at these places, int64."""
        return self.int32(places) if self.width == 4 else self.at(places).astype(np.int64)

    def bond_flags(self, places: np.ndarray) -> np.ndarray:
        """Flags of the bonds at these places."""
        return self.at(places + 2 * self.width)

    def at(self, places: np.ndarray) -> np.ndarray:
        """Bytes at these places."""
        # Clipped: a molecule that is not understood may lead beyond the end before it is found out.
        return self.bytes.take(places, mode="clip")

    def int32(self, places: np.ndarray) -> np.ndarray:
        """Numbers of four bytes that begin at these places."""
        return self.at(places[:, None] + np.arange(4)).view("<i4").ravel().astype(np.int64)

    def walk(self, starts: np.ndarray, counts: np.ndarray, size: Callable[[np.ndarray], np.ndarray]) -> Records:
        """Find all records, one of each molecule in a step; molecules that are not good have none."""
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
        return Records(found, np.repeat(np.arange(len(counts)), counts), ends)

    def _atom_size(self, places: np.ndarray) -> np.ndarray:
        return ATOM_SIZE[self.at(places + 2)] + _ISOTOPE_SIZE[self.at(places + 3)]

    def _bond_size(self, places: np.ndarray) -> np.ndarray:
        flags = self.bond_flags(places)
        sizes = 2 * self.width + BOND_TAIL[flags]
        stereo = np.flatnonzero(flags & BOND_STEREO)
        if stereo.size:  # the last byte counts the atoms that follow
            sizes[stereo] += self.width * self.at(places[stereo] + sizes[stereo] - 1).astype(np.int64)
        return sizes
