"""Products by either library, of every shape that splits differently."""

from collections.abc import Iterator

import pytest
import torch

from molmp.nn import matmul as module
from molmp.nn.autograd import plain_autograd
from molmp.nn.grouped_matmul import grouped_matmul
from molmp.nn.linear import Linear, linear
from molmp.nn.matmul import matmul, matmul_transposed
from molmp.nn.segment import Rows

ROWS = [0, 1, 63, 64, 65, 128, 300, 2200]


@pytest.fixture
def onednn_always(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "LEAST", 0)
    monkeypatch.setattr(module, "_intel", lambda: False)
    module._onednn.cache_clear()
    yield
    module._onednn.cache_clear()


@pytest.mark.usefixtures("onednn_always")
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_matmul(rows: int, biased: bool, given: bool) -> None:
    x, w, bias = torch.randn(rows, 5), torch.randn(7, 5), torch.randn(7) if biased else None
    want = x @ w.t() + (bias if biased else 0)
    for weight in (w, w.t().contiguous().t()):  # both orders in memory
        out = torch.full((rows, 7), torch.nan) if given else None
        got = matmul(x, weight, bias, out)
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
        assert out is None or got is out


@pytest.mark.usefixtures("onednn_always")
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(("K", "N"), [(5, 7), (7, 5)])
def test_matmul_transposed(rows: int, K: int, N: int) -> None:
    x, y = torch.randn(rows, K), torch.randn(rows, N)
    torch.testing.assert_close(matmul_transposed(x, y), x.t() @ y, rtol=1e-5, atol=1e-4)


@pytest.mark.usefixtures("onednn_always")
def test_strided_operands_are_not_for_onednn() -> None:
    wide, weight = torch.randn(128, 12), torch.randn(7, 5)
    torch.testing.assert_close(matmul(wide[:, :5], weight), wide[:, :5] @ weight.t())
    assert module._blocks_for_onednn(wide[:, :5], weight, 7) == []
    found = module._blocks_for_onednn(wide[:, :5].contiguous(), weight, 7)
    assert found in ([], [slice(0, 128)])  # none where there is no oneDNN


def test_blocks_are_of_few_sizes_and_leave_a_short_rest() -> None:
    """oneDNN keeps a kernel for every size that it has met: memory would grow with each new batch."""
    sizes = set()
    for rows in range(5_000):
        blocks = module._blocks(rows)
        ends = [0, *(block.stop for block in blocks)]
        assert [block.start for block in blocks] == ends[:-1]
        assert 0 <= rows - ends[-1] < 64
        sizes |= {block.stop - block.start for block in blocks}
    assert sizes == set(module.BLOCKS)


def test_float64_and_small_products_are_torchs_own() -> None:
    x, w = torch.randn(128, 256, dtype=torch.float64), torch.randn(256, 256, dtype=torch.float64)
    assert torch.equal(matmul(x, w), x @ w.t())
    small = torch.randn(3, 4)
    assert torch.equal(matmul(small, small), small @ small.t())


@pytest.mark.parametrize("biased", [False, True])
def test_linear_is_torchs_linear(biased: bool) -> None:
    x = torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    layer = Linear(4, 3, bias=biased).double()
    torch.testing.assert_close(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))
    assert torch.autograd.gradcheck(linear, (x, layer.weight, layer.bias))
    assert torch.autograd.gradgradcheck(linear, (x, layer.weight, layer.bias))
    with plain_autograd():
        torch.testing.assert_close(layer(x), linear(x, layer.weight, layer.bias))


@pytest.mark.parametrize("counts", [[2, 0, 3], [0, 0], [4], []])
def test_grouped_matmul(counts: list[int]) -> None:
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    rows = Rows(torch.arange(sum(counts)) % 3, 3)
    matrices = torch.randn(len(counts), 4, 2, dtype=torch.float64, requires_grad=True)
    want = [part @ matrix for part, matrix in zip(x[rows.index].split(counts), matrices, strict=True)]
    got = grouped_matmul(x, rows, matrices, counts)
    torch.testing.assert_close(got, torch.cat(want) if want else x.new_zeros(0, 2))
    if sum(counts):
        assert torch.autograd.gradcheck(lambda x, m: grouped_matmul(x, rows, m, counts), (x, matrices))
        assert torch.autograd.gradgradcheck(lambda x, m: grouped_matmul(x, rows, m, counts), (x, matrices))


def test_large_groups_in_float32() -> None:
    counts = [300, 0, 129, 7]
    rows = Rows(torch.arange(436).flip(0), 436)
    x, matrices = torch.randn(436, 128), torch.randn(4, 128, 128)
    grads = []
    for dtype in (torch.float32, torch.float64):
        a, b = x.detach().to(dtype).requires_grad_(), matrices.detach().to(dtype).requires_grad_()
        grouped_matmul(a, rows, b, counts).square().sum().backward()
        grads.append((a.grad, b.grad))
    for mine, want in zip(*grads, strict=True):
        assert mine is not None
        assert want is not None
        torch.testing.assert_close(mine.double(), want, rtol=1e-4, atol=1e-2)


def test_gradients_of_wide_weights_keep_their_order() -> None:
    few, many = torch.randn(14, 128), torch.randn(14, 2048)
    assert matmul_transposed(many, few).is_contiguous()  # or else autograd copies them
