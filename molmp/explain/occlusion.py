"""What becomes of a prediction when atoms or bonds are taken out of the graph, worked out and not estimated.

The rest of the molecule keeps its features, and so does what stands beside the graph: a hole is cut, no chemistry is
done.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from molmp.chem.graphs import MolGraphs
from molmp.explain.scorer import Scorer

__all__ = ["occlude_atoms", "occlude_bonds", "occlude_groups", "without_atoms", "without_bonds"]


def without_atoms(graphs: MolGraphs, gone: np.ndarray) -> MolGraphs:
    """Take out the atoms where ``gone``, shape ``(N,)``, bool, and all their bonds.

    >>> from molmp.chem.featurize import featurize
    >>> without_atoms(featurize(["CCO"]).graphs, np.array([False, True, False]))
    MolGraphs(1 molecules, 2 atoms, 0 bonds)
    """
    owner = np.repeat(np.arange(len(graphs)), graphs.num_atoms)
    first = np.repeat(graphs.atom_offsets[:-1], graphs.num_bonds)
    kept = ~(gone[first + graphs.begins] | gone[first + graphs.ends])
    place = np.cumsum(~gone) - 1
    num_atoms = np.bincount(owner[~gone], minlength=len(graphs))
    new_first = np.concatenate([[0], np.cumsum(num_atoms)])[:-1]
    shift = np.repeat(new_first, graphs.num_bonds)
    return replace(
        graphs, atom_types=graphs.atom_types[~gone], bond_types=graphs.bond_types[kept],
        begins=(place[first + graphs.begins] - shift)[kept], ends=(place[first + graphs.ends] - shift)[kept],
        num_atoms=num_atoms, num_bonds=_bonds_left(graphs, kept),
    )  # fmt: skip


def without_bonds(graphs: MolGraphs, gone: np.ndarray) -> MolGraphs:
    """Take out the bonds where ``gone``, shape ``(M,)``, bool."""
    return replace(
        graphs, bond_types=graphs.bond_types[~gone], begins=graphs.begins[~gone], ends=graphs.ends[~gone],
        num_bonds=_bonds_left(graphs, ~gone),
    )  # fmt: skip


def occlude_atoms(scorer: Scorer, graphs: MolGraphs) -> np.ndarray:
    """Prediction of each molecule minus that without one atom, for each atom, shape ``(N,)``."""
    copies = graphs.select(np.repeat(np.arange(len(graphs)), graphs.num_atoms))
    return _change(scorer, graphs, without_atoms(copies, _diagonals(graphs.num_atoms)), graphs.num_atoms)


def occlude_bonds(scorer: Scorer, graphs: MolGraphs) -> np.ndarray:
    """Prediction of each molecule minus that without one bond, whose atoms stay, for each bond, shape ``(M,)``."""
    copies = graphs.select(np.repeat(np.arange(len(graphs)), graphs.num_bonds))
    return _change(scorer, graphs, without_bonds(copies, _diagonals(graphs.num_bonds)), graphs.num_bonds)


def occlude_groups(scorer: Scorer, graphs: MolGraphs, groups: Sequence[Sequence[Sequence[int]]]) -> list[np.ndarray]:
    """The same for groups of atoms: for each molecule any number of lists of its atoms."""
    counts = np.array([len(some) for some in groups], np.int64)
    copies = graphs.select(np.repeat(np.arange(len(graphs)), counts))
    gone = np.zeros(len(copies.atom_types), bool)
    every = [list(group) for some in groups for group in some]
    for start, group in zip(copies.atom_offsets[:-1].tolist(), every, strict=True):
        gone[start + np.array(group, np.int64)] = True
    changes = _change(scorer, graphs, without_atoms(copies, gone), counts)
    return np.split(changes, np.cumsum(counts)[:-1])


def _change(scorer: Scorer, graphs: MolGraphs, occluded: MolGraphs, counts: np.ndarray) -> np.ndarray:
    return np.repeat(scorer.scores(graphs), counts) - scorer.scores(occluded)


def _diagonals(counts: np.ndarray) -> np.ndarray:
    """Identity matrices of these sizes, flattened one after the other."""
    return np.concatenate([np.zeros(0, bool), *(np.eye(int(count), dtype=bool).ravel() for count in counts)])


def _bonds_left(graphs: MolGraphs, kept: np.ndarray) -> np.ndarray:
    owner = np.repeat(np.arange(len(graphs)), graphs.num_bonds)
    return np.bincount(owner[kept], minlength=len(graphs))
