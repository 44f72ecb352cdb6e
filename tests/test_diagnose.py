"""The three limits of message passing: what theory says of them holds in what is measured."""

import csv
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from rdkit import Chem
from tiny import tiny_bundle
from torch import Tensor

from molmp.diagnose.expressiveness import PAIRS, expressiveness, without_rings
from molmp.diagnose.report import diagnose_model
from molmp.diagnose.smoothing import smoothing, smoothing_of, variants
from molmp.diagnose.squashing import LONG, remedies, squashing, squashing_of
from molmp.diagnose.states import MOLECULES, bare, distances, flat_batch, fresh, graphs_of
from molmp.errors import InvalidSmilesError
from molmp.inference.model_file import save_bundle
from molmp.nn.batch import Level, Messages
from molmp.nn.config import ModelConfig
from molmp.nn.message_passing import MessagePassing, before
from molmp.nn.operators import OPERATORS
from molmp.nn.segment import take


class Copying(MessagePassing):
    """Hears nothing."""

    def __init__(self, hidden: int) -> None:
        super().__init__()

    def message(self, h: Tensor, messages: Messages, bonds: Tensor | None) -> Tensor:
        return take(h, messages.source)

    def update(self, message: Tensor, h: Tensor, level: Level) -> Tensor:
        return before(h, level)


class Averaging(Copying):
    """Becomes the mean of what it hears and what it was."""

    def __init__(self, hidden: int) -> None:
        MessagePassing.__init__(self, "mean")

    def update(self, message: Tensor, h: Tensor, level: Level) -> Tensor:
        return (message + before(h, level)) / 2


def test_distances_are_those_of_the_graph() -> None:
    batch = flat_batch(graphs_of((*LONG, "[Na+].[Cl-]")), ModelConfig())
    found = distances(batch).numpy()
    want = Chem.GetDistanceMatrix(Chem.MolFromSmiles(LONG[0]))
    np.testing.assert_array_equal(found[:-2, :-2], want)
    assert (found[-2:, :-2] == -1).all()
    assert found[-1, -2] == -1


def test_means_smooth_and_copies_do_not() -> None:
    found = smoothing({k.__name__: bare(ModelConfig(layer=k, hidden=8)) for k in (Copying, Averaging)}, depths=12)
    copies, means = found[:12], found[12:]
    assert len({round(one.distance, 12) for one in copies}) == 1
    assert all(b.distance < a.distance and b.energy < a.energy for a, b in pairwise(means))
    assert means[-1].distance < 0.6 * means[0].distance


def test_bare_gcn_smooths_and_remedies_delay() -> None:
    networks = variants(ModelConfig(layer="gcn", hidden=32))
    last = {one.network: one for one in smoothing(networks)}  # the deepest of each stands last
    assert {one.depth for one in last.values()} == {16}
    for name, factor in {"edge, gated": 3, "gcn, as configured": 1, "gcn, jumping knowledge": 3}.items():
        assert last[name].distance > factor * last["gcn, bare"].distance, name


def test_each_variant_once() -> None:
    for layer in OPERATORS:
        found = list(variants(ModelConfig(layer=layer)).values())
        assert len(found) == len({str(config) for config in found})


def test_nothing_travels_further_than_the_steps_but_through_a_node_for_all() -> None:
    networks = remedies(ModelConfig(layer="gcn", hidden=16))
    found = squashing(networks)
    for one in found:
        reaches = one.distance <= 8 or one.network in ("gcn, virtual node", "gps")
        assert (one.jacobian > 0) == reaches, one
    by_hand = {one.distance: one for one in found if one.network == "gcn, bare"}
    assert by_hand[1].jacobian > by_hand[4].jacobian > by_hand[8].jacobian
    assert len(by_hand) == int(Chem.GetDistanceMatrix(Chem.MolFromSmiles(LONG[0])).max()) + 1


def test_jacobian_of_what_only_copies_is_one_at_home() -> None:
    config = bare(ModelConfig(layer=Copying, hidden=64, steps=2))
    home, *others = squashing({"copy": config}, ["CCCC"])
    assert home.share == 1
    assert not any(one.jacobian for one in others)


@pytest.mark.parametrize("layer", OPERATORS)
def test_pairs_of_colour_refinement(layer: str) -> None:
    found = expressiveness({layer: ModelConfig(layer=layer, hidden=8)})
    assert len(found) == 4 * len(PAIRS)
    for one in found:
        assert one.told_apart == (one.ring_features or one.positions != "none"), one


def test_without_rings_nothing_else_changes() -> None:
    graphs = graphs_of(("c1ccccc1CC", "CCO"))
    blind = without_rings(graphs)
    full, less = graphs.atom_table[graphs.atom_types], blind.atom_table[blind.atom_types]
    assert (full != less).any(axis=0).tolist() == [False] * 6 + [True] * 3 + [False] * 3
    assert without_rings(graphs_of(("CCO",))) == graphs_of(("CCO",))


def test_trained_models() -> None:
    bundle = tiny_bundle(layer="gin", weights="own")
    found = diagnose_model(bundle)
    assert [s.depth for s in found.smoothing if s.network == "trained"] == [1, 2, 3]
    model = bundle.models()[0].double()
    (_, _, last) = smoothing_of(model, graphs_of(MOLECULES))
    fresh_like = smoothing_of(fresh(bundle.network), graphs_of(MOLECULES))
    assert last.distance == pytest.approx(fresh_like[-1].distance)  # its weights are those of seed 0
    assert max(s.distance for s in squashing_of(model, graphs_of(LONG)) if s.jacobian) == 3
    shared = tiny_bundle(layer="dmpnn").models()[0].double()
    assert [s.depth for s in smoothing_of(shared, graphs_of(MOLECULES), depths=6)] == [2, 3, 4, 5, 6]


def test_trace_ends_where_passing_ends() -> None:
    for layer in ("gin", "dmpnn", "edge"):
        model = fresh(ModelConfig(layer=layer, hidden=8))
        batch = flat_batch(graphs_of(MOLECULES), model.config)
        h = model.embedding(batch)
        torch.testing.assert_close(model.passing.trace(h, batch)[-1], model.passing(h, batch))


def test_an_unreadable_molecule() -> None:
    with pytest.raises(InvalidSmilesError, match="C1CC"):
        smoothing({}, ["C1CC"])


def test_the_command(molmp: Callable[..., Result], tmp_path: Path) -> None:
    save_bundle(tiny_bundle(), tmp_path / "run")
    result = molmp("diagnose", tmp_path / "run", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "out" / "diagnosis.json").read_text())
    for name in ("smoothing", "squashing", "expressiveness"):
        with (tmp_path / "out" / f"{name}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == len(document[name])
        assert rows[0]["network"] == "trained"
    assert (tmp_path / "out" / "diagnosis.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_refuses(molmp: Callable[..., Result], tmp_path: Path) -> None:
    result = molmp("diagnose", tmp_path / "run", "--layer", "gcn", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "knows what it is made of: --layer is not for it" in result.output
    assert molmp("diagnose", tmp_path / "run", "-o", tmp_path / "out").exit_code == 1
    result = molmp("diagnose", "--layer", "gat", "--heads", 3, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()
