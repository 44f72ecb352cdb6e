"""The edge-conditioned operator against the formula of the paper, bond by bond, and its parts against torch's."""

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from networks import COMPACT, assert_same, batch_of, outcome, shake
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from molmp.nn import gated
from molmp.nn.autograd import plain_autograd
from molmp.nn.batch import GraphBatch
from molmp.nn.gated import GatedUpdate
from molmp.nn.layers.edge_conditioned import EdgeConditioned
from molmp.nn.message_passing import AGGREGATIONS
from molmp.nn.segment import Rows, take

D = 8


def new(**options: object) -> EdgeConditioned:
    torch.manual_seed(0)
    layer = EdgeConditioned(D, 6, **options).double()
    shake(layer)
    return layer


def start(batch: GraphBatch) -> Tensor:
    h = torch.sin(batch.atom_codes.double() @ torch.arange(1.0, 12 * D + 1, dtype=torch.float64).view(12, D))
    return h if batch.start is None else take(h, batch.start)


def run(layer: EdgeConditioned, batch: GraphBatch) -> Tensor:
    h, bonds = start(batch), layer.bonds(batch.bond_codes)
    for level in batch.levels:
        h = layer(h, level, bonds)
    return take(h, batch.molecules.rows)


def textbook(layer: EdgeConditioned, batch: GraphBatch) -> Tensor:
    """m_v = aggregate over the bonds w -> v of A(e_vw) h_w, each bond with a matrix of its own; then a GRU."""
    h, steps = start(batch), len(batch.levels)
    edges = batch.levels[0].edges
    offsets = layer.edge_embedding.offsets
    for _ in range(steps):
        inbox: list[list[Tensor]] = [[] for _ in h]
        for v, w, t in zip(edges.inbox.owner.tolist(), edges.source.index.tolist(), edges.bond_type, strict=True):
            e = torch.zeros(layer.edge_embedding.weight.shape[0], dtype=torch.float64)
            e[batch.bond_codes[t] + offsets] = 1
            hidden = F.relu(e @ layer.edge_embedding.weight + layer.edge_embedding.bias)
            matrix = (layer.edge_output.weight @ hidden + layer.edge_output.bias).view(D, D).t()
            inbox[v].append(matrix @ h[w])
        reduce = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax}[layer.aggregation]
        m = torch.stack([reduce(torch.stack(ms), 0) if ms else h.new_zeros(D) for ms in inbox])
        m = m if layer.bias is None else F.relu(m + layer.bias)
        h = torch.gru_cell(m, h, layer.gru.weight_ih, layer.gru.weight_hh, layer.gru.bias_ih, layer.gru.bias_hh)
    return h


@pytest.mark.parametrize("compact", COMPACT)
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("rectify", [True, False])
def test_equals_the_textbook(compact: bool, aggregation: str, rectify: bool) -> None:
    layer = new(aggregation=aggregation, rectify=rectify)
    want = outcome(layer, textbook(layer, batch_of(steps=2)))
    assert_same(outcome(layer, run(layer, batch_of(steps=2, compact=compact))), want)


@pytest.mark.parametrize("compact", COMPACT)
def test_plain_path_is_equal(compact: bool) -> None:
    layer, batch = new(), batch_of(compact=compact)
    fused = outcome(layer, run(layer, batch))
    with plain_autograd():
        assert_same(outcome(layer, run(layer, batch)), fused)


@pytest.mark.parametrize("compact", COMPACT)
def test_second_derivatives(compact: bool) -> None:
    """A penalty on the gradient, as interpretable and energy-conserving models have: fused against plain."""
    layer, batch = new(), batch_of(["CC(=O)O", "C#N"], steps=2, compact=compact)

    def penalty() -> Tensor:
        grads = torch.autograd.grad(run(layer, batch).square().sum(), list(layer.parameters()), create_graph=True)
        return sum(((g.sin() * g).sum() for g in grads), start=torch.zeros((), dtype=torch.float64))

    fused = outcome(layer, penalty())
    with plain_autograd():
        assert_same(fused, outcome(layer, penalty()))


@pytest.mark.parametrize("compact", COMPACT)
def test_no_bonds_at_all(compact: bool) -> None:
    layer = new()
    want = outcome(layer, textbook(layer, batch_of(["[Xe]", "[Na+].[Cl-]", "C"])))
    got = outcome(layer, run(layer, batch_of(["[Xe]", "[Na+].[Cl-]", "C"], compact=compact)))
    without_bonds = {name: got[name] for name in want}
    assert_same(without_bonds, want)
    assert all(value.abs().sum() == 0 for name, value in got.items() if name not in want)


class Shapes(TorchDispatchMode):
    """Remember the size of everything that any operation makes, forwards and backwards."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        sizes = [t.numel() for t in tree_leaves(out) if isinstance(t, Tensor)]
        self.largest = max(self.largest, *sizes, 0)
        return out


def saved(node: object, seen: set[int]) -> Iterator[Tensor]:
    """All tensors that a graph of gradients keeps."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    for name in dir(node):
        if name.startswith("_saved_"):
            yield from (t for t in tree_leaves(getattr(node, name)) if isinstance(t, Tensor))
    yield from getattr(node, "saved_tensors", ())
    for parent, _ in getattr(node, "next_functions", ()):
        yield from saved(parent, seen)


@pytest.mark.parametrize("compact", COMPACT)
def test_no_matrix_for_each_bond(compact: bool) -> None:
    width = 24
    layer = EdgeConditioned(width, 6)
    batch = batch_of(["CC(=O)Oc1ccccc1C(=O)O"] * 20, compact=compact)
    flat = batch_of(["CC(=O)Oc1ccccc1C(=O)O"] * 20)
    a_matrix_each = len(flat.levels[0].edges.bond_type) * width * width
    assert len(flat.levels[0].edges.bond_type) > 500
    h = torch.randn(batch.atom_codes.shape[0] if batch.start is None else batch.num_atoms, width)
    with Shapes() as shapes:
        bonds = layer.bonds(batch.bond_codes)
        for level in batch.levels:
            h = layer(h, level, bonds)
        kept = max(t.numel() for t in saved(h.grad_fn, set()))
        h.sum().backward()
    assert shapes.largest * 8 < a_matrix_each
    assert kept * 8 < a_matrix_each


def test_first_matrices_keep_lengths() -> None:
    torch.manual_seed(0)
    layer = EdgeConditioned(64, 32)
    matrices = layer.bonds(batch_of().bond_codes)
    vector = F.normalize(torch.randn(64), dim=0)
    lengths = (vector @ matrices).norm(dim=1)
    assert lengths.min() > 0.2
    assert lengths.max() < 3


@pytest.mark.parametrize("shared", [False, True])
def test_gated_update_is_torchs(shared: bool) -> None:
    torch.manual_seed(0)
    update = GatedUpdate(D).double()
    message = torch.randn(7, D, dtype=torch.float64, requires_grad=True)
    previous = Rows(torch.tensor([0, 0, 1, 3, 3, 3, 4]), 5) if shared else None
    before = torch.randn(5 if shared else 7, D, dtype=torch.float64, requires_grad=True)
    h = before if previous is None else before[previous.index]
    want = nn.GRUCell.forward(update, message, h)
    torch.testing.assert_close(update(message, before, previous), want, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(lambda m, b: update(m, b, previous), (message, before))
    assert torch.autograd.gradgradcheck(lambda m, b: update(m, b, previous), (message, before))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("block", [3, 1024])
def test_gated_update_without_gradients(shared: bool, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gated, "BLOCK", block)
    torch.manual_seed(0)
    update = GatedUpdate(D).double()
    message, before = torch.randn(7, D, dtype=torch.float64), torch.randn(7, D, dtype=torch.float64)
    previous = Rows(torch.tensor([0, 0, 1, 3, 3, 6, 6]), 7) if shared else None
    with torch.no_grad():
        got = update(message, before, previous)
    torch.testing.assert_close(got, update(message, before, previous), rtol=1e-12, atol=1e-12)


def test_state_dict_is_that_of_a_gru_cell() -> None:
    assert set(GatedUpdate(D).state_dict()) == set(nn.GRUCell(D, D).state_dict())
