"""What may go wrong in training and prediction, and what is left: numbers that are not finite, too little memory."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import SMILES as AWKWARD
from tiny import tiny_bundle
from torch import Tensor

from molmp.chem.featurize import GraphOptions, featurize
from molmp.errors import DataError, DeviceError
from molmp.inference.predictor import Predictor
from molmp.nn.batch import GraphBatch
from molmp.nn.config import ModelConfig
from molmp.nn.members import Members
from molmp.nn.model import MoleculeModel
from molmp.nn.process import deterministic
from molmp.tables.splits import Split
from molmp.training import checkpoints as room
from molmp.training import loop
from molmp.training.checkpoints import Checkpoints
from molmp.training.config import TrainConfig
from molmp.training.loop import Step
from molmp.training.problem import Problem
from molmp.training.run import Trained, train
from molmp.training.state import from_bytes
from molmp.training.targets import Target, Targets

SMILES = ["C" * n + end for n in range(1, 9) for end in ("", "O", "N", "Cl")]
NETWORK = ModelConfig(hidden=8, steps=2, edge_hidden=4, head_hidden=8, dropout=0.3)
CONFIG = TrainConfig(epochs=3, batch_size=8, seed=5, ensemble=1, refit=False)


def problem(**changes: Any) -> Problem:
    rows = np.arange(len(SMILES))
    given = {
        "featurized": featurize(SMILES), "options": GraphOptions(),
        "targets": Targets("regression", (Target(name="y"), Target(name="z"))),
        "labels": np.array([[s.count("C"), s.count("O") if i % 3 else np.nan] for i, s in enumerate(SMILES)]),
        "weights": np.linspace(0.5, 2.0, len(SMILES)), "split": Split(rows[:-8], rows[-8:-4], rows[-4:]),
    }  # fmt: skip
    return Problem(**given | changes)


def finish(config: TrainConfig = CONFIG, **changes: Any) -> Trained:
    *_, last = train(problem(**changes), NETWORK, config, device="cpu")
    assert isinstance(last, Trained)
    return last


def spoil(monkeypatch: pytest.MonkeyPatch, number: int, change: Callable[[Tensor], Tensor]) -> None:
    """Change the outputs of the network in one step of training, counted from 1."""
    count, forward = 0, Members.forward

    def spoiled(members: Members, batch: GraphBatch) -> Tensor:
        nonlocal count
        outputs = forward(members, batch)
        count += members.training
        return change(outputs) if members.training and count == number else outputs

    monkeypatch.setattr(Members, "forward", spoiled)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda outputs: outputs * torch.nan, "a loss"),
        (lambda outputs: outputs + torch.inf, "a loss"),
        (lambda outputs: outputs + (outputs * 0).abs().sqrt(), "a gradient"),
    ],
)
def test_the_step_is_named_and_the_last_good_state_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: Callable[[Tensor], Tensor], what: str
) -> None:
    monkeypatch.setattr(room, "EVERY", 0.0)
    monkeypatch.setattr(room, "SHARE", 1e9)
    spoil(monkeypatch, 3 + 2, change)
    records = []

    def run() -> None:
        with Checkpoints(tmp_path / "c") as checkpoints:
            records.extend(train(problem(), NETWORK, CONFIG, device="cpu", checkpoints=checkpoints))

    with pytest.raises(DataError, match=f"training diverged in epoch 2, step 2: {what} is not finite. The likely"):
        run()
    *_, last = sorted((tmp_path / "c").glob("*.checkpoint"))
    state = from_bytes(last.read_bytes())["state"]
    assert (state["place"]["epoch"], state["place"]["step"]) == (2, 1)
    assert all(torch.isfinite(weight).all() for weight in state["network"].values())


def test_networks_hold_their_best_epoch_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Members] = []
    fit = loop.fit
    monkeypatch.setattr(
        "molmp.training.run.fit",
        lambda members, *args, **options: kept.append(members) or fit(members, *args, **options),
    )
    want = finish(replace(CONFIG, epochs=1, warmup=0.0)).bundle.members[0]
    spoil(monkeypatch, 5, lambda outputs: outputs * torch.nan)
    with pytest.raises(DataError, match="epoch 2, step 2"):
        finish(replace(CONFIG, epochs=1000, warmup=0.0))
    for name, weight in kept[-1].weights(0).items():
        torch.testing.assert_close(weight, want[name], rtol=1e-2, atol=1e-2)  # the rates differ a little


@pytest.mark.parametrize(
    ("config", "label", "advice"),
    [
        (
            replace(CONFIG, lr=1e30, epochs=40),
            3.0,
            "The likely cause is the learning rate: try a lower --lr than 1e+30",
        ),
        (replace(CONFIG, lr=1e30, epochs=40), 1e9, "an extreme label, 1e+09 of target 'z'"),
    ],
)
def test_the_likely_cause_is_told(config: TrainConfig, label: float, advice: str) -> None:
    smiles, labels = SMILES * 60, np.tile(problem().labels, (60, 1))
    labels[1, 1] = label
    rows = np.arange(len(smiles))
    whole = Split(rows[:-8], rows[-8:-4], rows[-4:])
    with pytest.raises(DataError, match=re.escape(advice)):
        finish(config, featurized=featurize(smiles), labels=labels, weights=None, split=whole)


def short_of_memory(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Let batches of more molecules run out of memory."""
    forward = Members.forward

    def limited(members: Members, batch: GraphBatch) -> Tensor:
        if batch.num_graphs > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return forward(members, batch)

    monkeypatch.setattr(Members, "forward", limited)


@pytest.mark.parametrize("ensemble", [1, 2])
def test_batches_that_do_not_fit_are_computed_in_pieces(monkeypatch: pytest.MonkeyPatch, ensemble: int) -> None:
    config = replace(CONFIG, ensemble=ensemble)
    want = finish(config)
    short_of_memory(monkeypatch, 3)
    *records, got = train(problem(), NETWORK, config, device="cpu")
    assert isinstance(got, Trained)
    assert {record.pieces for record in records if isinstance(record, Step)} == {4}
    for mine, theirs in zip(got.bundle.members, want.bundle.members, strict=True):
        for name, weight in mine.items():
            torch.testing.assert_close(weight, theirs[name], rtol=1e-4, atol=1e-5)
    losses = [[record["train_loss"] for record in trained.history] for trained in (got, want)]
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_a_molecule_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    short_of_memory(monkeypatch, 0)
    with pytest.raises(DeviceError, match="out of memory on cpu; a lower --batch-size may help"):
        finish()


def test_a_command_tells_of_pieces(molmp: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\n".join(["smiles,y", *(f"{s},{s.count('C')}" for s in SMILES)]) + "\n")
    short_of_memory(monkeypatch, 7)
    quick = ["--hidden", "8", "--steps", "2", "--epochs", "2", "--batch-size", "16", "--no-cache"]
    result = molmp("train", tmp_path / "t.csv", "-o", tmp_path / "run", *quick)
    assert result.exit_code == 0, result.output
    assert result.stderr.count("out of memory: each batch is computed in 4 pieces from now on") == 1


def test_prediction_goes_on_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor(tiny_bundle(members=2), "cpu")
    want, vectors = predictor.predict([*AWKWARD, "C1CC"]), predictor.embed(AWKWARD)
    fingerprint = MoleculeModel.fingerprint

    def limited(model: MoleculeModel, batch: GraphBatch) -> Tensor:
        if batch.num_graphs > 2:
            raise torch.OutOfMemoryError
        return fingerprint(model, batch)

    monkeypatch.setattr(MoleculeModel, "fingerprint", limited)
    got = predictor.predict([*AWKWARD, "C1CC"])
    assert got["error"].tolist() == want["error"].tolist()
    np.testing.assert_allclose(got["logS_pred"], want["logS_pred"], rtol=1e-5)
    np.testing.assert_allclose(predictor.embed(AWKWARD), vectors, rtol=1e-5, atol=1e-6)
    (answer,) = predictor.stream([AWKWARD])
    np.testing.assert_allclose(answer.values[0], want["logS_pred"][:-1], rtol=1e-5)


def test_prediction_of_a_molecule_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(model: MoleculeModel, batch: GraphBatch) -> Tensor:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(MoleculeModel, "fingerprint", full)
    with pytest.raises(DeviceError, match="a single molecule does not fit into the memory of the device"):
        Predictor(tiny_bundle(), "cpu").predict("CCO")


def test_deterministic_or_refused() -> None:
    want = finish()
    with deterministic():
        got = finish()
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    for name, weight in got.bundle.members[0].items():
        assert torch.equal(weight, want.bundle.members[0][name])
    with pytest.raises(DeviceError, match="not with the same bits each time: put_ does not have a deterministic"):
        with_put()
    with pytest.raises(RuntimeError, match="something else"), deterministic():
        raise RuntimeError("something else")


def with_put() -> None:
    with deterministic():
        torch.zeros(3).put_(torch.tensor([0, 0]), torch.ones(2))


def test_deterministic_from_the_command_line(molmp: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\n".join(["smiles,y", *(f"{s},{s.count('C')}" for s in SMILES)]) + "\n")
    quick = ["--hidden", "8", "--steps", "2", "--epochs", "1", "--no-cache", "--device", "cpu", "--deterministic"]
    assert molmp("train", tmp_path / "t.csv", "-o", tmp_path / "run", *quick).exit_code == 0
    forward = Members.forward
    monkeypatch.setattr(
        Members, "forward", lambda m, batch: torch.zeros(3).put_(torch.tensor([0]), torch.ones(1)) + forward(m, batch)
    )
    result = molmp("train", tmp_path / "t.csv", "-o", tmp_path / "again", *quick)
    assert result.exit_code == 1
    assert "leave --deterministic out, or use the CPU" in result.stderr


@pytest.mark.parametrize("changes", [{"n_jobs": 2}, {"cache": True}])
def test_same_seed_same_bits_however_molecules_are_read(tmp_path: Path, changes: dict[str, Any]) -> None:
    from molmp.chem.cache import cached_featurize

    many = SMILES * 33
    labels = np.tile(problem().labels, (33, 1))
    rows = np.arange(len(many))
    split = Split(rows[:-80], rows[-80:-40], rows[-40:])
    cache = tmp_path if "cache" in changes else None
    runs = []
    for _ in range(2):
        read = cached_featurize(many, GraphOptions(), cache=cache, n_jobs=changes.get("n_jobs", 1))
        runs.append(
            finish(replace(CONFIG, epochs=1, batch_size=128), featurized=read, labels=labels, weights=None, split=split)
        )
    runs.append(
        finish(
            replace(CONFIG, epochs=1, batch_size=128),
            featurized=featurize(many),
            labels=labels,
            weights=None,
            split=split,
        )
    )
    for other in runs[1:]:
        for name, weight in other.bundle.members[0].items():
            assert torch.equal(weight, runs[0].bundle.members[0][name])
