"""Laws of an ensemble in one pass: as each network alone, in value, gradient, dropout and training."""

import copy
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from networks import SMILES, batch_of, graphs, new_model
from torch import Tensor, nn

from molmp.nn import gated, matmul
from molmp.nn.autograd import plain_autograd
from molmp.nn.batch import DeviceGraphs
from molmp.nn.config import CHOICES
from molmp.nn.dropout import dropout_seeds
from molmp.nn.members import Members, lay_out
from molmp.nn.model import MoleculeModel
from molmp.nn.passing import shares_states
from molmp.training.config import TrainConfig
from molmp.training.loop import Epoch, Examples, Plan, fit
from molmp.training.targets import Target, Targets
from molmp.training.validation import predict_outputs

READOUTS = ["set2set", "attention", "sum+mean", "max"]
NUMBER = 3


def networks(**config: object) -> list[MoleculeModel]:
    return [new_model(seed=seed, **config) for seed in range(NUMBER)]


def scalar(output: Tensor) -> Tensor:
    weights = torch.sin(torch.arange(output.numel(), dtype=output.dtype)).view_as(output)
    return (output * weights + output.square()).sum()


def gradients(network: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def assert_as_each_alone(
    members: Members, models: list[MoleculeModel], compact: bool, tolerance: float = 1e-9,
    smiles: Sequence[str] = SMILES,
) -> None:  # fmt: skip
    batch = batch_of(smiles, compact=compact)
    output = members(batch)
    torch.stack([scalar(part) for part in output]).sum().backward()
    together = gradients(members.network)
    for e, model in enumerate(models):
        alone = model(batch)
        torch.testing.assert_close(output[e], alone, rtol=tolerance, atol=tolerance)
        model.zero_grad()
        scalar(alone).backward()
        for name, gradient in gradients(model).items():
            torch.testing.assert_close(together[name][e], gradient, rtol=tolerance, atol=tolerance, msg=name)


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("readout", READOUTS)
def test_members_are_as_each_alone(readout: str, compact: bool) -> None:
    models = networks(readout=readout, normalize=True)
    members = Members(models)
    assert members.in_one_pass
    assert_as_each_alone(members, models, compact)


@pytest.mark.parametrize("aggregation", CHOICES["aggregation"])
def test_every_aggregation(aggregation: str) -> None:
    models = networks(aggregation=aggregation)
    assert_as_each_alone(Members(models), models, compact=True)


@pytest.mark.parametrize(
    "stack",
    [{}, {"virtual_node": True, "jumping": "cat"}, {"norm": "graph"}, {"norm": "batch", "weights": "own"}],
    ids=["own", "virtual", "graph", "batch"],
)
@pytest.mark.parametrize("layer", CHOICES["layer"])
def test_every_operator(layer: str, stack: dict[str, object]) -> None:
    models = networks(layer=layer, **stack)
    members = Members(models).eval()
    models = [model.eval() for model in models]
    assert_as_each_alone(members, models, compact=shares_states(models[0].config))


@pytest.mark.parametrize("layer", CHOICES["layer"])
def test_molecules_without_a_bond(layer: str) -> None:
    models = networks(layer=layer)
    compact = shares_states(models[0].config)
    assert_as_each_alone(Members(models), models, compact, smiles=["C", "[Xe]", "O"])


@pytest.mark.parametrize("compact", [False, True])
def test_members_whose_work_is_cut(compact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of many rows is: products are calls of their own, and so are gated updates."""
    monkeypatch.setattr(matmul, "_at_once", lambda multiplications: False)
    monkeypatch.setattr(gated, "CACHED", 0)
    models = networks()
    assert_as_each_alone(Members(models), models, compact)


def test_a_layer_that_does_not_stack_is_run_member_by_member() -> None:
    models = networks()
    for model in models:
        plain = nn.Linear(7, 2).double()
        plain.load_state_dict(model.head[-1].state_dict())
        model.head[-1] = plain
    members = Members(models)
    assert not members.in_one_pass
    assert_as_each_alone(members, models, compact=True)


def test_without_gradients_and_with_torchs_own() -> None:
    models = networks(normalize=True, readout="set2set+attention")
    members, batch = Members(models).eval(), batch_of(compact=True)
    want = torch.stack([model.eval()(batch) for model in models])
    with torch.inference_mode():
        torch.testing.assert_close(members(batch), want)
    with plain_autograd():
        torch.testing.assert_close(members(batch), want)


def test_second_derivatives() -> None:
    models = networks()
    members, batch = Members(models), batch_of(["OCC", "C#N"], compact=True)
    weight = members.network.passing.layer.gru.weight_ih

    def slope(output: Tensor, of: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(output.square().sum(), of, create_graph=True)
        return gradient

    (together,) = torch.autograd.grad(slope(members(batch), weight).square().sum(), weight)
    for e, model in enumerate(models):
        own = model.passing.layer.gru.weight_ih
        (alone,) = torch.autograd.grad(slope(model(batch), own).square().sum(), own)
        torch.testing.assert_close(together[e], alone)


def test_dropout_draws_as_each_alone() -> None:
    models = networks(dropout=0.5, head_layers=2)
    batch = batch_of()
    with dropout_seeds([11, 12, 13]):
        together = Members(models).train()(batch)
    for e, model in enumerate(models):
        with dropout_seeds([11 + e]):
            torch.testing.assert_close(together[e], model.train()(batch))


def test_flat_levels_stay_one_record() -> None:
    batch = lay_out(batch_of(compact=False), 2)
    assert batch.levels[0] is batch.levels[1]
    assert batch.num_graphs == 2 * batch_of().num_graphs


def test_long_gradients_are_shortened_member_by_member() -> None:
    members = Members(networks())
    scale = torch.tensor([1e-3, 1.0, 1e3], dtype=torch.float64)
    (members(batch_of()).square().sum((1, 2)) * scale).sum().backward()
    before = {name: g.clone() for name, g in gradients(members.network).items()}
    norms = members.clip_gradients(1.0)
    for e in range(NUMBER):
        model = copy.deepcopy(networks()[e])
        for name, parameter in model.named_parameters():
            parameter.grad = before[name][e].clone() if name in before else None
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        torch.testing.assert_close(norms[e], norm)
        for name, gradient in gradients(model).items():
            torch.testing.assert_close(gradients(members.network)[name][e], gradient)


def test_weights_in_and_out() -> None:
    models = networks()
    members = Members(models)
    members.set_weights(1, models[2].state_dict())
    assert all(torch.equal(t, models[2].state_dict()[name]) for name, t in members.weights(1).items())
    assert all(torch.equal(t, models[0].state_dict()[name]) for name, t in members.weights(0).items())


CONFIG = TrainConfig(epochs=6, batch_size=4, lr=0.05, grad_clip=0.5, patience=2)


def examples() -> Examples:
    labels = np.sin(np.arange(26.0)).reshape(13, 2)
    labels[3, 0] = np.nan
    targets = Targets("regression", (Target(name="a"), Target(name="b"))).fit(labels)
    return Examples(DeviceGraphs(graphs(), steps=3), targets, labels, np.linspace(0.5, 2.0, 26).reshape(13, 2))


def trained(models: list[MoleculeModel], plans: list[Plan]) -> tuple[Members, list[Epoch]]:
    members = Members(models).double()
    return members, [record for record in fit(members, examples(), plans, CONFIG) if isinstance(record, Epoch)]


@pytest.mark.parametrize("stacked", [True, False])
def test_trained_in_one_pass_as_one_by_one(stacked: bool) -> None:
    rows = np.arange(13)
    plans = [Plan(seed, rows[:10], rows[10:]) for seed in (5, 6, 7)]
    models = networks(dropout=0.3)
    if not stacked:
        for model in models:
            model.readout.register_parameter("idle", nn.Parameter(torch.zeros(1).double()))
    members, epochs = trained(models, plans)
    assert members.in_one_pass == stacked
    assert len({epoch.epoch for epoch in epochs if epoch.best and epoch.member == 0}) > 1
    assert len({len([e for e in epochs if e.member == m]) for m in range(3)}) > 1, "all stop at once: a weak test"
    for e, plan in enumerate(plans):
        alone, epochs_alone = trained([models[e]], [plan])
        assert [epoch.best for epoch in epochs_alone] == [epoch.best for epoch in epochs if epoch.member == e]
        for name, weight in alone.weights(0).items():
            torch.testing.assert_close(members.weights(e)[name], weight, rtol=1e-7, atol=1e-9, msg=name)


def test_a_row_outside_a_plan_changes_nothing_for_its_network() -> None:
    rows = np.arange(13)
    folds = [Plan(1, rows[:6], rows[10:]), Plan(2, rows[4:10], rows[:2])]
    spoiled = [folds[0], replace_train(folds[1], rows[5:10])]
    (first, _), (second, _) = (trained(networks()[:2], plans) for plans in (folds, spoiled))
    assert all(torch.allclose(first.weights(0)[n], t, rtol=1e-9) for n, t in second.weights(0).items())
    assert not all(torch.allclose(first.weights(1)[n], t, rtol=1e-9) for n, t in second.weights(1).items())


def replace_train(plan: Plan, train: np.ndarray) -> Plan:
    return plan._replace(train=train)


def test_outputs_come_in_the_order_asked_for() -> None:
    members, store = Members(networks()), DeviceGraphs(graphs(), steps=3)
    outputs = predict_outputs(members, store, np.array([5, 2]))
    np.testing.assert_allclose(outputs[:, ::-1], predict_outputs(members, store, np.array([2, 5])), rtol=1e-6)
    assert predict_outputs(members, store, np.array([], np.int64)).shape == (NUMBER, 0, 2)
