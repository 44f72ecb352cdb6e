"""Training that starts from a trained model: what is taken, what is kept, and what does not fit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_cli_train import QUICK as QUICK_OPTIONS
from test_cli_train import molmp, refused, table, write  # noqa: F401 (a fixture)
from test_training import NETWORK, SMILES, carbons, problem

from molmp import MPNNRegressor
from molmp.chem.featurize import featurize
from molmp.chem.options import GraphOptions
from molmp.errors import ConfigError
from molmp.nn.config import ModelConfig
from molmp.nn.model import ENCODER
from molmp.training.bundle import Bundle
from molmp.training.config import TrainConfig
from molmp.training.problem import Problem
from molmp.training.run import Trained, train
from molmp.training.start import Start
from molmp.training.targets import Target, Targets

ONCE = TrainConfig(epochs=2, batch_size=8, ensemble=1)
STILL = TrainConfig(epochs=1, batch_size=8, lr=1e-30, weight_decay=0.0, ensemble=1)
PARTS = ("embedding.", "passing.", "readout.", "norm.", "head.0.", "head.3.")


def finish(
    p: Problem, config: TrainConfig = ONCE, network: ModelConfig = NETWORK, origin: Bundle | None = None
) -> tuple[Trained, Start | None]:
    start = None if origin is None else Start.of(origin, p.options, network, p.targets, config, "old")
    *_, last = train(p, network, config, device="cpu", start=start)
    assert isinstance(last, Trained)
    return last, start


@pytest.fixture(scope="module")
def old() -> Trained:
    return finish(carbons(), replace(ONCE, ensemble=2, refit=False))[0]


def other() -> Problem:
    """Another target of the same molecules."""
    labels = np.array([[float(len(s))] for s in SMILES])
    return problem(labels, Targets("regression", (Target(name="characters"),)))


def changed(old: Bundle, new: Bundle, member: int = 0) -> set[str]:
    """Beginnings of the names of weights that are not the same to the bit."""
    origin = old.members[member % len(old.members)]
    names = [n for n, t in new.members[member].items() if t.shape != origin[n].shape or not torch.equal(t, origin[n])]
    return {next(part for part in PARTS if name.startswith(part)) for name in names}


def test_the_same_target_starts_from_the_very_predictions(old: Trained) -> None:
    """With other labels, whose mean and deviation are not those of the old."""
    p = carbons()
    fewer = replace(p, labels=np.where(p.labels < 4, np.nan, p.labels))
    new, start = finish(fewer, replace(STILL, ensemble=2), origin=old.bundle)
    assert start is not None
    assert start.note == "starting from the encoder and the head of old, and its scaling of the targets"
    np.testing.assert_allclose(new.predictions["test"][0], old.predictions["test"][0], rtol=1e-6)
    assert new.bundle.targets == old.bundle.targets


def test_another_target_takes_the_encoder_alone(old: Trained) -> None:
    new, start = finish(other(), STILL, origin=old.bundle)
    assert start is not None
    assert start.note == (
        "starting from the encoder of old; the head begins anew: targets are characters, there carbons"
    )
    assert changed(old.bundle, new.bundle) == {"head.0.", "head.3."}


def test_members_start_from_members(old: Trained) -> None:
    new, _ = finish(other(), replace(STILL, ensemble=3), origin=old.bundle)
    for member in range(3):
        assert changed(old.bundle, new.bundle, member) == {"head.0.", "head.3."}
    weights = [[t.flatten() for n, t in m.items() if n.split(".")[0] in ENCODER] for m in new.bundle.members]
    encoders = [torch.cat(of_member) for of_member in weights]
    assert torch.equal(encoders[0], encoders[2])
    assert not torch.equal(encoders[0], encoders[1])


@pytest.mark.parametrize("ensemble", [1, 2])
@pytest.mark.parametrize(
    ("freeze", "kept"), [("none", 0), ("0", 0), ("1", 1), ("2", 2), ("encoder", 4), ("3", 4), ("4", 5)]
)
def test_frozen_weights_stay_to_the_bit_and_all_others_learn(
    old: Trained, freeze: str, kept: int, ensemble: int
) -> None:
    new, _ = finish(carbons(), replace(ONCE, freeze=freeze, ensemble=ensemble), origin=old.bundle)
    for member in range(ensemble):
        assert changed(old.bundle, new.bundle, member) == set(PARTS[kept:])


def test_a_frozen_encoder_gives_the_same_fingerprints_and_no_dropout(old: Trained) -> None:
    """Running statistics of a norm within the encoder do not move either."""
    network = replace(NETWORK, norm="batch", step_dropout=0.5)
    origin, _ = finish(carbons(), network=network)
    new, _ = finish(other(), replace(ONCE, freeze="encoder"), network, origin.bundle)
    assert changed(origin.bundle, new.bundle) == {"head.0.", "head.3."}
    model = new.bundle.models()[0]
    model.freeze(3)
    assert {m.training for m in model.train().passing.modules()} == {False}
    assert {m.training for m in model.head.modules()} == {True}


def test_a_good_encoder_helps(old: Trained) -> None:
    """Trained on all molecules, then on the logarithm for four of them: better than from random weights."""
    config = TrainConfig(epochs=60, batch_size=8, lr=5e-3, patience=0, ensemble=1, refit=False)
    origin, _ = finish(carbons(), config)
    p = carbons()
    labels = np.log(p.labels + 1)
    few = replace(p, labels=labels, targets=Targets("regression", (Target(name="log"),)))
    few = replace(few, split=few.split._replace(train=few.split.train[::6]))
    short = replace(config, epochs=40, freeze="none")
    errors = [finish(few, short, origin=o)[0].bundle.metrics["test"]["rmse"] for o in (None, origin.bundle)]
    assert errors[1] < errors[0]


def refusal(old: Trained, p: Problem | None = None, network: ModelConfig = NETWORK, **config: object) -> str:
    with pytest.raises(ConfigError) as caught:
        finish(p or carbons(), replace(ONCE, **config), network, old.bundle)
    return str(caught.value)


def test_what_does_not_fit(old: Trained) -> None:
    wide = refusal(old, network=replace(NETWORK, hidden=16, steps=1))
    assert wide == "old cannot be started from: it has hidden 8, steps 2, but this training hidden 16, steps 1"
    hydrogens = GraphOptions(explicit_hydrogens=True)
    p = replace(carbons(), featurized=featurize(SMILES, hydrogens), options=hydrogens)
    assert "it has explicit-hydrogens False, but this training explicit-hydrogens True" in refusal(old, p)
    assert refusal(old, freeze="5") == "freeze must be at most 4, that the last layer of the head can learn; got 5"
    assert refusal(old, other(), freeze="4").startswith("freeze 4 keeps layers of the head, but starting from the enco")
    with pytest.raises(ConfigError, match="freeze keeps trained weights as they are, but there are none"):
        finish(carbons(), replace(ONCE, freeze="encoder"))
    for freeze in ("all", "-1", "1.5", ""):
        with pytest.raises(ConfigError, match="freeze must be none, encoder or a number of parts"):
            TrainConfig(freeze=freeze)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"loss": "mve"}, "loss is mve, there mse"),
        ({"head_hidden": 16}, "it has head-hidden 8, this training head-hidden 16"),
        ({"head_layers": 2}, "it has head-layers 1, this training head-layers 2"),
        ({"unit": "mol"}, "the unit of 'carbons' is mol, there atoms"),
        ({"task": "binary"}, "task is binary, there regression"),
    ],
)
def test_why_the_head_begins_anew(old: Trained, change: dict[str, str], why: str) -> None:
    p, config, network = carbons(), STILL, NETWORK
    if "task" in change:
        p = problem((p.labels > 4).astype(float), Targets("binary", (Target(name="carbons", classes=("no", "yes")),)))
    elif "unit" in change:
        p = replace(p, targets=Targets("regression", (Target(name="carbons", unit="mol"),)))
    elif "loss" in change:
        config = replace(config, loss="mve")
    else:
        network = replace(network, **change)
    new, start = finish(p, config, network, old.bundle)
    assert start is not None
    assert start.note.endswith(f"the head begins anew: {why}")
    if "head_layers" not in change:
        assert {"head.0.", "head.3."} & changed(old.bundle, new.bundle)


def test_the_command(table: Path, tmp_path: Path) -> None:  # noqa: F811
    first = tmp_path / "first"
    assert molmp("train", table, "-o", first, *QUICK_OPTIONS, "--readout", "sum", "--ensemble", 2).exit_code == 0
    result = molmp("train", table, "-o", tmp_path / "second", "--epochs", 2, "--no-cache", "--init-from", first,
                   "--freeze", "encoder")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert f"starting from the encoder and the head of {first}" in result.stderr
    from molmp.inference.model_file import load_bundle

    old, new = load_bundle(first), load_bundle(tmp_path / "second")
    assert (new.network.hidden, new.network.readout) == (8, "sum"), "the network's options are those of the run"
    assert changed(old, new) == {"head.0.", "head.3."}
    again = molmp("train", table, "-o", tmp_path / "third", "--config", tmp_path / "second" / "config.toml")
    assert again.exit_code == 0, again.output
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("second", "third")]
    assert models[0] == models[1]
    other = write(tmp_path / "o.csv", "smiles,length", *(f"{s},{len(s)}" for s in SMILES))
    result = molmp("train", other, "-o", tmp_path / "fourth", "--epochs", 1, "--no-cache", "--init-from", first)
    assert "the head begins anew: targets are length, there carbons" in result.stderr
    no = ["train", table, "-o", tmp_path / "no", "--no-cache", "--init-from"]
    refused(molmp(*no, first, "--hidden", 16), 2, "it has hidden 8, but this training hidden 16")
    refused(molmp(*no, tmp_path / "nothing"), 1, "nothing is not a molmp model: there is no such folder")
    refused(
        molmp("train", table, "-o", tmp_path / "no", "--no-pretrained", "--freeze", "encoder"),
        2,
        "freeze keeps trained weights",
    )
    refused(molmp(*no, first, "--freeze", "readout"), 2, "freeze must be none, encoder or a number of parts")


def test_estimators(tmp_path: Path) -> None:
    quick = {"hidden": 8, "steps": 2, "epochs": 1, "batch_size": 16}
    y = np.array([float(s.count("C")) for s in SMILES])
    first = MPNNRegressor(**quick).fit(SMILES, y)
    first.save(tmp_path / "run")
    for origin in (first.predictor_, tmp_path / "run"):
        second = MPNNRegressor(**quick, init_from=origin, freeze="encoder").fit(SMILES, y[::-1])
        assert changed(first.predictor_.bundle, second.predictor_.bundle) == {"head.0.", "head.3."}
    with pytest.raises(ConfigError, match="the model of init_from cannot be started from: it has hidden 8"):
        MPNNRegressor(init_from=first.predictor_).fit(SMILES, y)
