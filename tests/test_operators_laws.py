"""Laws of every operator and of every option of the stack, in float64: atom order, company, spelling, shared states."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from networks import SMILES, assert_same, graphs, new_model, outcome
from rdkit import Chem

from molmp.chem.graphs import MolGraphs
from molmp.nn.autograd import plain_autograd
from molmp.nn.batch import DeviceGraphs
from molmp.nn.model import MoleculeModel, graphs_for
from molmp.nn.operators import OPERATORS
from molmp.nn.passing import shares_states

STACKS: dict[str, dict[str, Any]] = {
    "own weights": {"weights": "own", "residual": False, "norm": "none"},
    "shared weights": {"weights": "shared", "residual": True, "norm": "layer"},
    "graph norm": {"norm": "graph", "jumping": "max"},
    "batch norm": {"norm": "batch", "step_dropout": 0.3},
    "virtual node": {"virtual_node": True, "weights": "own"},
    "shared virtual node": {"virtual_node": True, "weights": "shared"},
    "jumping cat": {"jumping": "cat"},
    "jumping max": {"jumping": "max"},
}

POSITIONS: dict[str, dict[str, Any]] = {
    f"{layer}, {positions}": {"layer": layer, "positions": positions}
    for layer, positions in [("gin", "random-walk"), ("gps", "laplacian"), ("edge", "random-walk+laplacian")]
}

MODELS = {
    **POSITIONS,
    **{name: {"layer": name} for name in OPERATORS},
    "sage max": {"layer": "sage", "aggregation": "max"},
    **{f"gine, {name}": {"layer": "gine", **stack} for name, stack in STACKS.items()},
    **{f"gat, {name}": {"layer": "gat", **stack} for name, stack in STACKS.items()},
    **{f"dmpnn, {name}": {"layer": "dmpnn", **stack} for name, stack in STACKS.items()},
    **{f"edge, {name}": {"layer": "edge", **stack} for name, stack in STACKS.items()},
}


def model_of(config: dict[str, Any]) -> MoleculeModel:
    return new_model(readout="set2set+sum", **config).eval()


def read(model: MoleculeModel, store: MolGraphs, ids: list[int] | None = None) -> torch.Tensor:
    """What the head would see: nothing is hidden by rectified units that all are silent."""
    with torch.no_grad():
        return model.fingerprint(graphs_for(model.config, store).batch(ids))


def assert_close(mine: torch.Tensor, want: torch.Tensor) -> None:
    torch.testing.assert_close(mine, want, rtol=1e-6, atol=1e-6)  # positions are float32


@pytest.mark.parametrize("name", MODELS)
def test_order_spelling_and_company(name: str) -> None:
    model = model_of(MODELS[name])
    want = read(model, graphs())
    assert len(torch.unique(want.round(decimals=6), dim=0)) == len(SMILES)
    assert_close(torch.cat([read(model, graphs(), [i]) for i in range(len(SMILES))]), want)
    everyone = list(range(len(SMILES)))[::-1]
    assert_close(read(model, graphs(), everyone + everyone), want[everyone + everyone])
    written = tuple(Chem.MolToSmiles(Chem.MolFromSmiles(s), doRandom=True, canonical=False) for s in SMILES)
    assert_close(read(model, graphs(written)), want)
    assert_close(read(model, shuffled(graphs(), random.Random(0))), want)


def shuffled(store: MolGraphs, rng: random.Random) -> MolGraphs:
    """The same molecules with atoms and bonds in another order, and bonds turned round."""
    parts = []
    for row in range(len(store)):
        one = store.select([row])
        order, bonds = (rng.sample(range(n), n) for n in (int(one.num_atoms[0]), int(one.num_bonds[0])))
        place = np.argsort(order)
        parts.append(MolGraphs.pack(
            one.atom_table[one.atom_types][order], one.bond_table[one.bond_types][bonds].reshape(-1, 4),
            place[one.ends][bonds], place[one.begins][bonds], one.num_atoms, one.num_bonds,
        ))  # fmt: skip
    return MolGraphs.concat(parts)


@pytest.mark.parametrize("name", MODELS)
def test_shared_states_plain_operations_and_every_weight(name: str) -> None:
    model = model_of(MODELS[name])
    flat = DeviceGraphs(graphs(), steps=3, compact=False, encodings=model.config.encodings).batch()
    want = outcome(model, model(flat))
    assert all(gradient.abs().max() > 0 for gradient in want.values()), "a weight that nothing depends on"
    assert want.keys() == {"output", *dict(model.named_parameters())}
    assert_same(outcome(model, model(graphs_for(model.config, graphs()).batch())), want)
    with plain_autograd():
        assert_same(outcome(model, model(flat)), want)


@pytest.mark.parametrize("name", [name for name in MODELS if not shares_states(model_of(MODELS[name]).config)])
def test_what_cannot_share_states_would_be_wrong_or_refused(name: str) -> None:
    model = model_of(MODELS[name]).train()
    if model.config.step_dropout:
        model.passing.dropout.p = 0.0
    compact, flat = (DeviceGraphs(graphs(), steps=3, compact=compact).batch() for compact in (True, False))
    try:
        assert not torch.allclose(model(compact), model(flat))
    except ValueError as error:
        assert "compact=False" in str(error)  # noqa: PT017


@pytest.mark.parametrize("jumping", ["none", "cat", "max"])
def test_the_default_is_the_network_of_gilmer(jumping: str) -> None:
    names = dict(new_model(jumping=jumping).named_parameters())
    assert {"passing.layer.bias", "passing.layer.gru.weight_ih"} < names.keys()
    extra = {name for name in names if name.startswith("passing.") and not name.startswith("passing.layer.")}
    assert extra == ({"passing.jumping.mix.weight", "passing.jumping.mix.bias"} if jumping == "cat" else set())
