"""AdamW is torch's, to the bit, and goes on from where it was; training does not load torch's compiler."""

import subprocess
import sys

import torch

from molmp.nn.adamw import AdamW


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3))


def learn(model: torch.nn.Module, seed: int) -> None:
    x = torch.randn(11, 5, generator=torch.Generator().manual_seed(seed))
    model(x).square().mean().backward()


def rate(step: int) -> float:
    return 2e-3 * (step + 1) / 10


def test_weights_are_those_of_torch() -> None:
    mine, theirs = network(), network()
    optimizer = AdamW(mine.parameters(), weight_decay=0.05)
    reference = torch.optim.AdamW(theirs.parameters(), lr=2e-3, weight_decay=0.05, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(reference, lambda step: (step + 1) / 10)
    for step in range(12):
        optimizer.zero_grad()
        reference.zero_grad(set_to_none=True)
        learn(mine, step)
        learn(theirs, step)
        optimizer.step(rate(step))
        reference.step()
        schedule.step()
    for one, other in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)
        assert not torch.equal(one, torch.zeros_like(one))


def test_it_goes_on_where_it_was() -> None:
    whole, cut = network(), network()
    optimizer = AdamW(whole.parameters(), weight_decay=0.05)
    before = AdamW(cut.parameters(), weight_decay=0.05)
    for step in range(6):
        optimizer.zero_grad()
        learn(whole, step)
        optimizer.step(rate(step))
        if step == 3:
            after = AdamW(cut.parameters(), weight_decay=0.05)
            after.load_state_dict(before.state_dict())
            before = after
        before.zero_grad()
        learn(cut, step)
        before.step(rate(step))
    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), cut.parameters(), strict=True))


def test_what_has_no_gradient_stays() -> None:
    model = network()
    kept = model[0].weight.detach().clone()
    optimizer = AdamW(model.parameters(), weight_decay=0.5)
    learn(model, 0)
    model[0].weight.grad = None
    bias = model[0].bias.detach().clone()
    optimizer.step(0.1)
    assert torch.equal(model[0].weight, kept)
    assert not torch.equal(model[0].bias, bias)
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_step_does_not_load_the_compiler() -> None:
    program = (
        "import sys, torch; from molmp.nn.adamw import AdamW; weight = torch.nn.Parameter(torch.ones(2)); "
        "optimizer = AdamW([weight], weight_decay=0.1); weight.sum().backward(); optimizer.step(0.1); "
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
