"""Atom environments: which atoms are alike up to a given number of bonds away.

After ``t`` steps of message passing the state of an atom depends on nothing but its environment of radius ``t``: its
own type and the multiset of (bond type, environment of radius ``t - 1``) of its neighbours. That is the colour of
the Weisfeiler-Lehman refinement (B. Weisfeiler and A. Leman, The reduction of a graph to canonical form, 1968); atoms
of one colour share all their states, so a network need compute each colour once (J. Bollen, J. Steegmans, J. Van den
Bussche and S. Vansummeren, Learning graph neural networks using exact compression, 2023, arXiv 2304.14793).

Shapes: N atoms, E directed bonds grouped by target, C_r colours of radius r, R the largest radius. No torch here.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

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
    def of(cls, begins: np.ndarray, ends: np.ndarray, types: np.ndarray, first: np.ndarray, num_atoms: int) -> Self:
        """Direct ``M`` bonds both ways; ``first`` is the first atom of the molecule of each bond, shape ``(M,)``."""
        there = ends.astype(np.int64) - begins
        targets = np.concatenate([first + begins, first + ends])
        bits = max(len(targets), 1).bit_length()
        order = np.sort((targets << bits) | np.arange(len(targets))) & ((1 << bits) - 1)
        offsets = np.zeros(num_atoms + 1, np.int64)
        np.cumsum(np.bincount(targets, minlength=num_atoms), out=offsets[1:])
        steps = np.concatenate([there, -there])[order]
        widest = int(np.abs(steps).max(initial=0))
        return cls(
            offsets.astype(np.int32) if len(targets) < 1 << 31 else offsets,
            steps.astype(np.int16 if widest < 1 << 15 else np.int32),
            np.concatenate([types, types])[order],
        )


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
        neighbour by neighbour; should a hash ever have put different atoms together, others are drawn.
        """
        targets = np.repeat(np.arange(len(atom_types)), np.diff(bonds.offsets))
        sources = targets + bonds.steps
        colours, parents = atom_types.astype(np.int64), []
        for _ in range(radius):
            finer, first = _refine(colours, targets, sources, bonds)
            parents.append(colours[first].astype(np.int32))
            colours = finer
        return cls(colours.astype(np.int32), tuple(parents))


def spans(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Concatenate the ranges ``starts[i] .. starts[i] + counts[i]``.

    >>> spans(np.array([7, 0]), np.array([2, 3]))
    array([7, 8, 0, 1, 2])
    """
    ends = np.cumsum(counts, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - (ends - counts), counts)


def _refine(
    colours: np.ndarray, targets: np.ndarray, sources: np.ndarray, bonds: Bonds
) -> tuple[np.ndarray, np.ndarray]:
    """Divide by the neighbours' colours; return the new colours and one atom of each."""
    num_colours, num_types = int(colours.max(initial=0)) + 1, int(bonds.types.max(initial=0)) + 1
    neighbours = colours[sources]
    bits = (num_colours * num_types).bit_length()
    # Each atom's neighbours in ascending order, for the comparison.
    sorted_keys = np.sort((targets << bits) | (bonds.types * np.int64(num_colours) + neighbours)) & ((1 << bits) - 1)
    random = np.random.default_rng(0)
    while True:
        hashes = _hash(neighbours, bonds, random, num_colours, num_types)
        finer, first = _divide(colours, hashes, num_colours)
        if _same_neighbours(first[finer], targets, sorted_keys, bonds.offsets):
            return finer, first


def _hash(
    neighbours: np.ndarray, bonds: Bonds, random: np.random.Generator, num_colours: int, num_types: int
) -> np.ndarray:
    """Sum, over the neighbours of an atom, of random numbers for bond type and colour, multiplied; shape ``(N,)``."""
    by_colour = random.integers(1 << 64, size=num_colours, dtype=np.uint64)
    by_type = random.integers(1 << 64, size=num_types, dtype=np.uint64) | np.uint64(1)
    sums = np.zeros(len(neighbours) + 1, np.uint64)
    np.cumsum(by_colour[neighbours] * by_type[bonds.types], out=sums[1:])  # wraps around; so do the differences
    ends = sums[bonds.offsets]
    return ends[1:] - ends[:-1]


def _divide(colours: np.ndarray, hashes: np.ndarray, num_colours: int) -> tuple[np.ndarray, np.ndarray]:
    # The old colour comes first in the order, so that new numbers ascend with the old ones.
    bits = num_colours.bit_length()
    keys = (colours.astype(np.uint64) << np.uint64(64 - bits)) | (hashes >> np.uint64(bits))
    order = np.argsort(keys)
    ordered = keys[order]
    new = np.ones(len(keys), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    finer = np.empty(len(keys), np.int64)
    finer[order] = np.cumsum(new) - 1
    return finer, order[new]


def _same_neighbours(twins: np.ndarray, targets: np.ndarray, keys: np.ndarray, offsets: np.ndarray) -> bool:
    """Whether every atom has the neighbours that its twin has."""
    degrees = np.diff(offsets)
    if not np.array_equal(degrees, degrees[twins]):
        return False
    shift = offsets[twins] - offsets[:-1]
    return np.array_equal(keys, keys[np.arange(len(keys)) + np.repeat(shift, degrees)])
