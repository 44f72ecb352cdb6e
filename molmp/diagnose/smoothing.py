"""Over-smoothing: how alike the atoms of a molecule become, step by step.

Shapes: N atoms, E directed bonds, D hidden width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from molmp.chem.graphs import MolGraphs
from molmp.diagnose.states import MOLECULES, bare, flat_batch, fresh, graphs_of
from molmp.nn.batch import GraphBatch
from molmp.nn.config import ModelConfig
from molmp.nn.model import MoleculeModel

__all__ = ["DEPTHS", "Smoothing", "smoothing", "smoothing_of", "variants"]

DEPTHS = 16


class Smoothing(NamedTuple):
    """How far the atoms of a molecule are from each other after so many steps."""

    network: str
    depth: int
    distance: float
    """Between the directions of the states of two atoms of a molecule, from 0 to 2, mean over pairs."""
    energy: float
    """Dirichlet energy over the squared length of the states: 0 where neighbours agree."""


def variants(config: ModelConfig) -> dict[str, ModelConfig]:
    """Return the operator by itself and with what is said to help, GCN and the gated network beside it; each once."""
    name = config.layer_name
    everything = {
        "gcn, bare": bare(ModelConfig(layer="gcn", hidden=config.hidden)),
        "edge, gated": ModelConfig(hidden=config.hidden),
        f"{name}, as configured": config,
        f"{name}, bare": bare(config),
        f"{name}, residuals": bare(config, residual=True),
        f"{name}, residuals and layer norm": bare(config, residual=True, norm="layer"),
        f"{name}, jumping knowledge": bare(config, jumping="cat"),
    }
    once: dict[str, ModelConfig] = {}
    for label, variant in everything.items():
        if variant not in once.values():
            once[label] = variant
    return once


def smoothing(
    networks: Mapping[str, ModelConfig], smiles: Sequence[str] = MOLECULES, *, depths: int = DEPTHS, seed: int = 0
) -> list[Smoothing]:
    """Measure networks that have learned nothing, of 1 to ``depths`` steps.

    The states are those that the readout sees. The energy of H. Cai and Y. Wang (A note on over-smoothing for graph
    neural networks, 2020, arXiv 2006.13318) is ``sum over bonds |h_v / sqrt(1 + d_v) - h_w / sqrt(1 + d_w)|^2``, here
    over ``sum |h_v|^2``.

    >>> found = smoothing({"gcn": bare(ModelConfig(layer="gcn", hidden=16))}, ["CCO", "c1ccccc1O"], depths=8)
    >>> found[7].distance < found[0].distance
    True
    """
    graphs, found = graphs_of(tuple(smiles)), []
    for name, config in networks.items():
        for depth in range(config.operator.least_steps, depths + 1):
            model = fresh(replace(config, steps=depth), seed)
            batch = flat_batch(graphs, model.config)
            with torch.no_grad():
                states = model.passing(model.embedding(batch), batch)
            found.append(Smoothing(name, depth, *_measures(states, batch)))
    return found


def smoothing_of(model: MoleculeModel, graphs: MolGraphs, *, depths: int = DEPTHS) -> list[Smoothing]:
    """Measure a trained network after each of its steps; where its steps share their weights, also beyond them."""
    config = model.config
    endless = config.weights == "shared" and config.norm == "none"
    batch = flat_batch(graphs, config, depths if endless else config.steps)
    with torch.no_grad():
        states = model.passing.trace(model.embedding(batch), batch)
    first = config.operator.least_steps
    return [Smoothing("trained", depth, *_measures(state, batch)) for depth, state in enumerate(states, first)]


def _measures(h_ND: Tensor, batch: GraphBatch) -> tuple[float, float]:
    edges, owner = batch.levels[0].edges, batch.molecules.owner
    direction_ND = torch.nn.functional.normalize(h_ND, dim=1)
    between_NN = torch.cdist(direction_ND, direction_ND)
    pairs = (owner.unsqueeze(1) == owner) & ~torch.eye(len(owner), dtype=torch.bool)
    scaled_ND = h_ND / (1 + edges.inbox.sizes).sqrt().unsqueeze(1)
    jumps_ED = scaled_ND[edges.inbox.owner] - scaled_ND[edges.source.index]
    energy = jumps_ED.square().sum() / 2 / h_ND.square().sum().clamp_min(1e-300)
    return float(between_NN[pairs].mean()), float(energy)
