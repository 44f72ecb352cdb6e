"""Estimators: scikit-learn's contract, and the same numbers as the command line."""

import csv
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from click.testing import CliRunner
from rdkit import Chem
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import (
    check_estimator_repr,
    check_get_params_invariance,
    check_mixin_order,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
    check_valid_tag_types,
)

from molmp import MPNNClassifier, MPNNEmbedding, MPNNRegressor, load
from molmp.chem.featurize import GraphOptions
from molmp.chem.molecule_features import DEFAULT_FEATURES
from molmp.errors import ConfigError, DataError, FileFormatError, InvalidSmilesError
from molmp.nn.config import ModelConfig
from molmp.training.config import TrainConfig
from molmp_cli.main import main

SMILES = ["C" * n + end for n in range(1, 9) for end in ("", "O", "N", "Cl")]
CARBONS = np.array([float(s.count("C") - s.count("Cl")) for s in SMILES])
ALCOHOL = np.array(["alcohol" if s.endswith("O") else "other" for s in SMILES])
QUICK: dict[str, Any] = {"hidden": 8, "steps": 2, "epochs": 2, "batch_size": 16}
ALONE: dict[str, Any] = {**QUICK, "ensemble": 1}


@pytest.fixture(scope="module")
def regressor() -> MPNNRegressor:
    return MPNNRegressor(**ALONE).fit(SMILES, CARBONS)


@pytest.fixture(scope="module")
def classifier() -> MPNNClassifier:
    return MPNNClassifier(**QUICK).fit(SMILES, ALCOHOL)


@pytest.mark.parametrize("estimator", [MPNNRegressor(), MPNNClassifier(), MPNNEmbedding("run")], ids=repr)
def test_checks_that_need_no_numbers(estimator: Any) -> None:
    for check in (
        check_estimator_repr, check_get_params_invariance, check_mixin_order, check_no_attributes_set_in_init,
        check_set_params, check_valid_tag_types,
    ):  # fmt: skip
        check(type(estimator).__name__, estimator)
    if not isinstance(estimator, MPNNEmbedding):  # which cannot be without a model
        check_parameters_default_constructible(type(estimator).__name__, estimator)


def test_defaults_are_those_of_the_engine() -> None:
    params = MPNNRegressor().get_params()
    for config in (ModelConfig(), TrainConfig(), GraphOptions(features=DEFAULT_FEATURES)):
        for name, value in (config.said() if isinstance(config, ModelConfig) else vars(config)).items():
            assert params.get(name, value) == value
    assert params["random_state"] == TrainConfig().seed


@pytest.mark.parametrize(
    "X",
    [
        np.array(SMILES),
        np.array(SMILES)[:, None],
        pd.Series(SMILES, index=range(100, 132)),
        pd.DataFrame({"smiles": SMILES}),
        pl.Series("smiles", SMILES),
        [Chem.MolFromSmiles(s) for s in SMILES],
    ],
    ids=["array", "column", "series", "frame", "polars", "mols"],
)
def test_kinds_of_input(regressor: MPNNRegressor, X: Any) -> None:
    np.testing.assert_allclose(regressor.predict(X), regressor.predict(SMILES), rtol=1e-5)
    assert MPNNRegressor(**QUICK).fit(X, CARBONS).predict(X).shape == (32,)


def test_fit_is_repeatable_and_clone_forgets(regressor: MPNNRegressor) -> None:
    twin = clone(regressor)
    with pytest.raises(NotFittedError):
        twin.predict(SMILES)
    np.testing.assert_array_equal(twin.fit(SMILES, CARBONS).predict(SMILES), regressor.predict(SMILES))


def test_pickle(regressor: MPNNRegressor, classifier: MPNNClassifier) -> None:
    for fitted in (regressor, classifier):
        copy = pickle.loads(pickle.dumps(fitted))
        np.testing.assert_array_equal(copy.predict(SMILES), fitted.predict(SMILES))


def test_several_targets_with_gaps() -> None:
    y = np.stack([CARBONS, -CARBONS], axis=1)
    y[::3, 1] = np.nan
    model = MPNNRegressor(**QUICK).fit(SMILES, pd.DataFrame(y, columns=["up", "down"]))
    assert model.predict(SMILES).shape == (32, 2)
    assert model.predictor_.bundle.targets.names == ["up", "down"]


def test_classes_keep_their_labels(classifier: MPNNClassifier) -> None:
    assert classifier.classes_.tolist() == ["alcohol", "other"]
    proba = classifier.predict_proba(SMILES)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_array_equal(classifier.predict(SMILES), classifier.classes_[proba.argmax(axis=1)])
    assert 0 <= classifier.score(SMILES, ALCOHOL) <= 1


def test_three_classes_and_several_targets() -> None:
    three = MPNNClassifier(**QUICK).fit(SMILES, np.arange(32) % 3)
    assert three.predict_proba(SMILES).shape == (32, 3)
    y = np.stack([np.arange(32) % 2, np.arange(32) // 16], axis=1).astype(float)
    y[0, 0] = np.nan
    several = MPNNClassifier(**QUICK).fit(SMILES, y)
    assert [p.shape for p in several.predict_proba(SMILES)] == [(32, 2), (32, 2)]
    assert several.predict(SMILES).shape == (32, 2)


def test_model_selection() -> None:
    scores = cross_val_score(MPNNRegressor(**QUICK), SMILES, CARBONS, cv=2)
    assert np.isfinite(scores).all()
    search = GridSearchCV(MPNNRegressor(**QUICK), {"hidden": [4, 8]}, cv=2).fit(SMILES, CARBONS)
    assert search.best_params_["hidden"] in (4, 8)


def test_sample_weight() -> None:
    weights = np.ones(32)
    weights[::2] = 0
    spoiled = CARBONS.copy()
    spoiled[::2] += 1000
    a = MPNNRegressor(**QUICK).fit(SMILES, spoiled, sample_weight=weights)
    b = MPNNRegressor(**QUICK).fit(SMILES, spoiled)
    assert np.abs(a.predict(SMILES)).max() < 100 < np.abs(b.predict(SMILES)).max()


def test_the_command_line_gives_the_same_numbers(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    with table.open("w", newline="") as file:
        rows = [(s, y, "test" if i % 4 == 0 else "train") for i, (s, y) in enumerate(zip(SMILES, CARBONS, strict=True))]
        csv.writer(file).writerows([("smiles", "y", "split"), *rows])
    options = ["--split-column", "split", "--hidden", "8", "--steps", "2", "--epochs", "2", "--batch-size", "16",
               "--no-cache", "--split-sizes", "0.72", "0.08", "0.2", "--seed", "3"]  # fmt: skip
    assert CliRunner().invoke(main, ["train", str(table), "-o", str(tmp_path / "run"), *options]).exit_code == 0
    kept = [i for i in range(32) if i % 4]
    estimator = MPNNRegressor(**QUICK, random_state=3, validation_fraction=0.1)
    estimator.fit([SMILES[i] for i in kept], CARBONS[kept])
    test = SMILES[::4]
    np.testing.assert_allclose(load(tmp_path / "run").predict(test)["y_pred"], estimator.predict(test), rtol=1e-6)


def test_save_and_load(tmp_path: Path, regressor: MPNNRegressor, classifier: MPNNClassifier) -> None:
    regressor.save(tmp_path / "r")
    again = MPNNRegressor.load(tmp_path / "r")
    np.testing.assert_array_equal(again.predict(SMILES), regressor.predict(SMILES))
    assert again.get_params() == regressor.get_params()
    classifier.save(tmp_path / "c")
    assert MPNNClassifier.load(tmp_path / "c").predict(["CCO"]).tolist() == classifier.predict(["CCO"]).tolist()
    with pytest.raises(FileFormatError, match="is a regression model; MPNNClassifier loads binary or multiclass"):
        MPNNClassifier.load(tmp_path / "r")


def test_embedding(tmp_path: Path, regressor: MPNNRegressor) -> None:
    regressor.save(tmp_path / "run")
    for model in (tmp_path / "run", regressor.predictor_):
        embedding = MPNNEmbedding(model).fit(SMILES)
        matrix = embedding.transform(SMILES)
        assert matrix.shape == (32, len(embedding.get_feature_names_out()))
    assert make_pipeline(MPNNEmbedding(regressor.predictor_), Ridge()).fit(SMILES, CARBONS).score(SMILES, CARBONS) > 0.9
    frame = (
        MPNNEmbedding(regressor.predictor_)
        .set_output(transform="pandas")
        .fit_transform(pd.Series(SMILES[:3], index=[5, 6, 7]))
    )
    assert frame.index.tolist() == [5, 6, 7]
    assert frame.columns[0] == "mpnn_0"
    columns = ColumnTransformer([("m", MPNNEmbedding(regressor.predictor_), "smiles")]).fit(
        pd.DataFrame({"smiles": SMILES})
    )
    assert columns.get_feature_names_out()[0] == "m__mpnn_0"
    rows = MPNNEmbedding(regressor.predictor_, on_error="nan").fit_transform(["CCO", "C1CC"])
    assert np.isnan(rows[1]).all()
    assert np.isfinite(rows[0]).all()


def test_spreads_and_quantiles(regressor: MPNNRegressor) -> None:
    with pytest.raises(ConfigError, match="one network with loss 'mse' knows no standard deviation"):
        regressor.predict(SMILES, return_std=True)
    with pytest.raises(ConfigError, match="a model with loss 'mse' gives no quantiles"):
        regressor.predict_quantiles(SMILES)
    y = np.stack([CARBONS, -CARBONS], axis=1)
    values, std = MPNNRegressor(**QUICK, loss="evidential").fit(SMILES, y).predict(SMILES, return_std=True)
    assert values.shape == std.shape == (32, 2)
    assert (std > 0).all()
    model = MPNNRegressor(**QUICK, loss="quantile", quantiles=[0.1, 0.9]).fit(SMILES, CARBONS)
    quantiles = model.predict_quantiles(SMILES)
    assert quantiles.shape == (32, 3)
    np.testing.assert_array_equal(model.predict(SMILES), quantiles[:, 1])
    values, std = MPNNRegressor(**QUICK, ensemble=2).fit(SMILES, CARBONS).predict(SMILES, return_std=True)
    assert (std > 0).all()


def test_rare_classes(classifier: MPNNClassifier) -> None:
    settings = {"class_weight": "balanced", "threshold": "tuned", "validation_fraction": 0.4, "loss": "focal"}
    model = MPNNClassifier(**QUICK, **settings).fit(SMILES, ALCOHOL)
    threshold = model.predictor_.bundle.targets.items[0].threshold
    called = model.classes_[(model.predict_proba(SMILES)[:, 1] >= threshold).astype(int)]
    np.testing.assert_array_equal(model.predict(SMILES), called)
    y = np.stack([np.arange(32) % 2, np.arange(32) // 16], axis=1).astype(float)
    weighted = MPNNClassifier(**QUICK, threshold="tuned", task_weights={"1": 5.0}).fit(SMILES, y)
    assert weighted.predict(SMILES).shape == (32, 2)
    dirichlet = MPNNClassifier(**QUICK, loss="dirichlet").fit(SMILES, np.arange(32) % 3)
    np.testing.assert_allclose(dirichlet.predict_proba(SMILES).sum(axis=1), 1)


def test_few_rows() -> None:
    with pytest.raises(DataError, match="one class only"):
        MPNNClassifier(**QUICK).fit(["C"], ["a"])
    with pytest.raises(DataError):
        MPNNRegressor(**QUICK).fit(["C"], [1.0])
    assert MPNNRegressor(**QUICK).fit(["C", "CC", "CCC"], [2.0, 2.0, 2.0]).predict(["CO"]).shape == (1,)


def test_bounds_as_text() -> None:
    y = [f">{5 if n > 5 else n}" if n > 5 else str(n) for n in CARBONS]
    model = MPNNRegressor(**QUICK).fit(SMILES, y)
    assert model.predict(SMILES).shape == (32,)
    assert 0 < model.predictor_.bundle.metrics["per_target"]["y"]["train"]["bounds"] < 32
    plain = MPNNRegressor(**QUICK).fit(SMILES, np.minimum(CARBONS, 5))
    assert not np.allclose(plain.predict(SMILES), model.predict(SMILES), rtol=1e-3)
    exact = CARBONS <= 5
    smiles = [s for s, kept in zip(SMILES, exact, strict=True) if kept]
    assert model.score(SMILES, y) == pytest.approx(model.score(smiles, CARBONS[exact]))
    frame = pd.DataFrame({"a": y, "b": CARBONS})
    assert MPNNRegressor(**QUICK).fit(SMILES, frame).predict(SMILES).shape == (32, 2)


def test_the_unit_of_the_labels_does_not_matter() -> None:
    """A thousand times larger labels: a thousand times larger predictions, spreads and quantiles."""
    for loss in ("huber", "mve", "evidential", "quantile"):
        here = MPNNRegressor(**QUICK, loss=loss).fit(SMILES, CARBONS)
        there = MPNNRegressor(**QUICK, loss=loss).fit(SMILES, 1000 * CARBONS + 7)
        np.testing.assert_allclose(there.predict(SMILES), 1000 * here.predict(SMILES) + 7, rtol=1e-4)
        if loss in ("mve", "evidential"):
            stds = [model.predict(SMILES, return_std=True)[1] for model in (here, there)]
            np.testing.assert_allclose(stds[1], 1000 * stds[0], rtol=1e-3)


def test_molecules_are_kept_as_asked(regressor: MPNNRegressor, tmp_path: Path) -> None:
    whole = regressor.predictor_.predict(SMILES[:9])
    assert set(whole["nearest"]) <= set(SMILES)
    rows = MPNNRegressor(keep_molecules="rows", **ALONE).fit(SMILES, CARBONS).predictor_
    named = rows.predict(SMILES[:9])
    assert [SMILES[int(name.removeprefix("row ")) - 1] for name in named["nearest"]] == whole["nearest"].tolist()
    assert not any(text in str(rows.bundle.trust.domain.names) for text in ("CC", "Cl"))
    none = MPNNRegressor(keep_molecules="none", **ALONE).fit(SMILES, CARBONS)
    none.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
    bare = none.predictor_.predict(SMILES[:9])
    assert list(bare) == ["y_pred", "y_low", "y_high", "error"]
    np.testing.assert_array_equal(bare["y_pred"], whole["y_pred"])
    with pytest.raises(ConfigError, match="kept by one of smiles, rows, none, not 'names'"):
        MPNNRegressor(keep_molecules="names", **ALONE).fit(SMILES, CARBONS)


def test_wrong_input(regressor: MPNNRegressor) -> None:
    with pytest.raises(DataError, match=r"(?s)2 molecules cannot be read, rows 1, 3:.*C1CC.*not a smiles"):
        regressor.predict(["CCO", "C1CC", "C", "not a smiles"])
    with pytest.raises(InvalidSmilesError, match="row 1: cannot read SMILES 'C1CC': ring 1 is not closed"):
        MPNNRegressor(**QUICK).fit(["CCO", "C1CC"], [1, 2])
    with pytest.raises(DataError, match="X has 2 molecules but y has 3 rows"):
        MPNNRegressor(**QUICK).fit(["CCO", "C"], [1, 2, 3])
    with pytest.raises(DataError, match="y has 1 infinite values"):
        MPNNRegressor(**QUICK).fit(["CCO", "C"], [1, np.inf])
    with pytest.raises(DataError, match="y has '<low', which is no number and no bound such as '<5' or '>10'"):
        MPNNRegressor(**QUICK).fit(["CCO", "C"], [1, "<low"])
    with pytest.raises(DataError, match="one class only: 'a'"):
        MPNNClassifier(**QUICK).fit(["CCO", "C"], ["a", "a"])
    with pytest.raises(DataError, match="must be 0, 1 or NaN; y also has 2"):
        MPNNClassifier(**QUICK).fit(["CCO", "C"], [[0, 1], [2, 0]])
    with pytest.raises(DataError, match="sample_weight has shape"):
        MPNNRegressor(**QUICK).fit(["CCO", "C", "CC"], [1, 2, 3], sample_weight=[1])
    with pytest.raises(DataError, match="finite and not negative"):
        MPNNRegressor(**QUICK).fit(["CCO", "C", "CC"], [1, 2, 3], sample_weight=[1, -1, 1])
    with pytest.raises(ConfigError, match="layer must be one of edge"):
        MPNNRegressor(layer="cnn").fit(SMILES, CARBONS)
    with pytest.raises(ConfigError, match="loss 'bce' is not for the task regression"):
        MPNNRegressor(loss="bce").fit(SMILES, CARBONS)
    with pytest.raises(ConfigError, match="a weight is given for 'z', no target; targets are y"):
        MPNNRegressor(task_weights={"z": 2}).fit(SMILES, CARBONS)
    with pytest.raises(ConfigError, match="quantiles must ascend"):
        MPNNRegressor(quantiles=(0.9, 0.1)).fit(SMILES, CARBONS)
    with pytest.raises(ConfigError, match="on_error must be"):
        MPNNEmbedding(regressor.predictor_, on_error="drop").fit(SMILES)
