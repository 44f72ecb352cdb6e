"""The predictor: a prediction or a reason for each row, the same in every company, in bounded memory."""

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import SMILES, tiny_bundle

import molmp.inference.predictor as module
import molmp.nn.model as network
from molmp.chem.featurize import featurize
from molmp.errors import DeviceError
from molmp.inference.answer import Answer
from molmp.inference.predictor import Predictor, load
from molmp.nn.batch import DeviceGraphs

BAD = ["", "C1CC", "not a molecule", "C(C)(C)(C)(C)C"]


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(tiny_bundle(members=3), "cpu")


def values(answer: Answer) -> np.ndarray:
    return np.stack(answer.values, axis=1)


def test_every_row_in_its_place(predictor):
    rows = [BAD[0], *SMILES[:3], BAD[1], BAD[2], *SMILES[3:], BAD[3]]
    table = predictor.predict(rows)
    assert list(table.columns) == ["logS_pred", "mp_pred", "error"]
    good = [row in SMILES for row in rows]
    assert [not error for error in table["error"]] == good
    assert table["logS_pred"].notna().tolist() == good
    assert table["error"][4] == "syntax: ring 1 is not closed"
    alone = predictor.predict(SMILES)
    np.testing.assert_allclose(table[good][["logS_pred", "mp_pred"]], alone[["logS_pred", "mp_pred"]], rtol=1e-5)


def test_is_the_mean_of_the_members_in_real_units(predictor):
    graphs = featurize(SMILES).graphs
    batch = DeviceGraphs(graphs, steps=predictor.bundle.network.steps).batch()
    with torch.no_grad():
        mean = torch.stack([model(batch) for model in predictor.models]).double().mean(0).numpy()
    expected = mean * [3.0, 1.0] + [-2.0, 100.0]
    table = predictor.predict(SMILES)
    np.testing.assert_allclose(table[["logS_pred", "mp_pred"]], expected, rtol=1e-6)


def test_members_differ_and_all_count(predictor):
    bundle = predictor.bundle
    one_by_one = []
    for member in bundle.members:
        single = Predictor(type(bundle)(**{**vars(bundle), "members": (member,)}), "cpu")
        one_by_one.append(single.predict(SMILES)["mp_pred"].to_numpy())
    assert np.ptp(one_by_one, axis=0).min() > 1e-4
    np.testing.assert_allclose(predictor.predict(SMILES)["mp_pred"], np.mean(one_by_one, axis=0), rtol=1e-6)


def test_molecules_are_planned_once_for_all_members(predictor, monkeypatch):
    made = []

    class Counting(DeviceGraphs):
        def __init__(self, *args, **kwargs):
            made.append(self)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(network, "DeviceGraphs", Counting)
    predictor.predict(SMILES)
    assert len(made) == 1


@pytest.mark.parametrize(("batch", "atoms"), [(1, 10**9), (3, 10**9), (10**9, 4), (10**9, 13), (2, 9)])
def test_company_does_not_matter(predictor, monkeypatch, batch, atoms):
    together = predictor.predict(SMILES)
    monkeypatch.setattr(module, "BATCH", batch)
    monkeypatch.setattr(module, "MOST_ATOMS", atoms)
    sizes = [len(rows) for rows, _ in predictor.batches(featurize(SMILES))]
    assert sum(sizes) == len(SMILES)
    assert len(sizes) > 1
    assert max(sizes) <= batch
    numbers = ["logS_pred", "mp_pred"]
    np.testing.assert_allclose(predictor.predict(SMILES)[numbers], together[numbers], rtol=1e-5)


def test_atoms_of_a_batch_are_bounded(predictor, monkeypatch):
    monkeypatch.setattr(module, "MOST_ATOMS", 13)
    smiles = ["C" * n for n in (5, 5, 5, 13, 1, 50, 6, 6)]
    counts = [len(batch.molecules.rows.index) for _, batch in predictor.batches(featurize(smiles))]
    assert counts == [10, 5, 13, 1, 50, 12]


def test_spelling_does_not_matter(predictor):
    table = predictor.predict(["OCC", "C(O)C", "[CH3][CH2][OH]"])
    np.testing.assert_allclose(table["mp_pred"], table["mp_pred"][0], rtol=1e-6)


def test_a_series_keeps_its_index(predictor):
    table = predictor.predict(pd.Series(["C", "?"], index=["a", "b"]))
    assert table.index.tolist() == ["a", "b"]
    assert table["error"]["b"]


def test_one_string_none_and_nothing_readable(predictor):
    assert len(predictor.predict("CCO")) == 1
    assert len(predictor.predict([])) == 0
    table = predictor.predict(BAD)
    assert table["mp_pred"].isna().all()
    assert (table["error"] != "").all()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_stream_is_the_same_as_all_at_once(predictor, n_jobs):
    rows = [*SMILES, *BAD] * 3
    batches = [rows[:5], [], rows[5:6], rows[6:]]
    answers = list(predictor.stream(batches, n_jobs=n_jobs))
    assert [len(answer.values[0]) for answer in answers] == [5, 0, 1, 30]
    whole = predictor.answer(featurize(rows))
    np.testing.assert_allclose(np.concatenate([values(a) for a in answers]), values(whole), rtol=1e-5)
    assert sorted(answers[3].errors) == [row - 6 for row in whole.errors if row >= 6]


@pytest.mark.parametrize(("n_jobs", "most"), [(1, 3), (2, 7)])
def test_stream_does_not_run_ahead(predictor, n_jobs, most):
    taken = []

    def batches() -> Iterator[list[str]]:
        for i in range(50):
            taken.append(i)
            yield ["CCO"]

    for done, _ in enumerate(predictor.stream(batches(), n_jobs=n_jobs), 1):
        assert len(taken) - done <= most
    assert len(taken) == 50


def test_a_gpu_gets_a_batch_before_the_last_answer_is_fetched(predictor, monkeypatch):
    calls = []
    monkeypatch.setattr(predictor, "device", SimpleNamespace(type="cuda"))
    monkeypatch.setattr(predictor, "_launch", lambda featurized: calls.append("launch") or len(featurized.graphs))
    monkeypatch.setattr(predictor, "_fetch", lambda launched: calls.append(f"fetch {launched}") or launched)
    assert list(predictor.stream([["C"], ["C", "C"], []])) == [1, 2, 0]
    assert calls == ["launch", "launch", "fetch 1", "launch", "fetch 2", "fetch 0"]


def test_embeddings(predictor):
    vectors = predictor.embed([*SMILES, "C1CC"])
    width = predictor.models[0].fingerprint_width
    assert vectors.shape == (len(SMILES) + 1, 3 * width)
    assert vectors.dtype == np.float32
    assert np.isnan(vectors[-1]).all()
    assert np.isfinite(vectors[:-1]).all()
    batch = DeviceGraphs(featurize(SMILES).graphs, steps=predictor.bundle.network.steps).batch()
    with torch.no_grad():
        second = predictor.models[1].fingerprint(batch).numpy()
    np.testing.assert_allclose(vectors[:-1, width : 2 * width], second, rtol=1e-6)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_classes(task):
    table = Predictor(tiny_bundle(task, members=2), "cpu").predict([*SMILES, "?"])
    if task == "binary":
        assert table["toxic_pred"][:-1].between(0, 1).all()
        assert np.isnan(table["toxic_pred"].iloc[-1])
        return
    probabilities = table[["colour_prob_red", "colour_prob_green", "colour_prob_blue"]].to_numpy()
    np.testing.assert_allclose(probabilities[:-1].sum(axis=1), 1)
    likeliest = [["red", "green", "blue"][i] for i in probabilities[:-1].argmax(axis=1)]
    assert table["colour_pred"].tolist() == [*likeliest, ""]
    assert np.isnan(probabilities[-1]).all()


def test_hydrogens_are_those_of_the_model():
    predictor = Predictor(tiny_bundle(hydrogens=True), "cpu")
    ((_, batch),) = predictor.batches(featurize(["C"], predictor.bundle.options))
    assert batch.num_atoms == 5
    expected = predictor.answer(featurize(SMILES, predictor.bundle.options))
    np.testing.assert_allclose(predictor.predict(SMILES)["mp_pred"], expected.values[1], rtol=1e-6)


def test_trained_model_from_its_folder(tiny_model):
    predictor = load(tiny_model)
    assert predictor.predict("CCCCCO")["error"][0] == ""
    assert repr(predictor) == "Predictor(regression of logS; 3 network(s))"


def test_no_such_device():
    with pytest.raises(DeviceError, match=r"there is no device 'cuda:99' here; there is .*cpu"):
        Predictor(tiny_bundle(), "cuda:99")


def test_spread_knows_what_the_loss_and_the_ensemble_learned():
    rows = pd.Series(["CCO", "C1CC"], index=["a", "b"])
    table = Predictor(tiny_bundle(members=1), "cpu").spread(rows)
    assert list(table.columns) == [f"{n}_{p}" for n in ("logS", "mp") for p in ("aleatoric", "epistemic", "std")]
    assert table.isna().all(axis=None)
    table = Predictor(tiny_bundle(members=3), "cpu").spread(rows)
    assert table["logS_aleatoric"].isna().all()
    assert table["logS_epistemic"]["a"] == table["logS_std"]["a"] > 0
    predictor = Predictor(tiny_bundle(members=3, loss="mve"), "cpu")
    table = predictor.spread(rows)
    assert table.loc["b"].isna().all()
    np.testing.assert_allclose(table["mp_std"] ** 2, table["mp_aleatoric"] ** 2 + table["mp_epistemic"] ** 2)
    np.testing.assert_allclose(table["mp_std"], predictor.predict(rows)["mp_std"])


def test_networks_that_run_as_one_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tiny_bundle("multiclass", members=3)
    together = Predictor(bundle, "cpu").predict(list(SMILES))
    monkeypatch.setattr(module, "FEW_ATOMS", 0)
    one_by_one = Predictor(bundle, "cpu")
    pd.testing.assert_frame_equal(together, one_by_one.predict(list(SMILES)), rtol=1e-5)
    assert "_members" not in vars(one_by_one)
