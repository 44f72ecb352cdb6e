"""The recipe that all operators follow: message, aggregate, update.

Shapes: S rows of the level before, R rows of this level, Q messages, T bond types, D hidden width.
"""

from typing import ClassVar

from torch import Tensor, nn

from molmp.errors import ConfigError, listed
from molmp.nn.batch import Level, Messages
from molmp.nn.segment import Bags, bag_max, bag_mean, bag_sum, take

__all__ = ["AGGREGATIONS", "MessagePassing", "before"]

AGGREGATIONS = {"sum": bag_sum, "mean": bag_mean, "max": bag_max}


class MessagePassing(nn.Module):
    """One step along the bonds (J. Gilmer, S. S. Schoenholz, P. F. Riley, O. Vinyals and G. E. Dahl, Neural message
    passing for quantum chemistry, 2017, arXiv 1704.01212)::

        m_v = aggregate over the neighbours w of v of message(h_w, bond(v, w))
        h'_v = update(m_v, h_v)

    A new operator defines ``message`` and ``update``; ``bonds`` and ``aggregate`` where it needs others than these.
    Parameters and results of all of them have one row for each row of a :class:`~molmp.nn.batch.Level`, be that an
    atom or an environment.

    Examples
    --------
    >>> class Count(MessagePassing):
    ...     '''The number of neighbours.'''
    ...
    ...     def message(self, h, messages, bonds):
    ...         return take(torch.ones_like(h), messages.source)
    ...
    ...     def update(self, message, h, level):
    ...         return message
    >>> import numpy as np, torch
    >>> from molmp.chem.graphs import MolGraphs
    >>> from molmp.nn.batch import DeviceGraphs
    >>> from molmp.nn.segment import take
    >>> atoms, bonds = np.zeros((3, 12)), np.zeros((2, 4))
    >>> propane = MolGraphs.pack(atoms, bonds, np.array([0, 1]), np.array([1, 2]), np.array([3]), np.array([2]))
    >>> batch = DeviceGraphs(propane, steps=1, compact=False).batch([0])
    >>> Count()(torch.zeros(3, 1), batch.levels[0]).T
    tensor([[1., 2., 1.]])
    """

    looks_at_target: ClassVar[bool] = False
    """Whether ``message`` depends on the receiving atom: then there is one for each edge, else for each distinct
    pair of bond type and sender, which are fewer."""

    shares_states: ClassVar[bool] = True
    """Whether atoms of equal environment have equal states, so that one is computed for all of them: not where a
    message depends on more than the states and the bonds that the atom has seen, such as the degree of its sender."""

    directed: ClassVar[bool] = False
    """Whether the rows are directed bonds, not atoms; see :mod:`molmp.nn.directed`."""

    rectified: ClassVar[bool] = True
    """Whether a stack of several steps rectifies what ``update`` returns; not where that ends in a gate of its own."""

    def __init__(self, aggregation: str = "sum") -> None:
        super().__init__()
        if aggregation not in AGGREGATIONS:
            raise ConfigError(f"aggregation must be one of {listed(AGGREGATIONS)}, got {aggregation!r}")
        self.aggregation = aggregation

    def forward(self, h_SD: Tensor, level: Level, bonds: Tensor | None = None) -> Tensor:
        """Return the states of the rows of ``level``, shape ``(R, D)``; ``bonds`` is what :meth:`bonds` returned."""
        messages = level.edges if self.looks_at_target else level.pairs
        return self.update(self.aggregate(self.message(h_SD, messages, bonds), messages.inbox), h_SD, level)

    def bonds(self, codes_TC: Tensor) -> Tensor | None:
        """What the messages need to know of the bond types, worked out once a batch; the first axis is ``T``."""
        return None

    def message(self, h_SD: Tensor, messages: Messages, bonds: Tensor | None) -> Tensor:
        """Return a row for each of ``messages``, shape ``(Q, D)``."""
        raise NotImplementedError

    def aggregate(self, message_QD: Tensor, inbox: Bags) -> Tensor:
        """Put together what each row received, shape ``(R, D)``."""
        return AGGREGATIONS[self.aggregation](message_QD, inbox)

    def update(self, message_RD: Tensor, h_SD: Tensor, level: Level) -> Tensor:
        """Return the new states from what was received and the states before, shape ``(R, D)``."""
        raise NotImplementedError


def before(h_SD: Tensor, level: Level) -> Tensor:
    """Return the states that the rows of ``level`` had before the step, shape ``(R, D)``."""
    return h_SD if level.previous is None else take(h_SD, level.previous)
