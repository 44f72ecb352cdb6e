"""Skewed labels: transformed for training, and predictions come back in the label's own unit."""

import json

import numpy as np
import pytest
import torch

from molmp.training.targets import Target, Targets
from molmp.training.transforms import FEWEST, Transform, choose_transform, skewness

RNG = np.random.default_rng(0)
HALF_LIVES = np.exp(RNG.normal(1.0, 1.5, 300))
BOUND = np.maximum(100 - 20 * RNG.exponential(size=300), 0.5)
COUNTS = HALF_LIVES - HALF_LIVES.min()
"""Positive and negative skewness, as of half-lives and of percentages bound; with a zero."""


def fitted(values: np.ndarray, loss: str = "auto") -> Targets:
    return Targets("regression", (Target(name="y", unit="h"),), loss).fit(values[:, None])


def transform_of(values: np.ndarray) -> Transform | None:
    return choose_transform(values, values.mean(), values.std())


@pytest.mark.parametrize("values", [HALF_LIVES, BOUND, COUNTS], ids=str)
def test_skewness_goes_and_labels_come_back(values: np.ndarray) -> None:
    targets = fitted(values)
    encoded = targets.encode(values[:, None])
    assert abs(skewness(values)) > 1 > abs(skewness(encoded))
    assert abs(encoded.mean()) < 1e-5
    assert encoded.std() == pytest.approx(1, abs=1e-5)
    (back,) = targets.decode(encoded.astype(np.float64))
    np.testing.assert_allclose(back, values, rtol=1e-4, atol=1e-4 * values.std())


@pytest.mark.parametrize("values", [HALF_LIVES, BOUND], ids=str)
def test_order_is_kept_and_predictions_end_where_labels_end(values: np.ndarray) -> None:
    targets = fitted(values)
    grid = np.linspace(-50, 50, 2001)
    (out,) = targets.decode(grid[:, None])
    assert np.isfinite(out).all()
    assert (np.diff(out) >= 0).all()
    np.testing.assert_allclose([out.min(), out.max()], [values.min(), values.max()], rtol=1e-6)


def test_bell_curves_few_labels_equal_and_negative_ones_are_left_alone() -> None:
    assert transform_of(RNG.normal(size=300)) is None
    assert transform_of(HALF_LIVES[: FEWEST - 1]) is None
    assert transform_of(-HALF_LIVES) is transform_of(HALF_LIVES - 1.0) is None
    assert choose_transform(np.full(50, 3.0), 3.0, 1.0) is None
    assert Targets("binary", (Target(name="y", classes=("0", "1")),)).fit(np.eye(40)[:, :1]).items[0].transform is None


def test_positive_labels_may_get_a_logarithm_others_never() -> None:
    assert transform_of(HALF_LIVES).power is None
    assert transform_of(COUNTS).power is not None


@pytest.mark.parametrize("loss", ["mve", "evidential"])
def test_losses_with_a_variance_keep_the_unit(loss: str) -> None:
    assert fitted(HALF_LIVES, loss).items[0].transform is None


def test_quantiles_are_brought_back_in_order() -> None:
    targets = fitted(HALF_LIVES, "quantile")
    (answered,) = targets.answer(np.array([[[-1.0, 0.0, 1.0]]]))
    low, middle, high = answered.quantiles[0]
    assert low < middle < high
    assert answered.value[0] == middle == pytest.approx(np.median(HALF_LIVES), rel=0.3)


def test_an_ensemble_means_in_the_unit() -> None:
    targets = fitted(HALF_LIVES)
    outputs = np.array([[[-1.0]], [[1.0]]])
    alone = [targets.decode(output)[0][0] for output in outputs]
    (answered,) = targets.answer(outputs)
    assert answered.value[0] == pytest.approx(np.mean(alone))
    assert answered.epistemic[0] == pytest.approx(np.std(alone))


def test_gaps_and_labels_beyond_the_logarithm() -> None:
    encoded = fitted(HALF_LIVES).encode(np.array([[np.nan], [-5.0], [HALF_LIVES.min()]]))
    assert np.isnan(encoded[0])
    assert np.isfinite(encoded[1])
    assert encoded[1] == encoded[2]


@pytest.mark.parametrize("values", [HALF_LIVES, BOUND, np.arange(50.0)], ids=str)
def test_it_goes_into_a_file_and_back(values: np.ndarray) -> None:
    targets = fitted(values)
    again = Targets.from_dict(json.loads(json.dumps(targets.to_dict())))
    assert again == targets


@pytest.mark.parametrize("power", [0.0, 2.0, -5.0, 0.5, 3.0])
def test_powers_agree_with_scipy(power: float) -> None:
    from scipy import stats

    z = np.linspace(-3, 3, 61)
    transform = Transform(power=power, shift=0.0, center=0.0, scale=1.0, low=-1e9, high=1e9)
    want = stats.yeojohnson(z, power)
    np.testing.assert_allclose(transform.encode(z), want, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(transform.decode(torch.from_numpy(want)), z, rtol=1e-5, atol=1e-5)
