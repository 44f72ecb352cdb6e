"""The predictor over dicts of arrays: what engines call."""

import pickle

import numpy as np
import pandas as pd
import pytest
from test_featurize import trapped
from tiny import SMILES, tiny_bundle

from molmp.chem import pool
from molmp.errors import ColumnError, ConfigError, DataError, FileFormatError
from molmp.inference.batch_predictor import BatchPredictor
from molmp.inference.model_file import save_bundle
from molmp.inference.predictor import Predictor

BATCH = {"id": np.arange(4), "smiles": np.array(["CCO", "C1CC", "C", ""]), "x": np.array([1.5, np.nan, 2, 3])}


@pytest.fixture(scope="module")
def predict() -> BatchPredictor:
    return BatchPredictor(tiny_bundle(), device="cpu")


def test_columns_of_the_batch_then_ours(predict):
    out = predict(BATCH)
    assert list(out) == ["id", "smiles", "x", "logS_pred", "mp_pred", "error"]
    for name in BATCH:
        np.testing.assert_array_equal(out[name], BATCH[name])
        assert out[name].dtype == BATCH[name].dtype
    assert out["mp_pred"].dtype == np.float64
    assert np.isnan(out["mp_pred"]).tolist() == [False, True, False, True]
    assert out["error"].tolist() == ["", "syntax: ring 1 is not closed", "", "empty: it is empty"]
    expected = Predictor(tiny_bundle(), "cpu").predict(BATCH["smiles"])
    np.testing.assert_allclose(out["logS_pred"], expected["logS_pred"], rtol=1e-6)


def test_the_model_is_loaded_once_from_its_folder(tmp_path, monkeypatch):
    save_bundle(tiny_bundle(), tmp_path / "run")
    predict = BatchPredictor(tmp_path / "run", device="cpu")
    first = predict(BATCH)
    (tmp_path / "run" / "model.json").unlink()
    np.testing.assert_array_equal(predict(BATCH)["mp_pred"], first["mp_pred"])
    with pytest.raises(FileFormatError, match="is not a molmp model"):
        BatchPredictor(tmp_path / "run")


def test_drop_fail_and_some_columns():
    bundle = tiny_bundle()
    out = BatchPredictor(bundle, on_error="drop", columns=["x"])(BATCH)
    assert list(out) == ["x", "logS_pred", "mp_pred", "error"]
    np.testing.assert_array_equal(out["x"], [1.5, 2])
    assert len(out["mp_pred"]) == 2
    with pytest.raises(DataError, match="row 1 of the batch: 'C1CC' has no prediction: ring 1 is not closed"):
        BatchPredictor(bundle, on_error="fail")(BATCH)
    with pytest.raises(ConfigError, match="on_error must be one of"):
        BatchPredictor(bundle, on_error="ignore")


def test_names_of_classes_are_text_or_nothing():
    out = BatchPredictor(tiny_bundle("multiclass"))(BATCH)
    assert out["colour_pred"][0] in ("red", "green", "blue")
    assert out["colour_pred"][1] is None
    assert out["colour_pred"].dtype == object


def test_other_name_for_smiles_and_things_that_are_none(predict):
    named = BatchPredictor(tiny_bundle(), "structure")
    out = named({"structure": np.array(["C", None, np.nan, 7], object)})
    assert [bool(error) for error in out["error"]] == [False, True, True, True]
    assert len(predict({"smiles": np.array([], object)})["error"]) == 0


def test_columns_that_are_not_there_or_twice(predict):
    with pytest.raises(ColumnError, match="the batch has no column 'smiles'; it has SMILES"):
        predict({"SMILES": np.array(["C"])})
    with pytest.raises(ColumnError, match="the batch has no column 'y'; it has smiles"):
        BatchPredictor(tiny_bundle(), columns=["y"])({"smiles": np.array(["C"])})
    out = predict({"smiles": np.array(["C"]), "error": np.array(["mine"])})
    assert (out["error"].tolist(), out["error_2"].tolist()) == (["mine"], [""])


def test_a_pandas_function(predict):
    frame = pd.DataFrame(predict(dict(pd.DataFrame({"smiles": SMILES}).items())))
    assert frame["mp_pred"].notna().all()


def test_survives_pickling():
    predict = BatchPredictor(tiny_bundle(), "s", on_error="drop", columns=["n"], isolate=True, device="cpu")
    batch = {"s": np.array(["C", "?"]), "n": np.array([1, 2])}
    again = pickle.loads(pickle.dumps(predict))
    expected = predict(batch)
    for name, column in again(batch).items():
        np.testing.assert_array_equal(column, expected[name])


def test_a_molecule_that_crashes_costs_its_own_row(monkeypatch):
    monkeypatch.setattr(pool, "PROGRAM", trapped("os.abort()"))
    predict = BatchPredictor(tiny_bundle(), isolate=True)
    smiles = ["CCO", "FPPF", "C", "C1CC", *SMILES]
    for _ in range(2):
        out = predict({"smiles": np.array(smiles)})
        assert "died" in out["error"][1]
        assert [bool(error) for error in out["error"]] == [False, True, False, True] + [False] * len(SMILES)
    plain = BatchPredictor(tiny_bundle())({"smiles": np.array(["CCO", "C"])})
    np.testing.assert_allclose(out["mp_pred"][[0, 2]], plain["mp_pred"], rtol=1e-6)
