"""Rare classes and targets of unequal weight: weights, thresholds, and parts that lack a class."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import matthews_corrcoef
from sklearn.utils.class_weight import compute_class_weight
from test_training import NETWORK, ONE_SET, QUICK, SMILES, finish, problem

from molmp.errors import ConfigError, DataError
from molmp.tables.splits import Split
from molmp.training.checks import problem_notes
from molmp.training.config import TrainConfig
from molmp.training.targets import Target, Targets
from molmp.training.threshold import best_threshold
from molmp.training.weighting import label_weights

NAN = np.nan
RARE = Targets("binary", (Target(name="end", classes=("no", "yes")),))
THREE = Targets("multiclass", (Target(name="end", classes=("a", "b", "c")),))


def rare() -> np.ndarray:
    """One in eight is of class 1."""
    return np.array([[float(i % 8 == 1)] for i in range(len(SMILES))])


def three() -> np.ndarray:
    return np.array([[float(i % 8 % 7 % 3)] for i in range(len(SMILES))])


@pytest.mark.parametrize(("targets", "labels"), [(RARE, rare()), (THREE, three())], ids=["two", "three"])
def test_balanced_weights_are_scikit_learns(targets: Targets, labels: np.ndarray) -> None:
    train = np.arange(20)
    labels[3] = NAN
    found = label_weights(targets, labels, np.ones(32), class_weight="balanced", train=train)
    known = labels[:20, 0][~np.isnan(labels[:20, 0])]
    classes = np.unique(known)
    expected = compute_class_weight("balanced", classes=classes, y=known)
    for name, weight in zip(classes, expected, strict=True):
        np.testing.assert_allclose(found[labels[:, 0] == name], weight)


def test_balanced_classes_weigh_the_same_whatever_the_rows_weigh() -> None:
    rows, labels = np.linspace(0.1, 3, 32), rare()
    weights = label_weights(RARE, labels, rows, class_weight="balanced", train=np.arange(32))
    assert weights[labels == 0].sum() == pytest.approx(weights[labels == 1].sum())
    assert weights.sum() == pytest.approx(rows.sum())


def test_a_class_that_training_lacks_weighs_as_it_is() -> None:
    labels = np.array([[0.0], [0.0], [1.0], [2.0]])
    weights = label_weights(THREE, labels, np.ones(4), class_weight="balanced", train=np.arange(3))
    np.testing.assert_allclose(weights.ravel(), [0.75, 0.75, 1.5, 1.0])


def test_balanced_is_as_if_the_rare_were_repeated() -> None:
    """The first loss, of one batch with all molecules, is that of a table with copies of the rare rows."""
    copies = [i for i in range(24) for _ in range(7 if rare()[i] else 1)]
    order, count = [*copies, *range(24, 32)], len(copies)
    repeated = problem(rare()[order], RARE, [SMILES[i] for i in order])
    repeated = replace(repeated, split=Split(np.arange(count), np.arange(count, count + 4), np.arange(count + 4, 50)))
    network, config = replace(NETWORK, dropout=0.0), TrainConfig(epochs=1, batch_size=64, ensemble=1)
    balanced = finish(problem(rare(), RARE), network, replace(config, class_weight="balanced")).history[0]
    assert balanced["train_loss"] == pytest.approx(finish(repeated, network, config).history[0]["train_loss"])
    assert balanced["train_loss"] != pytest.approx(
        finish(problem(rare(), RARE), network, config).history[0]["train_loss"]
    )


def test_balanced_finds_more_of_the_rare() -> None:
    for targets, labels, loss in ((RARE, rare(), "auto"), (THREE, three(), "auto"), (THREE, three(), "focal")):
        config = replace(ONE_SET, epochs=8, loss=loss)
        plain = finish(problem(labels, targets), config=config).predictions["train"][0]
        fair = finish(problem(labels, targets), config=replace(config, class_weight="balanced")).predictions["train"][0]
        rarest = (lambda p: p) if targets is RARE else (lambda p: p[:, 2])
        assert rarest(fair).mean() > rarest(plain).mean()


def test_task_weights_are_weights_of_labels() -> None:
    targets = Targets("regression", (Target(name="a"), Target(name="b")))
    weights = label_weights(targets, np.zeros((3, 2)), np.array([1.0, 2, 0]), task_weights={"b": 3}, train=np.arange(3))
    np.testing.assert_array_equal(weights, [[1, 3], [2, 6], [0, 0]])


def test_task_weights_draw_the_network_to_a_target() -> None:
    random = np.random.default_rng(0)
    carbons = np.array([float(s.count("C")) for s in SMILES])
    labels = np.stack([carbons, random.normal(size=32)], axis=1)
    targets = Targets("regression", (Target(name="a"), Target(name="noise")))
    config = replace(ONE_SET, epochs=15, lr=5e-3)
    rmse = []
    for weight in (0.001, 1000.0):
        trained = finish(problem(labels, targets), config=replace(config, task_weights={"noise": weight}))
        rmse.append(trained.bundle.metrics["per_target"]["a"]["train"]["rmse"])
    assert rmse[0] < rmse[1]


@pytest.mark.parametrize("seed", range(20))
def test_the_best_threshold_is_the_best(seed: int) -> None:
    random = np.random.default_rng(seed)
    y = (random.random(40) < 0.2).astype(float)
    p = np.round(np.clip(0.3 * y + 0.4 * random.random(40), 0, 1), 2)
    if len(np.unique(y)) < 2:
        y[0] = 1 - y[0]
    values = [0.0, *np.unique(p).tolist(), 1.0]
    best = max(matthews_corrcoef(y, p >= (a + b) / 2) for a, b in pairwise(values))
    assert matthews_corrcoef(y, p >= best_threshold(y, p)) == pytest.approx(best)


def test_thresholds_without_a_choice() -> None:
    assert best_threshold(np.array([1.0, 1, NAN]), np.array([0.1, 0.9, 0.5])) == 0.5
    assert best_threshold(np.array([0.0, 1]), np.array([0.3, 0.3])) == 0.5
    assert best_threshold(np.array([0.0, 1]), np.array([0.1, 0.7])) == 0.4
    assert best_threshold(np.zeros(0), np.zeros(0)) == 0.5


def test_a_tuned_threshold_is_stored_and_used() -> None:
    p = problem(rare(), RARE)
    p = replace(p, split=Split(np.arange(16), np.arange(16, 24), np.arange(24, 32)))
    config = TrainConfig(epochs=3, batch_size=8, threshold="tuned", ensemble=1)
    tuned, plain = finish(p, config=config), finish(p, config=replace(config, threshold="half"))
    (target,) = tuned.bundle.targets.items
    assert target.threshold == best_threshold(rare()[16:24, 0], tuned.predictions["val"][0])
    assert plain.bundle.targets.items[0].threshold is None
    np.testing.assert_array_equal(tuned.predictions["test"][0], plain.predictions["test"][0])
    called = tuned.predictions["val"][0] >= target.threshold
    assert tuned.bundle.metrics["val"]["mcc"] == pytest.approx(matthews_corrcoef(rare()[16:24, 0], called))
    assert Targets.from_dict(tuned.bundle.targets.to_dict()) == tuned.bundle.targets
    assert tuned.bundle.targets.column_names == ["end_pred", "end_class"]
    _, names = tuned.bundle.targets.columns(tuned.answers["val"])
    assert [name == "yes" for name in names] == called.tolist()


def test_wrong_weights_and_thresholds() -> None:
    numbers = Targets("regression", (Target(name="a"),))
    labels = np.arange(32.0)[:, None]
    for config, message in (
        (TrainConfig(task_weights={"z": 1}), "a weight is given for 'z', no target; targets are a"),
        (TrainConfig(class_weight="balanced"), "class_weight balanced is for classes; the task is regression"),
        (TrainConfig(threshold="tuned"), "threshold tuned is for targets of two classes; the task is regression"),
    ):
        with pytest.raises(ConfigError, match=message):
            finish(problem(labels, numbers), config=config)
    with pytest.raises(ConfigError, match="threshold tuned is for targets of two classes; the task is multiclass"):
        finish(problem(three(), THREE), config=TrainConfig(threshold="tuned"))
    for weight in (0, -1, NAN, np.inf):
        with pytest.raises(ConfigError, match="task_weights must be numbers above 0"):
            TrainConfig(task_weights={"a": weight})
    with pytest.raises(ConfigError, match="class_weight must be one of none, balanced, got 'fair'"):
        TrainConfig(class_weight="fair")
    with pytest.raises(ConfigError, match=r"threshold must be one of half, tuned, got 0.3"):
        TrainConfig(threshold=0.3)  # type: ignore[arg-type]


def test_a_class_that_training_lacks() -> None:
    labels = three()
    labels[labels == 2] = 1
    labels[-1] = 2  # in the test molecules alone
    p = problem(labels, THREE)
    assert problem_notes(p) == ["no training molecule is of class 'c' of 'end': it cannot be learned"]
    trained = finish(p, config=replace(QUICK, class_weight="balanced"))
    assert np.isfinite(trained.predictions["test"][0]).all()
    assert trained.bundle.metrics["test"]["log_loss"] is not None


def test_a_class_that_validation_lacks() -> None:
    labels = rare()
    labels[24:28] = 0
    p = problem(labels, RARE)
    (note,) = problem_notes(p)
    assert note == "no validation molecule is of class 'yes' of 'end': its validation metrics do without it"
    trained = finish(p, config=replace(QUICK, threshold="tuned", patience=9))
    assert trained.bundle.metrics["val"]["roc_auc"] is None
    assert trained.bundle.targets.items[0].threshold == 0.5
    losses = [h["val_loss"] for h in trained.history]
    assert [h["epoch"] for h in trained.history if h["best"]][-1] == 1 + int(np.argmin(losses))


def test_one_class_in_training() -> None:
    labels = rare()
    labels[:24] = 0
    with pytest.raises(DataError, match=r"all training molecules are of one class \('no'\): there is nothing to learn"):
        finish(problem(labels, RARE))
    two = Targets("binary", (*RARE.items, Target(name="other", classes=("0", "1"))))
    both = np.hstack([labels, rare()])
    assert "no training molecule is of class 'yes' of 'end'" in problem_notes(problem(both, two))[0]
    assert finish(problem(both, two)).bundle.metrics["test"]["accuracy"] is not None


def test_constant_numbers_are_learned_and_said() -> None:
    labels = np.full((32, 1), 5.0)
    labels[-1] = 6
    p = problem(labels, Targets("regression", (Target(name="a"),)))
    assert problem_notes(p) == ["all 24 training labels of 'a' are 5: nothing else can be learned"]
    for loss in ("mse", "mve", "evidential", "quantile"):
        trained = finish(p, config=replace(ONE_SET, epochs=10, lr=1e-2, loss=loss))
        np.testing.assert_allclose(trained.predictions["test"][0], 5, atol=0.6)
