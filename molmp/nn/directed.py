"""States of directed bonds: a batch in which bonds, not atoms, pass messages.

Shapes: N atoms, E directed bonds, Q bonds that lead to a bond, T bond types, D hidden width.
"""

import torch
from torch import Tensor, nn

from molmp.chem.features import BOND_FIELDS
from molmp.errors import ConfigError
from molmp.nn.batch import GraphBatch, Level, Messages
from molmp.nn.embedding import CodeEmbedding
from molmp.nn.linear import Linear
from molmp.nn.segment import Bags, Rows, bag_sum, take

__all__ = ["DirectedBonds", "between_bonds"]


def between_bonds(level: Level) -> Level:
    """Turn messages between atoms into messages between directed bonds: from ``u -> v`` to ``v -> w``, ``u`` not ``w``.

    Rows of the result are the edges of ``level``, in their order, which must be those of a flat batch.

    >>> import numpy as np
    >>> from molmp.chem.graphs import MolGraphs
    >>> from molmp.nn.batch import DeviceGraphs
    >>> atoms, bonds = np.zeros((3, 12)), np.zeros((2, 4))
    >>> propane = MolGraphs.pack(atoms, bonds, np.array([0, 1]), np.array([1, 2]), np.array([3]), np.array([2]))
    >>> level = DeviceGraphs(propane, steps=1, compact=False).batch().levels[0]
    >>> list(zip(level.edges.source.index.tolist(), level.edges.inbox.owner.tolist()))
    [(1, 0), (2, 1), (0, 1), (1, 2)]
    >>> inbox = between_bonds(level).pairs.inbox
    >>> inbox.rows.index, inbox.sizes  # 2 -> 1 leads to 1 -> 0, and 0 -> 1 to 1 -> 2
    (tensor([1, 2]), tensor([1, 0, 0, 1]))
    """
    if level.previous is not None or level.molecules is None:
        raise ConfigError("states of directed bonds need batches made with compact=False")
    edges = level.edges
    source, target, inbox = edges.source.index, edges.inbox.owner, edges.inbox
    degrees_E = inbox.sizes.index_select(0, source)
    owner = torch.repeat_interleave(torch.arange(len(source), device=source.device), degrees_E)
    ends_E = degrees_E.cumsum(0)
    first_E = inbox.offsets.index_select(0, source) - (ends_E - degrees_E)
    incoming = torch.arange(len(owner), device=source.device) + first_E.index_select(0, owner)
    onward = source.index_select(0, incoming) != target.index_select(0, owner)
    everyone = Rows(torch.arange(len(source), device=source.device), len(source))
    begin = torch.zeros(1, dtype=torch.int64, device=source.device)
    messages = Messages(
        everyone,
        edges.bond_type,
        Bags(Rows(incoming[onward], len(source)), torch.cat([begin, (degrees_E - 1).cumsum(0)])),
    )
    sizes = torch.zeros_like(level.molecules.sizes).index_add(
        0, level.molecules.owner.index_select(0, target), torch.ones_like(target)
    )
    return Level(messages, None, Bags(everyone, torch.cat([begin, sizes.cumsum(0)])))


class DirectedBonds(nn.Module):
    """From atoms to directed bonds and back::

    s_vw = W x_v + e(bond(v, w))
    h_v = relu(V [x_v, sum over neighbours u of relu(h_uv)] + b)
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.edge = CodeEmbedding(BOND_FIELDS, hidden)
        self.sender = Linear(hidden, hidden, bias=False)
        self.atom, self.arrived = Linear(hidden, hidden), Linear(hidden, hidden, bias=False)

    def enter(self, x_ND: Tensor, batch: GraphBatch) -> Tensor:
        """Return the first state of each directed bond, shape ``(E, D)``."""
        edges = batch.levels[0].edges
        bonds: Tensor = self.edge(batch.bond_codes)
        return take(self.sender(x_ND), edges.source) + bonds.index_select(0, edges.bond_type)

    def leave(self, h_ED: Tensor, x_ND: Tensor, batch: GraphBatch) -> Tensor:
        """Return the states of the atoms, shape ``(N, D)``."""
        heard_ND = bag_sum(h_ED.relu(), batch.levels[0].edges.inbox)
        state: Tensor = (self.atom(x_ND) + self.arrived(heard_ND)).relu()
        return state
