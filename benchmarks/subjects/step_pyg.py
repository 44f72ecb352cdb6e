"""Gilmer's network put together from PyTorch Geometric's parts, with the weights of one of molmp's models."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from molmp.chem.features import ATOM_FIELDS, BOND_FIELDS, Field
from molmp.chem.graphs import MolGraphs
from molmp.nn.model import MoleculeModel

try:
    from torch_geometric.nn import NNConv, Set2Set

    PYG = "PyG NNConv + GRU + Set2Set"
except ImportError:  # on a machine with a GPU and little else
    from benchmarks.subjects.plain_layers import NNConv, Set2Set

    PYG = "a matrix for each edge, GRU, set2set, in torch"

__all__ = ["PYG", "PygBatch", "PygNet", "pairs"]


class PygBatch(NamedTuple):
    """One-hot features and edges as PyG's layers take them."""

    x: Tensor
    edge_index: Tensor
    edge_attr: Tensor
    owner: Tensor
    num_graphs: int

    @classmethod
    def of(cls, graphs: MolGraphs, dtype: torch.dtype, device: torch.device | str = "cpu") -> "PygBatch":
        """All molecules of ``graphs`` as one batch."""
        starts = torch.from_numpy(graphs.atom_offsets[:-1]).repeat_interleave(_long(graphs.num_bonds))
        begins, ends = starts + _long(graphs.begins), starts + _long(graphs.ends)
        edges = torch.stack([torch.stack([begins, ends], 1).flatten(), torch.stack([ends, begins], 1).flatten()])
        bonds = _long(graphs.bond_types).repeat_interleave(2)
        owner = torch.arange(len(graphs)).repeat_interleave(_long(graphs.num_atoms))
        x = _one_hot(graphs.atom_table, ATOM_FIELDS, dtype)[_long(graphs.atom_types)]
        tensors = (x, edges, _one_hot(graphs.bond_table, BOND_FIELDS, dtype)[bonds], owner)
        return cls(*(t.to(device) for t in tensors), len(graphs))


class PygNet(nn.Module):
    """As PyG's own example of NNConv, GRU and Set2Set does it."""

    def __init__(self, like: MoleculeModel) -> None:
        super().__init__()
        config = like.config
        d, self.steps = config.hidden, config.steps
        self.embed = nn.Linear(sum(f.width for f in ATOM_FIELDS), d)
        edges = nn.Sequential(
            nn.Linear(sum(f.width for f in BOND_FIELDS), config.edge_hidden),
            nn.ReLU(),
            nn.Linear(config.edge_hidden, d * d),
        )
        self.conv = NNConv(d, d, edges, aggr="add", root_weight=False)
        self.gru = nn.GRU(d, d)
        self.readout = Set2Set(d, processing_steps=config.readout_steps)
        self.head = nn.Sequential(nn.Linear(2 * d, config.head_hidden), nn.ReLU(), nn.Linear(config.head_hidden, 1))
        with torch.no_grad():
            for mine, theirs in pairs(self, like):
                mine.copy_(theirs)

    def forward(self, batch: PygBatch) -> Tensor:
        """Predict, shape ``(B, 1)``."""
        out = F.relu(self.embed(batch.x))
        h = out.unsqueeze(0)
        for _ in range(self.steps):
            message = F.relu(self.conv(out, batch.edge_index, batch.edge_attr))
            out, h = self.gru(message.unsqueeze(0), h)
            out = out.squeeze(0)
        result: Tensor = self.head(self.readout(out, batch.owner, dim_size=batch.num_graphs))
        return result


def pairs(net: PygNet, model: MoleculeModel, *, grad: bool = False) -> list[tuple[Tensor, Tensor]]:
    """Parameters of the two networks, or their gradients, that correspond; all of them, in one shape."""

    def of(parameter: Tensor | None) -> Tensor:
        value = parameter.grad if grad and parameter is not None else parameter
        assert value is not None
        return value

    layer, codes, edges = model.passing.layer, model.embedding.codes, net.conv.nn
    found = [
        (of(net.embed.weight), of(codes.weight).t()),
        (of(net.embed.bias), of(codes.bias)),
        (of(edges[0].weight), of(layer.edge_embedding.weight).t()),
        (of(edges[0].bias), of(layer.edge_embedding.bias)),
        (of(edges[2].weight), of(layer.edge_output.weight)),
        (of(edges[2].bias), of(layer.edge_output.bias)),
        (of(net.conv.bias), of(layer.bias)),
        *((of(getattr(net.gru, f"{name}_l0")), of(getattr(layer.gru, name))) for name in _GRU),
        *(
            (of(mine), of(theirs))
            for mine, theirs in zip(net.readout.parameters(), model.readout.parameters(), strict=True)
        ),
        *((of(mine), of(theirs)) for mine, theirs in zip(net.head.parameters(), model.head.parameters(), strict=True)),
    ]
    assert len(found) == len(list(net.parameters())) == len(list(model.parameters()))
    return found


_GRU = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _long(array: object) -> Tensor:
    return torch.as_tensor(array).long()


def _one_hot(table: object, fields: tuple[Field, ...], dtype: torch.dtype) -> Tensor:
    codes = _long(table)
    return torch.cat([F.one_hot(codes[:, i], field.width) for i, field in enumerate(fields)], 1).to(dtype)
