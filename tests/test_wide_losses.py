"""Losses of several numbers a target: SciPy's distributions, exact gradients, gaps and weights."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from torch import Tensor

from molmp.nn.beliefs import concentration, evidence, gaussian_parameters
from molmp.nn.wide_losses import DIRICHLET_PENALTY, EVIDENTIAL_PENALTY, dirichlet, evidential, mve, quantile

NAN = float("nan")
LEVELS = (0.1, 0.5, 0.8)
LOSSES = {"mve": mve, "quantile": partial(quantile, levels=LEVELS), "evidential": evidential, "dirichlet": dirichlet}
WIDTHS = {"mve": 2, "quantile": 3, "evidential": 4, "dirichlet": 3}


def case(name: str, rows: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    prediction = 2 * torch.randn((rows, 2, WIDTHS[name]), generator=generator, dtype=torch.float64)
    if name == "dirichlet":
        return prediction, torch.randint(3, (rows, 2), generator=generator).double()
    return prediction, torch.randn(rows, 2, generator=generator, dtype=torch.float64)


def test_mve_is_the_normal_distribution() -> None:
    prediction, target = case("mve")
    mean, variance = gaussian_parameters(prediction)
    assert float(mve(prediction, target)) == pytest.approx(-stats.norm.logpdf(target, mean, variance.sqrt()).mean())


def test_evidential_is_students_distribution() -> None:
    prediction, target = case("evidential")
    mean, nu, alpha, beta = (part.numpy() for part in evidence(prediction))
    y = target.numpy()
    likelihood = stats.t.logpdf(y, 2 * alpha, mean, np.sqrt(beta * (1 + nu) / (nu * alpha)))
    penalty = np.abs(y - mean) * (2 * nu + alpha)
    assert float(evidential(prediction, target)) == pytest.approx(np.mean(-likelihood + EVIDENTIAL_PENALTY * penalty))


def test_quantile_is_least_at_the_quantile() -> None:
    """For each level the mean loss over many values is least where that share of them is below."""
    values = torch.from_numpy(stats.norm.ppf((np.arange(1000) + 0.5) / 1000)).unsqueeze(1)
    grid = torch.linspace(-2, 2, 401, dtype=torch.float64)
    for level in LEVELS:
        costs = [float(quantile(q.expand(1000, 1, 1), values, levels=[level])) for q in grid]
        assert float(grid[int(np.argmin(costs))]) == pytest.approx(stats.norm.ppf(level), abs=0.011)


def test_dirichlet_is_the_expected_squared_error() -> None:
    """Against moments of SciPy's distribution, and a divergence that was integrated."""
    prediction = torch.tensor([[[0.3, -1.0]]], dtype=torch.float64)
    alpha = concentration(prediction)[0, 0].numpy()
    p = stats.dirichlet(alpha)
    error = ((np.array([0, 1]) - p.mean()) ** 2).sum() + p.var().sum()
    wrong = alpha[0]  # the evidence for class 1 is no mistake where that is the truth

    def integrand(x: float) -> float:
        density = stats.beta.pdf(x, wrong, 1)
        return float(density * np.log(density))

    divergence = integrate.quad(integrand, 0, 1)[0]
    found = dirichlet(prediction, torch.tensor([[1.0]], dtype=torch.float64))
    assert float(found) == pytest.approx(error + DIRICHLET_PENALTY * divergence, rel=1e-6)
    assert special.gammaln(1) == 0


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_exact(name: str) -> None:
    prediction, target = case(name)
    target[0, 0] = NAN
    assert torch.autograd.gradcheck(lambda p: LOSSES[name](p, target), prediction.requires_grad_())


@pytest.mark.parametrize("name", LOSSES)
def test_a_gap_is_as_if_the_value_were_not_there(name: str) -> None:
    prediction, target = case(name)
    prediction.requires_grad_()
    target[2:] = NAN
    loss = LOSSES[name](prediction, target)
    torch.testing.assert_close(loss, LOSSES[name](prediction[:2], target[:2]))
    (gradient,) = torch.autograd.grad(loss, prediction)
    assert gradient.isfinite().all()
    assert gradient[2:].abs().max() == 0


@pytest.mark.parametrize("name", LOSSES)
def test_a_weight_is_so_many_rows(name: str) -> None:
    prediction, target = case(name)
    repeats = torch.tensor([3, 1, 0, 2, 1])
    repeated = LOSSES[name](prediction.repeat_interleave(repeats, 0), target.repeat_interleave(repeats, 0))
    torch.testing.assert_close(LOSSES[name](prediction, target, repeats.double()), repeated)


@pytest.mark.parametrize("name", LOSSES)
def test_extreme_outputs_stay_finite(name: str) -> None:
    generator = torch.Generator().manual_seed(3)
    prediction = 200 * torch.randn((50, 1, WIDTHS[name]), generator=generator)
    target = torch.randint(3, (50, 1), generator=generator).float()
    prediction.requires_grad_()
    loss = LOSSES[name](prediction, target)
    (gradient,) = torch.autograd.grad(loss, prediction)
    assert loss.isfinite()
    assert gradient.isfinite().all()


def test_learning_a_spread_finds_it() -> None:
    """Minimising over one head finds mean and variance of what it saw."""
    values = torch.from_numpy(np.random.default_rng(0).normal(1.0, 0.5, (4000, 1)))
    raw = torch.zeros(1, 1, 2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([raw], max_iter=200)

    def step() -> Tensor:
        optimizer.zero_grad()
        loss = mve(raw.expand(4000, 1, 2), values)
        loss.backward()
        return loss

    optimizer.step(step)
    mean, variance = gaussian_parameters(raw.detach())
    assert float(mean) == pytest.approx(float(values.mean()), abs=1e-3)
    assert float(variance.sqrt()) == pytest.approx(float(values.std()), rel=1e-3)
