"""Metrics: against their definitions, with gaps, and undefined ones with a reason."""

import numpy as np
import pytest

from molmp.training.metrics import evaluate

NAN = np.nan


def regression(y: list[float], p: list[float]) -> dict:
    return evaluate("regression", ["t"], np.array([y]).T, [np.array(p)]).per_target["t"]


def binary(y: list[float], p: list[float]) -> dict:
    return evaluate("binary", ["t"], np.array([y]).T, [np.array(p)]).per_target["t"]


def test_regression_by_hand() -> None:
    scores = regression([0, 1, 2, 3], [0, 1, 2, 5])
    assert scores["rmse"] == pytest.approx(1.0)
    assert scores["mae"] == pytest.approx(0.5)
    assert scores["r2"] == pytest.approx(1 - 4 / 5)
    assert scores["spearman"] == pytest.approx(1.0)
    assert scores["kendall"] == pytest.approx(1.0)
    assert scores["pearson"] == pytest.approx(np.corrcoef([0, 1, 2, 3], [0, 1, 2, 5])[0, 1])
    assert scores["count"] == 4


def test_missing_labels_take_no_part() -> None:
    assert regression([0, NAN, 2], [1, 999, 2]) == regression([0, 2], [1, 2])


def test_binary_by_hand() -> None:
    scores = binary([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])
    assert scores["roc_auc"] == pytest.approx(3 / 4)  # of four pairs one is in the wrong order
    assert scores["accuracy"] == scores["balanced_accuracy"] == pytest.approx(0.5)
    assert scores["f1"] == pytest.approx(0.5)
    assert scores["mcc"] == pytest.approx(0.0)
    assert scores["brier"] == pytest.approx(np.mean([0.01, 0.36, 0.36, 0.01]))
    assert scores["log_loss"] == pytest.approx(-np.mean(np.log([0.9, 0.4, 0.4, 0.9])))
    assert scores["pr_auc"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_multiclass_by_hand() -> None:
    p = np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.5, 0.2, 0.3]])
    scores = evaluate("multiclass", ["t"], np.array([[0.0], [1.0], [2.0]]), [p]).per_target["t"]
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert scores["log_loss"] == pytest.approx(-np.mean(np.log([0.8, 0.5, 0.3])))
    assert scores["brier"] == pytest.approx(np.mean([0.04 + 0.01 + 0.01, 0.04 + 0.25 + 0.09, 0.25 + 0.04 + 0.49]))
    assert scores["roc_auc"] == pytest.approx((1 + 1 + 0.75) / 3)


def test_one_class_only_says_so() -> None:
    scores = binary([1, 1, 1], [0.2, 0.8, 0.9])
    assert scores["roc_auc"] is None
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert scores["undefined"]["roc_auc"] == "all 3 labels are of one class"


def test_equal_labels_and_equal_predictions_say_so() -> None:
    assert regression([2, 2], [1, 3])["undefined"]["r2"] == "all 2 labels are equal"
    scores = regression([1, 2], [3, 3])
    assert scores["undefined"] == dict.fromkeys(["pearson", "spearman", "kendall"], "all predictions are equal")
    assert scores["r2"] is not None


@pytest.mark.parametrize("score", [regression, binary])
def test_no_labels(score) -> None:
    scores = score([NAN], [0.5])
    assert scores["count"] == 0
    assert set(scores["undefined"].values()) == {"no labels"}


def test_mean_is_over_targets_where_defined() -> None:
    labels = np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 1.0], [0.0, NAN]])
    p = [np.array([0.1, 0.9, 0.8, 0.3]), np.array([0.5, 0.6, 0.7, 0.1])]
    scores = evaluate("binary", ["a", "b"], labels, p)
    assert scores.mean["roc_auc"] == scores.per_target["a"]["roc_auc"] == 1.0
    assert scores.mean["accuracy"] == pytest.approx((1 + 1) / 2)


def bounded(y: list[float], p: list[float], sides: list[int]) -> dict:
    return evaluate("regression", ["t"], np.array([y]).T, [np.array(p)], np.array([sides]).T).per_target["t"]


def test_a_prediction_on_the_allowed_side_of_a_bound_is_no_error() -> None:
    scores = bounded([1, 2, 5, 5, 5, 5, NAN], [1, 4, 9, 3, 2, 6, 0], [0, 0, 1, 1, -1, -1, 1])
    errors = np.array([0, 2, 0, -2, 0, 1])
    assert scores["rmse"] == pytest.approx(np.sqrt(np.mean(errors**2)))
    assert scores["mae"] == pytest.approx(np.mean(np.abs(errors)))
    assert (scores["count"], scores["bounds"]) == (6, 4)
    assert scores["spearman"] == regression([1, 2], [1, 4])["spearman"]


def test_bounds_only() -> None:
    scores = bounded([1, 2], [0, 3], [1, 1])
    assert scores["mae"] == 0.5
    assert scores["r2"] is None
    assert scores["undefined"]["r2"] == "no labels that are values"
    assert "rmse" not in scores["undefined"]


def test_no_bounds_are_as_without() -> None:
    assert bounded([0, 1, 2], [1, 1, 1.5], [0, 0, 0]) == regression([0, 1, 2], [1, 1, 1.5])


def test_bounds_do_not_depend_on_the_unit() -> None:
    y, p, sides = np.array([1.0, 2, 5, 5]), np.array([1.0, 4, 3, 6]), [0, 0, 1, -1]
    scaled = bounded(list(1000 * y + 3), list(1000 * p + 3), sides)
    assert scaled["rmse"] == pytest.approx(1000 * bounded(list(y), list(p), sides)["rmse"])


@pytest.mark.parametrize(
    ("task", "predictions"),
    [
        ("regression", [0.1, 0.7, 0.9, 0.2]),
        ("binary", [0.1, 0.7, 0.9, 0.2]),
        ("multiclass", [[0.8, 0.2], [0.4, 0.6]] * 2),
    ],
)
def test_one_metric_is_the_same_as_among_all(task: str, predictions: list) -> None:
    for y in ([0.0, 1.0, 1.0, NAN], [1.0, 1.0, NAN, 1.0], [NAN] * 4):
        for sides in (None, np.array([[0], [1], [-1], [0]])) if task == "regression" else (None,):
            given = (task, ["t"], np.array([y]).T, [np.array(predictions)], sides)
            whole = evaluate(*given)
            for metric, value in whole.mean.items():
                one = evaluate(*given, only=metric)
                assert one.mean == {metric: value}
                why = whole.per_target["t"].get("undefined", {})
                assert one.per_target["t"].get("undefined", {}) == {k: v for k, v in why.items() if k == metric}
