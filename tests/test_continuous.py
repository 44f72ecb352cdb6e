"""Continuous bond features against the formula of the paper, with a matrix for each edge."""

import pytest
import torch
import torch.nn.functional as F
from networks import assert_same, batch_of, outcome, shake
from torch import Tensor

from molmp.nn.autograd import plain_autograd
from molmp.nn.batch import GraphBatch, Level
from molmp.nn.layers.continuous import ContinuousEdgeConditioned

D = 6


def new() -> ContinuousEdgeConditioned:
    torch.manual_seed(0)
    layer = ContinuousEdgeConditioned(D, num_features=2, edge_hidden=5).double()
    shake(layer)
    return layer


def features(level: Level) -> Tensor:
    """Distances of atoms at made-up places."""
    edges = level.edges
    places = torch.sin(torch.arange(level.num_rows * 3.0, dtype=torch.float64)).view(-1, 3)
    apart = places[edges.source.index] - places[edges.inbox.owner]
    return torch.stack([apart.norm(dim=1), apart[:, 0]], 1)


def states(batch: GraphBatch) -> Tensor:
    return torch.cos(torch.arange(batch.num_atoms * D, dtype=torch.float64)).view(-1, D)


def run(layer: ContinuousEdgeConditioned, batch: GraphBatch) -> Tensor:
    h, bonds = states(batch), layer.bonds(features(batch.levels[0]))
    for level in batch.levels:
        h = layer(h, level, bonds)
    return h


def textbook(layer: ContinuousEdgeConditioned, batch: GraphBatch) -> Tensor:
    h = states(batch)
    for level in batch.levels:
        hidden = F.relu(layer.edge_input(features(level)))
        matrices = layer.matrices[0] + torch.einsum("ek,kdf->edf", hidden, layer.matrices[1:])
        messages = torch.einsum("ed,edf->ef", h[level.edges.source.index], matrices)
        m = F.relu(torch.zeros_like(h).index_add(0, level.edges.inbox.owner, messages) + layer.bias)
        h = torch.gru_cell(m, h, layer.gru.weight_ih, layer.gru.weight_hh, layer.gru.bias_ih, layer.gru.bias_hh)
    return h


@pytest.mark.parametrize("smiles", [["CC(=O)Oc1ccccc1C(=O)O", "[Xe]", "C#N"], ["[Na+].[Cl-]"]])
def test_equals_a_matrix_for_each_edge(smiles: list[str]) -> None:
    layer, batch = new(), batch_of(smiles, steps=2)
    want = outcome(layer, textbook(layer, batch))
    assert_same(outcome(layer, run(layer, batch)), want)
    with plain_autograd():
        assert_same(outcome(layer, run(layer, batch)), want)


def test_gradients_of_features_first_and_second() -> None:
    layer, batch = new(), batch_of(["CC(=O)O", "[Xe]"], steps=1)
    level, h = batch.levels[0], states(batch)

    def energy(given: Tensor, h: Tensor) -> Tensor:
        return layer(h, level, layer.bonds(given))

    inputs = features(level).requires_grad_(), h.requires_grad_()
    assert torch.autograd.gradcheck(energy, inputs)
    assert torch.autograd.gradgradcheck(energy, inputs)


def test_compact_batches_are_refused() -> None:
    level = batch_of(["CCO"], compact=True).levels[0]
    with pytest.raises(ValueError, match="compact=False"):
        new()(torch.zeros(3, D), level, torch.zeros(4, 6))
