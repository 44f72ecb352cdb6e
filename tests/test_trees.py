"""Boosted trees beside the networks of classes: scikit-learn's to the last bit, one voice wherever a model speaks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from molmp import MPNNClassifier, check_model
from molmp.chem.featurize import GraphOptions, featurize
from molmp.errors import ConfigError, FileFormatError
from molmp.explain.gradients import completeness_gap, integrated_gradients
from molmp.inference.deviations import dropout_outputs
from molmp.inference.export import FlatModel
from molmp.inference.model_file import load_bundle, save_bundle
from molmp.inference.predictor import Predictor
from molmp.nn.config import ModelConfig
from molmp.nn.model import graphs_for
from molmp.nn.trees import Trees
from molmp.tables.splits import Split
from molmp.training.boosting import BOOSTING, MOST_TARGETS, boost, has_trees
from molmp.training.bundle import Bundle
from molmp.training.config import TrainConfig
from molmp.training.examples import Examples
from molmp.training.problem import Problem
from molmp.training.run import Trained, train
from molmp.training.shares import TREES
from molmp.training.targets import Target, Targets

SMILES = [start + "C" * n + end for n in range(1, 13) for end in ("", "O", "N", "Cl") for start in ("", "F")]
OPTIONS = GraphOptions(features="descriptors")
MADE = featurize(SMILES, OPTIONS)
X = MADE.graphs.features
CLASSES = {"binary": ("no", "yes"), "multiclass": ("none", "one", "two")}
LOSSES = {"binary": "bce", "multiclass": "cross-entropy"}


def labels(task: str) -> np.ndarray:
    """Halogens: whether there are any, or how many."""
    counts = np.array([text.count("F") + text.count("Cl") for text in SMILES], float)
    return np.minimum(counts, len(CLASSES[task]) - 1)[:, None]


def targets_of(task: str, number: int = 1) -> Targets:
    return Targets(task, tuple(Target(name=f"t{i}", classes=CLASSES[task]) for i in range(number)))


def examples(task: str, y: np.ndarray, weights: np.ndarray | None = None) -> Examples:
    return Examples(None, targets_of(task, y.shape[1]), y, np.ones(y.shape) if weights is None else weights)  # type: ignore[arg-type]


def problem(task: str = "binary", features: str = "descriptors", folds: int = 0) -> Problem:
    options = replace(OPTIONS, features=features)
    rows, made = (
        np.random.default_rng(0).permutation(len(SMILES)),
        MADE if options == OPTIONS else featurize(SMILES, options),
    )
    split = Split(*(np.sort(part) for part in (rows[:64], rows[64:80], rows[80:])))
    both = np.concatenate([split.train, split.val])
    parts = tuple(Split(both[np.arange(80) % folds != i], both[i::folds], split.test) for i in range(folds))
    y = (labels("binary") * 3.0) if task == "regression" else labels(task)
    targets = Targets("regression", (Target(name="t0"),)) if task == "regression" else targets_of(task)
    return Problem(featurized=made, options=options, targets=targets, labels=y, weights=None, split=split, folds=parts)


def finish(p: Problem, **training: object) -> Trained:
    network = ModelConfig(hidden=8, steps=1, edge_hidden=4, head_hidden=8)
    config = TrainConfig(**{"epochs": 1, "batch_size": 32, "ensemble": 2, **training})
    *_, last = train(p, network, config, device="cpu")
    assert isinstance(last, Trained)
    return last


@pytest.fixture(scope="module", params=["binary", "multiclass"])
def trained(request: pytest.FixtureRequest) -> Trained:
    return finish(problem(request.param))


def raw(trees: Trees, features: np.ndarray = X) -> np.ndarray:
    return trees.answer(torch.from_numpy(features)).numpy()


@pytest.mark.parametrize("task", CLASSES)
def test_trees_are_those_of_scikit_learn(task: str) -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    rng = np.random.default_rng(1)
    features, y, weights = rng.normal(size=(300, 6)).astype(np.float32), labels(task), rng.uniform(0.5, 2, (300, 1))
    y = np.minimum(1 * (features[:, :1] > 0.3) + (features[:, 1:2] * features[:, 2:3] > 0), y.max()).astype(float)
    mine = boost(examples(task, y, weights), features, np.arange(200), seed=3)
    theirs = HistGradientBoostingClassifier(**BOOSTING, random_state=3).fit(
        features[:200], y[:200, 0], weights[:200, 0]
    )
    expected = theirs.decision_function(features).reshape(300, -1)
    assert mine.depth > 1
    np.testing.assert_allclose(raw(mine, features), expected, rtol=1e-5, atol=1e-6)


def test_a_target_has_the_trees_that_it_has_alone() -> None:
    both = np.concatenate([labels("binary"), np.roll(labels("binary"), 5, axis=0)], axis=1)
    both[::7, 1] = np.nan
    rows = np.arange(len(SMILES))
    together = raw(boost(examples("binary", both), X, rows, 0))
    for column in range(2):
        alone = raw(boost(examples("binary", both[:, [column]]), X, rows, 0))
        np.testing.assert_array_equal(together[:, [column]], alone)


def test_only_labels_that_are_there_and_count_are_learned() -> None:
    y, rows = labels("binary"), np.arange(len(SMILES))
    hidden, weights = y.copy(), np.ones_like(y)
    hidden[::3], weights[1::3] = np.nan, 0
    kept = rows[(rows % 3) == 2]
    wrong = np.where(weights == 0, 1 - hidden, hidden)
    np.testing.assert_array_equal(
        raw(boost(examples("binary", wrong, weights), X, rows, 0)), raw(boost(examples("binary", y), X, kept, 0))
    )


@pytest.mark.parametrize("task", CLASSES)
def test_few_labels_give_a_prior_and_a_class_without_any_is_not_impossible(task: str) -> None:
    y = labels(task)
    of_one = np.flatnonzero(y[:, 0] == 0)
    for rows in (of_one, of_one[:1], of_one[:0]):
        answer = raw(boost(examples(task, y), X, rows, 0))
        assert (answer == answer[0]).all()
        assert np.isfinite(answer).all()
    if task == "multiclass":
        answer = raw(boost(examples(task, y), X, np.flatnonzero(y[:, 0] < 2), 0))
        p = torch.from_numpy(answer).softmax(1).numpy()
        assert (p[:, 2] > 0).all()
        assert p[:, 2].max() < 0.1


def test_a_feature_that_is_missing_counts_as_0() -> None:
    gone, zero = X.copy(), X.copy()
    gone[:, 3:40], zero[:, 3:40] = np.nan, 0
    trees = boost(examples("binary", labels("binary")), X, np.arange(len(SMILES)), 0)
    np.testing.assert_array_equal(raw(trees, gone), raw(trees, zero))
    assert (raw(trees, zero) != raw(trees)).any()


def test_half_of_an_answer_is_that_of_the_trees(trained: Trained) -> None:
    bundle = trained.bundle
    assert bundle.targets.items[0].shares[-1] == TREES
    assert sum(bundle.targets.items[0].shares) == pytest.approx(1)
    outputs = torch.from_numpy(Predictor(bundle, "cpu").outputs(MADE)).double()
    np.testing.assert_allclose(outputs[-1], raw(bundle.trees[0]), rtol=1e-6)
    p = outputs.sigmoid()[..., 0] if bundle.targets.task == "binary" else outputs.softmax(-1)
    shares = np.array(bundle.targets.items[0].shares) / (1 - TREES)
    networks = sum(share * one for share, one in zip(shares[:-1], p[:-1].numpy(), strict=True))
    value = Predictor(bundle, "cpu").answer(MADE).targets[0].value
    np.testing.assert_allclose(value, TREES * p[-1].numpy() + (1 - TREES) * networks, rtol=1e-6)
    np.testing.assert_allclose(trained.predictions["test"][0], value[trained.parts["test"]], rtol=1e-4)


def test_trees_of_the_model_learn_validation_molecules_too_and_those_before_do_not() -> None:
    p = problem()
    done, config = finish(p), TrainConfig(seed=0)
    rows = np.union1d(p.split.train, p.split.val)
    own = examples("binary", p.labels)
    np.testing.assert_array_equal(raw(done.bundle.trees[0]), raw(boost(own, X, rows, config.seed)))
    first = finish(p, refit=False).bundle.trees[0]
    np.testing.assert_array_equal(raw(first), raw(boost(own, X, p.split.train, config.seed)))
    wrong = p.labels.copy()
    wrong[p.split.test] = 1 - wrong[p.split.test]
    np.testing.assert_array_equal(raw(finish(replace(p, labels=wrong)).bundle.trees[0]), raw(done.bundle.trees[0]))


def test_each_fold_has_trees_of_its_own() -> None:
    p = problem(folds=4)
    done = finish(p, ensemble=2)
    assert (len(done.bundle.members), len(done.bundle.trees)) == (8, 4)
    voices = Predictor(done.bundle, "cpu").voices
    assert [isinstance(voice, Trees) for voice in voices] == [False, False, True] * 4
    for fold, trees in zip(p.folds, done.bundle.trees, strict=True):
        np.testing.assert_array_equal(raw(trees), raw(boost(examples("binary", p.labels), X, fold.train, 0)))
    answer = Predictor(done.bundle, "cpu").answer(MADE).targets[0].value
    np.testing.assert_allclose(done.predictions["test"][0], answer[done.parts["test"]], rtol=1e-4)
    by_fold = np.array([1 / (1 + np.exp(-raw(trees)[:, 0])) for trees in done.bundle.trees])
    networks = torch.from_numpy(Predictor(done.bundle, "cpu").outputs(MADE)).double()[:, :, 0].sigmoid().numpy()
    shares = np.array(done.bundle.targets.items[0].shares)
    expected = sum(shares[:2] @ networks[3 * i : 3 * i + 2] + TREES * by_fold[i] for i in range(4)) / 4
    np.testing.assert_allclose(answer, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("p", "training"),
    [
        (problem("regression"), {}),
        (problem(features="none"), {}),
        (problem(), {"trees": False}),
        (problem(), {"loss": "focal"}),
    ],
    ids=["numbers", "no features", "not wanted", "another loss"],
)
def test_where_there_are_no_trees(p: Problem, training: dict[str, object]) -> None:
    bundle = finish(p, refit=False, **training).bundle
    assert bundle.trees == ()
    assert len(Predictor(bundle, "cpu").voices) == len(bundle.members)
    assert "trees" not in str(sorted(bundle.to_dict()))


def test_of_too_many_molecules_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    y, rows = np.tile(labels("binary"), 2), np.arange(len(SMILES))
    whole = raw(boost(examples("binary", y), X, rows, 0))
    monkeypatch.setattr("molmp.training.boosting.MOST_LABELS", 2 * len(rows))
    np.testing.assert_array_equal(raw(boost(examples("binary", y), X, rows, 0)), whole)
    monkeypatch.setattr("molmp.training.boosting.MOST_LABELS", 2 * 40)
    fewer = raw(boost(examples("binary", y), X, rows, 0))
    assert (fewer != whole).any()
    np.testing.assert_array_equal(raw(boost(examples("binary", y), X, rows, 0)), fewer)
    assert (raw(boost(examples("binary", y), X, rows, 1)) != fewer).any()


def test_very_many_targets_have_none() -> None:
    assert has_trees(targets_of("binary", MOST_TARGETS), 91)
    assert not has_trees(targets_of("binary", MOST_TARGETS + 1), 91)


def test_one_network_and_trees_have_a_spread() -> None:
    done = finish(problem(), ensemble=1)
    assert done.bundle.targets.items[0].shares == (1 - TREES, TREES)
    assert (done.answers["test"][0].epistemic > 0).all()


def test_a_model_file_keeps_them(trained: Trained, tmp_path: Path) -> None:
    save_bundle(trained.bundle, tmp_path / "run")
    again = load_bundle(tmp_path / "run")
    np.testing.assert_array_equal(Predictor(again, "cpu").outputs(MADE), Predictor(trained.bundle, "cpu").outputs(MADE))


def spoilt(bundle: Bundle, **changes: object) -> Bundle:
    (trees,) = bundle.trees
    for name, change in changes.items():
        change(getattr(trees, name))  # type: ignore[operator]
    return bundle


def to(value: float, place: int = 0):
    def change(tensor: Tensor) -> None:
        tensor[place] = value

    return change


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"left": to(0)}, "not finite"),  # an inner node becomes a leaf, with a threshold
        ({"left": to(1 << 40)}, "out of order"),
        ({"left": to(-1)}, "out of order"),
        ({"feature": to(91)}, "beyond the 91"),
        ({"feature": to(-1)}, "'feature' of trees is out of range"),
        ({"root": to(1 << 40)}, "'root' of trees is out of range"),
        ({"output": to(3)}, "'output' of trees is out of range"),
        ({"value": to(np.nan)}, "not finite"),
        ({"base": to(np.inf)}, "not finite"),
        ({"threshold": to(np.nan)}, "not finite"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_damaged_trees_are_refused(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    bundle = finish(problem(), refit=False).bundle
    save_bundle(spoilt(bundle, **changes), tmp_path / "run")
    with pytest.raises(FileFormatError, match=message):
        load_bundle(tmp_path / "run")


def test_a_tree_without_end_and_tensors_of_another_kind_are_refused() -> None:
    number = 201
    chain = {
        "feature": torch.zeros(number, dtype=torch.int64), "threshold": torch.zeros(number).double(),
        "left": torch.arange(number), "value": torch.zeros(number).double(), "root": torch.tensor([0]),
        "output": torch.tensor([0]), "base": torch.zeros(1).double(),
    }  # fmt: skip
    chain["left"][:-1:2] += 1  # 0 to 1 and 2, 2 to 3 and 4, ...
    chain["threshold"][chain["left"] == torch.arange(number)] = np.inf
    with pytest.raises(FileFormatError, match="more than 64 levels"):
        Trees(chain)
    with pytest.raises(FileFormatError, match="difference in 'base'"):
        Trees({name: tensor for name, tensor in chain.items() if name != "base"})
    with pytest.raises(FileFormatError, match="'root' of trees is"):
        Trees(chain | {"root": torch.tensor([0.0])})


@pytest.mark.parametrize("number", [2, -1, "1", True])
def test_a_number_of_trees_that_cannot_be_is_refused(number: object, tmp_path: Path) -> None:
    import json

    save_bundle(finish(problem(), refit=False, ensemble=1).bundle, tmp_path / "run")
    document = json.loads((tmp_path / "run/model.json").read_text())
    (tmp_path / "run/model.json").write_text(json.dumps(document | {"num_trees": number}))
    with pytest.raises(FileFormatError, match="num_trees"):
        load_bundle(tmp_path / "run")


def test_explanations_add_up(trained: Trained) -> None:
    predictor, graphs = Predictor(trained.bundle, "cpu"), MADE.graphs.select(np.arange(6))
    found = integrated_gradients(predictor.scorer(), graphs)
    np.testing.assert_allclose(completeness_gap(found, graphs), 0, atol=1e-6)
    value = predictor.answer(featurize(SMILES[:6], OPTIONS)).targets[0].value
    np.testing.assert_allclose(found.prediction, value if value.ndim == 1 else value[:, -1], rtol=1e-4)


def test_drawn_networks_have_the_same_trees_beside_them(trained: Trained) -> None:
    drawn = dropout_outputs(Predictor(trained.bundle, "cpu"), MADE, samples=3)
    assert len(drawn) == 9
    for voice in (2, 5, 8):
        np.testing.assert_allclose(drawn[voice], raw(trained.bundle.trees[0]), rtol=1e-6)


def test_the_module_that_is_exported_answers_as_the_model(trained: Trained) -> None:
    from molmp.chem.flat import onnx_inputs

    inputs = {name: torch.from_numpy(array) for name, array in onnx_inputs(MADE.graphs).items()}
    with torch.inference_mode():
        (answer, *_) = FlatModel(trained.bundle).eval()(**inputs)
    np.testing.assert_allclose(answer, Predictor(trained.bundle, "cpu").answer(MADE).targets[0].value, rtol=1e-4)


def test_company_and_number_of_trees_at_a_time_do_not_matter(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    (trees,) = trained.bundle.trees
    whole = raw(trees)
    monkeypatch.setattr("molmp.nn.trees.TOGETHER", 7)
    np.testing.assert_allclose(raw(trees), whole, rtol=1e-6)
    np.testing.assert_allclose(np.concatenate([raw(trees, X[[row]]) for row in range(9)]), whole[:9], rtol=1e-6)
    batch = graphs_for(trained.bundle.network, MADE.graphs, "cpu").batch()
    np.testing.assert_array_equal(trees(batch), raw(trees))


def test_the_laws_hold_of_a_model_with_trees(trained: Trained) -> None:
    report = check_model(Predictor(trained.bundle, "cpu"), ["OC(F)C[C@H](N)Cl", "c1ccccc1C(=O)NC", "[Na+].[Cl-]", "C"])
    assert report.ok, str(report)


def test_the_classifier_takes_the_option_and_refuses_another_value() -> None:
    model = MPNNClassifier(hidden=8, epochs=1, ensemble=1, features="descriptors", refit=False, trees=False)
    assert model.fit(SMILES, labels("binary")[:, 0]).predictor_.bundle.trees == ()
    with pytest.raises(ConfigError, match="trees must be true or false, got 'yes'"):
        TrainConfig(trees="yes")
