"""Calibrated probabilities and the figures that judge uncertainties."""

import json

import numpy as np
import pytest
from scipy import stats
from sklearn.calibration import _SigmoidCalibration
from sklearn.metrics import log_loss

from molmp.errors import ConfigError, DataError
from molmp.trust import probabilities
from molmp.trust.evaluate import (
    calibration_error,
    coverage_by_bin,
    expected_calibration_error,
    normal_nll,
    rank_of_errors,
    selective_curve,
    z_scale,
)  # fmt: skip
from molmp.trust.probabilities import METHODS, Calibration


def overconfident(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Classes, and probabilities three times as sure as they should be."""
    random = np.random.default_rng(seed)
    logit = random.normal(-0.5, 1.5, count)
    truth = random.random(count) < 1 / (1 + np.exp(-logit))
    return truth.astype(float), 1 / (1 + np.exp(-3 * logit))


@pytest.mark.parametrize("method", METHODS)
def test_probabilities_become_honest(method):
    truth, p = overconfident(6000)
    calibrated = Calibration.fit(truth[:3000], p[:3000], method).apply(p[3000:])
    y = truth[3000:]
    assert expected_calibration_error(y, p[3000:]) > 0.1
    assert expected_calibration_error(y, calibrated) < 0.03
    assert log_loss(y, calibrated) < log_loss(y, p[3000:])
    order = np.argsort(p[3000:])
    assert (np.diff(calibrated[order]) >= 0).all()
    assert 0 < calibrated.min() <= calibrated.max() < 1


def test_platt_is_that_of_scikit_learn_but_for_the_prior(monkeypatch):
    monkeypatch.setattr(probabilities, "PRIOR", 0.0)
    truth, p = overconfident(500)
    logit = np.log(p / (1 - p))
    new = np.linspace(0.01, 0.99, 50)
    want = _SigmoidCalibration().fit(logit, truth).predict(np.log(new / (1 - new)))
    np.testing.assert_allclose(Calibration.fit(truth, p).apply(new), want, atol=1e-3)


@pytest.mark.parametrize(("count", "least", "most"), [(4, 0.6, 1.0), (100, 0.38, 0.6), (20_000, 0.32, 0.35)])
def test_few_molecules_change_little(count, least, most):
    slopes = []
    for seed in range(20):
        truth, p = overconfident(count, seed)
        if 0 < truth.sum() < count:
            slopes.append(Calibration.fit(truth, p).curves[0][0][0])
    assert least < np.mean(slopes) < most


def test_platt_undoes_what_was_done():
    truth, p = overconfident(200_000)
    (slope,), (offset,) = Calibration.fit(truth, p).curves[0]
    assert slope == pytest.approx(1 / 3, abs=0.01)
    assert offset == pytest.approx(0, abs=0.02)


def test_worse_than_chance_is_not_turned_around():
    truth, p = overconfident(500)
    calibrated = Calibration.fit(1 - truth, p).apply(np.array([0.1, 0.9]))
    assert calibrated[0] == calibrated[1]


@pytest.mark.parametrize("method", METHODS)
def test_several_classes(method):
    random = np.random.default_rng(1)
    honest = random.dirichlet([1, 1, 1], 4000)
    truth = np.array([random.choice(3, p=row) for row in honest]).astype(float)
    sure = honest**3 / (honest**3).sum(1, keepdims=True)
    calibrated = Calibration.fit(truth[:2000], sure[:2000], method).apply(sure[2000:])
    np.testing.assert_allclose(calibrated.sum(1), 1)
    assert log_loss(truth[2000:], calibrated) < log_loss(truth[2000:], sure[2000:])


@pytest.mark.parametrize("method", METHODS)
def test_calibration_as_plain_data(method):
    truth, p = overconfident(300)
    fitted = Calibration.fit(np.append(truth, np.nan), np.append(p, 0.3), method)
    again = Calibration.from_dict(json.loads(json.dumps(fitted.to_dict())))
    np.testing.assert_array_equal(again.apply(p), fitted.apply(p))


def test_calibration_refuses():
    with pytest.raises(ConfigError, match="calibration must be one of platt, isotonic, got 'magic'"):
        Calibration.fit(np.zeros(2), np.zeros(2), "magic")
    with pytest.raises(DataError, match="must be of several classes; 0 of 2 are of class 1"):
        Calibration.fit(np.zeros(2), np.zeros(2))
    for data in ({"method": "magic", "curves": [[[1], [2]]]}, {"method": "platt", "curves": []},
                 {"method": "platt", "curves": [[[1.0], [float("inf")]]]}):  # fmt: skip
        with pytest.raises(DataError, match="damaged"):
            Calibration.from_dict(data)


@pytest.fixture
def heteroscedastic() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(2)
    sigma = random.uniform(0.1, 2, 20_000)
    prediction = random.normal(size=20_000)
    return prediction + sigma * random.normal(size=20_000), prediction, sigma


def test_right_sigmas_score_best(heteroscedastic):
    truth, prediction, sigma = heteroscedastic
    assert z_scale(truth, prediction, sigma) == pytest.approx(1, abs=0.02)
    assert z_scale(truth, prediction, sigma / 4) == pytest.approx(4, abs=0.08)
    assert calibration_error(truth, prediction, sigma) < 0.05
    assert calibration_error(truth, prediction, 2 * sigma) == pytest.approx(0.5, abs=0.05)
    assert calibration_error(truth, prediction, np.full_like(sigma, sigma.mean())) > calibration_error(
        truth, prediction, sigma
    )
    nlls = [normal_nll(truth, prediction, factor * sigma) for factor in (0.5, 1.0, 2.0)]
    assert min(nlls) == nlls[1]
    assert nlls[1] == pytest.approx(-stats.norm(prediction, sigma).logpdf(truth).mean())
    assert rank_of_errors(truth, prediction, sigma) > 0.4
    assert abs(rank_of_errors(truth, prediction, np.random.default_rng(3).random(20_000))) < 0.03
    assert rank_of_errors(truth, prediction, np.ones(20_000)) is None


def test_selective_curve(heteroscedastic):
    truth, prediction, sigma = heteroscedastic
    curve = selective_curve(truth, prediction, sigma)
    assert (np.diff(curve.rmse) > 0).all()
    assert (curve.best <= curve.rmse + 1e-12).all()
    assert curve.rmse[-1] == pytest.approx(np.sqrt(np.mean((truth - prediction) ** 2)))
    assert curve.best[-1] == pytest.approx(curve.rmse[-1])
    half = np.argsort(sigma)[:10_000]
    assert curve.rmse[4] == pytest.approx(np.sqrt(np.mean((truth - prediction)[half] ** 2)))


def test_coverage_by_bin():
    truth = np.array([0.0, 0.0, 5.0, np.nan, 0.0])
    similarity = np.array([0.1, 0.5, 0.9, 0.9, 1.0])
    bins = coverage_by_bin(truth, np.full(5, -1.0), np.array([1, 1, 1, 1, 3.0]), similarity, [0, 0.4, 0.45, 0.7, 1])
    assert bins == [
        {"from": 0, "to": 0.4, "count": 1, "coverage": 1.0, "width": 2.0},
        {"from": 0.45, "to": 0.7, "count": 1, "coverage": 1.0, "width": 2.0},
        {"from": 0.7, "to": 1, "count": 2, "coverage": 0.5, "width": 3.0},
    ]


def test_nothing_to_score():
    with pytest.raises(DataError, match="no molecule has a label"):
        normal_nll(np.array([np.nan]), np.zeros(1), np.ones(1))
