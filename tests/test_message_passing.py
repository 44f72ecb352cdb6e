"""The recipe: any operator of three short methods, on flat and on compact batches."""

from typing import Any

import pytest
import torch
from networks import COMPACT, SMILES, assert_same, batch_of, outcome
from torch import Tensor, nn

from molmp.errors import ConfigError
from molmp.nn.batch import GraphBatch, Level, Messages
from molmp.nn.message_passing import AGGREGATIONS, MessagePassing
from molmp.nn.segment import bag_dot, bag_softmax, bag_sum, take


class Isomorphism(MessagePassing):
    """A bond's vector is added to its sender; the sum goes through a layer."""

    def __init__(self, aggregation: str) -> None:
        super().__init__(aggregation)
        self.bond, self.layer = nn.Linear(4, 5), nn.Linear(5, 5)

    def bonds(self, codes_TC: Tensor) -> Tensor:
        return self.bond(codes_TC.double())

    def message(self, h: Tensor, messages: Messages, bonds: Tensor | None) -> Tensor:
        assert bonds is not None
        return torch.relu(take(h, messages.source) + bonds[messages.bond_type])

    def update(self, message: Tensor, h: Tensor, level: Level) -> Tensor:
        before = h if level.previous is None else take(h, level.previous)
        return torch.tanh(self.layer(message + before))


class Attentive(Isomorphism):
    """Neighbours are weighed by what the target thinks of them."""

    looks_at_target = True

    def message(self, h: Tensor, messages: Messages, bonds: Tensor | None) -> Tensor:
        return super().message(h, messages, bonds)

    def forward(self, h_SD: Tensor, level: Level, bonds: Tensor | None = None) -> Tensor:
        edges = level.edges
        question = h_SD if level.previous is None else take(h_SD, level.previous)
        message = self.message(h_SD, edges, bonds)
        weight = bag_softmax(bag_dot(question, message, edges.inbox), edges.inbox)
        assert torch.equal((take(h_SD, level.targets) * message).sum(1), bag_dot(question, message, edges.inbox))
        return self.update(bag_sum(message, edges.inbox, weight), h_SD, level)


def run(operator: MessagePassing, batch: GraphBatch) -> Tensor:
    """States of all atoms after the last level."""
    h = torch.sin(batch.atom_codes.double())[:, :5]
    h = h if batch.start is None else take(h, batch.start)
    bonds = operator.bonds(batch.bond_codes)
    for level in batch.levels:
        h = operator(h, level, bonds)
    return take(h, batch.molecules.rows)


def new(kind: type[Isomorphism], aggregation: str) -> Any:
    torch.manual_seed(0)
    return kind(aggregation).double()


@pytest.mark.parametrize("kind", [Isomorphism, Attentive])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_any_operator_is_the_same_on_compact_batches(kind: type[Isomorphism], aggregation: str) -> None:
    operator = new(kind, aggregation)
    flat, compact = (outcome(operator, run(operator, batch_of(compact=c))) for c in COMPACT)
    assert_same(compact, flat)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_messages_for_pairs_and_for_edges_agree(aggregation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    operator, batch = new(Isomorphism, aggregation), batch_of()
    by_pairs = outcome(operator, run(operator, batch))
    monkeypatch.setattr(Isomorphism, "looks_at_target", True)
    assert_same(outcome(operator, run(operator, batch)), by_pairs)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_aggregation_is_what_it_says(aggregation: str) -> None:
    batch = batch_of(["CC(C)O", "[Xe]"], steps=1)
    level = batch.levels[0]
    operator = new(Isomorphism, aggregation)
    message = torch.randn(len(level.edges.bond_type), 5, dtype=torch.float64)
    got = operator.aggregate(message, level.edges.inbox)
    reduce = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax}[aggregation]
    owner = level.edges.inbox.owner
    want = [reduce(message[owner == v], 0) if (owner == v).any() else message.new_zeros(5) for v in range(5)]
    torch.testing.assert_close(got, torch.stack(want))


def test_unknown_aggregation() -> None:
    with pytest.raises(ConfigError, match="aggregation must be one of sum, mean, max, got 'median'"):
        MessagePassing("median")


def test_a_recipe_without_steps_says_so() -> None:
    batch = batch_of(SMILES[:4], steps=1)
    with pytest.raises(NotImplementedError):
        MessagePassing()(torch.zeros(9, 5), batch.levels[0])
    assert MessagePassing().bonds(batch.bond_codes) is None
