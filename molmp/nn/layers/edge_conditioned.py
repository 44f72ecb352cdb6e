"""The edge-conditioned operator: a small network turns the features of a bond into a matrix.

Shapes: S rows of the level before, R rows of this level, Q messages, T bond types, D hidden width.
"""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from molmp.chem.features import BOND_FIELDS
from molmp.nn.autograd import plain
from molmp.nn.batch import Level, Messages
from molmp.nn.embedding import CodeEmbedding
from molmp.nn.gated import GatedUpdate
from molmp.nn.grouped_matmul import grouped_matmul
from molmp.nn.linear import Linear, add_bias
from molmp.nn.message_passing import MessagePassing
from molmp.nn.segment import Rows, take

__all__ = ["EdgeConditioned"]


class EdgeConditioned(MessagePassing):
    """Gilmer's operator (J. Gilmer et al., Neural message passing for quantum chemistry, 2017, arXiv 1704.01212)::

        m_v = relu(b + sum over neighbours w of A(bond(v, w)) h_w)
        h'_v = GRU(m_v, h_v)

    with ``A`` a network of one hidden layer. The paper has neither ``b`` nor ``relu``; ``rectify=False`` is its form.

    Bond features are discrete, so a bond *type* owns the matrix: ``A`` is worked out for each of the ``T`` types once,
    and each distinct pair of type and sender is multiplied once (as M. Simonovsky and N. Komodakis, Dynamic
    edge-conditioned filters in convolutional neural networks on graphs, 2017, arXiv 1704.02901, reuse the filters of
    equal edges). No matrix for each bond is ever made.
    """

    stacks: ClassVar[bool] = True
    rectified: ClassVar[bool] = False

    def __init__(self, hidden: int, edge_hidden: int = 128, aggregation: str = "sum", *, rectify: bool = True) -> None:
        super().__init__(aggregation)
        self.edge_embedding = CodeEmbedding(BOND_FIELDS, edge_hidden)
        self.edge_output = Linear(edge_hidden, hidden * hidden)
        self.bias = nn.Parameter(torch.zeros(hidden)) if rectify else None
        self.gru = GatedUpdate(hidden)
        self.hidden = hidden
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Scale the edge network so that its matrices keep the length of a vector at first."""
        std = 1 / math.sqrt(self.hidden * self.edge_output.in_features)
        nn.init.normal_(self.edge_output.weight, std=std)
        nn.init.zeros_(self.edge_output.bias)

    def bonds(self, codes_TC: Tensor) -> Tensor:
        """Return the transposed matrix of each bond type, shape ``(T, D, D)``."""
        features = F.relu(self.edge_embedding(codes_TC))
        return self.edge_output(features).view(-1, self.hidden, self.hidden)

    def message(self, h_SD: Tensor, messages: Messages, bonds: Tensor | None) -> Tensor:
        """Multiply each sender by the matrix of its bond."""
        assert bonds is not None
        if plain() or messages.counts is None:
            return _project(h_SD, messages, bonds)
        return grouped_matmul(h_SD, messages.source, bonds, messages.counts, messages.members)

    def update(self, message_RD: Tensor, h_SD: Tensor, level: Level) -> Tensor:
        """Let a gated recurrent unit decide."""
        if self.bias is not None:
            message_RD = add_bias(message_RD, self.bias).relu()  # in place autograd would copy a view and its gradient
        return self.gru(message_RD, h_SD, level.previous)


def _project(h_SD: Tensor, messages: Messages, matrices_TDD: Tensor) -> Tensor:
    """Multiply every row by every matrix and choose: more work, but no shape depends on how the types are mixed."""
    num_rows, num_types = h_SD.shape[0], matrices_TDD.shape[0]
    everything = torch.einsum("sd,tdf->stf", h_SD, matrices_TDD).flatten(0, 1)
    chosen = messages.source.index * num_types + messages.bond_type
    return take(everything, Rows(chosen, num_rows * num_types))
