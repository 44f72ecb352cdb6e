"""Losses: torch's own where nothing is missing, and gaps and weights that are what they say."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from molmp.nn.losses import LOSSES

NAN = float("nan")

TORCHS = {
    "mse": F.mse_loss,
    "mae": F.l1_loss,
    "huber": F.huber_loss,
    "bce": F.binary_cross_entropy_with_logits,
    "cross-entropy": lambda p, t: F.cross_entropy(p.flatten(0, 1), t.flatten().long()),
    "focal": lambda p, t: (
        -((1 - (p * (2 * t - 1)).sigmoid()) ** 2 * F.logsigmoid(p * (2 * t - 1))).mean()  # Lin et al. 2017, section 3.2
    ),
}


def case(name: str, rows: int = 4) -> tuple[Tensor, Tensor]:
    """Predictions and targets of a table of two columns."""
    generator = torch.Generator().manual_seed(1)
    shape = (rows, 2, 3) if name == "cross-entropy" else (rows, 2)
    prediction = 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    if name in ("bce", "focal", "cross-entropy"):
        top = 3 if name == "cross-entropy" else 2
        return prediction, torch.randint(top, (rows, 2), generator=generator).double()
    return prediction, torch.randn(rows, 2, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", LOSSES)
def test_torchs_own_where_nothing_is_missing(name: str) -> None:
    prediction, target = case(name)
    torch.testing.assert_close(LOSSES[name](prediction, target), TORCHS[name](prediction, target))
    torch.testing.assert_close(
        LOSSES[name](prediction, target, torch.full((4,), 7.0)), LOSSES[name](prediction, target)
    )


@pytest.mark.parametrize("name", LOSSES)
def test_a_gap_is_as_if_the_value_were_not_there(name: str) -> None:
    prediction, target = case(name)
    prediction.requires_grad_()
    target[2:] = NAN
    loss = LOSSES[name](prediction, target)
    torch.testing.assert_close(loss, LOSSES[name](prediction[:2], target[:2]))
    loss.backward()
    assert prediction.grad is not None
    assert prediction.grad.isfinite().all()
    assert prediction.grad[:2].abs().min() > 0
    assert prediction.grad[2:].abs().max() == 0


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("by_value", [False, True])
def test_a_weight_is_so_many_rows(name: str, by_value: bool) -> None:
    prediction, target = case(name)
    repeats = torch.tensor([3, 1, 0, 2])
    weight = repeats.double().unsqueeze(1).expand(4, 2) if by_value else repeats.double()
    repeated = LOSSES[name](prediction.repeat_interleave(repeats, 0), target.repeat_interleave(repeats, 0))
    torch.testing.assert_close(LOSSES[name](prediction, target, weight), repeated)


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_there_is_no_loss(name: str) -> None:
    prediction, target = case(name)
    prediction.requires_grad_()
    for loss in (LOSSES[name](prediction, target * NAN), LOSSES[name](prediction, target, torch.zeros(4))):
        (gradient,) = torch.autograd.grad(loss, prediction)
        assert loss.item() == 0
        assert gradient.abs().max() == 0


def test_focal_of_several_classes_is_that_of_two() -> None:
    prediction, target = case("focal")
    both = torch.stack([torch.zeros_like(prediction), prediction], dim=2)
    torch.testing.assert_close(LOSSES["focal"](both, target), LOSSES["focal"](prediction, target))
