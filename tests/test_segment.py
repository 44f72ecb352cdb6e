"""Ragged sums and their kin against plain loops, with empty bags and nothing at all."""

import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from molmp.nn.autograd import plain, plain_autograd
from molmp.nn.segment import Bags, Rows, bag_dot, bag_max, bag_mean, bag_softmax, bag_sum, take

SIZES = st.lists(st.integers(0, 4), max_size=6)


def make(sizes: list[int], num_rows: int = 5, seed: int = 0) -> Bags:
    generator = torch.Generator().manual_seed(seed)
    index = torch.randint(num_rows, (sum(sizes),), generator=generator)
    return Bags(Rows(index, num_rows), torch.tensor([0, *itertools.accumulate(sizes)]))


def numbers(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=dtype)


def by_loop(bags: Bags, entry: Callable[[int, int], Tensor], reduce: Callable[[Tensor], Tensor], width: int) -> Tensor:
    """Reduce ``entry(k, row)`` over the entries ``k`` of each bag; zeros for empty ones."""
    out = torch.zeros(len(bags), width, dtype=torch.float64)
    for b, (begin, end) in enumerate(itertools.pairwise(bags.offsets.tolist())):
        if begin < end:
            out[b] = reduce(torch.stack([entry(k, int(bags.rows.index[k])) for k in range(begin, end)]))
    return out


@given(SIZES, st.booleans())
@settings(max_examples=50, deadline=None)
def test_sum_mean_and_max_equal_loops(sizes: list[int], slow: bool) -> None:
    bags, x = make(sizes), numbers(5, 3)
    with plain_autograd() if slow else torch.enable_grad():
        got = bag_sum(x, bags), bag_mean(x, bags), bag_max(x, bags)
    for mine, reduce in zip(got, (lambda v: v.sum(0), lambda v: v.mean(0), lambda v: v.amax(0)), strict=True):
        torch.testing.assert_close(mine, by_loop(bags, lambda _, row: x[row], reduce, 3))


@given(SIZES, st.booleans())
@settings(max_examples=50, deadline=None)
def test_weighted_sum_dot_and_softmax_equal_loops(sizes: list[int], slow: bool) -> None:
    bags, x, q, weight = make(sizes), numbers(5, 3), numbers(len(sizes), 3, seed=2), numbers(sum(sizes), seed=3)
    with plain_autograd() if slow else torch.enable_grad():
        summed, dots, soft = bag_sum(x, bags, weight), bag_dot(q, x, bags), bag_softmax(weight, bags)
    torch.testing.assert_close(summed, by_loop(bags, lambda k, row: weight[k] * x[row], lambda v: v.sum(0), 3))
    owner = [b for b, size in enumerate(sizes) for _ in range(size)]
    want = [q[b] @ x[row] for b, row in zip(owner, bags.rows.index, strict=True)]
    torch.testing.assert_close(dots, torch.stack(want) if want else dots.new_zeros(0))
    parts = [part.softmax(0) for part in weight.split(sizes)] if sizes else []
    torch.testing.assert_close(soft, torch.cat(parts) if parts else weight)


@pytest.mark.parametrize("sizes", [[2, 0, 3, 1], [4], [0, 0]])
@pytest.mark.parametrize("name", ["take", "sum", "weighted", "dot", "softmax", "max", "mean"])
def test_derivatives_first_and_second(name: str, sizes: list[int]) -> None:
    bags = make(sizes, seed=4)
    x, q, weight = numbers(5, 3), numbers(len(sizes), 3, seed=2), numbers(sum(sizes), seed=3)
    function, inputs = {
        "take": (lambda x: take(x, bags.rows), (x,)),
        "sum": (lambda x: bag_sum(x, bags), (x,)),
        "weighted": (lambda x, w: bag_sum(x, bags, w), (x, weight)),
        "dot": (lambda q, x: bag_dot(q, x, bags), (q, x)),
        "softmax": (lambda w: bag_softmax(w, bags), (weight,)),
        "max": (lambda x: bag_max(x, bags), (x,)),
        "mean": (lambda x: bag_mean(x, bags), (x,)),
    }[name]
    inputs = tuple(t.requires_grad_() for t in inputs)
    if name in ("dot", "softmax", "take") and not sum(sizes):
        assert function(*inputs).shape[0] == 0  # nothing to differentiate
        return
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


def test_only_what_is_asked_for_is_differentiated() -> None:
    bags, weight = make([2, 2]), numbers(4).requires_grad_()
    x = numbers(5, 3)
    bag_sum(x, bags, weight).sum().backward()
    assert weight.grad is not None
    assert x.grad is None


def test_largest_values_share_the_gradient() -> None:
    x = torch.tensor([[1.0], [1.0], [0.0]], requires_grad=True)
    bag_max(x, Bags(Rows(torch.tensor([0, 1, 2]), 3), torch.tensor([0, 3]))).sum().backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [0.5, 0.5, 0.0]


def test_softmax_survives_large_scores() -> None:
    bags = Bags(Rows(torch.arange(4), 4), torch.tensor([0, 2, 4]))
    soft = bag_softmax(torch.tensor([1e4, 1e4 - 1, -1e4, -1e4]), bags)
    torch.testing.assert_close(soft, torch.tensor([0.7311, 0.2689, 0.5, 0.5]), rtol=0, atol=1e-4)


def test_more_entries_than_places() -> None:
    bags = Bags(Rows(torch.zeros(7, dtype=torch.long), 1), torch.tensor([0, 7]))
    q, x = torch.ones(1, 2), torch.full((1, 2), 3.0)
    assert bag_dot(q, x, bags).tolist() == [6.0] * 7


def test_blank_memory_does_not_leak() -> None:
    bags, q, x = make([3, 2]), numbers(2, 3, dtype=torch.float32), numbers(5, 3, dtype=torch.float32)
    torch.full((5,), float("nan"))  # freed at once: what a careless allocation would find
    assert bag_dot(q, x, bags).isfinite().all()


def test_groups_are_stable_and_complete() -> None:
    rows = Rows(torch.tensor([2, 0, 2, 2]), 4)
    assert rows.groups.rows.index.tolist() == [1, 0, 2, 3]
    assert rows.groups.offsets.tolist() == [0, 1, 1, 4, 4]
    bags = Bags(rows, torch.tensor([0, 1, 4]))
    assert bags.owner.tolist() == [0, 1, 1, 1]
    assert bags.transposed.rows.index.tolist() == [1, 0, 1, 1]


def test_plain_is_for_the_block_only() -> None:
    assert not plain()
    with plain_autograd():
        assert plain()
    assert not plain()


def test_strided_input() -> None:
    bags, wide = make([2, 0, 3]), numbers(5, 6)
    torch.testing.assert_close(bag_sum(wide[:, ::2], bags), bag_sum(wide[:, ::2].contiguous(), bags))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_other_precisions(dtype: torch.dtype) -> None:
    bags, x = make([2, 0, 3]), numbers(5, 3).to(dtype)
    want = bag_sum(x.double(), bags)
    torch.testing.assert_close(bag_sum(x, bags).double(), want, rtol=2e-2, atol=2e-2)
    q = numbers(3, 3, seed=5).to(dtype)
    torch.testing.assert_close(
        bag_dot(q, x, bags).double(), bag_dot(q.double(), x.double(), bags), rtol=5e-2, atol=5e-2
    )
