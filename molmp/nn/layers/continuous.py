"""The edge-conditioned operator for bond features that are not discrete, such as distances.

Shapes: N atoms, E edges, F features of an edge, K hidden width of the edge network, D hidden width.
"""

import math
from functools import partial
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from molmp.nn.autograd import gradients_of_formula, plain
from molmp.nn.batch import Level
from molmp.nn.gated import GatedUpdate
from molmp.nn.linear import Linear
from molmp.nn.message_passing import MessagePassing
from molmp.nn.segment import Bags, bag_dot, bag_sum

__all__ = ["ContinuousEdgeConditioned"]


class ContinuousEdgeConditioned(MessagePassing):
    """Gilmer's operator (J. Gilmer et al., Neural message passing for quantum chemistry, 2017, arXiv 1704.01212) where
    every edge has features of its own::

        f_vw = relu(U e_vw + u)                                    K numbers an edge
        m_v = relu(b + sum over neighbours w of A(e_vw) h_w),      A(e_vw) = A_0 + sum over k of f_vwk A_k
            = relu(b + A_0 sum_w h_w + sum over k of A_k (sum_w f_vwk h_w))
        h'_v = GRU(m_v, h_v)

    The last line of ``m_v`` is what is computed: neighbours are added up before they are multiplied, one ``k`` after
    the other, and what is needed for the gradient is made again. No matrix for each edge is made.

    Batches must be flat: an environment does not know the distances in it. The features belong to the edges in the
    order of ``batch.levels[0].edges``, whose ``source`` and ``inbox.owner`` tell the atoms.

    Examples
    --------
    >>> import numpy as np
    >>> from molmp.chem.graphs import MolGraphs
    >>> from molmp.nn.batch import DeviceGraphs
    >>> one, codes = np.array([1]), np.zeros((2, 12))
    >>> ethane = MolGraphs.pack(codes, codes[:1, :4], one - 1, one, one + 1, one)
    >>> level = DeviceGraphs(ethane, steps=1, compact=False).batch().levels[0]
    >>> layer = ContinuousEdgeConditioned(hidden=8, num_features=1)
    >>> layer(torch.ones(2, 8), level, layer.bonds(torch.tensor([[1.53], [1.53]]))).shape
    torch.Size([2, 8])
    """

    looks_at_target: ClassVar[bool] = True

    def __init__(self, hidden: int, num_features: int, edge_hidden: int = 32) -> None:
        super().__init__("sum")
        self.edge_input = Linear(num_features, edge_hidden)
        self.matrices = nn.Parameter(torch.empty(edge_hidden + 1, hidden, hidden))
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.gru = GatedUpdate(hidden)
        nn.init.normal_(self.matrices, std=1 / math.sqrt(hidden * edge_hidden))

    def bonds(self, codes_TC: Tensor) -> Tensor:
        """Return ``[1, f]`` of each edge from its features of shape ``(E, F)``; shape ``(E, K + 1)``."""
        hidden = F.relu(self.edge_input(codes_TC))
        return torch.cat([hidden.new_ones(hidden.shape[0], 1), hidden], 1)

    def forward(self, h_SD: Tensor, level: Level, bonds: Tensor | None = None) -> Tensor:
        """Return the states of the atoms, shape ``(N, D)``."""
        if level.previous is not None:
            raise ValueError("continuous bond features need batches made with compact=False")
        assert bonds is not None
        neighbours = Bags(level.edges.source, level.edges.inbox.offsets)
        if plain():
            message = _formula(h_SD, bonds, self.matrices, neighbours)
        else:
            message = _Mixed.apply(h_SD, bonds, self.matrices, neighbours)
        return self.gru((message + self.bias).relu_(), h_SD)


def _formula(h_ND: Tensor, factors_EK: Tensor, matrices_KDD: Tensor, neighbours: Bags) -> Tensor:
    pairs = zip(factors_EK.unbind(1), matrices_KDD, strict=True)
    return torch.stack([bag_sum(h_ND, neighbours, factor) @ matrix for factor, matrix in pairs]).sum(0)


class _Mixed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h_ND: Tensor, factors_EK: Tensor, matrices_KDD: Tensor, neighbours: Bags) -> Tensor:
        ctx.save_for_backward(h_ND, factors_EK, matrices_KDD)
        ctx.neighbours = neighbours
        out_ND = torch.zeros_like(h_ND)
        for factor, matrix in zip(factors_EK.t().contiguous(), matrices_KDD, strict=True):
            out_ND.addmm_(bag_sum(h_ND, neighbours, factor), matrix)
        return out_ND

    @staticmethod
    def backward(ctx: Any, grad_ND: Tensor) -> tuple[Tensor | None, ...]:
        h_ND, factors_EK, matrices_KDD = ctx.saved_tensors
        neighbours: Bags = ctx.neighbours
        if torch.is_grad_enabled():  # the gradient is to be differentiated again
            formula = partial(_formula, neighbours=neighbours)
            return (*gradients_of_formula(formula, ctx.saved_tensors, grad_ND), None)
        grad_h, grad_factors, grad_matrices = map(torch.zeros_like, (h_ND, factors_EK, matrices_KDD))
        order = neighbours.rows.groups.rows.index
        for k, factor in enumerate(factors_EK.t().contiguous()):
            torch.mm(bag_sum(h_ND, neighbours, factor).t(), grad_ND, out=grad_matrices[k])
            back_ND = grad_ND @ matrices_KDD[k].t()
            grad_factors[:, k] = bag_dot(back_ND, h_ND, neighbours)
            grad_h += bag_sum(back_ND, neighbours.transposed, factor.index_select(0, order))
        return grad_h, grad_factors, grad_matrices, None
