"""Operators by name and by class: options, refusals, model files, export, the command line."""

import csv
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from sklearn.base import clone
from tiny import SMILES, tiny_bundle
from torch import Tensor, nn

import molmp
from molmp.errors import ConfigError, FileFormatError
from molmp.inference.export import export_onnx
from molmp.inference.model_file import load_bundle, save_bundle
from molmp.inference.predictor import Predictor
from molmp.nn.batch import Level, Messages
from molmp.nn.config import ModelConfig
from molmp.nn.message_passing import MessagePassing, before
from molmp.nn.operators import OPERATORS
from molmp.nn.passing import LAYERS
from molmp.nn.segment import take


class Averaging(MessagePassing):
    """An operator of one's own, as the documentation has it."""

    def __init__(self, hidden: int) -> None:
        super().__init__("mean")
        self.linear = nn.Linear(2 * hidden, hidden)

    def message(self, h: Tensor, messages: Messages, bonds: Tensor | None) -> Tensor:
        return take(h, messages.source)

    def update(self, message: Tensor, h: Tensor, level: Level) -> Tensor:
        return self.linear(torch.cat([message, before(h, level)], 1))


def test_every_operator_has_a_class() -> None:
    assert LAYERS.keys() == OPERATORS.keys()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"layer": "gat", "hidden": 64, "heads": 5}, "64 is no multiple of 5; 1, 2, 4, 8, 16, 32, 64 would do"),
        ({"layer": "gat", "heads": 0}, "heads must be a whole number from 1 up, got 0"),
        ({"layer": "gin", "heads": 2}, "layer gin has no option heads; gat, gatv2, .*transformer.* have it"),
        ({"layer": "gcn", "aggregation": "sum"}, "layer gcn has no option aggregation; edge, sage have it"),
        ({"layer": "sage", "aggregation": "sum"}, "aggregation must be one of mean, max; got 'sum'"),
        ({"layer": "gnn"}, "layer must be one of edge, gcn, .*; got 'gnn'"),
        ({"steps": 0}, "steps must be a whole number from 1 up, got 0"),
        ({"norm": "instance"}, "norm must be one of none, batch, layer, graph; got 'instance'"),
        ({"jumping": "lstm"}, "jumping must be one of none, cat, max; got 'lstm'"),
        ({"weights": "tied"}, "weights must be one of shared, own; got 'tied'"),
        ({"residual": 1}, "residual must be true or false, got 1"),
        ({"virtual_node": "yes"}, "virtual_node must be true or false, got 'yes'"),
        ({"step_dropout": 1.0}, "step_dropout must be a number from 0 up to, not including, 1"),
        ({"layer": type("gin", (), {})}, "a class called gin would be taken for molmp's own"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelConfig(**values)


def test_a_class_that_passes_no_messages() -> None:
    with pytest.raises(ConfigError, match="must be a subclass of MessagePassing, but Linear is none"):
        tiny_bundle(layer=nn.Linear, edge_hidden=None)


@pytest.mark.parametrize("layer", OPERATORS)
def test_a_config_says_what_its_operator_brings(layer: str) -> None:
    config = ModelConfig(layer=layer)
    assert ModelConfig(**config.said()) == config == ModelConfig.from_dict(config.to_dict())
    assert config.said() == ModelConfig().said() | {"layer": layer}
    assert config.weights == OPERATORS[layer].stack["weights"]


def test_old_files_hold_no_stack() -> None:
    old = {
        "layer": "edge", "hidden": 64, "steps": 3, "aggregation": "sum", "edge_hidden": 32, "readout": "set2set+sum",
        "readout_steps": 3, "normalize": True, "head_hidden": 128, "head_layers": 1, "dropout": 0.1,
    }  # fmt: skip
    config = ModelConfig.from_dict(old)
    assert (config.weights, config.residual, config.norm, config.jumping) == ("shared", False, "none", "none")


@pytest.mark.parametrize("layer", [*OPERATORS, Averaging])
def test_model_files_of_every_operator(layer: Any, tmp_path: Path) -> None:
    bundle = tiny_bundle(layer=layer, edge_hidden=None, virtual_node=True, jumping="cat", norm="batch")
    save_bundle(bundle, tmp_path)
    again = load_bundle(tmp_path, layer if layer is Averaging else None)
    assert again.network == bundle.network
    both = [Predictor(each, "cpu").predict(list(SMILES)) for each in (bundle, again)]
    assert both[0].equals(both[1])


def test_a_file_of_a_class_asks_for_the_class(tmp_path: Path) -> None:
    save_bundle(tiny_bundle(layer=Averaging, edge_hidden=None), tmp_path)
    with pytest.raises(FileFormatError, match=r"'Averaging', which is none of molmp's operators.*layer=Averaging"):
        molmp.load(tmp_path)
    with pytest.raises(FileFormatError, match="the operator is 'Averaging', not 'Linear'"):
        molmp.load(tmp_path, layer=nn.Linear)
    assert molmp.load(tmp_path, "cpu", layer=Averaging).predict(["CCO"]).error.tolist() == [""]


def test_estimator_with_a_class_of_ones_own(tmp_path: Path) -> None:
    smiles = ["C" * n for n in range(1, 17)]
    estimator = molmp.MPNNRegressor(layer=Averaging, hidden=8, epochs=2, weights="shared", device="cpu")
    model = clone(estimator).fit(smiles, range(16))
    want = model.predict(smiles)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(smiles), want)
    model.save(tmp_path / "run")
    again = molmp.MPNNRegressor.load(tmp_path / "run", layer=Averaging)
    np.testing.assert_array_equal(again.predict(smiles), want)
    assert again.get_params() == model.get_params() | {"device": "auto"}


@pytest.mark.parametrize("layer", OPERATORS)
def test_train_and_predict(layer: str, molmp: Callable[..., Result], tmp_path: Path) -> None:
    table, run = tmp_path / "t.csv", tmp_path / "run"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([("smiles", "y"), *(("C" * n + "O", n) for n in range(1, 25))])
    options = ["--layer", layer, "--hidden", 8, "--epochs", 1, "--residual", "--step-dropout", 0.1, "--no-cache"]
    options += ["--no-refit"]  # whatever the operator, the second set learns as the first
    result = molmp("train", table, "-o", run, "--device", "cpu", "--virtual-node", "--jumping", "max", *options)
    assert result.exit_code == 0, result.output
    assert molmp("info", run).output.count(f"{layer} x ") == 1
    assert len(molmp("predict", "--model", run, "--smiles", "CCO", "--device", "cpu").stdout.splitlines()) == 2
    again = molmp("train", table, "-o", tmp_path / "again", "--config", run / "config.toml")
    assert again.exit_code == 0, again.output
    assert (tmp_path / "again" / "metrics.json").read_text() == (run / "metrics.json").read_text()


def test_the_command_refuses_before_it_reads(molmp: Callable[..., Result], tmp_path: Path) -> None:
    result = molmp("train", tmp_path / "missing.csv", "-o", tmp_path / "run", "--layer", "gat", "--heads", 5)
    assert result.exit_code == 2
    assert "heads must divide hidden" in result.output


def test_help_tells_every_operator_and_who_has_heads(molmp: Callable[..., Result]) -> None:
    text = " ".join(molmp("train", "--help").output.split())
    for name, operator in OPERATORS.items():
        assert f"{name}: {operator.sentence}" in text
        assert ("heads" in operator.options) == (name in text.partition("--heads")[2].partition("--weights")[0])


def test_batch_norm_of_a_single_atom() -> None:
    bundle = tiny_bundle(layer="gin", edge_hidden=None, norm="batch")
    (model,) = bundle.models()
    from networks import batch_of

    assert torch.isfinite(model.train()(batch_of(["[Xe]"]))).all()


@pytest.mark.parametrize("network", [{"layer": "dmpnn"}, {"layer": "gin", "positions": "random-walk"}])
def test_what_has_no_export_says_so(network: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no ONNX file can be written of"):
        export_onnx(tiny_bundle(**network), tmp_path / "model.onnx")
