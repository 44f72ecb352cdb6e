"""The gated update of Gilmer's network, with the states of the level before still unshared.

Shapes: R rows of this level, S rows of the level before, D hidden width, E members of an ensemble.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from molmp.nn.autograd import gradients_of_formula, plain, tanh_
from molmp.nn.linear import sum_rows
from molmp.nn.matmul import matmul, matmul_transposed
from molmp.nn.segment import Rows, bag_sum, take

__all__ = ["GatedUpdate"]

BLOCK = 1024
"""Rows updated together where no gradient is wanted: their gates stay in the processor's cache."""

CACHED = 1 << 13
"""Numbers of all members' messages together below which calling costs more than computing."""


class GatedUpdate(nn.GRUCell):
    """A gated recurrent unit (K. Cho et al., Learning phrase representations using RNN encoder-decoder for statistical
    machine translation, 2014, arXiv 1406.1078) in torch's form and with the parameters of ``torch.nn.GRUCell``::

        r = sigmoid(W_ir m + b_ir + W_hr h + b_hr)
        z = sigmoid(W_iz m + b_iz + W_hz h + b_hz)
        n = tanh(W_in m + b_in + r * (W_hn h + b_hn))
        h' = n + z * (h - n)

    Rows of one level that continue the same row of the level before share ``W_h h``; their gradients are added up
    before they are multiplied.
    """

    stacks: ClassVar[bool] = True

    def __init__(self, hidden: int) -> None:
        super().__init__(hidden, hidden)

    def forward(self, message_RD: Tensor, before_SD: Tensor, previous: Rows | None = None) -> Tensor:  # type: ignore[override]
        """Update the states ``before_SD[previous]``, shape ``(R, D)``; without ``previous`` the rows match."""
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        if plain():
            return _formula(message_RD, before_SD, *weights, previous)
        if not torch.is_grad_enabled() and before_SD.device.type == "cpu":
            after_RD = torch.empty_like(message_RD)
            for turn in _turns((message_RD, before_SD, after_RD), weights, previous, apart=True):
                _in_blocks(*turn)
            return after_RD
        updated: Tensor = _Gated.apply(message_RD, before_SD, *weights, previous)
        return updated


def _turns(
    rows: Sequence[Tensor], weights: Sequence[Tensor], previous: Rows | None, *, apart: bool
) -> list[tuple[Any, ...]]:
    """What is computed together: ``rows``, ``weights`` and ``previous``, of all members or of each ``apart``."""
    if weights[0].dim() == 2 or not apart:
        return [(*rows, *weights, previous)]
    of_one = None if previous is None else previous.member
    each = zip(*(t.chunk(len(weights[0])) for t in rows), *weights, strict=True)
    return [(*own, of_one) for own in each]


def _is_large(message_RD: Tensor) -> bool:
    """Whether to update members one by one: each number is read and written by a dozen operations, and one member's
    stay in the processor's cache."""
    return message_RD.device.type == "cpu" and message_RD.numel() >= CACHED


def _formula(
    m_RD: Tensor, before_SD: Tensor, W_i: Tensor, W_h: Tensor, b_i: Tensor, b_h: Tensor, previous: Rows | None
) -> Tensor:
    h_RD = before_SD if previous is None else take(before_SD, previous)
    if W_i.dim() == 2:
        return torch.gru_cell(m_RD, h_RD, W_i, W_h, b_i, b_h)
    members = zip(m_RD.chunk(len(W_i)), h_RD.chunk(len(W_i)), W_i, W_h, b_i, b_h, strict=True)
    return torch.cat([torch.gru_cell(*member) for member in members])


def _in_blocks(
    m_RD: Tensor, before_SD: Tensor, out_RD: Tensor, W_i: Tensor, W_h: Tensor, b_i: Tensor, b_h: Tensor,
    previous: Rows | None,
) -> None:  # fmt: skip
    """Forward only, without any ``(R, 3 D)`` tensor: large batches spent half their time on paging it in."""
    D = before_SD.shape[1]
    hidden_SG = matmul(before_SD, W_h, b_h)
    for start in range(0, m_RD.shape[0], BLOCK):
        rows = slice(start, start + BLOCK)
        hidden, h = hidden_SG[rows], before_SD[rows]
        if previous is not None:
            hidden = hidden_SG.index_select(0, previous.index[rows])
            h = before_SD.index_select(0, previous.index[rows])
        gates = matmul(m_RD[rows], W_i, b_i)
        r_and_z = gates[:, : 2 * D].add_(hidden[:, : 2 * D]).sigmoid_()
        n = tanh_(gates[:, 2 * D :].addcmul_(r_and_z[:, :D], hidden[:, 2 * D :]))
        torch.lerp(n, h, r_and_z[:, D:], out=out_RD[rows])


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, m_RD: Tensor, before_SD: Tensor, W_i: Tensor, W_h: Tensor, b_i: Tensor, b_h: Tensor,
        previous: Rows | None,
    ) -> Tensor:  # fmt: skip
        weights = (W_i, W_h, b_i, b_h)
        out_RD = torch.empty_like(m_RD)
        left: list[Tensor] = []
        for turn in _turns((m_RD, before_SD, out_RD), weights, previous, apart=_is_large(m_RD)):
            left += _update(*turn)
        ctx.save_for_backward(m_RD, before_SD, *weights, *left)
        ctx.previous = previous
        return out_RD

    @staticmethod
    def backward(ctx: Any, grad_RD: Tensor) -> tuple[Tensor | None, ...]:
        m_RD, before_SD, *saved = ctx.saved_tensors
        weights, left = saved[:4], saved[4:]
        previous: Rows | None = ctx.previous
        if torch.is_grad_enabled():  # the gradient is to be differentiated again
            inputs = (m_RD, before_SD, *weights)
            return (*gradients_of_formula(partial(_formula, previous=previous), inputs, grad_RD), None)
        grad_m, grad_before = torch.empty_like(m_RD), torch.empty_like(before_SD)
        rows = (m_RD, before_SD, grad_RD, grad_m, grad_before)
        turns = _turns(rows, weights, previous, apart=_is_large(m_RD))
        each = [_gradients(*turn, *own) for turn, *own in zip(turns, left[::2], left[1::2], strict=True)]
        of_weights = each[0] if len(each) == 1 else [torch.stack(same) for same in zip(*each, strict=True)]
        return grad_m, grad_before, *of_weights, None


def _update(
    m_RD: Tensor, before_SD: Tensor, out_RD: Tensor, W_i: Tensor, W_h: Tensor, b_i: Tensor, b_h: Tensor,
    previous: Rows | None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Write the new states; return the activations of r, z and n side by side, and ``W_hn h + b_hn``."""
    D = before_SD.shape[1]
    gates_RG = matmul(m_RD, W_i, b_i)
    hidden_RG, h_RD = matmul(before_SD, W_h, b_h), before_SD
    if previous is not None:
        hidden_RG = hidden_RG.index_select(0, previous.index)
        h_RD = before_SD.index_select(0, previous.index)
    r_and_z = gates_RG[:, : 2 * D].add_(hidden_RG[:, : 2 * D]).sigmoid_()
    candidate_RD = hidden_RG[:, 2 * D :].contiguous()
    n_RD = tanh_(gates_RG[:, 2 * D :].addcmul_(r_and_z[:, :D], candidate_RD))
    torch.lerp(n_RD, h_RD, r_and_z[:, D:], out=out_RD)
    return gates_RG, candidate_RD


def _gradients(
    m_RD: Tensor, before_SD: Tensor, grad_RD: Tensor, grad_m: Tensor, grad_before: Tensor, W_i: Tensor, W_h: Tensor,
    b_i: Tensor, b_h: Tensor, previous: Rows | None, gates_RG: Tensor, candidate_RD: Tensor,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Write the gradients of the messages and of the states before; return those of the weights."""
    D = before_SD.shape[1]
    members = len(W_i) if W_i.dim() == 3 else None
    r, z, n = gates_RG.split(D, 1)
    h_RD = before_SD if previous is None else before_SD.index_select(0, previous.index)
    grad_past = grad_RD * z
    # Before the activations, of r, z and n on the side of the message.
    grad_gates_RG = torch.empty_like(gates_RG)
    grad_r, grad_z, grad_n = grad_gates_RG.split(D, 1)
    torch.ops.aten.tanh_backward.grad_input(grad_RD - grad_past, n, grad_input=grad_n)
    torch.ops.aten.sigmoid_backward.grad_input(grad_n * candidate_RD, r, grad_input=grad_r)
    torch.ops.aten.sigmoid_backward.grad_input((h_RD - n).mul_(grad_RD), z, grad_input=grad_z)
    matmul(grad_gates_RG, W_i.mT, out=grad_m)
    of_message = matmul_transposed(grad_gates_RG, m_RD, members), sum_rows(grad_gates_RG, members)
    # Now of r, z and W_hn h + b_hn, on the side of the state.
    grad_n.mul_(r)
    grad_hidden = grad_gates_RG
    if previous is not None:
        grad_past, grad_hidden = bag_sum(grad_past, previous.groups), bag_sum(grad_gates_RG, previous.groups)
    matmul(grad_hidden, W_h.mT, out=grad_before).add_(grad_past)
    of_state = matmul_transposed(grad_hidden, before_SD, members), sum_rows(grad_hidden, members)
    return of_message[0], of_state[0], of_message[1], of_state[1]
