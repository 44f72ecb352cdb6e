"""How many rings of each size a molecule has, and what is shared by several: what the codes of atoms do not tell.

Shapes: B molecules, N atoms.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import chain

import numpy as np
from rdkit import Chem

__all__ = ["NUM_RING_COUNTS", "count_rings", "ring_counts"]

SMALLEST, LARGEST = 3, 10
"""Larger rings are counted with those of ten atoms."""

NUM_RING_COUNTS = LARGEST - SMALLEST + 3
"""Rings of each size, then atoms and bonds that belong to two rings or more."""


def count_rings(mols: Sequence[Chem.Mol]) -> np.ndarray:
    """Count by plain calls, shape ``(B, NUM_RING_COUNTS)``, float32.

    >>> count_rings([Chem.MolFromSmiles("C1CCC2CCCC2C1")]).astype(int)
    array([[0, 0, 1, 1, 0, 0, 0, 0, 2, 1]])
    """
    rows = np.zeros((len(mols), NUM_RING_COUNTS), np.float32)
    for row, mol in zip(rows, mols, strict=True):
        rings = mol.GetRingInfo()
        for ring in rings.AtomRings():
            row[min(len(ring), LARGEST) - SMALLEST] += 1
        for place, members in ((-2, rings.AtomRings()), (-1, rings.BondRings())):
            row[place] = sum(count > 1 for count in Counter(chain.from_iterable(members)).values())
    return rows


def ring_counts(
    owners: np.ndarray, lengths: np.ndarray, here: np.ndarray, after: np.ndarray, num_atoms: np.ndarray
) -> np.ndarray:
    """Count in the rings of many molecules at once; as :func:`count_rings`.

    Parameters
    ----------
    owners, lengths
        The molecule of each ring and how many atoms it has.
    here, after
        For each atom of each ring, along the ring: the atom, counted within its molecule, and the next one.
    num_atoms
        Atoms of each molecule, shape ``(B,)``.
    """
    rows = np.zeros((len(num_atoms), NUM_RING_COUNTS), np.float32)
    size = LARGEST - SMALLEST + 1
    sizes = owners * size + np.minimum(lengths, LARGEST) - SMALLEST
    rows[:, :size] = np.bincount(sizes, minlength=len(rows) * size).reshape(-1, size)
    offsets, molecules = np.cumsum(num_atoms) - num_atoms, np.repeat(np.arange(len(rows)), num_atoms)
    owners = np.repeat(owners, lengths)
    atoms = np.bincount(offsets[owners] + here, minlength=len(molecules))
    rows[:, -2] = np.bincount(molecules[atoms > 1], minlength=len(rows))
    most = int(num_atoms.max(initial=1))
    bonds = (owners * most + np.minimum(here, after)) * most + np.maximum(here, after)
    distinct, counts = np.unique(bonds, return_counts=True)
    rows[:, -1] = np.bincount(distinct[counts > 1] // (most * most), minlength=len(rows))
    return rows
