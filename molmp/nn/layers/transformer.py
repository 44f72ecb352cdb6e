"""A graph transformer: scaled dot products with the neighbours.

Shapes: S rows of the level before, R rows of this level, E edges, T bond types, H heads, C numbers a head.
"""

import math
from typing import ClassVar

from torch import Tensor

from molmp.chem.features import BOND_FIELDS
from molmp.nn.attention import weighted_sum
from molmp.nn.batch import Level
from molmp.nn.embedding import CodeEmbedding
from molmp.nn.linear import Linear
from molmp.nn.message_passing import MessagePassing, before
from molmp.nn.segment import bag_softmax, take

__all__ = ["NeighbourTransformer"]


class NeighbourTransformer(MessagePassing):
    """Graph transformer (Y. Shi, Z. Huang, S. Feng, H. Zhong, W. Wang and Y. Sun, Masked label prediction: unified
    message passing model for semi-supervised classification, 2021, arXiv 2009.03509), without its gated residual; for
    each head::

        a_vw = softmax over neighbours w of (Q h_v) . (K h_w + e(bond(v, w))) / sqrt(C)
        h'_v = R h_v + sum over neighbours w of a_vw (V h_w + e(bond(v, w)))

    ``e`` is a vector for each bond type; the other maps have biases.
    """

    looks_at_target: ClassVar[bool] = True

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key = Linear(hidden, hidden), Linear(hidden, hidden)
        self.value, self.root = Linear(hidden, hidden), Linear(hidden, hidden)
        self.edge = CodeEmbedding(BOND_FIELDS, hidden)

    def bonds(self, codes_TC: Tensor) -> Tensor:
        """Return the vector of each bond type, shape ``(T, D)``."""
        vectors: Tensor = self.edge(codes_TC)
        return vectors

    def forward(self, h_SD: Tensor, level: Level, bonds: Tensor | None = None) -> Tensor:
        """Return the states of the rows of ``level``, shape ``(R, D)``."""
        assert bonds is not None
        edges = level.edges
        bond_ED = bonds.index_select(0, edges.bond_type)
        key_ED, value_ED = take(self.key(h_SD), edges.source) + bond_ED, take(self.value(h_SD), edges.source) + bond_ED
        product_ED = take(self.query(h_SD), level.targets) * key_ED
        score_EH = product_ED.unflatten(1, (self.heads, -1)).sum(2) / math.sqrt(h_SD.shape[1] // self.heads)
        weight_EH = bag_softmax(score_EH, edges.inbox)
        heard_RD = weighted_sum(value_ED.unflatten(1, (self.heads, -1)), weight_EH, edges.inbox)
        return heard_RD + before(self.root(h_SD), level)
