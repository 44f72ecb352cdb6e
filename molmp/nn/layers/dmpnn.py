"""D-MPNN: messages along directed bonds, none of which turns round.

Shapes: E directed bonds, D hidden width.
"""

from typing import ClassVar

from torch import Tensor

from molmp.nn.batch import Level, Messages
from molmp.nn.linear import Linear
from molmp.nn.message_passing import MessagePassing
from molmp.nn.segment import take

__all__ = ["DirectedMessages"]


class DirectedMessages(MessagePassing):
    """D-MPNN (K. Yang et al., Analyzing learned molecular representations for property prediction, 2019, DOI
    10.1021/acs.jcim.9b00237), the encoder of Chemprop::

        s_vw = W x_v + e(bond(v, w))                                        first, h_vw = s_vw
        m_vw = sum over neighbours u of v, but w, of relu(h_uv)
        h'_vw = s_vw + U m_vw
        h_v = relu(V [x_v, sum over neighbours u of relu(h_uv)] + b)        last

    The rows of a level are directed bonds. The stack brings ``s`` back in each step, and the first and the last line
    are :class:`molmp.nn.directed.DirectedBonds`, so that of ``n`` steps ``n - 1`` lead from bonds to bonds.
    """

    shares_states: ClassVar[bool] = False
    rectified: ClassVar[bool] = False
    directed: ClassVar[bool] = True

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.linear = Linear(hidden, hidden, bias=False)

    def message(self, h_SD: Tensor, messages: Messages, bonds: Tensor | None) -> Tensor:
        """Send the state, rectified."""
        return take(h_SD, messages.source).relu()

    def update(self, message_RD: Tensor, h_SD: Tensor, level: Level) -> Tensor:
        """Turn what was heard."""
        turned: Tensor = self.linear(message_RD)
        return turned
