"""GPS: messages along bonds beside attention to all atoms of the molecule.

Shapes: N atoms, K pairs of atoms of one molecule, T bond types, H heads, C numbers a head, D hidden width.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from molmp.nn.attention import attend
from molmp.nn.batch import Level
from molmp.nn.layers.gine import IsomorphismWithBonds
from molmp.nn.linear import Linear
from molmp.nn.message_passing import MessagePassing
from molmp.nn.norm import LayerNorm

__all__ = ["GeneralPowerfulScalable"]


class GeneralPowerfulScalable(MessagePassing):
    """GPS (L. Rampasek, M. Galkin, V. P. Dwivedi, A. T. Luu, G. Wolf and D. Beaini, Recipe for a general, powerful,
    scalable graph transformer, 2022, arXiv 2205.12454)::

        l_v = norm(h_v + GINE(h)_v)
        a_vw = softmax over all atoms w of the molecule of (Q h_v) . (K h_w) / sqrt(C), for each head
        g_v = norm(h_v + O sum over w of a_vw V h_w)
        h'_v = norm(l_v + g_v + MLP(l_v + g_v))

    with layer norms, an MLP of one hidden layer of twice the width, and biases everywhere. The positional encodings
    that belong to it are the option ``positions`` of the model.
    """

    shares_states: ClassVar[bool] = False
    rectified: ClassVar[bool] = False

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.local = IsomorphismWithBonds(hidden)
        self.projection, self.output = Linear(hidden, 3 * hidden), Linear(hidden, hidden)
        self.mlp = nn.Sequential(Linear(hidden, 2 * hidden), nn.ReLU(), Linear(2 * hidden, hidden))
        self.norm_local, self.norm_global, self.norm = (LayerNorm(hidden) for _ in range(3))

    def bonds(self, codes_TC: Tensor) -> Tensor:
        """Return the vector of each bond type, shape ``(T, D)``."""
        return self.local.bonds(codes_TC)

    def forward(self, h_SD: Tensor, level: Level, bonds: Tensor | None = None) -> Tensor:
        """Return the states of the atoms, shape ``(N, D)``."""
        query_ND, key_ND, value_ND = self.projection(h_SD).chunk(3, 1)
        heard_ND = torch.cat(
            [
                attend(query, key, value, level)
                for query, key, value in zip(
                    *(x.chunk(self.heads, 1) for x in (query_ND, key_ND, value_ND)), strict=True
                )
            ],
            1,
        )
        local_ND = self.norm_local(h_SD + self.local(h_SD, level, bonds))
        global_ND = self.norm_global(h_SD + self.output(heard_ND))
        both_ND = local_ND + global_ND
        mixed: Tensor = self.norm(both_ND + self.mlp(both_ND))
        return mixed
