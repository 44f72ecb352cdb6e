"""What stands between the steps of any operator: norms, a virtual node, jumping knowledge.

Shapes: R rows of a level, B molecules, D hidden width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from molmp.nn import norm
from molmp.nn.batch import Level
from molmp.nn.linear import Linear
from molmp.nn.segment import bag_mean, bag_sum

__all__ = ["BatchNorm", "GraphNorm", "Jumping", "LayerNorm", "VirtualNode"]


class LayerNorm(norm.LayerNorm):
    """Each state to mean 0 and deviation 1 (J. L. Ba, J. R. Kiros and G. E. Hinton, Layer normalization, 2016, arXiv
    1607.06450)."""

    def forward(self, h_RD: Tensor, level: Level) -> Tensor:  # type: ignore[override]
        """Normalise, shape ``(R, D)``."""
        return super().forward(h_RD)


class BatchNorm(nn.BatchNorm1d):
    """Each channel to mean 0 and deviation 1 over all atoms of a training batch, and by what is remembered of those
    afterwards (S. Ioffe and C. Szegedy, Batch normalization, 2015, arXiv 1502.03167)."""

    def forward(self, h_RD: Tensor, level: Level) -> Tensor:  # type: ignore[override]
        """Normalise, shape ``(R, D)``; a single row, which has no deviation, by what is remembered."""
        if self.training and h_RD.shape[0] < 2:
            mean, variance = self.running_mean, self.running_var
            return nn.functional.batch_norm(h_RD, mean, variance, self.weight, self.bias, eps=self.eps)
        return super().forward(h_RD)


class GraphNorm(nn.Module):
    """Each channel over the atoms of a molecule (T. Cai, S. Luo, K. Xu, D. He, T.-Y. Liu and L. Wang, GraphNorm, 2021,
    arXiv 2009.03294)::

        c_v = h_v - a * mean of h over the molecule
        h'_v = g * c_v / sqrt(mean of c * c over the molecule + 1e-5) + b

    with learned ``a``, ``g`` and ``b``.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.weight, self.mean_scale = (nn.Parameter(torch.ones(hidden)) for _ in range(2))
        self.bias = nn.Parameter(torch.zeros(hidden))

    def forward(self, h_RD: Tensor, level: Level) -> Tensor:
        """Normalise, shape ``(R, D)``."""
        molecules = level.whole
        owner = molecules.owner
        centred_RD = h_RD - (bag_mean(h_RD, molecules) * self.mean_scale).index_select(0, owner)
        variance_BD = bag_mean(centred_RD.square(), molecules)
        return centred_RD * (variance_BD + 1e-5).rsqrt().index_select(0, owner) * self.weight + self.bias


class VirtualNode(nn.Module):
    """A state ``g`` for the whole molecule that is bonded to all of its atoms (J. Gilmer et al., Neural message passing
    for quantum chemistry, 2017, arXiv 1704.01212)::

        h_v = h_v + g                                        before a step
        g' = g + relu(W (g + sum over atoms v of h_v / 10) + b)    after it, but for the last

    ``g`` begins as a learned vector. Any two atoms are then two steps apart.
    """

    def __init__(self, hidden: int, steps: int, *, shared: bool) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.zeros(1, hidden))
        updates = min(steps - 1, 1) if shared else steps - 1
        self.updates = nn.ModuleList(Linear(hidden, hidden) for _ in range(updates))

    def speak(self, h_RD: Tensor, state_BD: Tensor | None, level: Level) -> tuple[Tensor, Tensor]:
        """Add the molecule's state to those of its atoms; returns both."""
        molecules = level.whole
        if state_BD is None:
            state_BD = self.first.expand(molecules.num_bags, -1)
        return h_RD + state_BD.index_select(0, molecules.owner), state_BD

    def hear(self, h_RD: Tensor, state_BD: Tensor, level: Level, step: int) -> Tensor:
        """Return the molecule's state after step ``step``, counted from 0; shape ``(B, D)``."""
        update = self.updates[step % len(self.updates)]
        return state_BD + update(state_BD + 0.1 * bag_sum(h_RD, level.whole)).relu()


class Jumping(nn.Module):
    """The states of all steps at once (K. Xu, C. Li, Y. Tian, T. Sonobe, K. Kawarabayashi and S. Jegelka,
    Representation learning on graphs with jumping knowledge networks, 2018, arXiv 1806.03536)::

        max:  h_v = elementwise maximum of h_v^1 ... h_v^T
        cat:  h_v = W [h_v^1, ..., h_v^T] + b
    """

    def __init__(self, how: str, hidden: int, steps: int) -> None:
        super().__init__()
        self.mix = Linear(steps * hidden, hidden) if how == "cat" else None

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        """Join states of shape ``(R, D)`` each."""
        if self.mix is None:
            return torch.stack(list(states)).amax(0)
        joined: Tensor = self.mix(torch.cat(list(states), 1))
        return joined
