"""Readouts: one vector for a molecule, whatever the number and order of its atoms.

Shapes: R rows of the last level, K atoms of all molecules, B molecules, D hidden width.

``molecules`` names, for each molecule, the row of each of its atoms; the states of the atoms themselves are never
written out.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from molmp.nn.linear import Linear
from molmp.nn.segment import Bags, bag_max, bag_mean, bag_softmax, bag_sum
from molmp.nn.set2set import set2set

__all__ = ["Attention", "Max", "Mean", "Readouts", "Set2Set", "Sum"]


class Sum(nn.Module):
    """``r_i = sum over atoms v of h_v / 10``: of order 1 for a drug, and it grows with the molecule."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.width = hidden

    def forward(self, h_RD: Tensor, molecules: Bags) -> Tensor:
        """Read out, shape ``(B, D)``."""
        return bag_sum(h_RD, molecules) * 0.1


class Mean(Sum):
    """``r_i = mean over atoms v of h_v``."""

    def forward(self, h_RD: Tensor, molecules: Bags) -> Tensor:
        """Read out, shape ``(B, D)``."""
        return bag_mean(h_RD, molecules)


class Max(Sum):
    """``r_i = elementwise maximum over atoms v of h_v``."""

    def forward(self, h_RD: Tensor, molecules: Bags) -> Tensor:
        """Read out, shape ``(B, D)``."""
        return bag_max(h_RD, molecules)


class Attention(nn.Module):
    """``r_i = sum over atoms v of softmax_v(w . h_v) W h_v``, with learned ``w`` and ``W``.

    Global attention as in Y. Li, D. Tarlow, M. Brockschmidt and R. Zemel, Gated graph sequence neural networks, 2015,
    arXiv 1511.05493, with a softmax for the gate.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.width = hidden
        self.score = Linear(hidden, 1, bias=False)  # a bias would cancel in the softmax
        self.value = Linear(hidden, hidden)

    def forward(self, h_RD: Tensor, molecules: Bags) -> Tensor:
        """Read out, shape ``(B, D)``."""
        score_K = self.score(h_RD).squeeze(1).index_select(0, molecules.rows.index)
        return bag_sum(self.value(h_RD), molecules, bag_softmax(score_K, molecules))


class Set2Set(nn.Module):
    """Attention whose question is asked several times over by an LSTM (O. Vinyals, S. Bengio and M. Kudlur, Order
    matters: sequence to sequence for sets, 2015, arXiv 1511.06391)::

        q_t = LSTM([q_(t-1), r_(t-1)])
        a_v = softmax over the atoms v of a molecule of h_v . q_t
        r_t = sum of a_v h_v

    The result is ``[q_t, r_t]`` of the last step. The parameters are those of ``torch.nn.LSTM(2 D, D)``, whose hidden
    state is ``q`` itself: the weights for ``q`` as input and as state are added before they are used.
    """

    def __init__(self, hidden: int, steps: int = 3) -> None:
        super().__init__()
        self.width, self.steps = 2 * hidden, steps
        self.lstm = Gates(2 * hidden, hidden)

    def forward(self, h_RD: Tensor, molecules: Bags) -> Tensor:
        """Read out, shape ``(B, 2 D)``."""
        D = h_RD.shape[1]
        W_input, W_state, b_input, b_state = self.lstm.all_weights[0]
        weight = torch.cat([W_input[..., :D] + W_state, W_input[..., D:]], -1)
        bias = b_input + b_state
        return set2set(h_RD, weight, bias, molecules, self.steps)


class Gates(nn.LSTM):
    """The weights of an LSTM; what is done with them is written in :func:`~molmp.nn.set2set.set2set`."""

    stacks: ClassVar[bool] = True

    def flatten_parameters(self) -> None:
        """Leave them where they are: cuDNN's LSTM, which wants them in one piece, is not used."""


class Readouts(nn.ModuleList):
    """Several readouts side by side."""

    def __init__(self, readouts: Sequence[Sum | Attention | Set2Set]) -> None:
        super().__init__(readouts)
        self.width = sum(readout.width for readout in readouts)

    def forward(self, h_RD: Tensor, molecules: Bags) -> Tensor:
        """Read out, shape ``(B, D)``."""
        return torch.cat([readout(h_RD, molecules) for readout in self], 1)
