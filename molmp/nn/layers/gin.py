"""Graph isomorphism: a sum, which can count, and a network of two layers.

Shapes: S rows of the level before, R rows of this level, Q messages, D hidden width.
"""

import torch
from torch import Tensor, nn

from molmp.nn.batch import Level, Messages
from molmp.nn.linear import Linear
from molmp.nn.message_passing import MessagePassing, before
from molmp.nn.segment import take

__all__ = ["Isomorphism"]


class Isomorphism(MessagePassing):
    """GIN (K. Xu, W. Hu, J. Leskovec and S. Jegelka, How powerful are graph neural networks?, 2019, arXiv
    1810.00826)::

        h'_v = MLP((1 + eps) h_v + sum over neighbours w of h_w)

    with a learned ``eps`` and an MLP of one hidden layer of twice the width. It has no bond features; see
    :class:`molmp.nn.layers.gine.IsomorphismWithBonds`.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.eps = nn.Parameter(torch.zeros(1))
        self.mlp = nn.Sequential(Linear(hidden, 2 * hidden), nn.ReLU(), Linear(2 * hidden, hidden))

    def message(self, h_SD: Tensor, messages: Messages, bonds: Tensor | None) -> Tensor:
        """Send the state."""
        return take(h_SD, messages.source)

    def update(self, message_RD: Tensor, h_SD: Tensor, level: Level) -> Tensor:
        """Let the network mix what was heard with what was there."""
        updated: Tensor = self.mlp((1 + self.eps) * before(h_SD, level) + message_RD)
        return updated
