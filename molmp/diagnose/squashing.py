"""Over-squashing: how much of an atom another one hears, by the bonds between them.

Shapes: N atoms, D hidden width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from molmp.chem.graphs import MolGraphs
from molmp.diagnose.states import bare, distances, flat_batch, fresh, graphs_of
from molmp.nn.config import ModelConfig
from molmp.nn.model import MoleculeModel

__all__ = ["LONG", "Squashing", "remedies", "squashing", "squashing_of"]

LONG = ("OC(=O)CCCCNC(=O)c1ccc(cc1)CCc1ccncc1",)
"""A molecule whose ends are 20 bonds apart, with two rings on the way."""

PROBES = 4
"""Random directions in which each Jacobian is measured."""

STEPS = 8


class Squashing(NamedTuple):
    """What reaches an atom from those at a distance."""

    network: str
    distance: int
    jacobian: float
    """Length of the derivative of an atom's last state by another's first, root of the mean square over pairs."""
    share: float
    """Of one atom at this distance in all that an atom hears, mean over pairs."""


def remedies(config: ModelConfig) -> dict[str, ModelConfig]:
    """Return the operator by itself, with a virtual node, and GPS beside it, all of 8 steps."""
    name, config = config.layer_name, replace(config, steps=max(config.steps, STEPS))
    gps = ModelConfig(layer="gps", hidden=config.hidden - config.hidden % 4 or 4, steps=config.steps)
    return {
        f"{name}, as configured": config,
        f"{name}, bare": bare(config),
        f"{name}, virtual node": bare(config, virtual_node=True),
        "gps": gps,
    }


def squashing(networks: Mapping[str, ModelConfig], smiles: Sequence[str] = LONG, *, seed: int = 0) -> list[Squashing]:
    """Measure networks that have learned nothing (J. Topping, F. Di Giovanni, B. P. Chamberlain, X. Dong and M. M.
    Bronstein, Understanding over-squashing and bottlenecks on graphs via curvature, 2022, arXiv 2111.14522).

    >>> config = ModelConfig(layer="gine", hidden=16, steps=2)
    >>> far = {s.network: s.jacobian for s in squashing({"two steps": config}, ["CCCCC"]) if s.distance == 3}
    >>> far
    {'two steps': 0.0}
    """
    graphs = graphs_of(tuple(smiles))
    return [found for name, config in networks.items() for found in squashing_of(fresh(config, seed), graphs, name)]


def squashing_of(model: MoleculeModel, graphs: MolGraphs, name: str = "trained") -> list[Squashing]:
    """Measure one network, trained or not."""
    batch = flat_batch(graphs, model.config)
    first = model.embedding(batch).detach().requires_grad_()
    last = model.passing(first, batch)
    apart, generator = distances(batch), torch.Generator().manual_seed(0)
    squares = torch.zeros(batch.num_atoms, batch.num_atoms, dtype=torch.float64)
    for atom in range(batch.num_atoms):
        for _ in range(PROBES):
            probe = torch.randn(last.shape[1], generator=generator, dtype=torch.float64).to(last.dtype)
            (slope,) = torch.autograd.grad(last[atom] @ probe, first, retain_graph=True)
            squares[atom] += slope.square().sum(1) / PROBES
    shares = squares.sqrt() / squares.sqrt().sum(1, keepdim=True).clamp_min(1e-300)
    return [
        Squashing(name, d, float(squares[apart == d].mean().sqrt()), float(shares[apart == d].mean()))
        for d in range(int(apart.max()) + 1)
    ]
