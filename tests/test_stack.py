"""What stands between the steps, against PyTorch Geometric, and positional encodings against their definitions."""

import numpy as np
import pytest
import torch
from networks import SMILES, assert_same, batch_of, graphs, outcome, shake

from molmp.nn.positions import positions
from molmp.nn.stack import GraphNorm, Jumping

geometric = pytest.importorskip("torch_geometric.nn")


def test_graph_norm_equals_pyg() -> None:
    torch.manual_seed(0)
    mine, theirs, batch = GraphNorm(5).double(), geometric.GraphNorm(5).double(), batch_of()
    shake(mine)
    theirs.load_state_dict(mine.state_dict())
    h = torch.randn(batch.num_atoms, 5, dtype=torch.float64)
    want = outcome(theirs, theirs(h, batch.molecules.owner))
    assert_same(outcome(mine, mine(h, batch.levels[0])), want)


def test_jumping_by_maximum_equals_pyg() -> None:
    states = [torch.randn(4, 3) for _ in range(3)]
    torch.testing.assert_close(Jumping("max", 3, 3)(states), geometric.JumpingKnowledge("max")(states))


def adjacency(row: int) -> np.ndarray:
    one = graphs().select([row])
    matrix = np.zeros((int(one.num_atoms[0]),) * 2)
    matrix[one.begins, one.ends] = matrix[one.ends, one.begins] = 1
    return matrix


@pytest.mark.parametrize("row", range(len(SMILES)))
def test_walks_are_powers_of_the_step_matrix(row: int) -> None:
    matrix = adjacency(row)
    step = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    want = np.stack([np.diag(np.linalg.matrix_power(step, k)) for k in range(1, 17)], 1)
    np.testing.assert_allclose(positions(graphs().select([row]), ["random-walk"]), want, atol=1e-6)


@pytest.mark.parametrize("row", range(len(SMILES)))
def test_waves_are_shares_of_eigenspaces(row: int) -> None:
    matrix = adjacency(row)
    scale = 1 / np.sqrt(np.maximum(matrix.sum(1), 1))
    laplacian = np.eye(len(matrix)) - scale[:, None] * matrix * scale
    values, vectors = np.linalg.eigh(laplacian)
    found = positions(graphs().select([row]), ["laplacian"])
    kept = min(len(values), 8)
    np.testing.assert_allclose(found[:, :kept], np.tile(values[:kept], (len(matrix), 1)), atol=1e-6)
    for i in range(kept):
        space = vectors[:, np.abs(values - values[i]) < 1e-5]
        np.testing.assert_allclose(found[:, 8 + i], (space**2).mean(1) * len(matrix), atol=1e-5)
    assert not found[:, kept:8].any()
