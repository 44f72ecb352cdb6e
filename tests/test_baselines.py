"""The mean and the forest that a model is compared with: what they learn from, and what they are scored on."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from molmp.chem.featurize import GraphOptions, featurize
from molmp.chem.fingerprints import MorganFingerprint
from molmp.tables.splits import Split
from molmp.training import baselines as room
from molmp.training.baselines import compare, morgan_counts, score_baselines
from molmp.training.label_summary import summarize_labels
from molmp.training.problem import Problem
from molmp.training.targets import Target, Targets

pytestmark = pytest.mark.forests

ENDS = ("", "O", "N", "F")
SMILES = ["C" * n + end for n in range(1, 13) for end in ENDS]
ROWS = np.arange(len(SMILES))
SPLIT = Split(ROWS[ROWS // 4 % 2 == 0], ROWS[ROWS // 4 % 4 == 1], ROWS[ROWS // 4 % 4 == 3])
CLASSES = {"binary": ("no", "yes"), "multiclass": ("none", "O", "N", "F")}
LENGTH = np.array([[float(s.count("C"))] for s in SMILES])


def problem(task="regression", labels=LENGTH, names=("y",), **fields):
    targets = Targets(task, tuple(Target(name=name, classes=CLASSES.get(task, ())) for name in names))
    return Problem(**{"featurized": featurize(SMILES), "options": GraphOptions(), "targets": targets, "labels": labels,
                      "weights": None, "split": SPLIT, **fields})  # fmt: skip


def test_both_are_what_they_say():
    found = score_baselines(problem(), SMILES, seed=3)
    y, train, test = LENGTH[:, 0], SPLIT.train, SPLIT.test
    X = MorganFingerprint(counts=True).transform(SMILES)
    np.testing.assert_array_equal(morgan_counts(SMILES), X)
    X = X[:, (X[train] != X[train[0]]).any(axis=0)]
    oracle = RandomForestRegressor(100, max_features=0.2, random_state=3).fit(X[train], y[train]).predict(X[test])
    assert found["forest"]["test"]["rmse"] == pytest.approx(np.sqrt(np.mean((oracle - y[test]) ** 2)), rel=1e-9)
    assert found["mean"]["test"]["rmse"] == pytest.approx(np.sqrt(np.mean((y[train].mean() - y[test]) ** 2)))
    assert found["mean"]["per_target"]["y"]["count"] == len(test)
    assert "100 trees on Morgan counts (radius 2, 2,048 columns) of 24 training molecules" in found["forest"]["about"]
    assert found == score_baselines(problem(), SMILES, seed=3)
    json.dumps(found)


def test_labels_of_other_parts_change_nothing():
    labels = LENGTH.copy()
    labels[SPLIT.val] = 1e6
    assert score_baselines(problem(labels=labels), SMILES) == score_baselines(problem(), SMILES)


def test_rows_of_no_weight_are_not_learned_from():
    labels, weights = LENGTH.copy(), np.ones(len(SMILES))
    labels[SPLIT.train[::2]], weights[SPLIT.train[::2]] = 1e6, 0.0
    found = score_baselines(problem(labels=labels, weights=weights), SMILES)
    assert found["forest"]["test"]["rmse"] < 10
    assert found["mean"]["test"]["rmse"] < 10


def test_two_classes():
    y, train, test = (LENGTH[:, 0] > 6).astype(float), SPLIT.train, SPLIT.test
    found = score_baselines(problem("binary", y[:, None]), SMILES)
    X = morgan_counts(SMILES)
    X = X[:, (X[train] != X[train[0]]).any(axis=0)]
    votes = RandomForestClassifier(100, random_state=0).fit(X[train], y[train]).predict_proba(X[test])[:, 1]
    probability = (100 * votes + y[train].mean()) / 101
    assert found["forest"]["test"]["brier"] == pytest.approx(np.mean((y[test] - probability) ** 2))
    assert found["mean"]["test"]["brier"] == pytest.approx(np.mean((y[test] - y[train].mean()) ** 2))
    assert found["mean"]["test"]["roc_auc"] == 0.5


def test_several_classes_of_which_training_lacks_one():
    labels = np.array([[ENDS.index(s.lstrip("C"))] for s in SMILES], float)
    labels[SPLIT.train] = np.where(labels[SPLIT.train] == 1, np.nan, labels[SPLIT.train])
    found = score_baselines(problem("multiclass", labels), SMILES)
    assert found["forest"]["test"]["accuracy"] == 0.75
    assert found["forest"]["test"]["log_loss"] > 1  # the fourth that cannot be known


def test_gaps_and_a_target_of_one_class_in_training():
    labels = np.repeat((LENGTH > 5).astype(float), 3, axis=1)
    labels[::3, 0] = np.nan
    labels[SPLIT.train, 1] = 1.0
    labels[SPLIT.test, 2] = np.nan
    found = score_baselines(problem("binary", labels, ("gaps", "one", "untested")), SMILES)
    per_target = found["forest"]["per_target"]
    assert per_target["gaps"]["count"] < len(SPLIT.test)
    assert per_target["one"]["roc_auc"] == 0.5
    assert per_target["untested"]["undefined"]["brier"] == "no labels"


def test_nothing_to_score():
    labels = LENGTH.copy()
    labels[SPLIT.test] = np.nan
    assert score_baselines(problem(labels=labels), SMILES) == {}


def test_each_fold_learns_from_its_own_rows():
    """With rolling tests every molecule is predicted by the forest that has not seen it."""
    thirds = [ROWS[k::3] for k in range(3)]
    folds = tuple(Split(thirds[(k + 1) % 3], thirds[(k + 2) % 3], thirds[k]) for k in range(3))
    found = score_baselines(problem(split=Split(ROWS, ROWS, ROWS), folds=folds), SMILES)
    assert found["forest"]["per_target"]["y"]["count"] == len(ROWS)
    assert "of each fold" in found["forest"]["about"]
    alone = [score_baselines(problem(split=fold), SMILES) for fold in folds]
    for name in ("mean", "forest"):
        pooled = np.sqrt(np.mean([one[name]["test"]["rmse"] ** 2 for one in alone]))
        assert found[name]["test"]["rmse"] == pytest.approx(pooled)


def test_bounds_count_as_bounds():
    sides = np.zeros(LENGTH.shape, np.int8)
    labels = LENGTH.copy()
    sides[SPLIT.test], labels[SPLIT.test] = 1, -1.0  # "at least -1": whatever is predicted is no error
    found = score_baselines(problem(labels=labels, sides=sides), SMILES)
    assert found["forest"]["test"]["rmse"] == 0


def test_time_is_bounded(monkeypatch):
    monkeypatch.setattr(room, "MOST_ROWS", 10)
    monkeypatch.setattr(room, "MOST_LABELS", {"regression": 7})
    monkeypatch.setattr(room, "FEWEST_LABELS", 5)
    assert " of 7 training" in score_baselines(problem(), SMILES)["forest"]["about"]
    two = problem(labels=np.repeat(LENGTH, 2, axis=1), names=("a", "b"))
    assert " of up to 5 training" in score_baselines(two, SMILES)["forest"]["about"]


def test_limits_are_those_of_the_featurizer():
    long = "C" * 1500
    options = replace(GraphOptions(), max_atoms=2000, standardize="tautomer")
    assert morgan_counts([long], options).max() == 255


def test_words_for_ties_and_scores():
    metrics = {"test": {"roc_auc": 0.8}, "baselines": {n: {"test": {"roc_auc": 0.8}} for n in ("mean", "forest")}}
    assert compare(metrics, "binary")[1] == "no better than a random forest: test roc_auc 0.8 against 0.8"
    assert compare({"test": {"roc_auc": None}}, "binary") == []
    assert compare({}, "regression") == []


def test_labels_are_counted_part_by_part():
    labels, sides = np.repeat(LENGTH, 2, axis=1), np.zeros((len(SMILES), 2), np.int8)
    labels[SPLIT.val, 1], sides[SPLIT.test[:2], 0], sides[SPLIT.val[0], 1] = np.nan, 1, 1
    found = summarize_labels(problem(labels=labels, sides=sides, names=("a", "b")), SPLIT._asdict())
    assert found["a"]["count"] == {"train": 24, "val": 12, "test": 12}
    assert (found["a"]["bounds"], found["b"]["bounds"]) == (2, 0)
    assert (found["a"]["low"], found["a"]["high"]) == (1.0, 12.0)
    assert [sum(counts) for counts in found["b"]["histogram"].values()] == [24, 0, 12]
    assert found["b"]["mean"]["val"] is None
    assert found["a"]["mean"]["test"] == pytest.approx(labels[SPLIT.test, 0].mean())
    of_classes = summarize_labels(problem("binary", (LENGTH > 5).astype(float)), SPLIT._asdict())
    assert of_classes["y"]["classes"]["train"] == {"no": 12, "yes": 12}
    json.dumps([found, of_classes])
