"""What the custom autograd functions of this package share.

Each of them is written twice: as a formula in torch's own operations, and as a pair of forward and backward passes that
does the same with less work. The formula serves where the pair cannot: for exports and for derivatives of derivatives.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from functools import cached_property, update_wrapper
from typing import Any, TypeVar

import torch
from torch import Tensor

__all__ = ["gradients_of_formula", "kept", "plain", "plain_autograd", "tanh_"]

_PLAIN: ContextVar[bool] = ContextVar("plain", default=False)

T = TypeVar("T")


@contextlib.contextmanager
def plain_autograd() -> Iterator[None]:
    """Compute with torch's own differentiable operations only, as an export does; slower, equal numbers.

    Needed for transforms that do not know custom autograd functions, such as ``torch.func.jvp``.
    """
    token = _PLAIN.set(True)
    try:
        yield
    finally:
        _PLAIN.reset(token)


def plain() -> bool:
    """Whether to compute with torch's own operations: while exporting, compiling or asked to."""
    return _PLAIN.get() or torch.compiler.is_compiling() or torch.jit.is_tracing()


def gradients_of_formula(
    formula: Callable[..., Tensor], inputs: Sequence[Tensor], gradient: Tensor
) -> list[Tensor | None]:
    """Return the gradients of the inputs in a way that can itself be differentiated; None for those without one."""
    # Aliases, because one input may have been computed from another: what flows that way is not this function's.
    aliases = [x.view_as(x) for x in inputs]
    wanted = [x for x in aliases if x.requires_grad]
    found = iter(torch.autograd.grad(formula(*aliases), wanted, gradient, create_graph=True))
    return [next(found) if x.requires_grad else None for x in aliases]


def kept(make: Callable[[Any], T]) -> cached_property[T]:
    """Make a property once and keep it, fit for gradients even if it is first asked for in inference mode."""

    def make_normal(record: Any) -> T:
        with torch.inference_mode(False):
            return make(record)

    return cached_property(update_wrapper(make_normal, make))


def tanh_(x: Tensor) -> Tensor:
    """Replace ``x`` by its hyperbolic tangent; torch's own takes ten times as long as its sigmoid on CPU.

    >>> tanh_(torch.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.7616,  0.0000,  0.7616])
    """
    return x.mul_(2).sigmoid_().mul_(2).sub_(1)
