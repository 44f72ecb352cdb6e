"""Conformal intervals and sets: crepes is the oracle, coverage the law, and files give back what they got."""

import json

import crepes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molmp.errors import ConfigError, DataError
from molmp.trust.conformal import Bins, ConformalIntervals, ConformalQuantiles, CrossConformal, conformal_quantile
from molmp.trust.sets import ConformalSets

COVERAGES = [0.5, 0.75, 0.875, 0.9375]  # exact in binary: crepes rounds 0.2 (n + 1) down where it is whole


def noisy(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, prediction and difficulty; errors have heavy tails and grow with the difficulty."""
    random = np.random.default_rng(seed)
    difficulty = random.uniform(0.2, 3, count)
    prediction = random.normal(0, 2, count)
    return prediction + difficulty * random.standard_t(3, count), prediction, difficulty


@pytest.mark.parametrize("coverage", COVERAGES)
@pytest.mark.parametrize("kind", ["plain", "normalised", "mondrian", "both"])
def test_intervals_are_those_of_crepes(coverage, kind):
    truth, prediction, difficulty = noisy(300, 0)
    bins = np.digitize(difficulty, [1.0, 2.0])
    new, hard = noisy(50, 1)[1:]
    new_bins = np.digitize(hard, [1.0, 2.0])
    mine, theirs, ask, ask_theirs = {}, {}, {}, {}
    if kind in ("normalised", "both"):
        mine, ask, theirs, ask_theirs = ({"difficulty": difficulty}, {"difficulty": hard}, {"sigmas": difficulty},
                                         {"sigmas": hard})  # fmt: skip
    if kind in ("mondrian", "both"):
        mine = mine | {"bins": bins, "num_bins": 3}
        ask, theirs, ask_theirs = ask | {"bins": new_bins}, theirs | {"bins": bins}, ask_theirs | {"bins": new_bins}
    interval = ConformalIntervals.fit(truth, prediction, **mine).interval(new, coverage, **ask)
    oracle = crepes.ConformalRegressor().fit(truth - prediction, **theirs)
    want = oracle.predict_int(new, confidence=coverage, **ask_theirs)
    np.testing.assert_allclose(np.stack(interval, axis=1), want, rtol=1e-12)


@pytest.mark.parametrize("by_class", [True, False])
@pytest.mark.parametrize("coverage", COVERAGES)
def test_sets_are_those_of_crepes(by_class, coverage):
    random = np.random.default_rng(2)
    probabilities = random.dirichlet([1, 2, 3], 400)
    truth = np.array([random.choice(3, p=row) for row in probabilities])
    sets = ConformalSets.fit(truth.astype(float), probabilities, by_class=by_class)
    new = random.dirichlet([1, 1, 1], 60)
    oracle = crepes.ConformalClassifier()
    score = 1 - probabilities[np.arange(400), truth]
    if by_class:
        oracle.fit(score, bins=truth)
        want = np.stack([
            oracle.predict_set(1 - new[:, [c]], bins=np.full(60, c), confidence=coverage, smoothing=False)[:, 0]
            for c in range(3)
        ], axis=1)  # fmt: skip
    else:
        want = oracle.fit(score).predict_set(1 - new, confidence=coverage, smoothing=False)
    np.testing.assert_array_equal(sets.members(new, coverage), want)


def test_what_is_as_improbable_as_the_quantile_is_in():
    sets = ConformalSets.fit(np.zeros(9), np.tile([0.9, 0.1], (9, 1)))
    assert sets.members(np.array([[0.9, 0.1], [0.89, 0.11]]), 0.5)[:, 0].tolist() == [True, False]


def errors_from(coverage, interval, truth, num_old) -> float:
    """How many standard errors the share of the new rows that are covered is from what was asked."""
    share = float(np.mean((interval.low <= truth) & (truth <= interval.high)))
    return abs(share - coverage) / np.sqrt(coverage * (1 - coverage) * (1 / num_old + 1 / len(truth)))


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(COVERAGES), st.integers(0, 1000))
def test_coverage_is_kept(coverage, seed):
    truth, prediction, difficulty = noisy(4000, seed)
    old, new = slice(0, 2000), slice(2000, None)
    bins = Bins.fit(difficulty[old], most=3)
    places = bins.of(difficulty)
    fitted = ConformalIntervals.fit(truth[old], prediction[old], bins=places[old], num_bins=len(bins))
    interval = fitted.interval(prediction[new], coverage, bins=places[new])
    for number in range(len(bins)):
        here = places[new] == number
        part = type(interval)(interval.low[here], interval.high[here])
        assert errors_from(coverage, part, truth[new][here], np.sum(places[old] == number)) < 6
    easy = fitted.interval(prediction[new], coverage, bins=np.zeros(2000, int))
    hard = fitted.interval(prediction[new], coverage, bins=np.full(2000, len(bins) - 1))
    assert ((easy.high - easy.low) < (hard.high - hard.low)).all()
    low, high = prediction - difficulty, prediction + 0.3
    band = ConformalQuantiles.fit(truth[old], low[old], high[old]).interval(low[new], high[new], coverage)
    assert errors_from(coverage, band, truth[new], 2000) < 6


def test_bands_move_alike_and_do_not_turn_over():
    band = ConformalQuantiles.fit(np.zeros(99), np.full(99, -5.0), np.full(99, 5.0))
    interval = band.interval(np.array([-9.0, 1.0]), np.array([9.0, 2.0]), 0.9)
    np.testing.assert_array_equal(interval.low, [-4, 1.5])
    np.testing.assert_array_equal(interval.high, [4, 1.5])


def test_cross_conformal_by_its_definition():
    random = np.random.default_rng(3)
    truth, prediction, folds = random.normal(size=40), random.normal(size=40), random.integers(0, 5, 40)
    predictions = random.normal(size=(5, 7))
    interval = CrossConformal.fit(truth, prediction, folds).interval(predictions, 0.8)
    error = np.abs(truth - prediction)
    for query in range(7):
        low = sorted(predictions[folds[i], query] - error[i] for i in range(40))
        high = sorted(predictions[folds[i], query] + error[i] for i in range(40))
        assert interval.low[query] == low[int(np.floor(41 * 0.2 + 1e-9)) - 1]
        assert interval.high[query] == high[int(np.ceil(41 * 0.8)) - 1]


def test_cross_conformal_covers_with_few_molecules():
    random = np.random.default_rng(4)
    hits = []
    for _ in range(60):
        x, noise = random.normal(size=80), random.normal(size=80)
        y = 2 * x + noise
        folds = np.arange(30) % 5
        slopes = [np.polyfit(x[:30][folds != k], y[:30][folds != k], 1) for k in range(5)]
        out = np.array([np.polyval(slopes[folds[i]], x[i]) for i in range(30)])
        fitted = CrossConformal.fit(y[:30], out, folds)
        interval = fitted.interval(np.stack([np.polyval(slope, x[30:]) for slope in slopes]), 0.9)
        hits.append(np.mean((interval.low <= y[30:]) & (y[30:] <= interval.high)))
    assert 0.87 < np.mean(hits) < 0.97


def test_too_few_molecules_promise_nothing():
    truth, prediction, _ = noisy(8, 0)
    assert np.isinf(ConformalIntervals.fit(truth, prediction).interval(prediction, 0.9)).all()
    cross = CrossConformal.fit(truth, prediction, np.arange(8) % 2)
    assert np.isinf(cross.interval(np.zeros((2, 3)), 0.9)).all()
    sets = ConformalSets.fit(np.array([0.0, 1.0]), np.eye(2))
    assert sets.members(np.array([[1.0, 0.0]]), 0.9).all()


def test_missing_truths_are_left_out():
    truth, prediction, _ = noisy(100, 5)
    with_gaps = np.concatenate([truth, np.full(30, np.nan)])
    more = np.concatenate([prediction, np.full(30, 1e9)])
    one, other = ConformalIntervals.fit(truth, prediction), ConformalIntervals.fit(with_gaps, more)
    np.testing.assert_array_equal(one.scores[0], other.scores[0])


@pytest.mark.parametrize("count", [0, 40, 100, 5000])
def test_bins_are_filled(count):
    values = np.random.default_rng(6).choice([0.0, 0.1, 0.5, 1.0], count)
    bins = Bins.fit(values)
    assert len(bins) == 1 or np.bincount(bins.of(values), minlength=len(bins)).min() >= 50
    assert bins.of(np.array([-1.0]))[0] == 0
    assert bins.of(np.array([9.0]))[0] == len(bins) - 1


def test_files_give_back_what_they_got():
    truth, prediction, difficulty = noisy(50, 7)
    for fitted in (
        ConformalIntervals.fit(truth, prediction, bins=np.arange(50) % 2, num_bins=2),
        ConformalQuantiles.fit(truth, prediction - 1, prediction + 1),
        CrossConformal.fit(truth, prediction, np.arange(50) % 5),
        ConformalSets.fit(np.arange(50.0) % 2, np.stack([difficulty, -difficulty], axis=1)),
    ):
        data = json.loads(json.dumps(fitted.to_dict()))
        assert type(fitted).from_dict(data).to_dict() == fitted.to_dict()


def test_wrong_input():
    nothing = np.full(3, np.nan)
    for fit in (ConformalIntervals.fit, ConformalQuantiles.fit, CrossConformal.fit):
        with pytest.raises(DataError, match="no calibration molecule has a label"):
            fit(nothing, *[np.zeros(3)] * (1 if fit == ConformalIntervals.fit else 2))
    with pytest.raises(DataError, match="no calibration molecule has a label"):
        ConformalSets.fit(nothing, np.zeros((3, 2)))
    with pytest.raises(DataError, match="difficulties must be finite and above 0"):
        ConformalIntervals.fit(np.zeros(2), np.zeros(2), difficulty=np.array([1.0, 0.0]))
    for coverage in (0, 1, 90):
        with pytest.raises(ConfigError, match="coverage must be above 0 and below 1"):
            conformal_quantile(np.zeros(3), coverage)
    with pytest.raises(DataError, match="there are 3 folds but predictions of 2 networks"):
        CrossConformal.fit(np.zeros(3), np.zeros(3), np.arange(3)).interval(np.zeros((2, 1)), 0.5)
    for data in ({"scores": [[2.0, 1.0]]}, {"scores": [[[1.0]]]}, {"scores": [[float("nan")]]}):
        with pytest.raises(DataError, match="not ascending numbers"):
            ConformalIntervals.from_dict(data)
    with pytest.raises(DataError, match="do not fit together"):
        CrossConformal.from_dict({"errors": [1.0, 2.0], "folds": [0]})
