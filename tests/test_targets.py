"""Labels to what the network learns, and back."""

import numpy as np
import pytest

from molmp.training.targets import Target, Targets


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
    names, x, _ = targets.columns([np.array([[0.2, 0.8], [np.nan, np.nan]])])
    assert names.tolist() == ["y", ""]
    assert x[0] == 0.2


@pytest.mark.parametrize("targets", [two().fit(LABELS), Targets("binary", (Target(name="a", classes=("0", "1")),))])
def test_plain_data_round_trip(targets: Targets) -> None:
    assert Targets.from_dict(targets.to_dict()) == targets
