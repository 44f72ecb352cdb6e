"""Products in bfloat16: near float32, forwards and backwards. And a step of training asks the device for nothing."""

import json

import numpy as np
import pytest
import torch
from networks import COMPACT, batch_of, new_model, outcome
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from molmp.chem.featurize import featurize
from molmp.errors import ConfigError, DeviceError
from molmp.nn.batch import DeviceGraphs
from molmp.nn.grouped_matmul import grouped_matmul
from molmp.nn.linear import linear
from molmp.nn.matmul import matmul, matmul_each, matmul_transposed
from molmp.nn.members import Members
from molmp.nn.precision import check_precision, products_in
from molmp.nn.segment import Rows
from molmp.training.alarm import Alarm
from molmp.training.config import TrainConfig
from molmp.training.distributed import ALONE
from molmp.training.loop import Epoch, Examples, Plan, _Learner, fit
from molmp.training.targets import Target, Targets

SMILES = ["C" * n + end for n in range(1, 9) for end in ("", "O", "N", "Cl")]


def rounded(x: Tensor) -> Tensor:
    return x.bfloat16().float()


def product(x: Tensor, w: Tensor) -> Tensor:
    return rounded(rounded(x) @ rounded(w))


@pytest.mark.parametrize("biased", [False, True])
def test_factors_and_result_are_rounded(biased: bool) -> None:
    x, w, bias = torch.randn(70, 5), torch.randn(7, 5), torch.randn(7) if biased else None
    given = torch.empty(70, 7)
    with products_in("bf16"):
        got, transposed = matmul(x, w, bias, given), matmul_transposed(x, given)
    assert got is given
    near = {"rtol": 1e-2, "atol": 1e-2}  # the sums are rounded once, in another order
    torch.testing.assert_close(got, product(x, w.t()) + (bias if biased else 0), **near)
    torch.testing.assert_close(transposed, product(x.t(), given), **near)
    assert not torch.equal(got, matmul(x, w, bias))


def test_each_member_by_its_own_weights() -> None:
    x, w, bias = torch.randn(6, 5), torch.randn(2, 7, 5), torch.randn(2, 7)
    with products_in("bf16"):
        together = matmul(x, w, bias)
        alone = torch.cat([matmul(x[:3], w[0], bias[0]), matmul(x[3:], w[1], bias[1])])
        back = matmul_transposed(x, together, members=2)
        out = matmul_each(x.unflatten(0, (2, 3)), w.mT)
        assert torch.equal(back[1], matmul_transposed(x[3:], together[3:]))
        assert torch.equal(out[1], matmul(x[3:], w[1]))
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("compact", COMPACT)
@pytest.mark.parametrize("readout", ["set2set+sum", "attention"])
def test_networks_and_their_gradients_are_near_float32(compact: bool, readout: str) -> None:
    model, batch = new_model(hidden=16, readout=readout).float(), batch_of(compact=compact)
    exact = outcome(model, model(batch))
    with products_in("bf16"):
        rough = outcome(model, model(batch))
    for name, value in exact.items():
        assert rough[name].dtype == torch.float32
        difference = (rough[name] - value).norm() / value.norm()
        assert difference < 0.15, (name, float(difference))
    assert not torch.equal(rough["output"], exact["output"])


def test_float64_stays_exact() -> None:
    model, batch = new_model(), batch_of()
    exact = model(batch)
    with products_in("bf16"):
        assert torch.equal(model(batch), exact)


def test_the_setting_ends_with_its_block() -> None:
    x, before = torch.randn(3, 3), torch.get_float32_matmul_precision()
    exact = matmul(x, x)
    with pytest.raises(ZeroDivisionError), products_in("bf16"):
        _ = 1 / 0
    with products_in("tf32"):
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == before
    assert torch.equal(matmul(x, x), exact)


def test_every_product_of_a_network_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient of a matrix of a bond type, of a gate and of the head come from rounded factors."""
    x, matrices = torch.randn(9, 4, requires_grad=True), torch.randn(2, 4, 4, requires_grad=True)
    rows = Rows(torch.arange(9), 9)
    weight = torch.randn(3, 4, requires_grad=True)
    found = []
    for precision in ("float32", "bf16"):
        with products_in(precision):
            total = grouped_matmul(x, rows, matrices, [4, 5]).sum() + linear(x, weight).sum()
            found.append(torch.autograd.grad(total, (x, matrices, weight)))
    for exact, rough in zip(*found, strict=True):
        assert not torch.equal(exact, rough)
        torch.testing.assert_close(rough, exact, rtol=0.1, atol=0.1)


def carbons() -> tuple[Examples, np.ndarray]:
    labels = np.array([[float(text.count("C"))] for text in SMILES])
    targets = Targets("regression", (Target(name="carbons"),)).fit(labels)
    graphs = DeviceGraphs(featurize(SMILES).graphs, steps=3)
    return Examples(graphs, targets, labels, np.ones_like(labels)), np.arange(len(SMILES))


def losses(precision: str) -> list[float]:
    examples, rows = carbons()
    members = Members([new_model(1, hidden=16).float()])
    config = TrainConfig(epochs=8, batch_size=8, precision=precision, ensemble=1)
    epochs = fit(members, examples, [Plan(0, rows, rows)], config)
    return [record.train_loss for record in epochs if isinstance(record, Epoch)]


def test_training_goes_the_same_way() -> None:
    exact, rough = losses("float32"), losses("bf16")
    assert rough != exact
    np.testing.assert_allclose(rough, exact, rtol=0.15)
    assert rough[-1] < 0.8 * rough[0]


def test_wrong_precisions() -> None:
    with pytest.raises(ConfigError, match="precision must be one of float32, tf32, bf16, got 'fp8'"):
        TrainConfig(precision="fp8")
    with pytest.raises(DeviceError, match="precision tf32 is for CUDA devices; on cpu there is float32, bf16"):
        losses("tf32")
    check_precision("tf32", torch.device("cuda"))


def test_command(molmp, tmp_path) -> None:
    (tmp_path / "in.csv").write_text("smiles,y\n" + "".join(f"{text},{len(text)}\n" for text in SMILES))
    common = ["train", tmp_path / "in.csv", "--hidden", "8", "--epochs", "1", "--device", "cpu", "-o"]
    result = molmp(*common, tmp_path / "half", "--precision", "bf16")
    assert result.exit_code == 0, result.stderr
    assert json.loads((tmp_path / "half" / "model.json").read_text())["training"]["precision"] == "bf16"
    result = molmp(*common, tmp_path / "tf32", "--precision", "tf32")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        1,
        "molmp: precision tf32 is for CUDA devices; on cpu there is float32, bf16",
    )
    assert not (tmp_path / "tf32").exists()


class Asked(TorchDispatchMode):
    """What operations give the host a number, or a size, that only the device knows."""

    NAMES = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero", "equal")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.__name__.partition(".")[0]
        if name.startswith(self.NAMES) or (
            name == "index" and any(t.dtype == torch.bool for t in args[1] if t is not None)
        ):
            self.found.append(name)
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_no_step_waits_for_the_device(number: int, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU each of these operations would stop the host until all work before it is done."""
    examples, rows = carbons()
    members = Members([new_model(1, seed, readout="set2set+sum", dropout=0.1).float() for seed in range(number)])
    plans = [Plan(seed, rows, rows) for seed in range(number)]
    monkeypatch.setattr(Alarm, "check", lambda self, epoch: None)  # at every step on a CPU only, where it costs nothing
    learner = _Learner(members, examples, plans, TrainConfig(epochs=1, batch_size=8, precision=precision), ALONE)
    with products_in(precision):
        learner.step(rows[:8], 1, 0)
        with Asked() as asked:
            learner.step(rows[8:16], 1, 1)
    assert asked.found == []
    with Asked() as asked:
        float(torch.ones(1, 1).sum())
    assert asked.found == ["_local_scalar_dense"]
