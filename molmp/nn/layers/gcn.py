"""Graph convolution: a sum that is normalised by the degrees of both ends.

Shapes: N atoms, Q messages, T bond types, D hidden width.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from molmp.chem.features import BOND_FIELDS
from molmp.errors import ConfigError
from molmp.nn.batch import Level
from molmp.nn.embedding import CodeEmbedding
from molmp.nn.linear import Linear
from molmp.nn.message_passing import MessagePassing
from molmp.nn.segment import bag_sum, take

__all__ = ["GraphConvolution"]


class GraphConvolution(MessagePassing):
    """GCN (T. N. Kipf and M. Welling, Semi-supervised classification with graph convolutional networks, 2017, arXiv
    1609.02907)::

        d_v = 1 + sum over neighbours w of s(bond(v, w))
        h'_v = b + W h_v / d_v + sum over neighbours w of s(bond(v, w)) W h_w / sqrt(d_v d_w)

    The paper knows no bond features; they enter as weights ``s`` of the edges, one positive number a bond type. What
    an atom sends depends on its degree, which lies a bond further away than its state: states are not shared.
    """

    shares_states: ClassVar[bool] = False

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.strength = CodeEmbedding(BOND_FIELDS, 1)
        self.linear = Linear(hidden, hidden, bias=False)
        self.bias = nn.Parameter(torch.zeros(hidden))

    def bonds(self, codes_TC: Tensor) -> Tensor:
        """Return the strength of each bond type, shape ``(T, 1)``."""
        return F.softplus(self.strength(codes_TC))

    def forward(self, h_SD: Tensor, level: Level, bonds: Tensor | None = None) -> Tensor:
        """Return the states of the atoms, shape ``(N, D)``."""
        if level.previous is not None:
            raise ConfigError("degrees of senders need batches made with compact=False")
        assert bonds is not None
        pairs = level.pairs
        strength_Q1 = bonds.index_select(0, pairs.bond_type)
        scale_N1 = (1 + bag_sum(strength_Q1, pairs.inbox)).rsqrt()
        scaled_ND = self.linear(h_SD) * scale_N1
        message_QD = take(scaled_ND, pairs.source) * strength_Q1
        return (self.aggregate(message_QD, pairs.inbox) + scaled_ND) * scale_N1 + self.bias
