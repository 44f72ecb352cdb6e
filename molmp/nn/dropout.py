"""Dropout that draws from generators of its own: what a network drops does not depend on its company."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

__all__ = ["Dropout", "dropout_of", "dropout_seeds"]

_GENERATORS: ContextVar[tuple[torch.Generator, ...]] = ContextVar("dropout_generators", default=())


@contextmanager
def dropout_seeds(seeds: Sequence[int], device: torch.device | str = "cpu") -> Iterator[None]:
    """Let what is dropped in this block depend on these seeds alone, one for each network that runs.

    >>> with dropout_seeds([3]):
    ...     first = Dropout(0.5)(torch.ones(8))
    >>> with dropout_seeds([4, 3]):
    ...     both = Dropout(0.5)(torch.ones(16))
    >>> torch.equal(both[8:], first)
    True
    """
    token = _GENERATORS.set(tuple(torch.Generator(device).manual_seed(seed) for seed in seeds))
    try:
        yield
    finally:
        _GENERATORS.reset(token)


@contextmanager
def dropout_of(member: int) -> Iterator[None]:
    """Let this network of those that :func:`dropout_seeds` names run alone."""
    token = _GENERATORS.set(_GENERATORS.get()[member : member + 1])
    try:
        yield
    finally:
        _GENERATORS.reset(token)


class Dropout(nn.Dropout):
    """``torch.nn.Dropout``; within :func:`dropout_seeds` the rows of each network draw from its own generator."""

    def forward(self, x: Tensor) -> Tensor:
        """Drop numbers, any shape whose first axis is a multiple of the number of seeds."""
        generators = _GENERATORS.get()
        if not (self.training and self.p and generators):
            return super().forward(x)
        keep = torch.empty_like(x)
        for part, generator in zip(keep.chunk(len(generators)), generators, strict=True):
            part.bernoulli_(1 - self.p, generator=generator)
        return x * keep.div_(1 - self.p)
