"""Labels to what the network learns, and back."""

import numpy as np
import pytest

from molmp.errors import ConfigError
from molmp.training.targets import Answered, Target, Targets


def two() -> Targets:
    return Targets("regression", (Target(name="a", unit="kcal/mol"), Target(name="b")))


LABELS = np.array([[1.0, 100.0], [3.0, np.nan], [8.0, 300.0]])


def test_encode_then_decode_is_the_identity() -> None:
    targets = two().fit(LABELS)
    decoded = np.stack(targets.decode(targets.encode(LABELS)), axis=1)
    np.testing.assert_allclose(decoded, LABELS, rtol=1e-6)


def test_training_labels_have_mean_0_and_deviation_1() -> None:
    encoded = two().fit(LABELS).encode(LABELS)
    np.testing.assert_allclose(np.nanmean(encoded, axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(np.nanstd(encoded, axis=0), 1, rtol=1e-6)


def test_units_survive() -> None:
    assert [t.unit for t in two().fit(LABELS).items] == ["kcal/mol", None]


def test_a_constant_target_does_not_divide_by_0() -> None:
    targets = Targets("regression", (Target(name="a"),)).fit(np.array([[2.0], [2.0]]))
    assert targets.encode(np.array([[2.0]])) == 0


def test_probabilities() -> None:
    binary = Targets("binary", (Target(name="a", classes=("0", "1")),))
    np.testing.assert_allclose(binary.decode(np.array([[0.0], [np.log(3)]]))[0], [0.5, 0.75])
    several = Targets("multiclass", (Target(name="a", classes=("x", "y", "z")), Target(name="b", classes=("p", "q"))))
    assert several.num_outputs == 5
    first, second = several.decode(np.array([[0.0, 0.0, 1000.0, 1.0, 1.0]]))
    np.testing.assert_allclose(first, [[0, 0, 1]])
    np.testing.assert_allclose(second, [[0.5, 0.5]])


def test_extreme_logits_give_no_warning() -> None:
    binary = Targets("binary", (Target(name="a", classes=("0", "1")),))
    with np.errstate(all="raise"):
        assert binary.decode(np.array([[-1000.0], [1000.0]]))[0] == pytest.approx([0, 1])


def test_columns_of_classes_leave_unpredicted_rows_empty() -> None:
    targets = Targets("multiclass", (Target(name="a", classes=("x", "y")),))
    assert targets.column_names == ["a_pred", "a_prob_x", "a_prob_y"]
    names, x, _ = targets.columns([Answered(np.array([[0.2, 0.8], [np.nan, np.nan]]), None, None, None)])
    assert names.tolist() == ["y", ""]
    assert x[0] == 0.2


@pytest.mark.parametrize("targets", [two().fit(LABELS), Targets("binary", (Target(name="a", classes=("0", "1")),))])
def test_plain_data_round_trip(targets: Targets) -> None:
    assert Targets.from_dict(targets.to_dict()) == targets


def wide(loss: str, scale: float = 1.0, center: float = 0.0) -> Targets:
    return Targets("regression", (Target(name="a", scale=scale, center=center), Target(name="b")), loss, (0.1, 0.9))


@pytest.mark.parametrize(
    ("loss", "columns"),
    [
        ("huber", ["a_pred", "b_pred"]),
        ("mve", ["a_pred", "a_std", "b_pred", "b_std"]),
        ("evidential", ["a_pred", "a_std", "b_pred", "b_std"]),
        ("quantile", ["a_pred", "a_q0.1", "a_q0.5", "a_q0.9", "b_pred", "b_q0.1", "b_q0.5", "b_q0.9"]),
    ],
)
def test_columns_of_losses(loss: str, columns: list[str]) -> None:
    """The numbers of a column belong to its name, in the target's unit."""
    targets = wide(loss, scale=10.0, center=100.0)
    assert targets.column_names == columns
    outputs = np.random.default_rng(0).normal(size=(2, 7, targets.num_outputs))
    outputs[:, 3] = np.nan
    answers = targets.answer(outputs)
    table = dict(zip(columns, targets.columns(answers), strict=True))
    assert all(np.isnan(column).tolist() == [i == 3 for i in range(7)] for column in table.values())
    plain = wide(loss).answer(outputs)
    np.testing.assert_allclose(table["a_pred"], 10 * plain[0].value + 100)
    if "a_std" in table:
        np.testing.assert_allclose(table["a_std"], 10 * np.hypot(plain[0].aleatoric, plain[0].epistemic))
    if loss == "quantile":
        np.testing.assert_array_equal(table["a_pred"], table["a_q0.5"])
        np.testing.assert_allclose(table["b_q0.9"], plain[1].quantiles[:, 2])


def test_columns_of_dirichlet() -> None:
    items = (Target(name="a", classes=("no", "yes")),)
    assert Targets("binary", items, "dirichlet").column_names == ["a_pred", "a_std"]
    targets = Targets("multiclass", items, "dirichlet")
    assert targets.column_names == ["a_pred", "a_prob_no", "a_prob_yes", "a_std"]
    name, no, yes, std = targets.columns(targets.answer(np.array([[[-9.0, 9.0], [-9.0, -9.0]]])))
    assert name[0] == "yes"
    np.testing.assert_allclose(no + yes, 1)
    assert std[0] < std[1], "little evidence for any class"


def test_losses_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match="loss 'bce' is not for the task regression; its losses are mse, mae"):
        Targets("regression", (), "bce")
    with pytest.raises(ConfigError, match="quantiles must ascend"):
        Targets("regression", (), "quantile", (0.9, 0.1))


def test_models_of_molmp_0_1_without_a_loss_are_read() -> None:
    for targets, loss in ((two(), "mse"), (Targets("binary", (Target(name="a", classes=("0", "1")),)), "bce")):
        document = targets.to_dict()
        del document["loss"], document["quantiles"]
        assert Targets.from_dict(document) == targets
        assert targets.loss == loss


def test_skewed_labels_with_bounds_are_not_transformed() -> None:
    """A transform ends where the training labels end, but a truth of ``>10`` does not."""
    labels = np.exp(np.random.default_rng(0).normal(0, 1.5, (200, 2)))
    sides = np.zeros(labels.shape, np.int8)
    sides[:5, 1] = 1
    transforms = [target.transform for target in two().fit(labels, sides).items]
    assert transforms[0] is not None
    assert transforms[1] is None
