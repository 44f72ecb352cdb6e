"""PyTorch Geometric as the oracle: NNConv, GRU and Set2Set with the same weights, in float64, outputs and gradients."""

import pytest
import torch
import torch.nn.functional as F
from networks import COMPACT, SMILES, assert_same, batch_of, new_model, outcome
from torch import Tensor, nn

from molmp.chem.features import ATOM_FIELDS, BOND_FIELDS, Field
from molmp.nn.batch import GraphBatch
from molmp.nn.model import MoleculeModel
from molmp.nn.readout import Set2Set

geometric = pytest.importorskip("torch_geometric.nn")

D, EDGE, STEPS = 8, 6, 3


class Oracle(nn.Module):
    """The network that PyG's documentation builds for QM9; the names of the weights are molmp's."""

    def __init__(self, aggregation: str) -> None:
        super().__init__()
        width = {fields: sum(f.width for f in fields) for fields in (ATOM_FIELDS, BOND_FIELDS)}
        self.embed = nn.Linear(width[ATOM_FIELDS], D)
        edges = nn.Sequential(nn.Linear(width[BOND_FIELDS], EDGE), nn.ReLU(), nn.Linear(EDGE, D * D))
        aggregation = {"sum": "add"}.get(aggregation, aggregation)
        self.conv = geometric.NNConv(D, D, edges, aggr=aggregation, root_weight=False)
        self.gru = nn.GRU(D, D)
        self.readout = geometric.Set2Set(D, processing_steps=3)
        self.head = nn.Sequential(nn.Linear(2 * D, 7), nn.ReLU(), nn.Dropout(0.0), nn.Linear(7, 2))

    def forward(self, flat: GraphBatch) -> Tensor:
        edges = flat.levels[0].edges
        edge_index = torch.stack([edges.source.index, edges.inbox.owner])
        edge_attr = one_hot(flat.bond_codes, BOND_FIELDS)[edges.bond_type]
        assert flat.start is not None
        out = F.relu(self.embed(one_hot(flat.atom_codes, ATOM_FIELDS)[flat.start.index]))
        h = out.unsqueeze(0)
        for _ in range(STEPS):
            message = F.relu(self.conv(out, edge_index, edge_attr))
            out, h = self.gru(message.unsqueeze(0), h)
            out = out.squeeze(0)
        result: Tensor = self.head(self.readout(out, flat.molecules.owner, dim_size=flat.num_graphs))
        return result


def one_hot(codes: Tensor, fields: tuple[Field, ...]) -> Tensor:
    return torch.cat([F.one_hot(codes[:, i], field.width) for i, field in enumerate(fields)], 1).double()


def pairs(oracle: Oracle, model: MoleculeModel) -> dict[str, tuple[nn.Parameter, nn.Parameter, bool]]:
    """The oracle's parameter for each of molmp's, and whether one is the other's transpose."""
    layer, codes, edges = model.passing.layer, model.embedding.codes, oracle.conv.nn
    found = {
        "embedding.codes.weight": (oracle.embed.weight, codes.weight, True),
        "embedding.codes.bias": (oracle.embed.bias, codes.bias, False),
        "passing.layer.edge_embedding.weight": (edges[0].weight, layer.edge_embedding.weight, True),
        "passing.layer.edge_embedding.bias": (edges[0].bias, layer.edge_embedding.bias, False),
        "passing.layer.edge_output.weight": (edges[2].weight, layer.edge_output.weight, False),
        "passing.layer.edge_output.bias": (edges[2].bias, layer.edge_output.bias, False),
        "passing.layer.bias": (oracle.conv.bias, layer.bias, False),
    }
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        found[f"passing.layer.gru.{name}"] = (getattr(oracle.gru, f"{name}_l0"), getattr(layer.gru, name), False)
    for name, theirs in oracle.readout.named_parameters():
        found[f"readout.0.{name}"] = (theirs, model.readout[0].get_parameter(name), False)
    for name, theirs in oracle.head.named_parameters():
        found[f"head.{name}"] = (theirs, model.head.get_parameter(name), False)
    assert found.keys() == dict(model.named_parameters()).keys()
    return found


@pytest.mark.parametrize("compact", COMPACT)
@pytest.mark.parametrize("aggregation", ["sum", "mean", "max"])
def test_network_equals_pyg(compact: bool, aggregation: str) -> None:
    model = new_model(hidden=D, edge_hidden=EDGE, steps=STEPS, aggregation=aggregation)
    oracle = Oracle(aggregation).double()
    together = pairs(oracle, model)
    with torch.no_grad():
        for theirs, mine, turned in together.values():
            theirs.copy_(mine.t() if turned else mine)
    want = {"output": outcome(oracle, oracle(batch_of(SMILES * 3)))["output"]}
    for name, (theirs, _, turned) in together.items():
        assert theirs.grad is not None
        want[name] = theirs.grad.t() if turned else theirs.grad
    assert_same(outcome(model, model(batch_of(SMILES * 3, compact=compact))), want)


def test_set2set_loads_pygs_weights() -> None:
    theirs = geometric.Set2Set(D, processing_steps=4).double()
    mine = Set2Set(D, 4).double()
    mine.load_state_dict(theirs.state_dict())
    batch = batch_of()
    h = torch.randn(batch.num_atoms, D, dtype=torch.float64)
    want = outcome(theirs, theirs(h, batch.molecules.owner, dim_size=batch.num_graphs))
    assert_same(outcome(mine, mine(h, batch.molecules)), want)
