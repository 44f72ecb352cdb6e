"""PyTorch Geometric as the oracle of each operator: the same weights, two steps, float64, outputs and all gradients.

PyG's modules are called with weights that are made of molmp's, so that gradients flow back to those. Bond features are
one-hot codes and a column of ones, whose row of weights is the bias of molmp's embedding.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from networks import COMPACT, SMILES, assert_same, batch_of, new_model, outcome, shake
from torch import Tensor, nn
from torch.func import functional_call

from molmp.chem.features import BOND_FIELDS
from molmp.nn.autograd import plain_autograd
from molmp.nn.batch import GraphBatch
from molmp.nn.layers import pna
from molmp.nn.message_passing import MessagePassing
from molmp.nn.operators import OPERATORS
from molmp.nn.passing import LAYERS
from molmp.nn.segment import take

geometric = pytest.importorskip("torch_geometric.nn")
from torch_geometric.nn.models.attentive_fp import GATEConv  # noqa: E402

D, HEADS, STEPS = 8, 2, 2

IN_ONE_PIECE = [smiles for smiles in SMILES if "." not in smiles]

Graph = tuple[Tensor, Tensor]
"""Edges, shape (2, E), and one-hot codes of their bonds with a column of ones."""


def new(name: str, **options: Any) -> MessagePassing:
    torch.manual_seed(0)
    settings = OPERATORS[name].options | ({"heads": HEADS} if "heads" in OPERATORS[name].options else {}) | options
    layer = LAYERS[name](D, **settings).double()
    shake(layer)
    return layer


def first_states(batch: GraphBatch) -> Tensor:
    h = torch.sin(batch.atom_codes.double() @ torch.arange(1.0, 12 * D + 1, dtype=torch.float64).view(12, D))
    return h if batch.start is None else take(h, batch.start)


def run(layer: MessagePassing, batch: GraphBatch) -> Tensor:
    h, bonds = first_states(batch), layer.bonds(batch.bond_codes)
    for level in batch.levels:
        h = layer(h, level, bonds)
    return take(h, batch.molecules.rows)


def graph_of(batch: GraphBatch) -> Graph:
    edges, codes = batch.levels[0].edges, batch.bond_codes
    columns = [F.one_hot(codes[:, i], field.width) for i, field in enumerate(BOND_FIELDS)]
    one_hot = torch.cat([*columns, torch.ones(len(codes), 1, dtype=torch.long)], 1).double()
    return torch.stack([edges.source.index, edges.inbox.owner]), one_hot[edges.bond_type]


def edge_weight(embedding: nn.Module) -> Tensor:
    return torch.cat([embedding.weight, embedding.bias.unsqueeze(0)]).t()


def call(module: nn.Module, weights: Mapping[str, Tensor], *inputs: Any, **named: Any) -> Any:
    module = module.double()
    assert dict(module.named_parameters()).keys() == weights.keys()
    shaped = {name: w.view_as(module.get_parameter(name)) for name, w in weights.items()}
    return functional_call(module, shaped, inputs, named)


def renamed(prefix: str, linear: nn.Module) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": p for name, p in linear.named_parameters()}


def gcn(layer: Any, h: Tensor, graph: Graph) -> Tensor:
    strength = F.softplus(graph[1] @ edge_weight(layer.strength).t()).squeeze(1)
    weights = {"lin.weight": layer.linear.weight, "bias": layer.bias}
    return call(geometric.GCNConv(D, D), weights, h, graph[0], strength)


def gat(layer: Any, h: Tensor, graph: Graph) -> Tensor:
    conv = geometric.GATConv(D, D // HEADS, HEADS, edge_dim=graph[1].shape[1])
    weights = {
        "lin.weight": layer.linear.weight, "att_src": layer.to_source, "att_dst": layer.to_target,
        "att_edge": layer.to_edge, "lin_edge.weight": edge_weight(layer.edge), "bias": layer.bias,
    }  # fmt: skip
    return call(conv, weights, h, *graph)


def gatv2(layer: Any, h: Tensor, graph: Graph) -> Tensor:
    conv = geometric.GATv2Conv(D, D // HEADS, HEADS, edge_dim=graph[1].shape[1])
    weights = {
        **renamed("lin_l", layer.source), **renamed("lin_r", layer.target), "att": layer.question,
        "lin_edge.weight": edge_weight(layer.edge), "bias": layer.bias,
    }  # fmt: skip
    return call(conv, weights, h, *graph)


def sage(layer: Any, h: Tensor, graph: Graph) -> Tensor:
    (source, target), bonds = graph[0], graph[1] @ edge_weight(layer.edge).t()
    # A sender for each edge, so that it can bring its bond along.
    senders, edges = h[source] + bonds, torch.stack([torch.arange(len(source)), target])
    weights = renamed("lin_l", layer.neighbours) | renamed("lin_r", layer.own)
    return call(geometric.SAGEConv((D, D), D, aggr=layer.aggregation), weights, (senders, h), edges)


def network(layer: Any) -> nn.Sequential:
    return nn.Sequential(nn.Linear(D, 2 * D), nn.ReLU(), nn.Linear(2 * D, D))


def gin(layer: Any, h: Tensor, graph: Graph) -> Tensor:
    weights = {"eps": layer.eps, **renamed("nn", layer.mlp)}
    return call(geometric.GINConv(network(layer), train_eps=True), weights, h, graph[0])


def gine(layer: Any, h: Tensor, graph: Graph) -> Tensor:
    conv = geometric.GINEConv(network(layer), train_eps=True, edge_dim=graph[1].shape[1])
    weights = {"eps": layer.eps, **renamed("nn", layer.mlp), "lin.weight": edge_weight(layer.edge)}
    return call(conv, weights | {"lin.bias": torch.zeros(D, dtype=torch.float64)}, h, *graph)


def edge(layer: Any, h: Tensor, graph: Graph) -> Tensor:
    bonds = nn.Sequential(nn.Linear(graph[1].shape[1], 32, bias=False), nn.ReLU(), nn.Linear(32, D * D))
    weights = {"nn.0.weight": edge_weight(layer.edge_embedding), **renamed("nn.2", layer.edge_output)}
    conv = geometric.NNConv(D, D, bonds, aggr="add", root_weight=False, bias=False)
    return call(nn.GRUCell(D, D), dict(layer.gru.named_parameters()),
                F.relu(call(conv, weights, h, *graph) + layer.bias), h)  # fmt: skip


def attentivefp(layer: Any, h: Tensor, graph: Graph) -> Tensor:
    weights = {
        "att_l": layer.to_source, "att_r": layer.to_target, "lin2.weight": layer.value.weight, "bias": layer.bias,
        "lin1.weight": torch.cat([layer.guess.weight, edge_weight(layer.edge)], 1),
    }  # fmt: skip
    message = F.elu(call(GATEConv(D, D, graph[1].shape[1]), weights, h, *graph))
    return call(nn.GRUCell(D, D), dict(layer.gru.named_parameters()), message, h).relu()


def principal(layer: Any, h: Tensor, graph: Graph) -> Tensor:
    conv = geometric.PNAConv(D, D, ["mean", "min", "max", "std"], ["identity", "amplification", "attenuation"],
                             torch.tensor([0, 1]), edge_dim=graph[1].shape[1])  # fmt: skip
    conv.aggr_module.avg_deg_log = torch.tensor([pna.MEAN_LOG_DEGREE], dtype=torch.float64)
    zeros, eye = torch.zeros(D, dtype=torch.float64), torch.eye(D, dtype=torch.float64)
    weights = {
        "edge_encoder.weight": edge_weight(layer.edge), "edge_encoder.bias": zeros,
        "pre_nns.0.0.weight": torch.cat([layer.target.weight, layer.source.weight, eye], 1), "pre_nns.0.0.bias": zeros,
        **renamed("post_nns.0.0", layer.mix), **renamed("lin", layer.output),
    }  # fmt: skip
    return call(conv, weights, h, *graph)


def transformer(layer: Any, h: Tensor, graph: Graph) -> Tensor:
    weights = {
        **renamed("lin_key", layer.key), **renamed("lin_query", layer.query), **renamed("lin_value", layer.value),
        **renamed("lin_skip", layer.root), "lin_edge.weight": edge_weight(layer.edge),
    }  # fmt: skip
    return call(geometric.TransformerConv(D, D // HEADS, HEADS, edge_dim=graph[1].shape[1]), weights, h, *graph)


def gps(layer: Any, h: Tensor, graph: Graph) -> Tensor:
    local = geometric.GINEConv(network(layer), train_eps=True, edge_dim=graph[1].shape[1])
    conv = geometric.GPSConv(D, local, HEADS, norm="layer_norm", norm_kwargs={"mode": "node"})
    weights = {
        "conv.eps": layer.local.eps, **renamed("conv.nn", layer.local.mlp),
        "conv.lin.weight": edge_weight(layer.local.edge),
        "conv.lin.bias": torch.zeros(D, dtype=torch.float64),
        "attn.in_proj_weight": layer.projection.weight, "attn.in_proj_bias": layer.projection.bias,
        **renamed("attn.out_proj", layer.output), "mlp.0.weight": layer.mlp[0].weight, "mlp.0.bias": layer.mlp[0].bias,
        "mlp.3.weight": layer.mlp[2].weight, "mlp.3.bias": layer.mlp[2].bias,
        **renamed("norm1", layer.norm_local), **renamed("norm2", layer.norm_global), **renamed("norm3", layer.norm),
    }  # fmt: skip
    return call(conv, weights, h, graph[0], components(graph[0], len(h)), edge_attr=graph[1])


def components(edges: Tensor, num_atoms: int) -> Tensor:
    """The molecule of each atom, for molecules in one piece; pieces of salts stand next to each other here."""
    owner = torch.arange(num_atoms)
    for _ in range(num_atoms):
        owner = owner.scatter_reduce(0, edges[1], owner[edges[0]], "amin")
    return owner.unique(return_inverse=True)[1]


ORACLES: dict[str, Callable[[Any, Tensor, Graph], Tensor]] = {
    "edge": edge, "gcn": gcn, "gat": gat, "gatv2": gatv2, "sage": sage, "gin": gin, "gine": gine,
    "attentivefp": attentivefp, "pna": principal, "transformer": transformer,
    "gps": gps,
}  # fmt: skip

CASES = [*((name, {}) for name in ORACLES), ("sage", {"aggregation": "max"})]


@pytest.mark.parametrize(("name", "options"), CASES, ids=lambda value: str(value or "") if value != {} else "")
@pytest.mark.parametrize("smiles", [IN_ONE_PIECE, ["[Xe]", "[Na+]"]], ids=["molecules", "no bonds"])
def test_equals_pyg(name: str, options: dict[str, Any], smiles: list[str]) -> None:
    layer, flat = new(name, **options), batch_of(smiles, steps=STEPS)
    h, graph = first_states(flat), graph_of(flat)
    for _ in range(STEPS):
        h = ORACLES[name](layer, h, graph)
    want = outcome(layer, h)
    assert want.keys() == {"output", *dict(layer.named_parameters())} or smiles != IN_ONE_PIECE
    for compact in COMPACT if layer.shares_states else [False]:
        got = outcome(layer, run(layer, batch_of(smiles, steps=STEPS, compact=compact)))
        if smiles != IN_ONE_PIECE:  # a weight that nothing depends on may have no gradient or one of zeros
            got = {n: got.get(n, torch.zeros_like(v)) for n, v in want.items()}
        assert_same(got, want)
        with plain_autograd():
            got = outcome(layer, run(layer, batch_of(smiles, steps=STEPS, compact=compact)))
        assert_same({n: got.get(n, torch.zeros_like(v)) for n, v in want.items()}, want)


def test_dmpnn_equals_a_loop_over_directed_bonds() -> None:
    model = new_model(layer="dmpnn", steps=4, hidden=D)
    batch = batch_of(steps=4)
    x = model.embedding(batch).detach()
    layer, ends = model.passing.layer, model.passing.carrier
    edges, atom_bonds = batch.levels[0].edges, ends.edge(batch.bond_codes)
    bonds = list(zip(edges.source.index.tolist(), edges.inbox.owner.tolist(), edges.bond_type.tolist(), strict=True))
    start = {(v, w): ends.sender.weight @ x[v] + atom_bonds[kind] for v, w, kind in bonds}
    h = start
    for _ in range(3):
        heard = {(v, w): sum((h[u, t].relu() for u, t in h if t == v and u != w), x.new_zeros(D)) for v, w in h}
        h = {bond: start[bond] + layer.linear.weight @ message for bond, message in heard.items()}
    rows = []
    for v in range(len(x)):
        arrived = sum((state.relu() for (_, w), state in h.items() if w == v), x.new_zeros(D))
        rows.append((ends.atom.weight @ x[v] + ends.atom.bias + ends.arrived.weight @ arrived).relu())
    want = outcome(model.passing, torch.stack(rows))
    assert len(want) == 1 + len(list(model.passing.parameters()))
    assert_same(outcome(model.passing, model.passing(x, batch)), want)
