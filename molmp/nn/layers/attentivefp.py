"""AttentiveFP: attention to neighbours, then a gated update.

Shapes: S rows of the level before, R rows of this level, Q pairs, E edges, T bond types, D hidden width.
"""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from molmp.chem.features import BOND_FIELDS
from molmp.nn.attention import weighted_sum
from molmp.nn.batch import Level
from molmp.nn.embedding import CodeEmbedding
from molmp.nn.gated import GatedUpdate
from molmp.nn.linear import Linear
from molmp.nn.message_passing import MessagePassing
from molmp.nn.segment import bag_softmax, take

__all__ = ["AttentiveFP"]


class AttentiveFP(MessagePassing):
    """AttentiveFP's step between atoms (Z. Xiong et al., Pushing the boundaries of molecular representation for drug
    discovery with the graph attention mechanism, 2020, DOI 10.1021/acs.jmedchem.9b00959)::

        g_vw = leaky_relu(W h_w + e(bond(v, w)))
        a_vw = softmax over neighbours w of leaky_relu(p . g_vw + q . h_v)
        m_v = elu(b + sum over neighbours w of a_vw V h_w)
        h'_v = relu(GRU(m_v, h_v))

    The paper's bonds speak in the first step only; here in each. Its readout is close to the readout ``attention``.
    """

    looks_at_target: ClassVar[bool] = True
    rectified: ClassVar[bool] = False

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.guess, self.value = Linear(hidden, hidden, bias=False), Linear(hidden, hidden, bias=False)
        self.edge = CodeEmbedding(BOND_FIELDS, hidden)
        self.to_source, self.to_target = (nn.Parameter(torch.randn(hidden, 1) / math.sqrt(hidden)) for _ in range(2))
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.gru = GatedUpdate(hidden)

    def bonds(self, codes_TC: Tensor) -> Tensor:
        """Return the vector of each bond type, shape ``(T, D)``."""
        vectors: Tensor = self.edge(codes_TC)
        return vectors

    def forward(self, h_SD: Tensor, level: Level, bonds: Tensor | None = None) -> Tensor:
        """Return the states of the rows of ``level``, shape ``(R, D)``."""
        assert bonds is not None
        edges, pairs = level.edges, level.pairs
        guess_QD = F.leaky_relu(take(self.guess(h_SD), pairs.source) + bonds.index_select(0, pairs.bond_type))
        score_E1 = take(guess_QD @ self.to_source, pairs.inbox.rows) + take(h_SD @ self.to_target, level.targets)
        weight_E1 = bag_softmax(F.leaky_relu(score_E1), edges.inbox)
        value_E1D = take(self.value(h_SD), edges.source).unsqueeze(1)
        message_RD = F.elu(weighted_sum(value_E1D, weight_E1, edges.inbox) + self.bias)
        return self.gru(message_RD, h_SD, level.previous).relu()
