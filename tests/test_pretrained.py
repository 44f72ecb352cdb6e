"""The encoders that training starts from: what they are, where they fit, what they know."""

import gzip
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import Descriptors
from safetensors import safe_open
from test_cli_train import QUICK, molmp, table  # noqa: F401 (a fixture)
from test_training import SMILES, carbons

from molmp import MPNNRegressor
from molmp.chem.featurize import featurize
from molmp.chem.options import GraphOptions
from molmp.errors import ConfigError
from molmp.inference.describe import recipe
from molmp.nn.config import ModelConfig
from molmp.nn.model import ENCODER, MoleculeModel, graphs_for
from molmp.training import pretrained
from molmp.training.bundle import Bundle
from molmp.training.config import TrainConfig
from molmp.training.pretrained import ENCODERS, own_start
from molmp.training.run import Trained, train

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import encoders  # noqa: E402

STILL = TrainConfig(epochs=1, batch_size=8, lr=1e-30, weight_decay=0.0)


def learn(config: TrainConfig, **network: int) -> Bundle:
    *_, last = train(carbons(), ModelConfig(**network), config, device="cpu")
    assert isinstance(last, Trained)
    return last.bundle


def is_own(bundle: Bundle, member: int) -> bool:
    start = own_start(GraphOptions(), ModelConfig())
    assert start is not None
    own = start.members[member % len(start.members)]
    return all(torch.equal(bundle.members[member][name], weights) for name, weights in own.items())


def test_the_file_holds_encoders_and_nothing_else() -> None:
    with safe_open(ENCODERS, "pt") as file:
        names = list(file.keys())
        assert all(bool(file.get_tensor(name).isfinite().all()) for name in names)
    expected = [name for name in MoleculeModel(ModelConfig(), 1).state_dict() if name.split(".")[0] in ENCODER]
    assert sorted(names) == sorted(f"{member}.{name}" for member in range(3) for name in expected)
    assert ENCODERS.stat().st_size < 1_500_000


@pytest.mark.parametrize(
    ("network", "options"),
    [
        ({}, {}),
        ({"dropout": 0.5, "head_hidden": 32, "head_layers": 2}, {"features": "descriptors", "standardize": "clean"}),
        ({"hidden": 32}, {}),
        ({"layer": "gin"}, {}),
        ({"steps": 4}, {}),
        ({"norm": "layer"}, {}),
        ({"readout": "sum"}, {}),
        ({}, {"explicit_hydrogens": True}),
    ],
)
def test_they_fit_networks_of_their_make(network: dict[str, object], options: dict[str, object]) -> None:
    fits = not network.keys() - {"dropout", "head_hidden", "head_layers"} and "explicit_hydrogens" not in options
    assert (own_start(GraphOptions(**options), ModelConfig(**network)) is not None) == fits


@pytest.mark.parametrize("refit", [True, False])
def test_each_network_starts_from_its_own(refit: bool) -> None:
    bundle = learn(replace(STILL, refit=refit))
    assert [is_own(bundle, member) for member in range(3)] == [True] * 3
    assert not torch.equal(bundle.members[0]["head.0.weight"], bundle.members[1]["head.0.weight"])
    assert "starting from encoders that have learned 197 descriptors of" in recipe(bundle)


def test_unless_they_are_not_wanted_or_do_not_fit() -> None:
    without, narrow = learn(replace(STILL, pretrained=False)), learn(STILL, hidden=8)
    assert not is_own(without, 0)
    assert all("starting from random weights" in recipe(bundle) for bundle in (without, narrow))


def test_they_can_be_frozen() -> None:
    bundle = learn(TrainConfig(epochs=2, batch_size=8, freeze="encoder"))
    assert is_own(bundle, 0)
    with pytest.raises(ConfigError, match="freeze keeps trained weights as they are, but there are none"):
        learn(TrainConfig(freeze="encoder", pretrained=False))


def test_a_trained_model_comes_first() -> None:
    first = MPNNRegressor(epochs=1, ensemble=1, pretrained=False).fit(SMILES, np.arange(len(SMILES)))
    second = MPNNRegressor(epochs=1, ensemble=1, lr=1e-30, refit=False, init_from=first.predictor_)
    second.fit(SMILES, np.arange(len(SMILES)))
    assert "starting from the encoder and the head of the model of init_from" in recipe(second.predictor_.bundle)


def test_they_know_descriptors() -> None:
    """What a linear model reads from their fingerprints of molecules that it has not seen; not from random ones."""
    drugs = ROOT / "data" / "sulfonamides.csv"
    smiles = [line.split(",")[0] for line in drugs.read_text().splitlines()[1:]]
    featurized = featurize(smiles)
    mols = [Chem.MolFromSmiles(smiles[row]) for row in featurized.rows]
    y = np.array(
        [[Descriptors.TPSA(mol), Descriptors.NumRotatableBonds(mol), Descriptors.MolLogP(mol)] for mol in mols]
    )
    start = own_start(GraphOptions(), ModelConfig())
    assert start is not None
    found = []
    for own in (True, False):
        torch.manual_seed(0)
        model = MoleculeModel(ModelConfig(), 1)
        if own:
            start.load(model, 0)
        batch = graphs_for(model.config, featurized.graphs).batch(torch.arange(len(featurized.rows)))
        with torch.inference_mode():
            X = model.eval().fingerprint(batch).double().numpy()
        train, test = slice(None, None, 2), slice(1, None, 2)
        weights = np.linalg.solve(
            X[train].T @ X[train] + np.eye(X.shape[1]), X[train].T @ (y[train] - y[train].mean(0))
        )
        errors = y[test] - y[train].mean(0) - X[test] @ weights
        found.append(1 - (errors**2).mean(0) / y[test].var(0))
    print(found)
    assert (found[0] > 0.9).all()
    assert (found[0] > found[1]).all()


def test_the_command(molmp, table, tmp_path):  # noqa: F811
    for option, said in ((), "encoders that have learned"), (("--no-pretrained",), "random weights"):
        result = molmp("train", table, "-o", tmp_path / said[:6], *QUICK[4:], *option)
        assert result.exit_code == 0, result.stderr
        assert f"starting from {said}" in result.stderr


def test_what_they_learn_is_scaled_and_bounded() -> None:
    values = np.array([[1.0, 7.0, np.inf], [2.0, 7.0, 0.0], [3.0, 7.0, 1.0], [1e10, 7.0, 2.0]] * 300, np.float32)
    scaled = encoders.scaled(values)
    assert scaled.shape == (1200, 2), "a descriptor that never varies is left out"
    assert np.isnan(scaled[:, 1]).sum() == 300
    assert np.nanmax(np.abs(scaled)) <= 6
    assert abs(np.nanmedian(scaled[:, 1])) < 1e-9


def test_a_model_becomes_encoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = learn(replace(STILL, ensemble=2, refit=False, pretrained=False))
    for module in (encoders, pretrained):
        monkeypatch.setattr(module, "ENCODERS", tmp_path / "encoders.safetensors")
    encoders.save_encoders(bundle)
    pretrained._read.cache_clear()
    start = own_start(GraphOptions(), ModelConfig())
    pretrained._read.cache_clear()
    assert start is not None
    assert start.note == "starting from encoders that have learned 1 descriptors of 24 molecules"
    for ours, theirs in zip(start.members, bundle.members, strict=True):
        assert {name.split(".")[0] for name in ours} == set(ENCODER)
        for name, weights in ours.items():
            torch.testing.assert_close(weights, theirs[name], rtol=1e-3, atol=1e-4)


def test_the_command_that_makes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in encoders.SOURCES:
        (tmp_path / name).write_bytes(gzip.compress("\n".join(["smiles", *SMILES, "C1CC", "C" * 300]).encode()))
    for module in (encoders, pretrained):
        monkeypatch.setattr(module, "ENCODERS", tmp_path / "encoders.safetensors")
    monkeypatch.setattr(encoders, "TRAINING", replace(encoders.TRAINING, epochs=1))
    monkeypatch.setattr(sys, "argv", ["encoders", "--data", str(tmp_path)])
    encoders.main()
    pretrained._read.cache_clear()
    start = own_start(GraphOptions(), ModelConfig())
    pretrained._read.cache_clear()
    assert start is not None
    assert len(start.members) == 3
    assert start.note.endswith("descriptors of 31 molecules")
