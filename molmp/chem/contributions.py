"""What each atom adds to logP, refractivity and surface, asked of RDKit once for each environment.

RDKit finds Wildman's and Crippen's atom types by matching 110 patterns to every molecule, which takes twice as long as
to read it. All of them, and Labute's surface, look at an atom and its neighbours alone; those of an oxygen with one
neighbour or with a charge also at its neighbours' neighbours. Atoms that agree in these have the same contributions, so
RDKit is asked where an environment is new, and what it says is kept. Few are new after some thousand molecules.

Shapes: B molecules, N atoms, E directed bonds.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from molmp.chem.features import ATOM_FIELDS, BOND_FIELDS
from molmp.chem.graphs import MolGraphs

__all__ = ["SURFACE", "Contributions", "surface_of", "surfaces"]

LOGP_BINS = (-0.4, -0.2, 0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6)
REFRACTIVITY_BINS = (1.29, 1.82, 2.24, 2.45, 2.75, 3.05, 3.63, 3.8, 4.0)
"""RDKit's own, by which the surface is divided."""

SURFACE = (
    "CrippenClogP_heavy", "CrippenMR_heavy",
    *(f"SlogP_VSA{i}" for i in range(1, len(LOGP_BINS) + 2)),
    *(f"SMR_VSA{i}" for i in range(1, len(REFRACTIVITY_BINS) + 2)),
)  # fmt: skip
"""What is summed over the atoms, hydrogens left out."""

MOST = 200_000
"""Environments that are kept: some 6 MB. Later ones are asked for each time."""

DIGITS = 12
"""The surface of an atom is a sum over its bonds, whose last digits depend on their order."""

LOOKED_AT = ("element", "degree", "charge", "hydrogens", "aromatic")
"""The fields of an atom that matter here."""

_PLACES = [next(i for i, field in enumerate(ATOM_FIELDS) if field.name == name) for name in LOOKED_AT]
_WIDTHS = np.array([ATOM_FIELDS[place].width for place in _PLACES])
_ELEMENT = ATOM_FIELDS[_PLACES[0]]
_HYDROGEN, _OXYGEN = _ELEMENT.encode(1), _ELEMENT.encode(8)
_NEUTRAL = ATOM_FIELDS[_PLACES[2]].encode(128)


def surfaces(graphs: MolGraphs, again: Callable[[int], Chem.Mol]) -> np.ndarray:
    """:data:`SURFACE` of each molecule, shape ``(B, 24)``; ``again(i)`` reads molecule ``i`` once more.

    >>> from molmp.chem.featurize import featurize
    >>> texts = ["CCO", "c1ccccc1O"]
    >>> values = surfaces(featurize(texts).graphs, lambda i: Chem.MolFromSmiles(texts[i]))
    >>> values[:, :2].round(3).tolist(), np.allclose(values[1], surface_of(Chem.MolFromSmiles("Oc1ccccc1")))
    ([[-0.349, 6.08], [1.045, 21.427]], True)
    """
    return _memory().surfaces(graphs, again)


def surface_of(mol: Chem.Mol) -> list[float]:
    """:data:`SURFACE` of one molecule as RDKit computes it."""
    return [
        *rdMolDescriptors.CalcCrippenDescriptors(mol, includeHs=False),
        *rdMolDescriptors.SlogP_VSA_(mol),
        *rdMolDescriptors.SMR_VSA_(mol),
    ]


@cache
def _memory() -> "Contributions":
    """What this process has asked so far."""
    return Contributions()


class Contributions:
    """A memory of environments and what RDKit says of them; threads may share one."""

    def __init__(self) -> None:
        self._known = np.zeros(0, np.uint64), np.zeros((0, 3))

    def __len__(self) -> int:
        """How many environments are known."""
        return len(self._known[0])

    def surfaces(self, graphs: MolGraphs, again: Callable[[int], Chem.Mol]) -> np.ndarray:
        """As the function of this name."""
        distinct, places = np.unique(_environments(graphs), return_inverse=True)
        alone = _strange(graphs)
        environments, contributions = self._learn(graphs, distinct, places, alone, again)
        at = np.searchsorted(environments, distinct)
        found = at < len(environments)
        found[found] = environments[at[found]] == distinct[found]
        values = np.zeros((len(distinct), 3))
        values[found] = contributions[at[found]]
        values = values[places]
        molecules = _molecules(graphs)
        alone[molecules[~found[places]]] = True
        for row in np.flatnonzero(alone).tolist():
            values[_atoms(graphs, row)] = _contributions(again(row))
        return _sums(values, molecules, len(graphs))

    def _learn(
        self, graphs: MolGraphs, distinct: np.ndarray, places: np.ndarray, strange: np.ndarray,
        again: Callable[[int], Chem.Mol],
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Ask about the first molecule that has each environment that is new.

        Return all environments, ascending, and their contributions to logP, refractivity, and surface in square
        angstroms. They are replaced together, never changed: another thread may be looking at them.
        """
        known = self._known
        molecules = _molecules(graphs)
        atoms = np.flatnonzero(~np.isin(distinct, known[0])[places] & ~strange[molecules])
        if not len(atoms) or len(known[0]) >= MOST:
            return known
        _, first = np.unique(places[atoms], return_index=True)
        environments, values = [known[0]], [known[1]]
        for row in np.unique(molecules[atoms[first]]).tolist():
            environments.append(distinct[places[_atoms(graphs, row)]])
            values.append(_contributions(again(row)))
        together, kept = np.unique(np.concatenate(environments), return_index=True)
        self._known = known = together, np.concatenate(values)[kept]
        return known


def _molecules(graphs: MolGraphs) -> np.ndarray:
    """The molecule of each atom."""
    return np.repeat(np.arange(len(graphs)), graphs.num_atoms)


def _atoms(graphs: MolGraphs, row: int) -> slice:
    """The atoms of a molecule."""
    return slice(graphs.atom_offsets[row], graphs.atom_offsets[row + 1])


def _contributions(mol: Chem.Mol) -> np.ndarray:
    surface, _ = rdMolDescriptors._CalcLabuteASAContribs(mol)
    crippen = rdMolDescriptors._CalcCrippenContribs(mol)
    return np.column_stack([np.array(crippen, float), np.round(np.array(list(surface)), DIGITS)])


def _environments(graphs: MolGraphs) -> np.ndarray:
    """A number of 64 bits for the environment of each atom, which depends on nothing else."""
    weights = np.array([int(np.prod(_WIDTHS[i + 1 :])) for i in range(len(_WIDTHS))])
    kinds = (graphs.atom_table[:, _PLACES].astype(np.int64) @ weights)[graphs.atom_types].astype(np.uint64)
    orders = graphs.bond_table[:, 0][graphs.bond_types]
    first = np.repeat(graphs.atom_offsets[:-1], graphs.num_bonds)
    begins, ends = first + graphs.begins, first + graphs.ends
    targets, sources = np.concatenate([begins, ends]), np.concatenate([ends, begins])
    neighbours = _mixed(kinds[sources] * np.uint64(BOND_FIELDS[0].width) + np.concatenate([orders, orders]))
    around = _mixed(_mixed(kinds) + _summed(neighbours, targets, len(kinds)))
    oxygen = (graphs.atom_table[:, _PLACES[0]] == _OXYGEN)[graphs.atom_types]
    charged = (graphs.atom_table[:, _PLACES[2]] != _NEUTRAL)[graphs.atom_types]
    far = oxygen & (charged | (np.bincount(targets, minlength=len(kinds)) == 1))
    edges = far[targets]
    around[far] = _mixed(around + _summed(_mixed(around[sources[edges]]), targets[edges], len(kinds)))[far]
    return around


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Spread numbers over 64 bits: the finalizer of G. Steele, D. Lea, C. Flood, Fast splittable pseudorandom number
    generators, 2014, doi:10.1145/2660193.2660195."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))


def _summed(numbers: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """Sums modulo 2^64; in halves, as ``bincount`` adds floats, which are exact below 2^53."""
    low, high = (
        np.bincount(groups, (numbers >> np.uint64(shift)) & np.uint64(0xFFFFFFFF), count).astype(np.uint64)
        for shift in (0, 32)
    )
    return low + (high << np.uint64(32))


def _strange(graphs: MolGraphs) -> np.ndarray:
    """Molecules with a code that lumps several values together, or with hydrogens among the atoms, shape ``(B,)``."""
    atoms = (graphs.atom_table[:, _PLACES] == _WIDTHS - 1).any(axis=1)
    atoms |= graphs.atom_table[:, _PLACES[0]] == _HYDROGEN
    bonds = graphs.bond_table[:, 0] == BOND_FIELDS[0].width - 1
    strange = np.zeros(len(graphs), bool)
    strange[_molecules(graphs)[atoms[graphs.atom_types]]] = True
    strange[np.repeat(np.arange(len(graphs)), graphs.num_bonds)[bonds[graphs.bond_types]]] = True
    return strange


def _sums(values: np.ndarray, molecules: np.ndarray, count: int) -> np.ndarray:
    """Sums over the atoms of each molecule, the surface by bins, shape ``(B, 24)``."""
    out = [np.bincount(molecules, values[:, column], count)[:, None] for column in (0, 1)]
    for column, edges in enumerate((LOGP_BINS, REFRACTIVITY_BINS)):
        bins, size = np.searchsorted(np.array(edges), values[:, column], side="right"), len(edges) + 1
        out.append(np.bincount(molecules * size + bins, values[:, 2], count * size).reshape(count, size))
    return np.concatenate(out, axis=1)
