"""Set2set, forwards and backwards in one piece.

Shapes: R rows of states, K atoms, B molecules, D hidden width, S steps, E members of an ensemble.

Written out because the steps share so much: the gradient of the weights is one product for all of them instead of a
sum of products, and each state's gradient is gathered once from ``2 S`` small tensors instead of being added up in
``2 S`` large ones.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from molmp.nn.autograd import gradients_of_formula, plain, tanh_
from molmp.nn.linear import linear, sum_rows
from molmp.nn.matmul import matmul, matmul_transposed
from molmp.nn.segment import Bags, Rows, bag_dot, bag_softmax, bag_sum

__all__ = ["set2set"]


def set2set(h_RD: Tensor, weight: Tensor, bias: Tensor, molecules: Bags, steps: int) -> Tensor:
    """Ask ``steps`` questions, see :class:`molmp.nn.readout.Set2Set`; return ``[q, r]``, shape ``(B, 2 D)``.

    Parameters
    ----------
    weight, bias
        From ``[q, r]`` to the gates of the LSTM (input, forget, candidate, output), shapes ``(4 D, 2 D)``, ``(4 D,)``;
        of several members ``(E, 4 D, 2 D)``, ``(E, 4 D)``.
    """
    if plain():
        return _formula(h_RD, weight, bias, molecules, steps)
    answer: Tensor = _Set2Set.apply(h_RD, weight, bias, molecules, steps)
    return answer


def _formula(h_RD: Tensor, weight: Tensor, bias: Tensor, molecules: Bags, steps: int) -> Tensor:
    B, D = molecules.num_bags, h_RD.shape[1]
    cell, answer = h_RD.new_zeros(B, D), h_RD.new_zeros(B, 2 * D)
    for _ in range(steps):
        into, forget, candidate, out = linear(answer, weight, bias).chunk(4, 1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(into) * torch.tanh(candidate)
        q = torch.sigmoid(out) * torch.tanh(cell)
        r = bag_sum(h_RD, molecules, bag_softmax(bag_dot(q, h_RD, molecules), molecules))
        answer = torch.cat([q, r], 1)
    return answer


class _Step(NamedTuple):
    """What one question leaves behind for its gradient."""

    gates: Tensor
    """Activations of input, forget, candidate and output, shape ``(B, 4 D)``."""
    before: Tensor
    """The cell before this step, shape ``(B, D)``."""
    tanh_cell: Tensor
    answer: Tensor
    attention: Tensor
    """Shape ``(K,)``."""


class _Set2Set(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h_RD: Tensor, weight: Tensor, bias: Tensor, molecules: Bags, steps: int) -> Tensor:
        cell = h_RD.new_zeros(len(molecules), h_RD.shape[1])
        members = bias.view(-1, bias.shape[-1])
        # Before the first step q and r are zero.
        gates, done = members.repeat_interleave(len(molecules) // len(members), 0), []
        for _ in range(steps):
            cell, step = _ask(gates, cell, h_RD, molecules)
            done.append(step)
            if len(done) < steps:
                gates = matmul(step.answer, weight, bias)
        ctx.molecules, ctx.steps = molecules, steps
        ctx.save_for_backward(h_RD, weight, bias, *(tensor for step in done for tensor in step))
        return done[-1].answer

    @staticmethod
    def backward(ctx: Any, grad_answer: Tensor) -> tuple[Tensor | None, ...]:
        h_RD, weight, bias, *saved = ctx.saved_tensors
        molecules: Bags = ctx.molecules
        if torch.is_grad_enabled():  # the gradient is to be differentiated again
            formula = partial(_formula, molecules=molecules, steps=ctx.steps)
            return (*gradients_of_formula(formula, (h_RD, weight, bias), grad_answer), None, None)
        members = len(weight) if weight.dim() == 3 else None
        size = len(_Step._fields)
        done = [_Step(*saved[i : i + size]) for i in range(0, len(saved), size)]
        grad_cell = torch.zeros_like(done[0].before)
        grad_gates: list[Tensor] = []
        questions: list[Tensor] = []
        weights: list[Tensor] = []
        for step in reversed(done):
            if grad_gates:
                grad_answer = matmul(grad_gates[-1], weight.mT)
            grad_q, grad_r = (part.contiguous() for part in grad_answer.chunk(2, 1))
            q, r = (part.contiguous() for part in step.answer.chunk(2, 1))
            # r = sum of a h with a = softmax(h . q)
            grad_a = bag_dot(grad_r, h_RD, molecules) - (grad_r * r).sum(1).index_select(0, molecules.owner)
            grad_score = grad_a.mul_(step.attention)
            grad_q += bag_sum(h_RD, molecules, grad_score)
            questions += [grad_r, q]
            weights += [step.attention, grad_score]
            grads, grad_cell = _gradient_of_lstm(step, grad_q, grad_cell)
            grad_gates.append(grads)
        before = [step.answer for step in done[-2::-1]]
        return (
            _gather(questions, weights, molecules),
            _gradient_of_weight(grad_gates[:-1], before, weight),
            sum_rows(_join(grad_gates, members), members),
            None,
            None,
        )


def _ask(gates: Tensor, before: Tensor, h_RD: Tensor, molecules: Bags) -> tuple[Tensor, _Step]:
    """Turn gates into a question and the question into an answer; ``gates`` is overwritten by its activations."""
    D = h_RD.shape[1]
    tanh_(gates[:, 2 * D : 3 * D])
    gates[:, : 2 * D].sigmoid_()
    gates[:, 3 * D :].sigmoid_()
    into, forget, candidate, out = gates.chunk(4, 1)
    cell = torch.addcmul(into * candidate, forget, before)
    tanh_cell = tanh_(cell.clone())
    q = out * tanh_cell
    attention = bag_softmax(bag_dot(q, h_RD, molecules), molecules)
    answer = torch.cat([q, bag_sum(h_RD, molecules, attention)], 1)
    return cell, _Step(gates, before, tanh_cell, answer, attention)


def _gradient_of_lstm(step: _Step, grad_q: Tensor, grad_cell: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of the gates before their activations and of the cell before."""
    into, forget, candidate, out = step.gates.chunk(4, 1)
    grads = torch.empty_like(step.gates)
    grad_into, grad_forget, grad_candidate, grad_out = grads.chunk(4, 1)
    sigmoid_backward, tanh_backward = (
        torch.ops.aten.sigmoid_backward.grad_input,
        torch.ops.aten.tanh_backward.grad_input,
    )
    sigmoid_backward(grad_q * step.tanh_cell, out, grad_input=grad_out)
    grad_cell = grad_cell + torch.ops.aten.tanh_backward(grad_q * out, step.tanh_cell)
    sigmoid_backward(grad_cell * candidate, into, grad_input=grad_into)
    sigmoid_backward(grad_cell * step.before, forget, grad_input=grad_forget)
    tanh_backward(grad_cell * into, candidate, grad_input=grad_candidate)
    return grads, grad_cell * forget


def _gather(questions: Sequence[Tensor], weights: Sequence[Tensor], molecules: Bags) -> Tensor:
    """Add up, for each row, ``weight * question`` over its atoms and over all pairs of weights and questions."""
    B, n = len(molecules), len(questions)
    entries = molecules.rows.groups
    order = entries.rows.index
    owners = molecules.transposed.rows.index
    rows = (owners.unsqueeze(1) + B * torch.arange(n, device=owners.device)).flatten()
    each = torch.stack([weight.index_select(0, order) for weight in weights], 1).flatten()
    return bag_sum(torch.cat(list(questions)), Bags(Rows(rows, n * B), entries.offsets * n), each)


def _gradient_of_weight(grad_gates: Sequence[Tensor], before: Sequence[Tensor], weight: Tensor) -> Tensor:
    if not grad_gates:
        return torch.zeros_like(weight)
    members = len(weight) if weight.dim() == 3 else None
    return matmul_transposed(_join(grad_gates, members), _join(before, members), members)


def _join(parts: Sequence[Tensor], members: int | None) -> Tensor:
    """Put the rows of all steps together, those of each member in one place."""
    if members is None:
        return torch.cat(list(parts))
    return torch.cat([part.unflatten(0, (members, -1)) for part in parts], 1).flatten(0, 1)
