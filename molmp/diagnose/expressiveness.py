"""Expressiveness: molecules that colour refinement (1-WL) cannot tell apart, and what tells them apart nevertheless."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from molmp.chem.features import ATOM_FIELDS, BOND_FIELDS
from molmp.chem.graphs import MolGraphs
from molmp.diagnose.states import flat_batch, fresh, graphs_of
from molmp.nn.config import ModelConfig
from molmp.nn.model import MoleculeModel

__all__ = ["PAIRS", "Expressiveness", "Pair", "expressiveness", "told_apart", "without_rings"]


class Pair(NamedTuple):
    """Two molecules."""

    name: str
    first: str
    second: str


PAIRS = (
    Pair("two 3-rings, one 6-ring", "C1CC1.C1CC1", "C1CCCCC1"),
    Pair("decalin, bicyclopentyl", "C1CCC2CCCCC2C1", "C1CCC(C1)C1CCCC1"),
)
"""Atoms with the same neighbours all the way, as long as nobody tells them of rings."""

ALIKE = 1e-9
"""Difference of two vectors over their length up to which they are the same, in float64."""


class Expressiveness(NamedTuple):
    """Whether a network tells a pair apart."""

    network: str
    ring_features: bool
    positions: str
    pair: str
    difference: float
    """Of the vectors of the two molecules, over their length."""
    told_apart: bool


def expressiveness(
    networks: Mapping[str, ModelConfig], pairs: Sequence[Pair] = PAIRS, *, seed: int = 0
) -> list[Expressiveness]:
    """Try networks that have learned nothing on each pair: with and without ring features, and with encodings.

    Random weights are enough: what they tell apart can be told apart, and what no weights could, they cannot.

    >>> found = expressiveness({"gin": ModelConfig(layer="gin", hidden=8)}, PAIRS[1:])
    >>> [(one.ring_features, one.positions, one.told_apart) for one in found]
    [(False, 'none', False), (True, 'none', True), (False, 'random-walk', True), (False, 'laplacian', True)]
    """
    settings = ((False, "none"), (True, "none"), (False, "random-walk"), (False, "laplacian"))
    return [
        Expressiveness(name, rings, positions, pair.name, *told_apart(model, pair, ring_features=rings))
        for name, config in networks.items()
        for rings, positions in settings
        for model in [fresh(replace(config, positions=positions, num_features=0), seed)]
        for pair in pairs
    ]


def told_apart(model: MoleculeModel, pair: Pair, *, ring_features: bool = True) -> tuple[float, bool]:
    """Return the difference of a pair's vectors over their length, and whether that is one."""
    graphs = graphs_of((pair.first, pair.second))
    graphs = graphs if ring_features else without_rings(graphs)
    with torch.no_grad():
        batch = flat_batch(graphs, model.config)
        read = model.readout(model.passing(model.embedding(batch), batch), batch.molecules)
    difference = float((read[0] - read[1]).norm() / read.norm().clamp_min(1e-300))
    return difference, difference > ALIKE


def without_rings(graphs: MolGraphs) -> MolGraphs:
    """Return the same molecules with every atom and bond feature that knows of rings set to its first choice."""
    atoms, bonds = graphs.atom_table[graphs.atom_types], graphs.bond_table[graphs.bond_types]
    for rows, fields in ((atoms, ATOM_FIELDS), (bonds, BOND_FIELDS)):
        rows[:, [i for i, field in enumerate(fields) if field.name.startswith("ring")]] = 0
    return MolGraphs.pack(
        atoms.astype(np.int64), bonds.astype(np.int64), graphs.begins, graphs.ends, graphs.num_atoms, graphs.num_bonds
    )
