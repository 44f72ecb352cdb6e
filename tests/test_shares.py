"""What each network of an ensemble counts: by its losses on validation molecules, and the same wherever it answers."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_training import NETWORK, QUICK, SMILES, finish, problem
from tiny import SMILES as MOLECULES
from tiny import tiny_bundle

from molmp.chem.featurize import featurize
from molmp.inference.deviations import dropout_outputs
from molmp.inference.export import FlatModel
from molmp.inference.predictor import Predictor
from molmp.nn.beliefs import Belief, combine, read_belief
from molmp.tables.splits import Split
from molmp.training.bundle import Bundle
from molmp.training.cross import answer_of_some
from molmp.training.run import Trained
from molmp.training.shares import shares_of
from molmp.training.targets import Target, Targets

RAW = torch.randn((3, 5, 4), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
SHARES = [0.5, 0.3, 0.2]
LOSSES = arrays(np.float64, (3, 7), elements=st.just(0.0) | st.floats(1e-9, 1e6))
TASKS = [("regression", "mse"), ("regression", "mve"), ("regression", "evidential"), ("regression", "quantile"),
         ("binary", "bce"), ("binary", "dirichlet"), ("multiclass", "cross-entropy")]  # fmt: skip


def with_shares(bundle: Bundle, shares: list[float]) -> Bundle:
    items = tuple(replace(target, shares=tuple(shares)) for target in bundle.targets.items)
    return replace(bundle, targets=replace(bundle.targets, items=items))


@settings(deadline=None)
@given(LOSSES, st.permutations(range(3)))
def test_shares_add_up_and_follow_their_networks(losses: np.ndarray, order: list[int]) -> None:
    shares = shares_of(losses, np.ones(7))
    if not shares:
        assert not losses.any()
        return
    assert sum(shares) == pytest.approx(1)
    assert min(shares) > 0
    assert (np.diff(np.array(shares)[np.argsort(losses.mean(axis=1))]) <= 1e-12).all(), "the less wrong, the more"
    np.testing.assert_allclose(shares_of(losses[order], np.ones(7)), np.array(shares)[order], rtol=1e-9)


@settings(deadline=None)
@given(LOSSES, st.floats(1e-3, 1e3))
def test_shares_do_not_depend_on_the_unit(losses: np.ndarray, factor: float) -> None:
    np.testing.assert_allclose(shares_of(losses * factor, np.ones(7)), shares_of(losses, np.ones(7)), rtol=1e-6)


def test_few_labels_move_shares_little_and_many_much() -> None:
    one, many = (shares_of(np.repeat([[1.0], [2.0]], n, axis=1), np.ones(n)) for n in (1, 10_000))
    assert 0.5 < one[0] < 0.52
    assert many[0] == pytest.approx(8 / 9, abs=0.01)


def test_labels_that_are_missing_or_do_not_count_decide_nothing() -> None:
    losses, weights = np.array([[1.0, 9.0, np.nan], [2.0, 1.0, np.nan]]), np.array([1.0, 0.0, 1.0])
    assert shares_of(losses, weights) == shares_of(losses[:, :1], np.ones(1))
    assert shares_of(losses[:, 2:], np.ones(1)) == shares_of(np.zeros((2, 3)), np.ones(3)) == ()


@pytest.mark.parametrize(
    ("loss", "binary", "width"),
    [
        ("mve", False, 2),
        ("evidential", False, 4),
        ("bce", True, 1),
        ("dirichlet", True, 2),
        ("cross-entropy", False, 4),
    ],
)
def test_shares_are_as_if_networks_were_repeated(loss: str, binary: bool, width: int) -> None:
    """Shares of 0.5, 0.3 and 0.2 are the plain mean of ten networks: five of the first, three and two."""
    members = read_belief(loss, RAW[..., :width], binary=binary)
    copies = torch.tensor([0] * 5 + [1] * 3 + [2] * 2)
    repeated = Belief(*(None if part is None else part[copies] for part in members))
    for mine, theirs in zip(combine(members, SHARES), combine(repeated), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(("task", "loss"), TASKS)
def test_equal_shares_are_the_mean_and_one_network_is_itself(task: str, loss: str) -> None:
    bundle = tiny_bundle(task, members=3, loss=loss)
    outputs = RAW.new_zeros(3, 5, bundle.targets.num_outputs).normal_(generator=torch.Generator().manual_seed(1))
    plain, equal = bundle.targets.answer(outputs.numpy()), with_shares(bundle, [1 / 3] * 3).targets
    for mine, theirs in zip(equal.answer(outputs.numpy()), plain, strict=True):
        same(mine, theirs)
    first = with_shares(bundle, [1.0, 0.0, 0.0]).targets
    for mine, value in zip(first.answer(outputs.numpy()), first.decode(outputs[0].numpy()), strict=True):
        np.testing.assert_allclose(mine.value, value, rtol=1e-12)


def same(mine: tuple[object, ...], theirs: tuple[object, ...]) -> None:
    for a, b in zip(mine, theirs, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-10)


def test_each_target_has_shares_of_its_own_and_the_order_of_networks_is_theirs() -> None:
    bundle = tiny_bundle(members=3)
    items = [replace(item, shares=tuple(s)) for item, s in zip(bundle.targets.items, (SHARES, [0, 0, 1]), strict=True)]
    mine = Predictor(replace(bundle, targets=replace(bundle.targets, items=tuple(items))), "cpu").predict(MOLECULES)
    each = [Predictor(replace(bundle, members=(m,)), "cpu").predict(MOLECULES) for m in bundle.members]
    mixed = sum(share * one["logS_pred"] for share, one in zip(SHARES, each, strict=True))
    np.testing.assert_allclose(mine["logS_pred"], mixed, rtol=1e-5)
    np.testing.assert_allclose(mine["mp_pred"], each[2]["mp_pred"], rtol=1e-5)
    turned = replace(with_shares(bundle, SHARES[::-1]), members=bundle.members[::-1])
    pd.testing.assert_frame_equal(
        Predictor(turned, "cpu").predict(MOLECULES), Predictor(with_shares(bundle, SHARES), "cpu").predict(MOLECULES)
    )


@pytest.mark.parametrize(("task", "loss"), TASKS)
def test_all_who_answer_count_the_same(task: str, loss: str) -> None:
    """The table, what explanations look at, and what is exported."""
    bundle = with_shares(tiny_bundle(task, members=3, loss=loss), SHARES)
    predictor, graphs = Predictor(bundle, "cpu"), featurize(MOLECULES, bundle.options).graphs
    values = predictor.answer(featurize(MOLECULES, bundle.options)).values
    last = bundle.targets.items[0].classes[-1:] if task == "multiclass" else ()
    scores = predictor.scorer(of_class=last[0] if last else None).scores(graphs)
    np.testing.assert_allclose(scores, values[0][:, -1] if last else values[0], rtol=1e-5)
    outputs = torch.from_numpy(predictor.outputs(featurize(MOLECULES, bundle.options))).double()
    flat = FlatModel(bundle)
    np.testing.assert_allclose(flat._tensors(flat.targets.believe(outputs)[0])[0], values[0], rtol=1e-5)


def test_networks_that_dropout_draws_count_as_those_they_come_from() -> None:
    bundle = with_shares(tiny_bundle(members=3, dropout=0.1), [0.0, 1.0, 0.0])
    predictor, featurized = Predictor(bundle, "cpu"), featurize(MOLECULES, bundle.options)
    drawn = dropout_outputs(predictor, featurized, 20)
    second = drawn.reshape(20, 3, *drawn.shape[1:])[:, 1]
    away = np.abs(predictor.outputs(featurized) - second.mean(0)).mean(axis=(1, 2))
    assert away.argmin() == 1
    alone = with_shares(bundle, []).targets.answer(second)
    for mine, theirs in zip(bundle.targets.answer(drawn), alone, strict=True):
        same(mine, theirs)


def test_networks_of_folds_share_what_those_of_one_fold_do() -> None:
    targets = Targets("regression", (Target(name="a", shares=(0.75, 0.25)),))
    outputs = np.array([[[1.0], [2.0]], [[5.0], [6.0]], [[3.0], [0.0]], [[7.0], [4.0]]])
    np.testing.assert_allclose(targets.answer(outputs)[0].value, [3, 2], rtol=1e-12)
    speaks = np.array([[True, False]] * 2 + [[True, True]] * 2)
    np.testing.assert_allclose(answer_of_some(targets, outputs, speaks)[0].value, [3, 1], rtol=1e-12)


def trained(labels: np.ndarray, targets: Targets, folds: tuple[Split, ...] = ()) -> Trained:
    p = replace(problem(labels, targets), folds=folds)
    return finish(p, NETWORK, replace(QUICK, ensemble=3, refit=False))


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_training_takes_shares_from_validation_molecules(task: str) -> None:
    classes = {"regression": (), "binary": ("n", "y"), "multiclass": ("a", "b", "c")}[task]
    targets = Targets(task, (Target(name="end", classes=classes),))
    labels = np.array([[float(len(s)) if not classes else float(i % len(classes))] for i, s in enumerate(SMILES)])
    done = trained(labels, targets)
    (target,) = done.bundle.targets.items
    rows = done.parts["val"]
    outputs = Predictor(done.bundle, "cpu").outputs(featurize([SMILES[row] for row in rows], done.bundle.options))
    losses = np.array([mean_loss(done.bundle.targets, one, labels[rows, 0]) for one in outputs])
    assert np.argsort(target.shares).tolist() == np.argsort(-losses).tolist()
    np.testing.assert_allclose(done.predictions["val"][0], done.bundle.targets.answer(outputs)[0].value, rtol=1e-4)


def mean_loss(targets: Targets, outputs: np.ndarray, truth: np.ndarray) -> float:
    (answer,) = targets.decode(outputs)
    if targets.task == "regression":
        return float(((answer - truth) ** 2).mean())
    p = np.stack([1 - answer, answer], axis=1) if answer.ndim == 1 else answer
    return float(-np.log(p[np.arange(len(truth)), truth.astype(int)]).mean())


def test_with_folds_each_network_is_judged_by_molecules_it_did_not_see() -> None:
    everyone, labels = np.arange(len(SMILES)), np.array([[float(len(s))] for s in SMILES])
    parts = [everyone[:12], everyone[12:24], everyone[24:]]
    folds = tuple(Split(np.concatenate([p for p in parts if p is not val]), val, parts[2][:0]) for val in parts[:2])
    done = trained(labels, Targets("regression", (Target(name="end"),)), folds)
    (target,) = done.bundle.targets.items
    outputs = Predictor(done.bundle, "cpu").outputs(featurize(SMILES, done.bundle.options))
    losses = np.zeros(3)
    for fold, val in enumerate(parts[:2]):
        for place in range(3):
            (value,) = done.bundle.targets.decode(outputs[3 * fold + place])
            losses[place] += ((value[val] - labels[val, 0]) ** 2).sum() / 24
    weights = (24 * losses / losses.mean() + 50) ** -3.0
    np.testing.assert_allclose(target.shares, weights / weights.sum(), rtol=1e-3)


@pytest.mark.parametrize("how", ["no weight", "bounds"])
def test_bounds_and_labels_without_weight_decide_no_shares(how: str) -> None:
    p = problem(np.array([[float(len(s))] for s in SMILES]), Targets("regression", (Target(name="end"),)))
    counts = np.ones((len(SMILES), 1))
    counts[p.split.val] = 0
    p = replace(p, weights=counts[:, 0]) if how == "no weight" else replace(p, sides=1 - counts)
    assert finish(p, NETWORK, replace(QUICK, ensemble=2)).bundle.targets.items[0].shares == ()
