"""GraphSAGE: a mean or maximum of the neighbours, side by side with the atom itself.

Shapes: S rows of the level before, R rows of this level, Q messages, T bond types, D hidden width.
"""

from torch import Tensor

from molmp.chem.features import BOND_FIELDS
from molmp.nn.batch import Level, Messages
from molmp.nn.embedding import CodeEmbedding
from molmp.nn.linear import Linear
from molmp.nn.message_passing import MessagePassing, before
from molmp.nn.segment import take

__all__ = ["SampleAndAggregate"]


class SampleAndAggregate(MessagePassing):
    """GraphSAGE without sampling (W. L. Hamilton, R. Ying and J. Leskovec, Inductive representation learning on large
    graphs, 2017, arXiv 1706.02216)::

        m_v = mean, or elementwise maximum, over neighbours w of (h_w + e(bond(v, w)))
        h'_v = W [m_v, h_v] + b

    The paper knows no bond features; ``e`` is a vector for each bond type.
    """

    def __init__(self, hidden: int, aggregation: str) -> None:
        super().__init__(aggregation)
        self.edge = CodeEmbedding(BOND_FIELDS, hidden)
        self.neighbours, self.own = Linear(hidden, hidden), Linear(hidden, hidden, bias=False)

    def bonds(self, codes_TC: Tensor) -> Tensor:
        """Return the vector of each bond type, shape ``(T, D)``."""
        vectors: Tensor = self.edge(codes_TC)
        return vectors

    def message(self, h_SD: Tensor, messages: Messages, bonds: Tensor | None) -> Tensor:
        """Add the bond to its sender."""
        assert bonds is not None
        return take(h_SD, messages.source) + bonds.index_select(0, messages.bond_type)

    def update(self, message_RD: Tensor, h_SD: Tensor, level: Level) -> Tensor:
        """Mix what was heard with what was there."""
        updated: Tensor = self.neighbours(message_RD) + before(self.own(h_SD), level)
        return updated
