"""Graph attention: neighbours are weighed by a score of both ends and the bond.

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

__all__ = ["GraphAttention"]

SLOPE = 0.2


class GraphAttention(MessagePassing):
    """GAT (P. Velickovic, G. Cucurull, A. Casanova, A. Romero, P. Lio and Y. Bengio, Graph attention networks, 2018,
    arXiv 1710.10903), for each head::

        a_vw = softmax over w, among the neighbours of v and v itself, of
               leaky_relu(p . W h_w + q . W h_v + r . e(bond(v, w)))
        h'_v = b + sum over w of a_vw W h_w

    The paper knows no bond features; ``e`` is a vector for each bond type, and for an atom itself the mean over its
    bonds.
    """

    looks_at_target: ClassVar[bool] = True

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.linear = Linear(hidden, hidden, bias=False)
        self.edge = CodeEmbedding(BOND_FIELDS, hidden)
        self.to_source, self.to_target, self.to_edge = (
            nn.Parameter(torch.randn(heads, hidden // heads) / math.sqrt(hidden // heads)) for _ in range(3)
        )
        self.bias = nn.Parameter(torch.zeros(hidden))

    def bonds(self, codes_TC: Tensor) -> Tensor:
        """Return what each bond type adds to the scores, shape ``(T, H)``."""
        return self._score(self.edge(codes_TC), self.to_edge)

    def forward(self, h_SD: Tensor, level: Level, bonds: Tensor | None = None) -> Tensor:
        """Return the states of the rows of ``level``, shape ``(R, D)``."""
        assert bonds is not None
        edges, x_SD = level.edges, self.linear(h_SD)
        source_SH, target_SH = self._score(x_SD, self.to_source), self._score(x_SD, self.to_target)
        bond_EH = bonds.index_select(0, edges.bond_type)
        score_EH = take(source_SH, edges.source) + take(target_SH, level.targets) + bond_EH
        own_RH = before(source_SH + target_SH, level) + bag_mean(bond_EH, edges.inbox)
        scores = F.leaky_relu(score_EH, SLOPE), F.leaky_relu(own_RH, SLOPE)
        weight_EH, own_weight_RH = softmax_with_self(*scores, edges.inbox)
        value_EHC = take(x_SD, edges.source).unflatten(1, (self.heads, -1))
        own_RHC = before(x_SD, level).unflatten(1, (self.heads, -1)) * own_weight_RH.unsqueeze(2)
        return weighted_sum(value_EHC, weight_EH, edges.inbox) + own_RHC.flatten(1) + self.bias

    def _score(self, x_SD: Tensor, question_HC: Tensor) -> Tensor:
        return (x_SD.unflatten(1, (self.heads, -1)) * question_HC).sum(2)
