"""Two sets of networks: the first sees no validation molecule and tells how good it is; the second is the model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_training import QUICK, SMILES, carbons, finish

from molmp.chem.featurize import GraphOptions, featurize
from molmp.errors import ConfigError
from molmp.estimators import MPNNRegressor
from molmp.inference.describe import describe_in_words, recipe
from molmp.inference.predictor import Predictor
from molmp.tables.splits import Split
from molmp.training.baselines import score_baselines
from molmp.training.config import TrainConfig
from molmp.training.problem import Problem
from molmp.training.run import Trained

CONFIG = replace(QUICK, ensemble=2)
ONE_SET = replace(CONFIG, refit=False)


def kept() -> Problem:
    """The model keeps its molecules."""
    options = GraphOptions(bits=True)
    return replace(carbons(), featurized=featurize(SMILES, options), options=options, names=SMILES)


def with_label(p: Problem, row: int, label: float) -> Problem:
    labels = p.labels.copy()
    labels[row] = label
    return replace(p, labels=labels)


def same_weights(one: Trained, other: Trained) -> bool:
    pairs = zip(one.bundle.members, other.bundle.members, strict=True)
    return all(torch.equal(ours[name], theirs[name]) for ours, theirs in pairs for name in ours)


def losses(trained: Trained) -> list[tuple[float, ...]]:
    """What the first set has learned, epoch by epoch."""
    return [(h["member"], h["epoch"], h["train_loss"]) for h in trained.history]


@pytest.fixture(scope="module")
def trained() -> Trained:
    return finish(kept(), config=CONFIG)


def test_the_model_is_the_second_set(trained: Trained) -> None:
    assert len(trained.bundle.members) == CONFIG.ensemble
    assert {h["member"] for h in trained.history} == {0, 1}
    assert trained.bundle.learned_from == ("train", "val")
    assert {part: len(rows) for part, rows in trained.parts.items()} == {
        part: len(rows) for part, rows in carbons().split._asdict().items()
    }
    model = Predictor(trained.bundle, "cpu")
    of_test, of_val = (model.predict([SMILES[row] for row in trained.parts[part]]) for part in ("test", "val"))
    np.testing.assert_allclose(of_test["carbons_pred"], trained.predictions["test"][0], rtol=1e-6)
    assert not np.allclose(of_val["carbons_pred"], trained.predictions["val"][0], rtol=1e-3)


def test_a_validation_label_reaches_the_model_alone(trained: Trained) -> None:
    val = int(carbons().split.val[1])
    other = finish(with_label(kept(), val, 40.0), config=CONFIG)
    assert losses(other) == losses(trained)
    assert not same_weights(other, trained)
    single = finish(with_label(kept(), val, 40.0), config=ONE_SET)
    assert same_weights(single, finish(kept(), config=ONE_SET))


def test_a_test_label_reaches_nothing(trained: Trained) -> None:
    other = finish(with_label(kept(), int(carbons().split.test[0]), 40.0), config=CONFIG)
    assert same_weights(other, trained)
    assert losses(other) == losses(trained)


def test_neighbours_are_the_molecules_that_were_learned_from(trained: Trained) -> None:
    trust = trained.bundle.trust
    assert trust is not None
    assert trust.domain is not None
    split = carbons().split
    assert set(trust.domain.names) == {SMILES[row] for row in (*split.train, *split.val)}
    alone = finish(kept(), config=ONE_SET)
    ours, theirs = trained.verdicts["val"], alone.verdicts["val"]
    assert ours is not None
    assert theirs is not None
    np.testing.assert_array_equal(ours.similarity, theirs.similarity)
    assert ours.usual is not None
    assert theirs.usual is not None
    np.testing.assert_array_equal(ours.usual, theirs.usual)
    table = Predictor(trained.bundle, "cpu").predict([SMILES[row] for row in split.val])
    assert (table["similarity"] == 1).all()


def test_calibrated_on_the_first_set(trained: Trained) -> None:
    trust = trained.bundle.trust
    assert trust is not None
    (target,) = trust.targets
    assert target is not None
    assert target.count == len(carbons().split.val)
    errors = carbons().labels[carbons().split.val, 0] - trained.predictions["val"][0]
    assert trained.bundle.metrics["val"]["mae"] == pytest.approx(np.abs(errors).mean())


def test_shares_are_those_of_the_first_set(trained: Trained) -> None:
    worst = {h["member"]: h["val_score"] for h in trained.history if h["epoch"] == CONFIG.epochs}
    (target,) = trained.bundle.targets.items
    assert len(target.shares) == CONFIG.ensemble
    assert np.argsort(target.shares).tolist() == sorted(worst, key=lambda member: -worst[member])


@pytest.mark.parametrize("config", [ONE_SET, replace(CONFIG, patience=2)], ids=["asked", "patience"])
def test_one_set(config: TrainConfig) -> None:
    one = finish(carbons(), config=config)
    assert one.bundle.learned_from == ("train",)
    assert len(one.bundle.members) == 2
    assert "refit" not in recipe(one.bundle)


def test_folds_are_one_set() -> None:
    rows = np.arange(len(SMILES))
    folds = tuple(Split(np.setdiff1d(rows, rows[k::3]), rows[k::3], rows[:0]) for k in range(3))
    one = finish(replace(carbons(), folds=folds, split=Split(rows, rows, rows[:0])), config=CONFIG)
    assert one.bundle.learned_from == ("train",)
    assert len(one.bundle.members) == 6


def test_it_is_told(trained: Trained) -> None:
    assert "refitted with the validation molecules" in recipe(trained.bundle)
    assert "learned from train and val" in describe_in_words(trained.bundle)


def test_the_forest_learns_from_what_the_model_learns_from() -> None:
    p = carbons()
    found = score_baselines(p, SMILES, refit=True)
    split = p.split
    both = replace(p, split=Split(np.union1d(split.train, split.val), split.val, split.test))
    assert found == score_baselines(both, SMILES)
    assert found != score_baselines(p, SMILES)


def test_estimators_learn_from_all() -> None:
    y = carbons().labels[:, 0]
    how = {"epochs": 2, "hidden": 8, "ensemble": 1, "features": "none"}
    model = MPNNRegressor(**how).fit(SMILES, y)
    assert model.predictor_.bundle.learned_from == ("train", "val")
    assert len(model.predictor_.bundle.trust.domain) == len(SMILES)
    assert MPNNRegressor(**how, refit=False).fit(SMILES, y).predictor_.bundle.learned_from == ("train",)


def test_neither_yes_nor_no() -> None:
    with pytest.raises(ConfigError, match="refit must be true or false, got 'yes'"):
        TrainConfig(refit="yes")  # type: ignore[arg-type]


def test_a_model_of_before_says_nothing_of_it(trained: Trained) -> None:
    older = replace(trained.bundle, data={})
    assert older.learned_from == ("train",)
