"""The whole network and its configuration."""

import pytest
import torch
import torch.nn.functional as F
from networks import COMPACT, SMILES, assert_same, batch_of, new_model, outcome

from molmp.chem.features import ATOM_FIELDS
from molmp.errors import ConfigError
from molmp.nn.autograd import plain_autograd
from molmp.nn.config import CHOICES, ModelConfig
from molmp.nn.embedding import CodeEmbedding
from molmp.nn.heads import MLP
from molmp.nn.model import MoleculeModel

READOUTS = [*CHOICES["readout"], "set2set+sum"]


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("aggregation", CHOICES["aggregation"])
def test_compact_equals_flat_equals_plain(readout: str, aggregation: str) -> None:
    model = new_model(readout=readout, aggregation=aggregation)
    want = outcome(model, model(batch_of()))
    assert_same(outcome(model, model(batch_of(compact=True))), want)
    with plain_autograd():
        assert_same(outcome(model, model(batch_of())), want)
        assert_same(outcome(model, model(batch_of(compact=True))), want)


@pytest.mark.parametrize("compact", COMPACT)
def test_every_weight_learns(compact: bool) -> None:
    model = new_model(readout="set2set+sum+mean+max+attention")
    gradients = outcome(model, model(batch_of(compact=compact)))
    assert gradients.keys() == {"output", *dict(model.named_parameters())}
    assert all(gradient.abs().max() > 0 for gradient in gradients.values())


@pytest.mark.parametrize("compact", COMPACT)
@pytest.mark.parametrize("steps", [1, 4])
def test_number_of_steps(compact: bool, steps: int) -> None:
    model = new_model(steps=steps)
    flat = model(batch_of(steps=steps))
    torch.testing.assert_close(model(batch_of(steps=steps, compact=compact)), flat, rtol=1e-10, atol=1e-10)
    assert not torch.allclose(model(batch_of(steps=2)), flat)


@pytest.mark.parametrize("compact", COMPACT)
def test_fingerprint_is_what_the_head_sees(compact: bool) -> None:
    model, batch = new_model(), batch_of(compact=compact)
    fingerprint = model.fingerprint(batch)
    assert fingerprint.shape == (len(SMILES), model.fingerprint_width)
    torch.testing.assert_close(model.head(fingerprint), model(batch))
    assert model(batch).shape == (len(SMILES), model.num_outputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_two_runs_are_equal_to_the_bit(dtype: torch.dtype) -> None:
    runs = []
    for _ in range(2):
        torch.manual_seed(3)
        model = MoleculeModel(ModelConfig(hidden=64, readout_steps=2), 1).to(dtype)
        runs.append(outcome(model, model(batch_of(SMILES * 8, compact=True))))
    assert all(torch.equal(first, second) for first, second in zip(*(run.values() for run in runs), strict=True))


@pytest.mark.parametrize("compact", COMPACT)
def test_float32_is_close(compact: bool) -> None:
    model, batch = new_model(hidden=64), batch_of(SMILES * 30, compact=compact)
    exact = outcome(model, model(batch))
    single = outcome(model.float(), model(batch))
    for name, value in exact.items():
        assert (single[name].double() - value).norm() < 1e-4 * value.norm().clamp_min(1e-6), name


def test_no_gradient_no_difference() -> None:
    model, batch = new_model(), batch_of(compact=True)
    with torch.inference_mode():
        inferred = model(batch)
    torch.testing.assert_close(inferred, model(batch))


def test_dropout_is_for_training_only() -> None:
    model, batch = new_model(dropout=0.5), batch_of()
    assert not torch.equal(model(batch), model(batch))
    model.eval()
    assert torch.equal(model(batch), model(batch))


def test_embedding_is_a_linear_layer_on_one_hot_codes() -> None:
    torch.manual_seed(0)
    embedding = CodeEmbedding(ATOM_FIELDS, 5).double()
    codes = batch_of().atom_codes
    one_hot = torch.cat([F.one_hot(codes[:, i], field.width) for i, field in enumerate(ATOM_FIELDS)], 1).double()
    want = outcome(embedding, one_hot @ embedding.weight + embedding.bias)
    assert_same(outcome(embedding, embedding(codes)), want)
    assert embedding.state_dict().keys() == {"weight", "bias"}


@pytest.mark.parametrize(("layers", "widths"), [(0, [(4, 2)]), (2, [(4, 8), (8, 8), (8, 2)])])
def test_layers_of_the_head(layers: int, widths: list[tuple[int, int]]) -> None:
    head = MLP(4, 8, 2, layers=layers)
    assert [(m.in_features, m.out_features) for m in head if hasattr(m, "in_features")] == widths


@pytest.mark.parametrize("values", [{}, {"readout": "sum", "hidden": 3, "dropout": 0.25}])
def test_config_to_dict_and_back(values: dict) -> None:
    config = ModelConfig(**values)
    assert ModelConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"readout": "medium"}, "readout must be one of set2set, sum, mean, max, attention"),
        ({"readout": "sum+"}, "readout must be one of"),
        ({"readout": "sum+sum"}, "names one thing twice"),
        ({"aggregation": "median"}, "aggregation must be one of sum, mean, max; got 'median'"),
        ({"layer": 3}, "layer must be one of edge, gcn, gat, gatv2, sage, .*; got 3"),
        ({"hidden": 0}, "hidden must be a whole number from 1 up, got 0"),
        ({"hidden": True}, "hidden must be a whole number from 1 up, got True"),
        ({"steps": 2.0}, "steps must be a whole number from 1 up, got 2.0"),
        ({"head_layers": -1}, "head_layers must be a whole number from 0 up, got -1"),
        ({"dropout": 1}, "dropout must be a number from 0 up to, not including, 1, got 1"),
        ({"dropout": "much"}, "dropout must be a number"),
    ],
)
def test_config_refuses(values: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelConfig(**values)


def test_config_refuses_unknown_names() -> None:
    with pytest.raises(ConfigError, match="no model option is called widht; there are layer, hidden,"):
        ModelConfig.from_dict({"widht": 3})
