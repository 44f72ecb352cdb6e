"""Dropout that draws from generators of its own: what a network drops of a molecule does not depend on its company, nor
on how a batch is shared among processes or cut into pieces.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["Dropout", "dropout_of", "dropout_seeds"]


class _Draw(NamedTuple):
    generators: tuple[torch.Generator, ...] = ()
    molecules: Tensor | None = None
    num_molecules: int = 0


_FROM_TORCH = _Draw()

_DRAW: ContextVar[_Draw] = ContextVar("dropout_draw", default=_FROM_TORCH)


@contextmanager
def dropout_seeds(
    seeds: Sequence[int], device: torch.device | str = "cpu", *, molecules: Tensor | None = None, num_molecules: int = 0
) -> Iterator[None]:
    """Let what is dropped in this block depend on these seeds alone, one for each network that runs.

    Parameters
    ----------
    seeds
        Of each network.
    device
        Where the networks run.
    molecules
        Where a part of a batch runs: the places of its molecules in the batch, on ``device``, shape ``(B,)``. Each then
        drops what it would in the whole.
    num_molecules
        Of the whole batch.

    >>> with dropout_seeds([3]):
    ...     first = Dropout(0.5)(torch.ones(8))
    >>> with dropout_seeds([4, 3]):
    ...     both = Dropout(0.5)(torch.ones(16))
    >>> torch.equal(both[8:], first)
    True
    >>> with dropout_seeds([3], molecules=torch.tensor([6, 2]), num_molecules=8):
    ...     part = Dropout(0.5, by_molecule=True)(torch.ones(2))
    >>> torch.equal(part, first[[6, 2]])
    True
    """
    generators = tuple(torch.Generator(device).manual_seed(seed) for seed in seeds)
    token = _DRAW.set(_Draw(generators, molecules, num_molecules))
    try:
        yield
    finally:
        _DRAW.reset(token)


@contextmanager
def dropout_of(member: int) -> Iterator[None]:
    """Let this network of those that :func:`dropout_seeds` names run alone."""
    draw = _DRAW.get()
    token = _DRAW.set(draw._replace(generators=draw.generators[member : member + 1]))
    try:
        yield
    finally:
        _DRAW.reset(token)


class Dropout(nn.Dropout):
    """``torch.nn.Dropout``; within :func:`dropout_seeds` the rows of each network draw from its own generator.

    Parameters
    ----------
    p
        Share of the numbers that is dropped.
    by_molecule
        Whether rows are molecules.
    """

    def __init__(self, p: float = 0.5, *, by_molecule: bool = False) -> None:
        super().__init__(p)
        self.by_molecule = by_molecule

    def forward(self, x: Tensor) -> Tensor:
        """Drop numbers, any shape whose first axis is a multiple of the number of seeds."""
        generators, molecules, num_molecules = _DRAW.get()
        if not (self.training and self.p and generators):
            return super().forward(x)
        keep = torch.empty_like(x)
        for part, generator in zip(keep.chunk(len(generators)), generators, strict=True):
            if self.by_molecule and molecules is not None:
                whole = part.new_empty(num_molecules, *part.shape[1:]).bernoulli_(1 - self.p, generator=generator)
                part.copy_(whole.index_select(0, molecules))
            else:
                part.bernoulli_(1 - self.p, generator=generator)
        return x * keep.div_(1 - self.p)
