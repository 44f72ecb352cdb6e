"""Principal neighbourhood aggregation: four aggregations, each scaled by the degree in three ways.

Shapes: S rows of the level before, R rows of this level, Q messages, T bond types, D hidden width.
"""

import math

import torch
from torch import Tensor

from molmp.chem.features import BOND_FIELDS
from molmp.nn.batch import Level, Messages
from molmp.nn.embedding import CodeEmbedding
from molmp.nn.linear import Linear
from molmp.nn.message_passing import MessagePassing, before
from molmp.nn.segment import Bags, bag_max, bag_mean, take

__all__ = ["PrincipalNeighbourhood"]

MEAN_LOG_DEGREE = math.log(3)
"""Of an atom with two neighbours, as an atom of a drug has on average. The paper takes the mean over the training
molecules; as it only scales what a linear layer reads, one number for all keeps models comparable."""

LEAST = 1e-5
"""Variances below count as none: the root has no slope at 0."""


class PrincipalNeighbourhood(MessagePassing):
    """PNA with one tower (G. Corso, L. Cavalleri, D. Beaini, P. Lio and P. Velickovic, Principal neighbourhood
    aggregation for graph nets, 2020, arXiv 2004.05718)::

        m_vw = U h_v + V h_w + e(bond(v, w))
        a_v = [mean, min, max, standard deviation over neighbours w of m_vw]
        s_v = log(degree(v) + 1) / log(3)
        h'_v = W [h_v, a_v, s_v a_v, a_v / s_v] + b

    ``e`` is a vector for each bond type. As ``U h_v`` is the same in all messages to an atom, it shifts three of the
    aggregations and is added to them afterwards: messages need not be made for each target.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.source, self.target = Linear(hidden, hidden, bias=False), Linear(hidden, hidden, bias=False)
        self.edge = CodeEmbedding(BOND_FIELDS, hidden)
        self.mix, self.output = Linear(13 * hidden, hidden), Linear(hidden, hidden)

    def bonds(self, codes_TC: Tensor) -> Tensor:
        """Return the vector of each bond type, shape ``(T, D)``."""
        vectors: Tensor = self.edge(codes_TC)
        return vectors

    def message(self, h_SD: Tensor, messages: Messages, bonds: Tensor | None) -> Tensor:
        """Add the bond to its sender."""
        assert bonds is not None
        return take(self.source(h_SD), messages.source) + bonds.index_select(0, messages.bond_type)

    def aggregate(self, message_QD: Tensor, inbox: Bags) -> Tensor:
        """Return mean, minimum, maximum and deviation side by side, shape ``(R, 4 D)``."""
        mean = bag_mean(message_QD, inbox)
        variance = bag_mean(message_QD.square(), inbox) - mean.square()
        deviation = variance.clamp(min=LEAST).sqrt().masked_fill(variance <= LEAST, 0.0)
        return torch.cat([mean, -bag_max(-message_QD, inbox), bag_max(message_QD, inbox), deviation], 1)

    def update(self, message_RD: Tensor, h_SD: Tensor, level: Level) -> Tensor:
        """Shift, scale and mix."""
        D, degree_R1 = h_SD.shape[1], level.pairs.inbox.sizes.unsqueeze(1)
        shift_RD = before(self.target(h_SD), level) * (degree_R1 > 0)
        shifted = torch.cat([message_RD[:, : 3 * D] + shift_RD.repeat(1, 3), message_RD[:, 3 * D :]], 1)
        scale_R1 = (degree_R1.clamp(min=1) + 1).to(h_SD.dtype).log() / MEAN_LOG_DEGREE
        mixed: Tensor = self.mix(torch.cat([before(h_SD, level), shifted, shifted * scale_R1, shifted / scale_R1], 1))
        output: Tensor = self.output(mixed)
        return output
