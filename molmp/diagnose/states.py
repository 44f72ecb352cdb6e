"""What the diagnoses share: molecules to look at, networks without training, flat batches of them."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from molmp.chem.featurize import GraphOptions, featurize
from molmp.chem.graphs import MolGraphs
from molmp.chem.molecules import raise_for_errors
from molmp.nn.batch import DeviceGraphs, GraphBatch
from molmp.nn.config import ModelConfig
from molmp.nn.model import MoleculeModel
from molmp.training.run import new_model

__all__ = ["MOLECULES", "bare", "distances", "flat_batch", "fresh", "graphs_of"]

MOLECULES = (
    "CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "CC(C)Cc1ccc(cc1)C(C)C(=O)O",
    "CC1(C)SC2C(NC(=O)Cc3ccccc3)C(=O)N2C1C(=O)O", "CN1CCC23C4C1Cc1c2c(c(O)cc1)OC3C(O)C=C4",
    "CCCCCCCCCCCCCCCC(=O)O", "OC(=O)CCCCNC(=O)c1ccc(cc1)CCc1ccncc1",
)  # fmt: skip
"""Aspirin, caffeine, ibuprofen, benzylpenicillin, morphine, palmitic acid, and one long chain with rings."""


def bare(config: ModelConfig, **options: Any) -> ModelConfig:
    """Return the config of the operator alone, without anything between the steps, but for ``options``."""
    nothing: dict[str, Any] = {"residual": False, "norm": "none", "jumping": "none", "virtual_node": False}
    return replace(config, **nothing | options)


def fresh(config: ModelConfig, seed: int = 0) -> MoleculeModel:
    """Build a network that has learned nothing, in float64 and evaluation mode."""
    return new_model(config, 1, seed).double().eval()


def graphs_of(smiles: tuple[str, ...], options: GraphOptions | None = None) -> MolGraphs:
    """Read molecules without features beside their graphs.

    Raises
    ------
    InvalidSmilesError
        One that cannot be read.
    """
    featurized = featurize(smiles, options or GraphOptions())
    raise_for_errors(featurized.errors)
    return featurized.graphs


def flat_batch(graphs: MolGraphs, config: ModelConfig, steps: int | None = None) -> GraphBatch:
    """Put all molecules together, with a state for each atom."""
    return DeviceGraphs(graphs, steps=steps or config.steps, compact=False, encodings=config.encodings).batch()


def distances(batch: GraphBatch) -> Tensor:
    """Return the bonds between each two atoms of the batch, shape ``(N, N)``; -1 where no path leads."""
    edges = batch.levels[0].edges
    reached = torch.eye(batch.num_atoms, dtype=torch.bool)
    found = torch.where(reached, 0, -1)
    for distance in range(1, batch.num_atoms):
        neighbours = torch.zeros_like(reached, dtype=torch.int64).index_add(
            0, edges.inbox.owner, reached[edges.source.index].long()
        )
        wider = reached | (neighbours > 0)
        found[wider & ~reached] = distance
        if torch.equal(wider, reached):
            break
        reached = wider
    return found
