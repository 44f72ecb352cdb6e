"""Cross-validation: folds share out every row, keep groups together, and nobody speaks for what it has learned."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from molmp.chem.featurize import GraphOptions, featurize
from molmp.errors import ConfigError, DataError
from molmp.inference.predictor import load
from molmp.nn.config import ModelConfig
from molmp.tables.folds import make_folds
from molmp.tables.groups import scaffold_groups, similarity_groups
from molmp.tables.splits import Split
from molmp.training.config import TrainConfig
from molmp.training.cross import answer_of_some
from molmp.training.problem import Problem
from molmp.training.run import MemberDone, Trained, train
from molmp.training.state import digest
from molmp.training.targets import Target, Targets

RINGS = ["c1ccccc1", "C1CCCCC1", "c1ccncc1", "c1ccoc1", "C1CCNCC1", "c1ccsc1"]
SMILES = [ring + "C" * n for n in range(1, 6) for ring in RINGS]
NETWORK = ModelConfig(hidden=8, steps=2, edge_hidden=4, head_hidden=8)
QUICK = TrainConfig(epochs=2, batch_size=8, ensemble=1)


def rolling(how: str = "random", folds: int = 3, repeats: int = 1) -> list[Split]:
    return make_folds(how, SMILES, folds, repeats=repeats, val_share=0.25, seed=4)


@pytest.mark.parametrize("how", ["random", "scaffold", "scaffold-fixed", "butina"])
def test_a_rolling_test_meets_every_row_once(how: str) -> None:
    splits = rolling(how, repeats=2)
    for repeat in (splits[:3], splits[3:]):
        assert sorted(np.concatenate([split.test for split in repeat])) == list(range(len(SMILES)))
    for split in splits:
        assert sorted(np.concatenate(split)) == list(range(len(SMILES))), "no row in two parts"
        assert all(len(part) for part in split)


@pytest.mark.parametrize(("how", "group"), [("scaffold", scaffold_groups), ("butina", similarity_groups)])
@pytest.mark.parametrize("fixed", [True, False])
def test_groups_stay_together(how: str, group: Callable, fixed: bool) -> None:
    rows, test = np.arange(24), np.arange(24, 30)
    splits = make_folds(how, SMILES, 3, rows=rows, test=test if fixed else None, val_share=0.25)
    for members in group([SMILES[i] for i in rows]):
        for split in splits:
            assert sum(bool(np.isin(members, part).any()) for part in split) == 1


def test_a_fixed_test_stays() -> None:
    test = np.array([29, 3])
    splits = make_folds("random", SMILES, 5, rows=np.setdiff1d(np.arange(30), test), test=test)
    assert all(split.test.tolist() == [3, 29] for split in splits)
    assert sorted(np.concatenate([split.val for split in splits])) == sorted(set(range(30)) - {3, 29})
    assert {len(split.val) for split in splits} == {5, 6}


def test_folds_depend_on_the_seed_alone() -> None:
    first, second, other = (make_folds("random", SMILES, 3, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a.test, b.test) for a, b in zip(first, second, strict=True))
    assert not all(np.array_equal(a.test, b.test) for a, b in zip(first, other, strict=True))
    again = make_folds("random", SMILES, 3, repeats=2, seed=1)
    assert all(np.array_equal(a.test, b.test) for a, b in zip(again, [*first, *other], strict=True))


def test_blocks_of_time() -> None:
    times = np.arange(30.0)[::-1]
    splits = make_folds("time", SMILES, 3, rows=np.arange(27), test=np.arange(27, 30), times=times)
    assert [split.val.min() for split in splits] == [18, 9, 0]
    with pytest.raises(ConfigError, match="a rolling test in time would learn from the future"):
        make_folds("time", SMILES, 3)


@pytest.mark.parametrize(
    ("how", "folds", "message"),
    [
        ("random", 31, "31 folds of 30 rows: there must be as many rows"),
        ("scaffold", 7, "7 folds of 6 groups of molecules that a scaffold split keeps together"),
        ("time", 31, "31 folds of 30 rows"),
    ],
)
def test_more_folds_than_there_is_to_deal(how: str, folds: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make_folds(how, SMILES, folds, test=np.array([], np.int64))


def test_senseless_numbers() -> None:
    for folds, repeats in ((1, 1), (3, 0)):
        with pytest.raises(ConfigError, match=f"at least 2 folds, once; got {folds} folds, {repeats} times"):
            make_folds("random", SMILES, folds, repeats=repeats)
    with pytest.raises(ConfigError, match="no split 'odd'"):
        make_folds("odd", SMILES, 3)
    with pytest.raises(DataError, match="a fold of 15 of 30 rows leaves 15 to train and 0 to validate"):
        make_folds("scaffold", [*["c1ccccc1"] * 15, *["C1CCCCC1"] * 15], 2)


def problem(folds: list[Split], labels: np.ndarray | None = None, task: str = "regression") -> Problem:
    if labels is None:
        labels = np.array([[float(s.count("C"))] for s in SMILES])
    targets = Targets(task, (Target(name="end", classes=("0", "1") if task == "binary" else ()),))
    rows = np.arange(len(SMILES))
    return Problem(
        featurized=featurize(SMILES), options=GraphOptions(), targets=targets, labels=labels, weights=None,
        split=Split(rows, rows, rows), folds=tuple(folds),
    )  # fmt: skip


def finish(p: Problem, config: TrainConfig = QUICK) -> Trained:
    *records, last = train(p, NETWORK, config, device="cpu")
    assert isinstance(last, Trained)
    assert sum(isinstance(r, MemberDone) for r in records) == len(p.folds) * config.ensemble
    return last


def each_model(trained: Trained, tmp_path: Path) -> list[np.ndarray]:
    """What each network says of all molecules."""
    from molmp.inference.predictor import Predictor

    values, targets = [], trained.bundle.targets
    targets = replace(targets, items=tuple(replace(target, shares=()) for target in targets.items))
    for weights in trained.bundle.members:
        alone = replace(trained.bundle, members=(weights,), targets=targets)
        values.append(Predictor(alone, "cpu").answer(featurize(SMILES)).values[0])
    return values


@pytest.mark.parametrize("ensemble", [1, 2])
def test_predictions_are_out_of_fold(tmp_path: Path, ensemble: int) -> None:
    folds = rolling(repeats=2)
    trained = finish(problem(folds), replace(QUICK, ensemble=ensemble))
    values = each_model(trained, tmp_path)
    assert len(values) == 6 * ensemble
    assert trained.parts["test"].tolist() == list(range(30))
    for row in range(30):
        strangers = [v[row] for v, split in zip(values, np.repeat(np.arange(6), ensemble), strict=True)
                     if row in folds[split].test]  # fmt: skip
        assert len(strangers) == 2 * ensemble
        shares = trained.bundle.targets.items[0].shares * 2 or None
        assert trained.predictions["test"][0][row] == pytest.approx(np.average(strangers, weights=shares), rel=1e-5)


def test_labels_of_a_fold_do_not_reach_its_network() -> None:
    p = problem(rolling())
    test = np.intersect1d(p.folds[0].test, np.concatenate([split.train for split in p.folds]))
    shuffled = p.labels.copy()  # by an exchange of labels the common scale stays as it is
    shuffled[test] = shuffled[np.roll(test, 3)]
    assert (shuffled != p.labels).any()
    first, second = finish(p).bundle.members, finish(replace(p, labels=shuffled)).bundle.members
    assert all(torch.allclose(t, second[0][name], rtol=1e-4, atol=1e-6) for name, t in first[0].items())
    assert not all(torch.allclose(t, second[1][name], rtol=1e-4, atol=1e-6) for name, t in first[1].items())


def test_metrics_of_folds_and_their_spread() -> None:
    folds = make_folds("random", SMILES, 3, rows=np.arange(24), test=np.arange(24, 30), repeats=2)
    metrics = finish(problem(folds)).bundle.metrics
    assert len(metrics["folds"]) == 6
    for part in ("val", "test"):
        rmse = [fold[part]["rmse"] for fold in metrics["folds"]]
        assert metrics["spread"][part]["rmse"] == {
            "mean": pytest.approx(np.mean(rmse)), "std": pytest.approx(np.std(rmse, ddof=1)), "folds": 6,
        }  # fmt: skip
    assert metrics["per_target"]["end"]["val"]["count"] == 24
    json.dumps(metrics)


def test_a_class_missing_in_a_fold() -> None:
    labels = np.zeros((30, 1))
    folds = make_folds("random", SMILES, 3, rows=np.arange(24), test=np.arange(24, 30))
    labels[[folds[0].val[0], folds[1].val[0], 24], 0] = 1.0
    metrics = finish(problem(folds, labels, "binary")).bundle.metrics
    assert [fold["val"]["roc_auc"] is None for fold in metrics["folds"]] == [False, False, True]
    assert metrics["spread"]["val"]["roc_auc"]["folds"] == 2


def test_a_fold_without_labels_is_named() -> None:
    labels = np.array([[float(s.count("C"))] for s in SMILES])
    folds = make_folds("random", SMILES, 3, rows=np.arange(24), test=np.arange(24, 30))
    labels[folds[1].val] = np.nan
    with pytest.raises(DataError, match="no validation molecule that can be read has a label in fold 2"):
        finish(problem(folds, labels))


def test_some_rows_are_answered_by_fewer() -> None:
    targets = Targets("regression", (Target(name="a"),))
    outputs = np.arange(6.0).reshape(2, 3, 1)
    speaks = np.array([[True, False, True], [False, True, True]])
    (answered,) = answer_of_some(targets, outputs, speaks)
    assert answered.value.tolist() == [0.0, 4.0, 3.5]
    assert np.isnan(answered.epistemic).tolist() == [True, True, False]


TINY = ["--hidden", "8", "--steps", "2", "--epochs", "2", "--ensemble", "1", "--no-cache", "--device", "cpu"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text("smiles,carbons\n" + "".join(f"{s},{s.count('C')}\n" for s in SMILES))
    return path


def test_train_with_folds(molmp: Callable, table: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = molmp("train", table, "-o", run, "--folds", "3", "--repeats", "2", *TINY)
    assert result.exit_code == 0, result.output
    assert "molecules of the first of 6 folds: train 18, val 9, test 3" in result.output
    assert "test over 6 folds: rmse " in result.output
    assert "validation over 6 folds: rmse " in result.output
    assert len(load(run, "cpu").models) == 6
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics["spread"]) == {"val", "test"}
    again = molmp("train", table, "-o", tmp_path / "again", "--config", run / "config.toml")
    assert again.exit_code == 0, again.output
    assert json.loads((tmp_path / "again" / "metrics.json").read_text())["test"] == metrics["test"]


def test_train_with_a_rolling_test(molmp: Callable, table: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = molmp("train", table, "-o", run, "--folds", "3", "--rolling-test", "--split", "scaffold", *TINY)
    assert result.exit_code == 0, result.output
    with (run / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["smiles"] for row in rows] == SMILES
    assert all(row["carbons_pred"] for row in rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--folds", "1"], "1 is not in the range x>=2"),
        (["--repeats", "2"], "--repeats is of use with --folds only"),
        (["--rolling-test"], "--rolling-test is of use with --folds only"),
        (["--folds", "3", "--rolling-test", "--split-column", "carbons"], "but --split-column names a test"),
        (["--folds", "99"], "99 folds of 27 rows"),
        (["--folds", "3", "--repeats", "0"], "3 folds, 0 times"),
    ],
)
def test_senseless_options(molmp: Callable, table: Path, tmp_path: Path, options: list[str], message: str) -> None:
    result = molmp("train", table, "-o", tmp_path / "run", *options, *TINY)
    assert result.exit_code != 0
    assert message in result.output + str(result.exception)
    assert not (tmp_path / "run").exists()


def test_folds_are_part_of_what_a_resumed_training_checks() -> None:
    first = problem(rolling())
    assert digest(first) == digest(problem(rolling()))
    assert digest(first) != digest(replace(first, folds=first.folds[::-1]))
