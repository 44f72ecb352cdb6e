"""Molecular quantum numbers from packed graphs, for many molecules at once; equal to RDKit's.

RDKit finds rotatable bonds by matching a pattern of recursive patterns to every molecule, which takes two thirds of the
time to read it; the pattern itself is a few sums over neighbours.

Nguyen, Blum, van Deursen, Reymond: "Classification of organic molecules by molecular quantum numbers", 2009,
doi:10.1002/cmdc.200900317; as RDKit counts: donors and acceptors are nitrogens and oxygens, and an aromatic bond is
half a single and half a double bond.

Shapes: B molecules, N atoms, M bonds, U distinct atoms, T distinct bonds.
"""

from collections.abc import Callable

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from molmp.chem.features import ATOM_FIELDS
from molmp.chem.graphs import MolGraphs

__all__ = ["QUANTUM_NUMBERS", "quantum_numbers"]

QUANTUM_NUMBERS = tuple(f"MQN{i}" for i in range(1, 43))

MOST_ROTATABLE = 100
"""RDKit stops counting at some number of matches; molecules with more rotatable bonds than this are left to it."""

_NAMES = [field.name for field in ATOM_FIELDS]
_SINGLE, _DOUBLE, _TRIPLE, _AROMATIC, _OTHER = range(5)
_EXACT = ("element", "degree", "charge", "hydrogens")
"""Fields whose code for all other values leaves open what is counted."""

# Neighbours are counted as digits of one number.
_DIGIT = 4
_FLUORINE, _CHLORINE, _BROMINE, _METHYL, _CARBONYL, _ALKYNE = (1 << _DIGIT * place for place in range(6))


def quantum_numbers(graphs: MolGraphs, rings: np.ndarray, again: Callable[[int], Chem.Mol]) -> np.ndarray:
    """MQN1 to MQN42 of each molecule, shape ``(B, 42)``.

    ``rings`` is what :func:`molmp.chem.rings.count_rings` says of them; ``again(i)`` reads molecule ``i`` once more,
    which happens where its codes leave something open.

    >>> from molmp.chem.plain import plain_graphs
    >>> graphs = plain_graphs([Chem.MolFromSmiles("CCOC(=O)c1ccccc1")], rings=True)
    >>> values = quantum_numbers(graphs, graphs.features, lambda i: None)
    >>> values[0].tolist() == rdMolDescriptors.MQNs_(Chem.MolFromSmiles("CCOC(=O)c1ccccc1"))
    True
    """
    values = np.zeros((len(graphs), len(QUANTUM_NUMBERS)))
    atoms = _Atoms(graphs)
    values[:, :12], values[:, 19:32] = np.split(_sums(graphs.num_atoms, graphs.atom_types, atoms.counted()), [12], 1)
    bonds = _sums(graphs.num_bonds, graphs.bond_types, _counted_bonds(graphs.bond_table))
    values[:, 12:18] = bonds[:, :6]
    values[:, 15] += np.ceil(bonds[:, 6] / 2)
    values[:, 16] += np.floor(bonds[:, 6] / 2)
    values[:, 18] = rotatable = _rotatable(graphs, atoms)
    values[:, 32:] = rings
    for row in np.flatnonzero(_open(graphs) | (rotatable > MOST_ROTATABLE)).tolist():
        values[row] = rdMolDescriptors.MQNs_(again(row))
    return values


class _Atoms:
    """What matters of the distinct atoms, shape ``(U,)`` each."""

    def __init__(self, graphs: MolGraphs) -> None:
        code = dict(zip(_NAMES, graphs.atom_table.T, strict=True))
        self.element = np.where(code["element"] < ATOM_FIELDS[0].width - 1, code["element"] + 1, 0)
        self.charge = code["charge"].astype(int) - ATOM_FIELDS[_NAMES.index("charge")].encode(128)
        self.hydrogens = code["hydrogens"].astype(int)
        self.neighbours = code["degree"] - self.hydrogens
        self.aromatic, self.ring = code["aromatic"] == 1, code["ring_bonds"] > 0

    def counted(self) -> np.ndarray:
        """What an atom adds to MQN1 to MQN12 and MQN20 to MQN32, shape ``(U, 25)``."""
        carbon, nitrogen, oxygen = (self.element == number for number in (6, 7, 8))
        chain, polar = ~self.ring, nitrogen | oxygen
        accepting = nitrogen & (self.neighbours != 4)
        columns = [carbon, *(self.element == number for number in (9, 17, 35, 53, 16, 15))]
        columns += [nitrogen & chain, nitrogen & self.ring, oxygen & chain, oxygen & self.ring, self.element > 1]
        columns += [accepting + np.where(oxygen, np.where(self.charge == -1, 3, 2), 0), accepting | oxygen]
        columns += [polar * self.hydrogens, polar & (self.hydrogens > 0), self.charge < 0, self.charge > 0]
        columns += [self.neighbours == 1]
        columns += [(self.neighbours == count) & where for where in (chain, self.ring) for count in (2, 3, 4)]
        return np.stack(columns, axis=1).astype(float)


def _counted_bonds(table: np.ndarray) -> np.ndarray:
    """Whether a bond is single, double or triple in a chain, the same in a ring, and aromatic, shape ``(T, 7)``."""
    order, ring = table[:, 0], table[:, 2] == 1
    columns = [(order == kind) & where for where in (~ring, ring) for kind in (_SINGLE, _DOUBLE, _TRIPLE)]
    return np.stack([*columns, order == _AROMATIC], axis=1).astype(float)


def _sums(counts: np.ndarray, types: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Rows of ``table`` summed over the ``counts`` types of each molecule, shape ``(B, columns)``."""
    owners = np.repeat(np.arange(len(counts)), counts)
    occurring = np.bincount(owners * len(table) + types, minlength=len(counts) * len(table))
    return np.asarray(occurring.reshape(len(counts), len(table)).astype(float) @ table)


def _rotatable(graphs: MolGraphs, atoms: _Atoms) -> np.ndarray:
    """Rotatable bonds of each molecule, shape ``(B,)``, by what RDKit calls the strict definition.

    Single bonds in no ring, both of whose atoms have other neighbours and no triple bond and are no carbon with three
    hydrogens, halogens of a kind or methyl groups, and one of whose atoms takes no part in the bond of an amide, ester,
    amidine or the like.
    """
    types, order = graphs.atom_types.astype(np.int64), np.minimum(graphs.bond_table[:, 0], _OTHER)[graphs.bond_types]
    first = np.repeat(graphs.atom_offsets[:-1], graphs.num_bonds)
    begins, ends = first + graphs.begins, first + graphs.ends
    places = np.concatenate([types[ends], types[begins]]) * (_OTHER + 1) + np.concatenate([order, order])
    near = np.bincount(np.concatenate([begins, ends]), _neighbour_digits(atoms).ravel()[places], len(types))
    near = near.astype(np.int64)
    carbon = (atoms.element == 6) & ~atoms.aromatic
    round_top = (carbon & (atoms.hydrogens == 3))[types]
    for digit in (_FLUORINE, _CHLORINE, _BROMINE, _METHYL):
        round_top |= carbon[types] & (_digit(near, digit) >= 3)
    loose = ~((atoms.neighbours == 1)[types] | (_digit(near, _ALKYNE) > 0) | round_top)
    chain = np.flatnonzero((graphs.bond_table[:, 2] == 0)[graphs.bond_types] & (order == _SINGLE))
    begins, ends = begins[chain], ends[chain]
    head = (carbon & (atoms.neighbours == 3))[types] & (_digit(near, _CARBONYL) > 0)
    sulfur = (atoms.element == 16) & (atoms.neighbours != 1)
    tail = ((atoms.element == 7) | (~atoms.aromatic & ((atoms.element == 8) | sulfur)))[types]
    amide = (head[begins] & tail[ends]) | (tail[begins] & head[ends])
    conjugated = np.zeros(len(types), bool)
    conjugated[begins[amide]] = conjugated[ends[amide]] = True
    turns = loose[begins] & loose[ends] & ~(conjugated[begins] & conjugated[ends])
    owners = np.repeat(np.arange(len(graphs)), graphs.num_bonds)[chain]
    return np.bincount(owners[turns], minlength=len(graphs))


def _neighbour_digits(atoms: _Atoms) -> np.ndarray:
    """What an atom is to a neighbour at the other end of a bond of each order, shape ``(U, 5)``."""
    chain = ~atoms.aromatic
    digits = np.zeros((len(chain), _OTHER + 1))
    digits[:, _SINGLE] = sum(
        digit * (atoms.element == number) for digit, number in ((_FLUORINE, 9), (_CHLORINE, 17), (_BROMINE, 35))
    ) + _METHYL * ((atoms.element == 6) & chain & (atoms.hydrogens == 3))
    digits[:, _DOUBLE] = _CARBONYL * (np.isin(atoms.element, (7, 8, 16)) & chain)
    digits[:, _TRIPLE] = _ALKYNE
    return digits


def _digit(numbers: np.ndarray, digit: int) -> np.ndarray:
    return numbers // digit & ((1 << _DIGIT) - 1)


def _open(graphs: MolGraphs) -> np.ndarray:
    """Molecules with hydrogens among the atoms, with a code that stands for several values, or with a bond that was
    written as aromatic and is not, shape ``(B,)``."""
    atoms = graphs.atom_table[:, 0] == ATOM_FIELDS[0].encode(1)
    for name in _EXACT:
        place = _NAMES.index(name)
        atoms |= graphs.atom_table[:, place] == ATOM_FIELDS[place].width - 1
    found = np.zeros(len(graphs), bool)
    found[np.repeat(np.arange(len(graphs)), graphs.num_atoms)[atoms[graphs.atom_types]]] = True
    bonds = graphs.bond_table[:, 0] == _AROMATIC
    bonds &= graphs.bond_table[:, 2] == 0
    found[np.repeat(np.arange(len(graphs)), graphs.num_bonds)[bonds[graphs.bond_types]]] = True
    return found
