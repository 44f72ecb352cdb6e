"""One molecule, one answer: whatever the spelling, the company, the number of processes."""

import random

import numpy as np
import pytest
import torch
from awkward import MOLECULES
from rdkit import Chem

from molmp.chem.featurize import GraphOptions
from molmp.inference.predictor import Predictor
from molmp.nn.config import ModelConfig
from molmp.nn.model import MoleculeModel
from molmp.training.bundle import Bundle
from molmp.training.config import TrainConfig
from molmp.training.targets import Target, Targets

READABLE = [smiles for smiles in MOLECULES if len(smiles) < 250]


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    """An untrained model, so that nothing has learned to agree."""
    network = ModelConfig(hidden=16, edge_hidden=8, head_hidden=16, steps=4)
    torch.manual_seed(0)
    members = [MoleculeModel(network, 1).state_dict() for _ in range(2)]
    targets = Targets("regression", (Target(name="y", center=1.0, scale=100.0),))
    bundle = Bundle(
        targets=targets, options=GraphOptions(), network=network, training=TrainConfig(), members=tuple(members)
    )
    return Predictor(bundle, "cpu")


def values(predictor: Predictor, smiles: list[str], **options: int) -> np.ndarray:
    table = predictor.predict(smiles, **options)
    assert not table["error"].any()
    return table["y_pred"].to_numpy()


def test_any_spelling(predictor: Predictor) -> None:
    rng = random.Random(0)
    originals, others = [], []
    for smiles in READABLE:
        mol = Chem.MolFromSmiles(smiles)
        order = list(range(mol.GetNumAtoms()))
        rng.shuffle(order)
        # Random walks through the molecule, and the walk from atoms in another order.
        for text in (
            Chem.MolToSmiles(mol, doRandom=True),
            Chem.MolToSmiles(Chem.RenumberAtoms(mol, order), canonical=False),
        ):
            if text == smiles or Chem.MolToSmiles(Chem.MolFromSmiles(text) or mol) == Chem.MolToSmiles(mol):
                originals.append(smiles)
                others.append(text)
    assert len(originals) > len(READABLE)
    np.testing.assert_allclose(values(predictor, others), values(predictor, originals), rtol=1e-5, atol=1e-4)


def test_enantiomers_and_isomers_may_differ(predictor: Predictor) -> None:
    pairs = [("N[C@@H](C)C(=O)O", "N[C@H](C)C(=O)O"), ("F/C=C/F", "F/C=C\\F"), ("[13CH4]", "C")]
    for first, second in pairs:
        a, b = values(predictor, [first, second])
        assert abs(a - b) > 1e-3


def test_alone_or_in_company(predictor: Predictor) -> None:
    together = values(predictor, READABLE)
    alone = np.concatenate([values(predictor, [smiles]) for smiles in READABLE])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-4)
    backwards = values(predictor, READABLE[::-1])[::-1]
    np.testing.assert_allclose(together, backwards, rtol=1e-5, atol=1e-4)


def test_any_number_of_processes(predictor: Predictor) -> None:
    many = READABLE * 20
    np.testing.assert_array_equal(values(predictor, many), values(predictor, many, n_jobs=2))


def test_kinds_of_input(predictor: Predictor) -> None:
    import pandas as pd

    want = values(predictor, ["CCO"])[0]
    assert predictor.predict("CCO")["y_pred"].tolist() == [want]
    assert predictor.predict(np.array(["CCO"]))["y_pred"].tolist() == [want]
    series = predictor.predict(pd.Series(["C", "CCO"], index=["a", "b"]))
    assert series.loc["b", "y_pred"] == pytest.approx(want, rel=1e-5)
    marked = predictor.predict(["CCO", "C1CC", ""])
    assert marked["error"].tolist() == ["", "syntax: ring 1 is not closed", "empty: it is empty"]
    assert marked["y_pred"].isna().tolist() == [False, True, True]
    assert len(predictor.predict([])) == 0
