"""The columns of trust: their promises, and that they depend on the molecule and the model and on nothing else."""

import csv
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tiny import SMILES, tiny_bundle, with_trust

from molmp import MPNNRegressor
from molmp.chem.featurize import GraphOptions, featurize
from molmp.errors import ConfigError, DataError
from molmp.inference import tables
from molmp.inference.batch_predictor import BatchPredictor
from molmp.inference.columns import Columns
from molmp.inference.describe import describe_in_words
from molmp.inference.model_file import load_bundle, save_bundle
from molmp.inference.predictor import Predictor
from molmp.inference.tables import predict_table
from molmp.nn.config import ModelConfig
from molmp.tables.shard import Shard
from molmp.tables.splits import Split, draw_validation
from molmp.training.config import TrainConfig
from molmp.training.problem import Problem
from molmp.training.run import train
from molmp.training.targets import Target, Targets
from molmp.trust.classes import ClassTrust
from molmp.trust.difficulty import Difficulty
from molmp.trust.numbers import NumberTrust
from molmp.trust.told import Told
from molmp.trust.trusted import Trust

ROWS = [*SMILES, "C1CC", "CCCCO", "CC[Fe]CC", "c1ccccc1Br", "CCN", "OCCCO", "F", "CC(C)CC(=O)O", "NCCS"]

KINDS = {
    "regression": {"members": 2},
    "evidential": {"loss": "evidential"},
    "quantile": {"loss": "quantile", "members": 2},
    "binary": {"task": "binary", "members": 2},
    "multiclass": {"task": "multiclass"},
}


def bundle_of(kind: str):
    return with_trust(tiny_bundle(**KINDS[kind]))


def assert_same_table(mine: pd.DataFrame, theirs: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(mine.reset_index(drop=True), theirs.reset_index(drop=True), rtol=1e-5, atol=1e-6)


def noisy(count: int, seed: int) -> tuple[np.ndarray, Told]:
    """Numbers whose errors grow with the spread and fall with the similarity."""
    rng = np.random.default_rng(seed)
    spread, similarity = rng.random(count) + 0.1, rng.random(count)
    error = (0.5 * spread + 2 * (1 - similarity)) * rng.normal(size=count)
    return error, Told(np.zeros(count), spread=spread, similarity=similarity)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("count", [60, 1000])
def test_intervals_hold_the_truth_as_often_as_they_say(coverage, count):
    held = []
    for seed in range(40):
        trust = NumberTrust.fit(*noisy(count, seed))
        truth, told = noisy(500, 1000 + seed)
        low, high = trust.interval(told, coverage)
        held.append(np.mean((low <= truth) & (truth <= high)))
    deviation = np.sqrt(coverage * (1 - coverage) * (1 / count + 1 / 500) / 40)
    assert abs(np.mean(held) - coverage) < 3 * deviation + 1 / count


def test_intervals_are_narrow_where_errors_are_small():
    truth, told = noisy(300, 0)
    trust = NumberTrust.fit(truth, told)
    sure = Told(np.zeros(1), spread=np.array([0.1]), similarity=np.array([1.0]))
    unsure = Told(np.zeros(1), spread=np.array([1.0]), similarity=np.array([0.1]))
    widths = [float(np.subtract(*trust.interval(some, 0.9)[::-1])[0]) for some in (sure, unsure)]
    assert 0 < 3 * widths[0] < widths[1]
    assert trust.sigma(unsure)[0] == pytest.approx(0.5 + 1.8, rel=0.25)


def test_what_errors_were_learned_from_must_be_there():
    truth, told = noisy(60, 0)
    with pytest.raises(DataError, match="calibrated on spread"):
        Difficulty.fit(np.abs(truth), told).expect(told._replace(spread=None))


def test_with_folds_every_molecule_calibrates_by_networks_that_have_not_seen_it():
    smiles = ["C" * n + end for n in range(1, 9) for end in "CONF"]
    rows, options = np.arange(len(smiles)), GraphOptions(bits=True)
    folds = tuple(Split(rows[rows % 3 != fold], rows[rows % 3 == fold], rows[:0]) for fold in range(3))
    problem = Problem(
        featurized=featurize(smiles, options), options=options, targets=Targets("regression", (Target(name="y"),)),
        labels=np.sin(rows)[:, None], weights=None, split=Split(rows, rows, rows[:0]), folds=folds,
    )  # fmt: skip
    *_, trained = train(problem, ModelConfig(hidden=8), TrainConfig(epochs=3, batch_size=8, ensemble=1), device="cpu")
    (trust,), error = trained.bundle.trust.targets, np.empty(len(rows))
    outputs = Predictor(trained.bundle, "cpu").outputs(problem.featurized)[..., 0]
    for network, fold in enumerate(folds):
        value = trained.bundle.targets.answer(outputs[[network]][..., None])[0].value
        error[fold.val] = np.abs(problem.labels[fold.val, 0] - value[fold.val])
    by_hand = NumberTrust.fit(error, Told(np.zeros(len(rows)), spread=np.zeros(len(rows))))
    assert trust.count == len(rows)
    np.testing.assert_allclose(trust.intervals.scores[0], by_hand.intervals.scores[0], rtol=1e-4)
    np.testing.assert_allclose(trust.scale, by_hand.scale, rtol=1e-4)


def test_each_class_is_in_its_sets_as_often_as_they_say():
    rng = np.random.default_rng(0)
    truth = (rng.random(4000) < 0.1).astype(float)
    value = 1 / (1 + np.exp(-(3 * truth - 1 + rng.normal(size=4000))))
    trust = ClassTrust.fit(truth[:2000], Told(value[:2000]))
    assert trust.method == "isotonic calibration, conformal sets by class"
    members = trust.members(Told(value[2000:]), 0.8)
    for number in (0, 1):
        mine = truth[2000:] == number
        assert members[mine, number].mean() == pytest.approx(0.8, abs=0.07)
    calibrated = trust.calibrated(Told(value[2000:]))
    assert calibrated.mean() == pytest.approx(truth[2000:].mean(), abs=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_columns(kind):
    predictor = Predictor(bundle_of(kind), "cpu")
    table, bare = predictor.predict(ROWS), predictor.predict(ROWS, trust=False)
    assert list(bare) == [*predictor.bundle.targets.column_names, "error"]
    pd.testing.assert_frame_equal(table[list(bare)], bare)
    assert list(table) == list(Columns.of(predictor.bundle).types)
    assert list(table)[-5:] == ["nearest", "similarity", "in_domain", "domain_reason", "error"]
    bad = (table["error"] != "").to_numpy()
    assert bad.sum() == 1
    assert (table["nearest"] == "").tolist() == bad.tolist()
    assert table[bad].drop(columns="error").map(lambda cell: cell == "" or cell != cell).all(axis=None)
    good = table[~bad].set_index(np.array(ROWS)[~bad])
    assert good.loc["CCCCO", ["nearest", "similarity", "in_domain", "domain_reason"]].tolist()[:2] == ["CCCCO", 1.0]
    assert good.loc["CC[Fe]CC", "in_domain"] == "no"
    assert good.loc["CC[Fe]CC", "domain_reason"].startswith("element Fe occurs in no training molecule")
    assert ((good["domain_reason"] == "") == (good["in_domain"] == "yes")).all()
    for name in predictor.bundle.targets.names:
        if kind in ("regression", "evidential", "quantile"):
            assert (good[f"{name}_low"] < good[f"{name}_high"]).all()
        if kind == "binary":
            assert good[f"{name}_calibrated"].between(0, 1).all()
            assert set(good[f"{name}_set"]) <= {"no", "yes", "no|yes", "none"}
        if kind == "multiclass":
            parts = good[[column for column in good if column.startswith(f"{name}_calibrated_")]]
            np.testing.assert_allclose(parts.sum(axis=1), 1)
    assert f"{predictor.bundle.targets.names[0]}_spread" in table or kind == "multiclass"


@pytest.mark.parametrize("kind", KINDS)
def test_company_does_not_matter(kind):
    predictor = Predictor(bundle_of(kind), "cpu")
    together = predictor.predict(ROWS * 2, n_jobs=2)
    assert_same_table(together[len(ROWS) :], predictor.predict(ROWS))
    assert_same_table(pd.concat([predictor.predict(row) for row in ROWS]), together[: len(ROWS)])


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_was_saved_says_the_same(kind, tmp_path):
    bundle = bundle_of(kind)
    save_bundle(bundle, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["domain.safetensors", "model.json", "model.safetensors"]
    again = Predictor(load_bundle(tmp_path), "cpu")
    pd.testing.assert_frame_equal(again.predict(ROWS), Predictor(bundle, "cpu").predict(ROWS))
    save_bundle(replace(bundle, trust=None), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
    assert list(Predictor.load(tmp_path).predict(ROWS)) == [*bundle.targets.column_names, "error"]


def test_files_are_the_same_however_they_are_made(tmp_path, monkeypatch):
    predictor = Predictor(bundle_of("regression"), "cpu")
    (tmp_path / "in.csv").write_text("smiles\n" + "\n".join(ROWS * 3) + "\n")

    def run(name: str, **options: object) -> list[dict[str, str]]:
        predict_table(predictor, tmp_path / "in.csv", tmp_path / name, **options)
        return list(csv.DictReader((tmp_path / name).open()))

    whole = run("whole.csv")
    assert set(whole[0]) > {"logS_low", "mp_high", "logS_spread", "nearest", "similarity", "in_domain"}
    assert run("jobs.csv", n_jobs=2) == whole
    monkeypatch.setattr(tables, "FIRST", 3)
    monkeypatch.setattr(tables, "BATCH", 5)
    shards = [run(f"{i}.csv", shard=Shard(i, 2)) for i in (1, 2)]
    dealt = [shards[row % 2][row // 2] for row in range(len(whole))]
    for others in (run("small.csv"), dealt):
        assert_same_table(numbers(others), numbers(whole))
    made = BatchPredictor(predictor.bundle, device="cpu")({"smiles": np.array(ROWS * 3, object)})
    np.testing.assert_allclose(made["logS_low"], numbers(whole)["logS_low"], rtol=1e-5)
    assert made["domain_reason"].tolist()[:8] == [row["domain_reason"] for row in whole[:8]]


def numbers(rows: list[dict[str, str]]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    for name in table:
        if name.endswith(("_pred", "_low", "_high", "_spread", "similarity")):
            table[name] = pd.to_numeric(table[name])
    return table


def test_without_trust_files_are_those_of_a_model_without(tmp_path):
    (tmp_path / "in.csv").write_text("smiles\n" + "\n".join(ROWS) + "\n")
    bundle = bundle_of("regression")
    for name, model, trust in (("a", bundle, False), ("b", replace(bundle, trust=None), True)):
        predict_table(Predictor(model, "cpu"), tmp_path / "in.csv", tmp_path / f"{name}.csv", trust=trust)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_coverage_widens(tmp_path):
    predictor = Predictor(bundle_of("regression"), "cpu")
    some, most = (predictor.predict(["CCO"], coverage=coverage) for coverage in (0.5, 0.9))
    assert most["logS_low"][0] < some["logS_low"][0] < some["logS_pred"][0] < some["logS_high"][0]
    for coverage in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="coverage must be above 0 and below 1"):
            predictor.predict(["CCO"], coverage=coverage)


def test_too_few_molecules_are_said(tmp_path):
    bundle = with_trust(tiny_bundle(), rows=4)
    ours = Columns.of(bundle)
    assert ours.notes[0].startswith("logS: 4 calibration molecules are too few for intervals of coverage 0.9")
    values = ours.values(Predictor(bundle, "cpu").answer(featurize(["CCO"], Predictor(bundle, "cpu").options())))
    assert values["logS_low"] == values["logS_high"] == [None]
    assert Columns.of(bundle, coverage=0.5).notes == []
    nothing = replace(bundle, trust=Trust((None, None), bundle.trust.domain))
    assert "no calibration molecule has a label" in Columns.of(nothing).notes[1]
    assert "logS_low" not in Predictor(nothing, "cpu").predict(["CCO"])
    one_class = ClassTrust.fit(np.zeros(9), Told(np.full(9, 0.3)))
    assert one_class.calibration is None
    assert one_class.members(Told(np.array([0.3])), 0.5).tolist() == [[True, True]]
    assert Trust((one_class,)).notes(["x"], 0.5)[0].startswith("x: the calibration molecules lack a class")
    assert NumberTrust.fit(np.full(3, np.nan), Told(np.zeros(3))) is None


def test_a_model_that_keeps_no_molecules():
    bundle = with_trust(tiny_bundle(members=2), names=False)
    table = Predictor(bundle, "cpu").predict(ROWS)
    assert list(table)[:4] == ["logS_pred", "logS_low", "logS_high", "logS_spread"]
    assert not {"nearest", "similarity", "in_domain"} & set(table)


def test_nothing_readable():
    predictor = Predictor(bundle_of("binary"), "cpu")
    table = predictor.predict(["C1CC", ""])
    assert (table["nearest"] == "").all()
    assert table["toxic_pred"].isna().all()
    assert len(predictor.predict([])) == 0


def test_dropout_draws_networks(tmp_path):
    predictor = Predictor(tiny_bundle(dropout=0.3), "cpu")
    first = predictor.spread(ROWS, samples=20)
    pd.testing.assert_frame_equal(first, predictor.spread(ROWS, samples=20))
    alone = pd.concat([predictor.spread([row], samples=20) for row in ROWS])
    assert_same_table(alone, first)
    good = first[[row != "C1CC" for row in ROWS]]
    assert (good["logS_epistemic"] > 0).all()
    assert predictor.spread(ROWS)["logS_epistemic"].isna().all()
    many = predictor.spread(ROWS, samples=200)["logS_epistemic"]
    np.testing.assert_allclose(good["logS_epistemic"], many[good.index], rtol=0.6)
    with pytest.raises(ConfigError, match="samples must be at least 2"):
        predictor.spread(ROWS, samples=1)
    with pytest.raises(ConfigError, match="trained without dropout"):
        Predictor(tiny_bundle(dropout=0.0), "cpu").spread(ROWS, samples=5)


def test_sigma_is_calibrated():
    table = Predictor(bundle_of("regression"), "cpu").spread(["CCCO"])
    assert table["logS_sigma"][0] == pytest.approx(1, rel=0.4)


def test_intervals_of_an_estimator():
    smiles = ["C" * n + end for n in range(1, 11) for end in ("C", "O", "N", "S", "F", "Cl", "Br", "CO", "CN", "CC=O")]
    y = np.array([float(len(text)) for text in smiles])
    model = MPNNRegressor(hidden=8, epochs=1, device="cpu", validation_fraction=0.3).fit(smiles, np.stack([y, y], 1))
    low, high = model.predict_interval(smiles, coverage=0.8)
    value = model.predict(smiles)
    assert value.shape == low.shape == high.shape == (100, 2)
    assert (low < value).all()
    assert (value < high).all()
    table = model.predictor_.predict(smiles, coverage=0.8)
    np.testing.assert_allclose(table.filter(like="_low").iloc[:, 0], low[:, 0])
    assert np.isinf(model.predict_interval(["CCO"], coverage=0.99)).all()
    assert "30 calibration molecules" in describe_in_words(model.predictor_.bundle)


def test_the_end_of_training_calibrates_on_labels_that_are_values():
    smiles = ["C" * n + end for n in range(1, 11) for end in ("C", "O", "N", "S", "F", "Cl", "Br", "CO", "CN", "CC=O")]
    y = [f"<{len(text)}" if row % 2 else str(len(text)) for row, text in enumerate(smiles)]
    weight = np.arange(100.0) % 4 > 0
    model = MPNNRegressor(hidden=8, epochs=1, ensemble=1, device="cpu", validation_fraction=0.4)
    trust = model.fit(smiles, y, sample_weight=weight).predictor_.bundle.trust
    _, val = draw_validation(np.arange(100), 0.4, model.random_state)
    assert trust.targets[0].count == np.count_nonzero((val % 2 == 0) & (val % 4 > 0))
    assert 0 < trust.targets[0].count < 20
