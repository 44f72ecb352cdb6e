"""Training: laws of the loop, and what every part of a run must agree on."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from molmp.chem.featurize import GraphOptions, featurize
from molmp.errors import ConfigError, DataError, DeviceError
from molmp.nn.batch import DeviceGraphs
from molmp.nn.config import ModelConfig
from molmp.nn.device import pick_device
from molmp.nn.members import Members
from molmp.tables.splits import Split
from molmp.training.config import TrainConfig
from molmp.training.loop import Epoch, Examples, Plan, Step, _batches, _Schedule, fit
from molmp.training.objective import Known, objective
from molmp.training.problem import Problem
from molmp.training.run import MemberDone, Trained, new_model, train
from molmp.training.targets import Target, Targets
from molmp.training.validation import predict_outputs

SMILES = ["C" * n + end for n in range(1, 9) for end in ("", "O", "N", "Cl")]
NETWORK = ModelConfig(hidden=8, steps=2, edge_hidden=4, head_hidden=8)
QUICK = TrainConfig(epochs=3, batch_size=8, ensemble=1)
ONE_SET = replace(QUICK, refit=False)


def problem(
    labels: np.ndarray, targets: Targets, smiles: list[str] = SMILES, weights: np.ndarray | None = None
) -> Problem:
    rows = np.arange(len(smiles))
    return Problem(
        featurized=featurize(smiles), options=GraphOptions(), targets=targets, labels=labels, weights=weights,
        split=Split(rows[: -8], rows[-8:-4], rows[-4:]),
    )  # fmt: skip


def carbons() -> Problem:
    labels = np.array([[float(s.count("C"))] for s in SMILES])
    return problem(labels, Targets("regression", (Target(name="carbons", unit="atoms"),)))


def finish(p: Problem, network: ModelConfig = NETWORK, config: TrainConfig = QUICK) -> Trained:
    *_, last = train(p, network, config, device="cpu")
    assert isinstance(last, Trained)
    return last


def test_it_learns_to_count_carbons() -> None:
    trained = finish(carbons(), config=replace(ONE_SET, epochs=80, lr=1e-2))
    assert trained.bundle.metrics["train"]["rmse"] < 0.3


def test_same_seed_same_weights_to_the_bit() -> None:
    first, second = finish(carbons()), finish(carbons())
    for name, weight in first.bundle.members[0].items():
        assert torch.equal(weight, second.bundle.members[0][name]), name
    assert [h["train_loss"] for h in first.history] == [h["train_loss"] for h in second.history]


def test_another_seed_other_weights() -> None:
    other = finish(carbons(), config=TrainConfig(epochs=3, batch_size=8, seed=1, ensemble=1))
    assert first_weight(other) != first_weight(finish(carbons()))


def first_weight(trained: Trained) -> float:
    return float(trained.bundle.members[0]["head.0.weight"][0, 0])


def test_seeds_next_to_each_other_share_no_initial_weights() -> None:
    hardly = replace(ONE_SET, epochs=1, ensemble=3, lr=1e-12)  # what is trained is what it began with
    first, second = (finish(carbons(), config=replace(hardly, seed=seed)).bundle.members for seed in (0, 1))
    own = finish(carbons(), config=hardly).bundle.members
    for i, mine in enumerate(first):
        assert torch.allclose(mine["head.0.weight"], own[i]["head.0.weight"], atol=1e-6)
        for theirs in second:
            assert not torch.allclose(mine["head.0.weight"], theirs["head.0.weight"], atol=1e-2)


def test_initial_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = new_model(NETWORK, 1, seed=5)
    torch.rand(100)
    second = new_model(NETWORK, 1, seed=5)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_order_of_an_epoch_depends_on_seed_and_epoch_alone() -> None:
    rows = np.arange(10)
    assert np.array_equal(np.concatenate([*_batches(rows, 3, 0, 7)]), np.concatenate([*_batches(rows, 5, 0, 7)]))
    assert not np.array_equal(np.concatenate([*_batches(rows, 5, 0, 7)]), np.concatenate([*_batches(rows, 5, 0, 8)]))
    assert [len(b) for b in _batches(rows, 3, 0, 1)] == [3, 3, 3, 1]


def test_records_come_in_order() -> None:
    config = TrainConfig(epochs=2, batch_size=12, ensemble=1, refit=False)
    kinds = [type(record) for record in train(carbons(), NETWORK, config, device="cpu")]
    assert kinds == [Step, Step, Epoch, Step, Step, Epoch, MemberDone, Trained]


@pytest.mark.parametrize("patience", [0, 12])
def test_the_last_epoch_is_kept_or_with_patience_the_best(patience: int) -> None:
    p = carbons()
    graphs = DeviceGraphs(p.featurized.graphs, steps=2)
    targets = p.targets.fit(p.labels[p.split.train])
    examples = Examples(graphs, targets, p.labels, np.ones(p.labels.shape))
    members, plans = Members([new_model(NETWORK, 1, 0)]), [Plan(0, p.split.train, p.split.val)]
    config = TrainConfig(epochs=12, batch_size=8, lr=0.5, patience=patience, ensemble=1)  # so high that the score jumps
    epochs = [r for r in fit(members, examples, plans, config) if isinstance(r, Epoch)]
    best = min(epochs, key=lambda e: e.val_score)
    assert best.epoch < len(epochs) == 12, "no jump: this test would not see a mistake"
    kept = best if patience else epochs[-1]
    assert [e for e in epochs if e.best][-1] == kept
    (decoded,) = targets.decode(predict_outputs(members, graphs, p.split.val)[0])
    assert np.sqrt(np.mean((decoded - p.labels[p.split.val, 0]) ** 2)) == pytest.approx(kept.val_score, rel=1e-6)


def test_the_ensembles_score_is_that_of_the_mean_of_networks_judged_alike() -> None:
    p = carbons()
    graphs = DeviceGraphs(p.featurized.graphs, steps=2)
    targets = p.targets.fit(p.labels[p.split.train])
    examples = Examples(graphs, targets, p.labels, np.ones(p.labels.shape))
    judged = [p.split.val, p.split.val, p.split.test, p.split.val[:0]]
    members = Members([new_model(NETWORK, 1, seed) for seed in range(len(judged))])
    plans = [Plan(seed, p.split.train, val) for seed, val in enumerate(judged)]
    records = fit(members, examples, plans, TrainConfig(epochs=2, batch_size=8))
    last = {r.member: r.ensemble_score for r in records if isinstance(r, Epoch) and r.epoch == 2}
    assert list(last) == [0, 1, 2]
    for alike in ([0, 1], [2]):
        rows = judged[alike[0]]
        values = [targets.decode(predict_outputs(members, graphs, rows)[member])[0] for member in alike]
        rmse = np.sqrt(np.mean((np.mean(values, axis=0) - p.labels[rows, 0]) ** 2))
        assert [last[member] for member in alike] == pytest.approx([rmse] * len(alike), rel=1e-6)


def test_patience_stops() -> None:
    p = carbons()
    config = TrainConfig(epochs=200, batch_size=8, lr=0.5, patience=2, ensemble=1)
    trained = finish(p, config=config)
    best = max(h["epoch"] for h in trained.history if h["best"])
    assert len(trained.history) == best + 2 < 200


def test_unlabelled_molecules_change_nothing() -> None:
    p = carbons()
    labels = np.vstack([p.labels, [[np.nan]]])
    more = problem(p.labels, p.targets)
    longer = Problem(
        featurized=featurize([*SMILES, "c1ccccc1"]), options=p.options, targets=p.targets, labels=labels, weights=None,
        split=Split(np.append(p.split.train, len(SMILES)), p.split.val, p.split.test),
    )  # fmt: skip
    assert finish(longer).bundle.metrics["test"] == pytest.approx(finish(more).bundle.metrics["test"], rel=1e-4)


def test_weight_zero_is_as_good_as_absent() -> None:
    p = carbons()
    weights = np.ones(len(SMILES))
    weights[3] = 0
    spoiled, missing = p.labels.copy(), p.labels.copy()
    spoiled[3], missing[3] = 1e6, np.nan
    metrics = finish(problem(spoiled, p.targets, weights=weights)).bundle.metrics
    assert metrics["test"] == finish(problem(missing, p.targets)).bundle.metrics["test"]


def test_weights_count() -> None:
    p = carbons()
    weights = np.linspace(0.1, 3, len(SMILES))
    assert finish(problem(p.labels, p.targets, weights=weights)).bundle.metrics != finish(p).bundle.metrics


def test_an_ensemble_predicts_the_mean_of_its_members() -> None:
    p = carbons()
    both = finish(p, config=TrainConfig(epochs=2, batch_size=8, ensemble=2))
    test = p.featurized.graphs.select(p.split.test)
    each = []
    for model in both.bundle.models():
        outputs = predict_outputs(Members([model]), DeviceGraphs(test, steps=NETWORK.steps), np.arange(len(test)))
        each.append(both.bundle.targets.decode(outputs[0])[0])
    assert np.abs(each[0] - each[1]).max() > 1e-3
    shares = both.bundle.targets.items[0].shares
    np.testing.assert_allclose(both.predictions["test"][0], np.average(each, axis=0, weights=shares), rtol=1e-6)
    assert {h["member"] for h in both.history} == {0, 1}


def test_unreadable_rows_are_passed_over() -> None:
    smiles = [*SMILES]
    smiles[2] = "C1CC"
    labels = np.array([[float(s.count("C"))] for s in smiles])
    trained = finish(problem(labels, carbons().targets, smiles))
    assert 2 not in trained.parts["train"]
    assert len(trained.parts["train"]) == len(SMILES) - 9


@pytest.mark.parametrize(
    ("task", "classes", "metric"), [("binary", ("0", "1"), "roc_auc"), ("multiclass", ("a", "b", "c"), "log_loss")]
)
def test_classification_learns(task: str, classes: tuple[str, ...], metric: str) -> None:
    labels = np.array([[float(i % 4 % len(classes))] for i in range(len(SMILES))])
    targets = Targets(task, (Target(name="end", classes=classes),))
    trained = finish(problem(labels, targets), config=replace(ONE_SET, epochs=40, lr=1e-2))
    assert trained.bundle.metrics["train"]["accuracy"] > 0.7
    assert trained.bundle.metrics["val"][metric] is not None


def test_multiclass_targets_of_different_sizes() -> None:
    outputs = torch.randn(4, 5, dtype=torch.float64)
    labels = torch.tensor([[0, 2], [1, 0], [float("nan"), 1], [1, float("nan")]], dtype=torch.float64)
    two = Targets("multiclass", (Target(name="a", classes=("x", "y")), Target(name="b", classes=("p", "q", "r"))))
    loss = objective(two)(outputs, Known(labels, torch.ones(4, 2, dtype=torch.float64)))
    parts = [torch.log_softmax(outputs[:, :2], 1), torch.log_softmax(outputs[:, 2:], 1)]
    picked = [parts[k][i, int(labels[i, k])] for i in range(4) for k in range(2) if not labels[i, k].isnan()]
    assert float(loss) == pytest.approx(-float(torch.stack(picked).mean()))


@pytest.mark.parametrize("loss", ["cross-entropy", "focal", "dirichlet"])
def test_targets_of_different_sizes_are_learned_together(loss: str) -> None:
    """The loss of two targets is the mean over their values, each target alone; a gap of one changes the shares."""
    items = (Target(name="a", classes=("x", "y")), Target(name="b", classes=("p", "q", "r")))
    outputs = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[0, 2], [1, 0], [float("nan"), 1], [1, float("nan")]], dtype=torch.float64)
    weights = torch.tensor([[1.0, 2], [1, 2], [1, 2], [3, 2]], dtype=torch.float64)
    both = objective(Targets("multiclass", items, loss))(outputs, Known(labels, weights))
    columns = [(outputs[:, :2], 0), (outputs[:, 2:], 1)]
    alone = [
        objective(Targets("multiclass", items[k : k + 1], loss))(part, Known(labels, weights).column(k))
        for part, k in columns
    ]
    assert float(both) == pytest.approx(float(alone[0] * 5 + alone[1] * 6) / 11)


def test_schedule_rises_then_falls() -> None:
    factor = _Schedule(TrainConfig(epochs=10, warmup=0.1, ensemble=1), steps_per_epoch=10)
    values = [factor(step) for step in range(100)]
    assert max(values) == values[9] == 1.0
    assert values[:10] == sorted(values[:10])
    assert values[9:] == sorted(values[9:], reverse=True)
    assert factor(100) == pytest.approx(0.01)


def test_a_loss_that_is_not_finite_stops_with_advice() -> None:
    with pytest.raises(DataError, match=r"training diverged in epoch \d+.*--lr than 1e\+30"):
        finish(carbons(), config=TrainConfig(epochs=5, batch_size=8, lr=1e30, ensemble=1))


def test_no_labels_are_refused() -> None:
    p = carbons()
    for part, word in (("train", "training"), ("val", "validation")):
        labels = p.labels.copy()
        labels[getattr(p.split, part)] = np.nan
        with pytest.raises(DataError, match=f"no {word} molecule that can be read has a label"):
            finish(problem(labels, p.targets))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"lr": 0.0}, "lr must be above 0, got 0.0"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": -1}, "batch_size must be at least 1"),
        ({"warmup": 1.0}, "warmup must be from 0 to below 1"),
        ({"patience": -1}, "patience must be at least 0"),
        ({"ensemble": 0}, "ensemble must be at least 1"),
    ],
)
def test_senseless_options(setting: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**setting)


def test_options_as_plain_data() -> None:
    config = TrainConfig(lr=0.5, seed=3, ensemble=1)
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(ConfigError, match="unknown training option 'speed'; there are epochs"):
        TrainConfig.from_dict({"speed": 1})


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(DeviceError, match=r"there is no device 'cuda:99' here; there is .*cpu"):
        pick_device("cuda:99")


def test_bundle_round_trip(tmp_path: Path) -> None:
    from molmp.inference.model_file import load_bundle, save_bundle

    bundle = finish(carbons()).bundle
    save_bundle(bundle, tmp_path / "run")
    loaded = load_bundle(tmp_path / "run")
    assert loaded.to_dict() == bundle.to_dict()
    assert all(torch.equal(t, loaded.members[0][n]) for n, t in bundle.members[0].items())


def test_the_callers_random_numbers_are_left_alone() -> None:
    torch.manual_seed(0)
    want = torch.rand(1)
    torch.manual_seed(0)
    finish(carbons(), network=ModelConfig(hidden=8, steps=2, dropout=0.5))
    assert torch.equal(torch.rand(1), want)


def bounded_problem(scale: float = 1.0) -> Problem:
    """Numbers of carbons, of which those above 5 are known as ``>5``, in another unit."""
    p = carbons()
    sides = (p.labels > 5).astype(np.int8)
    return replace(p, labels=np.minimum(p.labels, 5) * scale, sides=sides)


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "mve"])
def test_bounds_are_learned_as_bounds(loss: str) -> None:
    config = replace(ONE_SET, epochs=25, lr=1e-2, loss=loss)
    trained = finish(bounded_problem(), config=config)
    assert trained.bundle.metrics["per_target"]["carbons"]["train"]["bounds"] == 5
    as_values = finish(replace(bounded_problem(), sides=None), config=config)
    tails = [np.mean(t.predictions["test"][0]) for t in (trained, as_values)]  # molecules of eight carbons
    assert tails[0] > tails[1] + 0.15


@pytest.mark.parametrize("loss", ["mse", "mve"])
def test_the_unit_of_bounds_does_not_matter(loss: str) -> None:
    config = TrainConfig(epochs=3, batch_size=8, loss=loss, ensemble=1)
    here, there = (finish(bounded_problem(scale), config=config) for scale in (1.0, 1000.0))
    np.testing.assert_allclose(there.predictions["test"][0], 1000 * here.predictions["test"][0], rtol=1e-4)
    for name, value in here.bundle.metrics["train"].items():
        factor = 1000 if name in ("rmse", "mae") else 1
        assert there.bundle.metrics["train"][name] == pytest.approx(factor * value, rel=1e-4), name


@pytest.mark.parametrize("loss", ["quantile", "evidential"])
def test_losses_that_cannot_learn_from_bounds(loss: str) -> None:
    with pytest.raises(ConfigError, match=f"13 labels are bounds such as '>10', from which loss '{loss}' cannot learn"):
        finish(bounded_problem(), config=TrainConfig(loss=loss, ensemble=1))


@pytest.mark.parametrize(
    ("molecules", "batch_size", "epochs"),
    [(1, 64, 30), (64 * 27, 64, 30), (64 * 40, 64, 20), (10**5, 64, 15), (640, 8, 15)],
)
def test_many_molecules_are_learned_in_fewer_epochs(molecules: int, batch_size: int, epochs: int) -> None:
    assert TrainConfig(batch_size=batch_size).settled(molecules).num_epochs == epochs
    assert TrainConfig(batch_size=batch_size, epochs=7).settled(molecules).num_epochs == 7


def test_training_molecules_settle_the_number_of_epochs_which_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("molmp.training.config.STEPS", 20 * len(carbons().split.train))
    trained = finish(carbons(), config=TrainConfig(batch_size=1, ensemble=1))
    assert trained.bundle.training.epochs == max(epoch["epoch"] for epoch in trained.history) == 20
