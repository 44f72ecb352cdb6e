"""Atom environments: which atoms are alike up to a given number of bonds away.

After ``t`` steps of message passing the state of an atom depends on nothing but its environment of radius ``t``: its
own type and the multiset of (bond type, environment of radius ``t - 1``) of its neighbours. That is the colour of
the Weisfeiler-Lehman refinement (B. Weisfeiler and A. Leman, The reduction of a graph to canonical form, 1968); atoms
of one colour share all their states, so a network need compute each colour once (J. Bollen, J. Steegmans, J. Van den
Bussche and S. Vansummeren, Learning graph neural networks using exact compression, 2023, arXiv 2304.14793).

Shapes: N atoms, E directed bonds grouped by target, C_r colours of radius r, R the largest radius. No torch here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

from molmp.chem.graphs import MolGraphs

PART = 1 << 13
"""Atoms looked at together: what is made on the way stays in the processor's cache, and costs no fresh pages."""

HASHES = 3
"""Random hashes that are tried before neighbourhoods are sorted, which takes several times as long."""

__all__ = ["Bonds", "Environments", "spans"]


@dataclass(frozen=True, eq=False)
class Bonds:
    """The directed bonds of all molecules, grouped by the atom they lead to."""

    offsets: np.ndarray
    """Where the bonds into each atom begin, shape ``(N + 1,)``."""
    steps: np.ndarray
    """How many atoms further on the source lies, seen from the target, shape ``(E,)``; may be negative."""
    types: np.ndarray
    """Bond type, shape ``(E,)``."""

    @classmethod
    def of(cls, graphs: MolGraphs) -> Self:
        """Direct the bonds of ``graphs`` both ways."""
        size = max(PART // 32, 1)  # of molecules
        parts = [_directed(graphs, i, min(i + size, len(graphs))) for i in range(0, max(len(graphs), 1), size)]
        degrees, steps, types = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        offsets = np.zeros(len(degrees) + 1, np.int32 if len(types) < 1 << 31 else np.int64)
        np.cumsum(degrees, out=offsets[1:])
        return cls(offsets, steps.astype(np.int16 if graphs.num_atoms.max(initial=0) < 1 << 15 else np.int32), types)

    def into(self, atoms: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return how many bonds lead to each of ``atoms``, and the steps and types of those bonds."""
        starts, degrees = self.places(atoms)
        chosen = spans(starts, degrees)
        return degrees, self.steps[chosen], self.types[chosen]

    def places(self, atoms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where the bonds into each of ``atoms`` begin, and how many there are."""
        starts = self.offsets[atoms]
        return starts, self.offsets[atoms + 1] - starts


@dataclass(frozen=True, eq=False)
class Environments:
    """The environment of every atom, exact; numbered so that smaller radii divide the larger ones' order."""

    colours: np.ndarray
    """Environment of radius ``R`` of each atom, shape ``(N,)``."""
    parents: tuple[np.ndarray, ...]
    """``parents[r]``: the environment of radius ``r`` within each one of radius ``r + 1``, ascending, ``(C_(r+1),)``.

    Environments of radius 0 are the atom types.
    """

    @classmethod
    def of(cls, atom_types: np.ndarray, bonds: Bonds, radius: int) -> Self:
        """Refine the atom types ``radius`` times.

        Atoms are grouped by a random hash of their neighbourhood and each group is then compared with its first member,
        neighbour by neighbour; should a hash have put different atoms together, another is drawn, and after three the
        neighbourhoods themselves are sorted.
        """
        colours, parents = atom_types.astype(np.int32), []
        for _ in range(radius):
            finer, first = _refine(colours, bonds)
            parents.append(colours[first])
            colours = finer
        return cls(colours, tuple(parents))


def spans(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Concatenate the ranges ``starts[i] .. starts[i] + counts[i]``.

    >>> spans(np.array([7, 0]), np.array([2, 3]))
    array([7, 8, 0, 1, 2])
    """
    ends = np.cumsum(counts, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - (ends - counts), counts)


def _directed(graphs: MolGraphs, begin: int, end: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of some of the molecules: how many bonds lead to each atom, and the steps and types of the directed bonds."""
    atoms, bonds = graphs.atom_offsets[begin : end + 1], graphs.bond_offsets[begin : end + 1]
    chosen = slice(bonds[0], bonds[-1])
    first = np.repeat(atoms[:-1] - atoms[0], graphs.num_bonds[begin:end])
    begins, ends, types = (column[chosen] for column in (graphs.begins, graphs.ends, graphs.bond_types))
    there = ends.astype(np.int32) - begins.astype(np.int32)
    targets = np.concatenate([first + begins, first + ends])
    bits = max(len(targets), 1).bit_length()
    order = np.sort((targets << bits) | np.arange(len(targets))) & ((1 << bits) - 1)
    degrees = np.bincount(targets, minlength=atoms[-1] - atoms[0])
    return degrees.astype(np.int32), np.concatenate([there, -there])[order], np.concatenate([types, types])[order]


def _refine(colours: np.ndarray, bonds: Bonds) -> tuple[np.ndarray, np.ndarray]:
    """Divide by the neighbours' colours; return the new colours and one atom of each."""
    parts = [slice(i, min(i + PART, len(colours))) for i in range(0, len(colours), PART)]
    bits = tuple(int(v.max(initial=0)).bit_length() for v in (bonds.types, colours))
    keys = _join(_sorted_neighbours(part, colours, bonds, bits) for part in parts)
    random = np.random.default_rng(0)
    for _ in range(HASHES):
        factors = random.integers(1 << 64, size=2, dtype=np.uint64) | np.uint64(1)
        finer, first = _divide(colours, _join(_hash(part, keys, bonds, factors) for part in parts))
        if all(_alike(part, first[finer[part]], keys, bonds) for part in parts):
            return finer, first
    return _divide_by_sorting(colours, keys, bonds)


def _sorted_neighbours(part: slice, colours: np.ndarray, bonds: Bonds, bits: tuple[int, ...]) -> np.ndarray:
    """Return, for each bond into each atom, its type and its source's colour in one number, ascending for an atom."""
    offsets = bonds.offsets[part.start : part.stop + 1]
    chosen = slice(offsets[0], offsets[-1])
    atoms = np.repeat(np.arange(part.start, part.stop), np.diff(offsets))
    keys = (bonds.types[chosen].astype(np.int64) << bits[1]) | colours[atoms + bonds.steps[chosen]]
    width = sum(bits)
    keys = np.sort((atoms << width) | keys) & ((1 << width) - 1)
    return keys.astype(np.uint32 if width < 32 else np.uint64)


def _hash(part: slice, keys: np.ndarray, bonds: Bonds, factors: np.ndarray) -> np.ndarray:
    """Add up scrambled keys of the bonds into each atom."""
    ends = bonds.offsets[part.start : part.stop + 1]
    scrambled = (keys[ends[0] : ends[-1]] + np.uint64(1)) * factors[0]  # 0 would not count
    scrambled ^= scrambled >> np.uint64(31)
    scrambled *= factors[1]
    sums = np.zeros(len(scrambled) + 1, np.uint64)
    np.cumsum(scrambled, out=sums[1:])
    return np.diff(sums[ends - ends[0]])  # the sums wrap around, and so does the difference


def _alike(part: slice, twins: np.ndarray, keys: np.ndarray, bonds: Bonds) -> bool:
    """Whether each atom has as many bonds as its twin, of the same types and to the same colours."""
    offsets = bonds.offsets[part.start : part.stop + 1]
    starts, degrees = bonds.places(twins)
    mine = keys[offsets[0] : offsets[-1]]
    return np.array_equal(np.diff(offsets), degrees) and np.array_equal(mine, keys[spans(starts, degrees)])


def _divide(colours: np.ndarray, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # The old colour comes first in the order, so that new numbers ascend with the old ones.
    bits = np.uint64(int(colours.max(initial=0)).bit_length())
    keys = (colours.astype(np.uint64) << (np.uint64(64) - bits)) | (hashes >> bits) if bits else hashes
    order = np.argsort(keys)
    ordered = keys[order]
    new = np.ones(len(keys), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    finer = np.empty(len(keys), np.int32)
    finer[order] = np.cumsum(new) - 1
    return finer, order[new]


def _divide_by_sorting(colours: np.ndarray, keys: np.ndarray, bonds: Bonds) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`_refine`, without a hash: atoms of equally many bonds are compared row by row."""
    starts, degrees = bonds.offsets[:-1], np.diff(bonds.offsets)
    names, total = np.empty(len(colours), np.int64), 0
    for degree in np.unique(degrees):
        atoms = np.flatnonzero(degrees == degree)
        rows = keys[starts[atoms][:, None] + np.arange(degree)]
        distinct, names_of_rows = np.unique(rows, axis=0, return_inverse=True)
        names[atoms] = names_of_rows.ravel() + total
        total += len(distinct)
    # As many names as atoms at most, so that both fit in one number.
    _, first, finer = np.unique(colours.astype(np.int64) * total + names, return_index=True, return_inverse=True)
    return finer.ravel().astype(np.int32), first


def _join(parts: Iterable[np.ndarray]) -> np.ndarray:
    parts = list(parts)
    return np.concatenate(parts) if parts else np.zeros(0, np.uint64)
