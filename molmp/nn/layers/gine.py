"""Graph isomorphism with bond features.

Shapes: S rows of the level before, Q messages, T bond types, D hidden width.
"""

from torch import Tensor

from molmp.chem.features import BOND_FIELDS
from molmp.nn.batch import Messages
from molmp.nn.embedding import CodeEmbedding
from molmp.nn.layers.gin import Isomorphism
from molmp.nn.segment import take

__all__ = ["IsomorphismWithBonds"]


class IsomorphismWithBonds(Isomorphism):
    """GINE (W. Hu, B. Liu, J. Gomes, M. Zitnik, P. Liang, V. Pande and J. Leskovec, Strategies for pre-training graph
    neural networks, 2020, arXiv 1905.12265)::

        h'_v = MLP((1 + eps) h_v + sum over neighbours w of relu(h_w + e(bond(v, w))))

    with a learned ``eps``, a vector ``e`` for each bond type, and an MLP of one hidden layer of twice the width.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__(hidden)
        self.edge = CodeEmbedding(BOND_FIELDS, hidden)

    def bonds(self, codes_TC: Tensor) -> Tensor:
        """Return the vector of each bond type, shape ``(T, D)``."""
        vectors: Tensor = self.edge(codes_TC)
        return vectors

    def message(self, h_SD: Tensor, messages: Messages, bonds: Tensor | None) -> Tensor:
        """Add the bond to its sender and rectify."""
        assert bonds is not None
        return (take(h_SD, messages.source) + bonds.index_select(0, messages.bond_type)).relu_()
