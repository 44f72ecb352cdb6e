"""Readouts: against plain loops, and each molecule alone, together and swapped."""

import itertools
from collections.abc import Callable

import pytest
import torch
from networks import assert_same, batch_of, outcome, shake
from torch import Tensor, nn

from molmp.nn.autograd import plain_autograd
from molmp.nn.readout import Attention, Max, Mean, Readouts, Set2Set, Sum
from molmp.nn.segment import Bags, Rows

D = 6
READOUTS = ["Sum", "Mean", "Max", "Attention", "Set2Set"]


def new(name: str) -> nn.Module:
    torch.manual_seed(0)
    make = {"Sum": Sum, "Mean": Mean, "Max": Max, "Attention": Attention, "Set2Set": lambda d: Set2Set(d, 4)}[name]
    readout = make(D).double()
    shake(readout)
    return readout


def molecules(sizes: list[int]) -> Bags:
    """Molecules of so many atoms, whose atoms share rows."""
    index = torch.arange(sum(sizes)) % 4
    return Bags(Rows(index, 4), torch.tensor([0, *itertools.accumulate(sizes)]))


def states() -> Tensor:
    return torch.randn(4, D, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def by_hand(readout: nn.Module, h: Tensor) -> Tensor:
    """Read one molecule whose atoms have the states ``h``, by the formula of the docstring."""
    match readout:
        case Mean():
            return h.mean(0)
        case Max():
            return h.amax(0)
        case Sum():
            return h.sum(0) / 10
        case Attention():
            weight = (h @ readout.score.weight[0]).softmax(0)
            return weight @ (h @ readout.value.weight.t() + readout.value.bias)
    q_and_r, cell = torch.zeros(1, 2 * D, dtype=h.dtype), torch.zeros(1, D, dtype=h.dtype)
    for _ in range(readout.steps):
        q, cell = torch.lstm_cell(q_and_r, [q_and_r[:, :D], cell], *readout.lstm.all_weights[0])
        weight = (h @ q[0]).softmax(0)
        q_and_r = torch.cat([q[0], weight @ h]).unsqueeze(0)
    return q_and_r[0]


def outcome_and_gradient(readout: nn.Module, read: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    h = states().requires_grad_()
    result = outcome(readout, read(h))
    assert h.grad is not None
    return {"h": h.grad, **result}


@pytest.mark.parametrize("name", READOUTS)
@pytest.mark.parametrize("sizes", [[1], [3, 1, 2], [2, 5, 1, 1]])
def test_equals_the_formula(name: str, sizes: list[int]) -> None:
    readout, bags = new(name), molecules(sizes)
    parts = bags.rows.index.split(sizes)
    want = outcome_and_gradient(readout, lambda h: torch.stack([by_hand(readout, h[i]) for i in parts]))
    assert_same(outcome_and_gradient(readout, lambda h: readout(h, bags)), want)
    with plain_autograd():
        assert_same(outcome_and_gradient(readout, lambda h: readout(h, bags)), want)


@pytest.mark.parametrize("name", READOUTS)
def test_alone_together_and_swapped_agree(name: str) -> None:
    readout, h = new(name), states()
    one, two = torch.tensor([0, 1, 1]), torch.tensor([2])
    read = lambda *parts: readout(  # noqa: E731
        h, Bags(Rows(torch.cat(parts), 4), torch.tensor([0, *itertools.accumulate(map(len, parts))]))
    )
    alone = torch.cat([read(one), read(two)])
    torch.testing.assert_close(read(one, two), alone, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(read(two, one), alone.flip(0), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", READOUTS)
def test_derivatives(name: str) -> None:
    readout, bags = new(name), molecules([3, 1, 2])
    h = states().requires_grad_()
    assert torch.autograd.gradcheck(lambda h: readout(h, bags), (h,))
    assert torch.autograd.gradgradcheck(lambda h: readout(h, bags), (h,))


@pytest.mark.parametrize("name", READOUTS)
def test_no_molecules(name: str) -> None:
    readout = new(name)
    empty = batch_of([]).molecules
    assert readout(torch.zeros(0, D, dtype=torch.float64), empty).shape == (0, readout.width)


def test_one_step_of_set2set() -> None:
    readout, h, bags = Set2Set(D, 1).double(), states(), molecules([3, 2])
    torch.testing.assert_close(readout(h, bags)[0], by_hand(readout, h[:3]))


def test_side_by_side() -> None:
    both = Readouts([new("Set2Set"), new("Sum")])
    h, bags = states(), molecules([3, 2])
    assert both.width == 3 * D
    torch.testing.assert_close(both(h, bags), torch.cat([part(h, bags) for part in both], 1))
