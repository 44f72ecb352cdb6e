"""Laws: what a prediction may not depend on, and where the network must run."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import COMPACT, SMILES, assert_same, batch_of, graphs, new_model, outcome
from rdkit import Chem

from molmp.chem.graphs import MolGraphs
from molmp.nn.batch import DeviceGraphs
from molmp.nn.model import MoleculeModel

MODEL = new_model(readout="set2set+sum+max+attention").eval()


def predict(
    store: MolGraphs, ids: list[int] | None = None, *, compact: bool, model: MoleculeModel = MODEL
) -> torch.Tensor:
    with torch.no_grad():
        return model(DeviceGraphs(store, steps=model.config.steps, compact=compact).batch(ids))


def assert_close(mine: torch.Tensor, want: torch.Tensor) -> None:
    torch.testing.assert_close(mine, want, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("compact", COMPACT)
@given(st.integers(0, len(SMILES) - 1), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_order_of_atoms_and_bonds(compact: bool, row: int, random: object) -> None:
    one = graphs().select([row])
    order = list(range(int(one.num_atoms[0])))
    random.shuffle(order)  # type: ignore[attr-defined]
    place = np.argsort(order)
    bonds = list(range(int(one.num_bonds[0])))
    random.shuffle(bonds)  # type: ignore[attr-defined]
    begins, ends = place[one.ends][bonds], place[one.begins][bonds]  # bonds turned round as well
    shuffled = MolGraphs.pack(
        one.atom_table[one.atom_types][order], one.bond_table[one.bond_types][bonds].reshape(-1, 4),
        begins, ends, one.num_atoms, one.num_bonds,
    )  # fmt: skip
    assert_close(predict(shuffled, compact=compact), predict(one, compact=compact))


@pytest.mark.parametrize("compact", COMPACT)
@pytest.mark.parametrize("smiles", SMILES)
def test_spelling(compact: bool, smiles: str) -> None:
    mol = Chem.MolFromSmiles(smiles)
    other = Chem.MolToSmiles(mol, doRandom=True, canonical=False)
    assert_close(predict(graphs((other,)), compact=compact), predict(graphs((smiles,)), compact=compact))


@pytest.mark.parametrize("compact", COMPACT)
@given(st.lists(st.integers(0, len(SMILES) - 1), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_company_in_the_batch(compact: bool, ids: list[int]) -> None:
    alone = torch.cat([predict(graphs(), [i], compact=compact) for i in ids])
    assert_close(predict(graphs(), ids, compact=compact), alone)


@pytest.mark.parametrize("compact", COMPACT)
def test_gradients_add_up_over_batches(compact: bool) -> None:
    store = DeviceGraphs(graphs(), steps=3, compact=compact)
    everyone = list(range(len(SMILES)))

    def gradients(*parts: list[int]) -> dict[str, torch.Tensor]:
        MODEL.zero_grad()
        for ids in parts:
            MODEL(store.batch(ids)).square().sum().backward()
        return {name: p.grad.clone() for name, p in MODEL.named_parameters()}

    assert_same(gradients(everyone[:5], everyone[5:9], everyone[9:]), gradients(everyone))


@pytest.mark.parametrize("compact", COMPACT)
def test_one_atom_molecules_only(compact: bool) -> None:
    one = predict(graphs(("[Xe]",)), compact=compact)
    assert_close(predict(graphs(("[Xe]", "C", "[Xe]")), compact=compact)[[0, 2]], one.expand(2, -1))


def test_mirror_images_may_differ() -> None:
    left, right = predict(graphs(("N[C@@H](C)C(=O)O", "N[C@H](C)C(=O)O")), compact=True)
    assert not torch.allclose(left, right)


@pytest.mark.parametrize("device", ["cuda", "mps"])
@pytest.mark.parametrize("compact", COMPACT)
def test_other_devices(device: str, compact: bool) -> None:
    if not {"cuda": torch.cuda, "mps": torch.backends.mps}[device].is_available():
        pytest.skip(f"no {device} here")
    model = new_model(readout="set2set+sum+max+attention").float()
    want = outcome(model, model(batch_of(compact=compact)))
    model = model.to(device)
    batch = DeviceGraphs(graphs(), device, steps=3, compact=compact).batch()
    got = outcome(model, model(batch))
    for name, value in want.items():
        torch.testing.assert_close(got[name].cpu(), value, rtol=1e-3, atol=1e-3)
