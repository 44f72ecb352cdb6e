"""AdamW by torch's fused kernel, without the optimizer around it, which loads torch's compiler: a second of each start.

I. Loshchilov and F. Hutter, Decoupled weight decay regularization, 2019, arXiv 1711.05101.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim.adamw import adamw

__all__ = ["AdamW"]

BETAS, EPSILON = (0.9, 0.999), 1e-8


class _Moments(NamedTuple):
    """What is known of a parameter's gradients so far."""

    steps: Tensor
    first: Tensor
    second: Tensor


class AdamW:
    """As ``torch.optim.AdamW(parameters, fused=True)``, to the bit.

    Parameters
    ----------
    parameters
        Those that learn. One without a gradient stays as it is.
    weight_decay
        Share of the rate by which a step shortens each weight.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = AdamW([weight], weight_decay=0.5)
    >>> weight.grad = torch.full((1,), 3.0)
    >>> optimizer.step(0.1)
    >>> weight.data
    tensor([0.8500])
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], *, weight_decay: float) -> None:
        self.parameters, self.weight_decay = list(parameters), weight_decay
        self._moments: dict[int, _Moments] = {}

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Change the parameters by their gradients."""
        places = [place for place, parameter in enumerate(self.parameters) if parameter.grad is not None]
        for place in places:
            if place not in self._moments:
                parameter = self.parameters[place]
                none = torch.zeros((), dtype=torch.float32, device=parameter.device)
                self._moments[place] = _Moments(none, torch.zeros_like(parameter), torch.zeros_like(parameter))
        moments = [self._moments[place] for place in places]
        chosen = [self.parameters[place] for place in places]
        gradients = [parameter.grad for parameter in chosen if parameter.grad is not None]
        steps, first, second = ([moment[i] for moment in moments] for i in range(3))
        settings: dict[str, Any] = {"weight_decay": self.weight_decay, "eps": EPSILON, "amsgrad": False}
        settings |= {"beta1": BETAS[0], "beta2": BETAS[1], "maximize": False}
        data = [parameter.data for parameter in chosen]
        adamw(data, gradients, first, second, [], steps, fused=True, lr=rate, **settings)

    def state_dict(self) -> dict[str, Any]:
        """Tensors by the place of their parameter."""
        return {"moments": {place: tuple(moments) for place, moments in self._moments.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` returned."""
        for place, (steps, *moments) in state["moments"].items():
            parameter = self.parameters[int(place)]
            first, second = (torch.empty_like(parameter, requires_grad=False).copy_(moment) for moment in moments)
            self._moments[int(place)] = _Moments(steps.to(parameter.device, copy=True), first, second)
