"""Whether explanations are to be believed: do predictions move as they say when the atoms they point at are taken out?

W. Samek, A. Binder, G. Montavon, S. Lapuschkin and K.-R. Mueller, Evaluating the visualization of what a deep neural
network has learned, 2017, doi:10.1109/TNNLS.2016.2599820.

Shapes: B molecules, N atoms, Q shares of the atoms.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from molmp.chem.graphs import MolGraphs
from molmp.explain.occlusion import without_atoms
from molmp.explain.scorer import Scorer
from molmp.tables.groups import stable_rng

__all__ = ["Deletion", "atom_scores", "deletion_curve"]

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
RANDOM_ORDERS = 4


class Deletion(NamedTuple):
    """What taking out atoms does to predictions, in the unit of the target, in the mean over molecules."""

    shares: np.ndarray
    """Share of the atoms taken out, shape ``(Q,)``."""
    raising: np.ndarray
    """Change where those said to raise the prediction most go first, shape ``(Q,)``: should fall."""
    random: np.ndarray
    """Change where they go in a random order."""
    lowering: np.ndarray
    """Change where those said to lower it most go first: should rise."""
    agreement: float
    """How often an order moves a molecule's prediction to its side of the random ones; 0.5 is worthless, 1 perfect."""


def atom_scores(atoms: np.ndarray, bonds: np.ndarray, graphs: MolGraphs) -> np.ndarray:
    """Contribution of each atom with half of each of its bonds, shape ``(N,)``."""
    first = np.repeat(graphs.atom_offsets[:-1], graphs.num_bonds)
    scores = atoms.copy()
    np.add.at(scores, first + graphs.begins, bonds / 2)
    np.add.at(scores, first + graphs.ends, bonds / 2)
    return scores


def deletion_curve(scorer: Scorer, graphs: MolGraphs, scores: np.ndarray, shares: Sequence[float] = SHARES) -> Deletion:
    """Take out atoms in the order of their ``scores``, shape ``(N,)``, and watch; single atoms are left out."""
    several = np.flatnonzero(graphs.num_atoms > 1)
    scores = scores[np.repeat(graphs.num_atoms > 1, graphs.num_atoms)]
    graphs = graphs.select(several)
    random = stable_rng(0)
    orders = [-scores, scores, *(random.random_sample(len(scores)) for _ in range(RANDOM_ORDERS))]
    if not len(graphs):
        nothing = np.full(len(shares), np.nan)
        return Deletion(np.array(shares), nothing, nothing, nothing, float("nan"))
    full = scorer.scores(graphs)[:, None]
    down, up, *others = (_without(scorer, graphs, order, shares) - full for order in orders)
    between = np.mean(others, axis=0)
    agreement = np.mean([down.mean(1) < between.mean(1), up.mean(1) > between.mean(1)])
    return Deletion(np.array(shares), down.mean(0), between.mean(0), up.mean(0), float(agreement))


def _without(scorer: Scorer, graphs: MolGraphs, order: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Predictions without the first atoms in ascending ``order``, shape ``(B, Q)``."""
    owner = np.repeat(np.arange(len(graphs)), graphs.num_atoms)
    rank = np.empty(len(order), np.int64)
    rank[np.lexsort((order, owner))] = np.arange(len(order))
    rank -= graphs.atom_offsets[:-1][owner]
    found = []
    for share in shares:
        count = np.clip(np.round(share * graphs.num_atoms), 1, graphs.num_atoms - 1)
        found.append(scorer.scores(without_atoms(graphs, rank < count[owner])))
    return np.stack(found, axis=1)
