"""Bounds such as ``>10``: probabilities of SciPy's distributions, and limits that everybody expects."""

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from molmp.nn.bounds import NOISE, gaussian_bound, huber_bound, laplace_bound
from molmp.nn.losses import LOSSES
from molmp.nn.wide_losses import mve

GRID = torch.linspace(-4, 4, 41, dtype=torch.float64)
ZERO = torch.zeros_like(GRID)
BOUNDED = ["mse", "mae", "huber", "mve"]


def bounded(name: str, prediction: Tensor, value: Tensor, side: float) -> Tensor:
    """The loss of each prediction for a bound."""
    loss = mve if name == "mve" else LOSSES[name]
    wide = torch.stack([prediction, prediction / 3], dim=-1) if name == "mve" else prediction
    columns = zip(wide.unsqueeze(1), value.unsqueeze(1), strict=True)
    return torch.stack([loss(p.unsqueeze(0), v.unsqueeze(0), None, torch.full((1, 1), side)) for p, v in columns])


def test_normal_errors() -> None:
    deviation = torch.full_like(GRID, 0.7)
    above = gaussian_bound(GRID, torch.ones_like(GRID), torch.ones_like(GRID), deviation)
    np.testing.assert_allclose(above, -stats.norm.logsf(1, GRID, 0.7), rtol=1e-10)
    below = gaussian_bound(GRID, torch.ones_like(GRID), -torch.ones_like(GRID), deviation)
    np.testing.assert_allclose(below, -stats.norm.logcdf(1, GRID, 0.7), rtol=1e-10)


def test_laplace_errors() -> None:
    above = laplace_bound(GRID, torch.ones_like(GRID), torch.ones_like(GRID), 0.7)
    np.testing.assert_allclose(above, -stats.laplace.logsf(1, GRID, 0.7), rtol=1e-10)
    below = laplace_bound(GRID, torch.ones_like(GRID), -torch.ones_like(GRID), 0.7)
    np.testing.assert_allclose(below, -stats.laplace.logcdf(1, GRID, 0.7), rtol=1e-10)


@pytest.mark.parametrize("deviation", [0.3, 0.5, 2.0])
def test_errors_of_hubers_distribution(deviation: float) -> None:
    def density(error: float) -> float:
        cost = error**2 / 2 if abs(error) <= 1 else abs(error) - 0.5
        return float(np.exp(-cost / deviation**2))

    far = 1 + 60 * deviation**2
    total = integrate.quad(density, -far, far, points=[-1, 1])[0]
    for miss in (-2.5, -1.0, -0.4, 0.0, 0.9, 1.0, 1.7):
        points = [p for p in (-1, 1) if p > miss]
        expected = -np.log(integrate.quad(density, miss, far, points=points)[0] / total)
        found = huber_bound(torch.tensor([1 - miss]).double(), torch.ones(1), torch.ones(1), deviation)
        assert float(found) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", BOUNDED)
def test_above_and_below_mirror_each_other(name: str) -> None:
    if name == "mve":
        wide = torch.stack([GRID, ZERO], dim=-1).unsqueeze(1)
        mirrored = torch.stack([-GRID, ZERO], dim=-1).unsqueeze(1)
        one = torch.ones_like(GRID).unsqueeze(1)
        torch.testing.assert_close(mve(wide, one, None, one), mve(mirrored, -one, None, -one))
        return
    torch.testing.assert_close(bounded(name, GRID, ZERO, 1.0), bounded(name, -GRID, ZERO, -1.0))


@pytest.mark.parametrize("name", ["mse", "mae", "huber"])
def test_the_right_side_is_free_and_the_wrong_one_costs_nearly_the_error(name: str) -> None:
    far = torch.tensor([5.0], dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.float64)
    assert float(bounded(name, far, zero, 1.0)) < 1e-5
    exact = float(LOSSES[name](-far.unsqueeze(0), zero.unsqueeze(0)))
    assert float(bounded(name, -far, zero, 1.0)) == pytest.approx(exact, rel=0.1)
    costs = bounded(name, GRID, ZERO, 1.0)
    assert (costs.diff() < 0).all(), "further on the allowed side is never worse"


@pytest.mark.parametrize("name", BOUNDED)
def test_no_side_is_the_plain_loss(name: str) -> None:
    loss = mve if name == "mve" else LOSSES[name]
    generator = torch.Generator().manual_seed(0)
    shape = (6, 2, 2) if name == "mve" else (6, 2)
    prediction = torch.randn(shape, generator=generator, dtype=torch.float64)
    target = torch.randn(6, 2, generator=generator, dtype=torch.float64)
    target[0, 0] = torch.nan
    torch.testing.assert_close(loss(prediction, target, None, torch.zeros(6, 2)), loss(prediction, target))


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_right_and_finite_far_away(name: str, dtype: torch.dtype) -> None:
    loss = mve if name == "mve" else LOSSES[name]
    far = torch.tensor([-300.0, -20.0, -1.3, -0.4, 0.2, 0.7, 15.0, 300.0], dtype=dtype).unsqueeze(1)
    prediction = (torch.stack([far, far / 100], dim=-1) if name == "mve" else far).requires_grad_()
    target, side = torch.zeros_like(far), torch.tensor([1.0, -1, 1, -1, 0, 1, -1, 1], dtype=dtype).unsqueeze(1)
    (gradient,) = torch.autograd.grad(loss(prediction, target, None, side), prediction)
    assert gradient.isfinite().all()
    if dtype == torch.float64:
        near = prediction.detach()[2:6].requires_grad_()
        assert torch.autograd.gradcheck(lambda p: loss(p, target[2:6], None, side[2:6]), near)


def test_a_bound_teaches_what_leaving_it_out_would_not() -> None:
    """The truth is normal around 0; all values above 0.3 are known as ``>0.3`` only."""
    truth = torch.from_numpy(np.random.default_rng(0).normal(0, NOISE, 2000)).unsqueeze(1)
    side = (truth > 0.3).double()
    labels = truth.clamp(max=0.3)
    found = {}
    for name, given, sides in (("tobit", labels, side), ("as values", labels, side * 0)):
        mean = torch.full((1, 1), 0.5, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([mean], max_iter=100)

        def step(mean=mean, optimizer=optimizer, given=given, sides=sides):
            optimizer.zero_grad()
            loss = LOSSES["mse"](mean.expand_as(given), given, None, sides)
            loss.backward()
            return loss

        optimizer.step(step)
        found[name] = mean.item()
    assert abs(found["tobit"]) < 0.03
    assert found["as values"] < -0.05
