"""Graph attention whose ranking of neighbours depends on who asks.

Shapes: S rows of the level before, R rows of this level, E edges, T bond types, H heads, C numbers a head.
"""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from molmp.chem.features import BOND_FIELDS
from molmp.nn.attention import softmax_with_self, weighted_sum
from molmp.nn.batch import Level
from molmp.nn.embedding import CodeEmbedding
from molmp.nn.linear import Linear
from molmp.nn.message_passing import MessagePassing, before
from molmp.nn.segment import bag_mean, take

__all__ = ["DynamicAttention"]

SLOPE = 0.2


class DynamicAttention(MessagePassing):
    """GATv2 (S. Brody, U. Alon and E. Yahav, How attentive are graph attention networks?, 2022, arXiv 2105.14491), for
    each head::

        a_vw = softmax over w, among the neighbours of v and v itself, of
               p . leaky_relu(W h_w + V h_v + e(bond(v, w)))
        h'_v = b + sum over w of a_vw W h_w

    ``e`` is a vector for each bond type, and for an atom itself the mean over its bonds. ``W`` and ``V`` have biases.
    """

    looks_at_target: ClassVar[bool] = True

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.source, self.target = Linear(hidden, hidden), Linear(hidden, hidden)
        self.edge = CodeEmbedding(BOND_FIELDS, hidden)
        self.question = nn.Parameter(torch.randn(heads, hidden // heads) / math.sqrt(hidden // heads))
        self.bias = nn.Parameter(torch.zeros(hidden))

    def bonds(self, codes_TC: Tensor) -> Tensor:
        """Return the vector of each bond type, shape ``(T, D)``."""
        vectors: Tensor = self.edge(codes_TC)
        return vectors

    def forward(self, h_SD: Tensor, level: Level, bonds: Tensor | None = None) -> Tensor:
        """Return the states of the rows of ``level``, shape ``(R, D)``."""
        assert bonds is not None
        edges, x_SD, y_SD = level.edges, self.source(h_SD), self.target(h_SD)
        value_ED = take(x_SD, edges.source)
        bond_ED = bonds.index_select(0, edges.bond_type)
        score_EH = self._score(value_ED + take(y_SD, level.targets) + bond_ED)
        own_RH = self._score(before(x_SD + y_SD, level) + bag_mean(bond_ED, edges.inbox))
        weight_EH, own_weight_RH = softmax_with_self(score_EH, own_RH, edges.inbox)
        own_RHC = before(x_SD, level).unflatten(1, (self.heads, -1)) * own_weight_RH.unsqueeze(2)
        heard_RD = weighted_sum(value_ED.unflatten(1, (self.heads, -1)), weight_EH, edges.inbox)
        return heard_RD + own_RHC.flatten(1) + self.bias

    def _score(self, x_ED: Tensor) -> Tensor:
        return (F.leaky_relu(x_ED, SLOPE).unflatten(1, (self.heads, -1)) * self.question).sum(2)
