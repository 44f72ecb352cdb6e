"""What heads say: moments of the distributions they stand for, and the law of total variance."""

import numpy as np
import pytest
import torch
from scipy import stats

from molmp.nn.beliefs import Belief, _softplus, combine, concentration, evidence, read_belief

RAW = torch.randn((3, 5, 4), generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_evidence_gives_the_variance_of_students_distribution() -> None:
    raw = RAW + torch.tensor([0.0, 0.0, 1.0, 0.0])
    belief = read_belief("evidential", raw)
    mean, nu, alpha, beta = (part.numpy() for part in evidence(raw))
    assert belief.aleatoric is not None
    assert belief.epistemic is not None
    total = stats.t(2 * alpha, mean, np.sqrt(beta * (1 + nu) / (nu * alpha))).var()
    np.testing.assert_allclose(belief.aleatoric + belief.epistemic, total, rtol=1e-10)


@pytest.mark.parametrize("binary", [True, False])
def test_dirichlet_gives_moments_of_its_distribution(binary: bool) -> None:
    raw = RAW[0, :, :2] if binary else RAW[0]
    belief = read_belief("dirichlet", raw, binary=binary)
    assert belief.aleatoric is not None
    assert belief.epistemic is not None
    for row, alpha in enumerate(concentration(raw).numpy()):
        mean, variance = stats.dirichlet(alpha).mean(), stats.dirichlet(alpha).var()
        np.testing.assert_allclose(belief.value[row], mean[1] if binary else mean, rtol=1e-10)
        assert float(belief.epistemic[row]) == pytest.approx(variance[1] if binary else variance.sum())
        whole = mean[1] * mean[0] if binary else 1 - (mean**2).sum()
        assert float(belief.aleatoric[row] + belief.epistemic[row]) == pytest.approx(whole)


def test_quantiles_that_cross_are_put_in_order() -> None:
    belief = read_belief("quantile", torch.tensor([[3.0, 1.0, 2.0]]), median=1)
    assert belief.quantiles is not None
    assert belief.quantiles.tolist() == [[1, 2, 3]]
    assert belief.value.tolist() == [2]


@pytest.mark.parametrize(
    ("loss", "binary", "width"),
    [("mve", False, 2), ("evidential", False, 4), ("bce", True, 1), ("focal", True, 1), ("cross-entropy", False, 4),
     ("dirichlet", True, 2), ("dirichlet", False, 4)],
)  # fmt: skip
def test_total_variance(loss: str, binary: bool, width: int) -> None:
    """Of an ensemble: both parts add up to the variance of a truth that is drawn from a network drawn by chance."""
    members = read_belief(loss, RAW[..., :width], binary=binary)
    together = combine(members)
    assert members.aleatoric is not None
    assert together.aleatoric is not None
    assert together.epistemic is not None
    value = members.value.numpy()
    inner = members.aleatoric.numpy() + (0 if members.epistemic is None else members.epistemic.numpy())
    between = value.var(0) if value.ndim == 2 else value.var(0).sum(-1)
    np.testing.assert_allclose(together.aleatoric + together.epistemic, inner.mean(0) + between, rtol=1e-10)
    np.testing.assert_allclose(together.value, value.mean(0), rtol=1e-10)


def test_one_network_that_learned_no_spread_knows_none() -> None:
    one = combine(Belief(RAW[:1, :, 0]))
    assert (one.aleatoric, one.epistemic) == (None, None)
    two = combine(Belief(torch.tensor([[1.0, 5.0], [3.0, 5.0]])))
    assert two.epistemic is not None
    assert two.epistemic.tolist() == [1, 0]


def test_softplus_is_torchs() -> None:
    x = torch.linspace(-40, 40, 81, dtype=torch.float64, requires_grad=True)
    (mine,) = torch.autograd.grad(_softplus(x).sum(), x)
    (theirs,) = torch.autograd.grad(torch.nn.functional.softplus(x, threshold=100).sum(), x)
    torch.testing.assert_close(_softplus(x), torch.nn.functional.softplus(x, threshold=100))
    torch.testing.assert_close(mine, theirs)
