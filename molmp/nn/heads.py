"""Heads: from the vector of a molecule to its properties."""

from itertools import pairwise

from torch import Tensor, nn

from molmp.nn.dropout import Dropout
from molmp.nn.linear import Linear

__all__ = ["MLP"]


class MLP(nn.Sequential):
    """``layers`` hidden layers of ``hidden`` rectified units with dropout, then a linear one.

    Parameters
    ----------
    inputs, hidden, outputs
        Widths.
    layers
        Hidden layers; 0 gives a linear head.
    dropout
        Probability that a hidden unit is left out while training.

    >>> MLP(4, 8, 2, layers=1, dropout=0.0)
    MLP(
      (0): Linear(in_features=4, out_features=8, bias=True)
      (1): ReLU()
      (2): Dropout(p=0.0, inplace=False)
      (3): Linear(in_features=8, out_features=2, bias=True)
    )
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, *, layers: int = 1, dropout: float = 0.0) -> None:
        widths = [inputs, *[hidden] * layers]
        modules: list[nn.Module] = []
        for before, after in pairwise(widths):
            modules += [Linear(before, after), nn.ReLU(), Dropout(dropout, by_molecule=True)]
        super().__init__(*modules, Linear(widths[-1], outputs))

    def forward(self, vector: Tensor) -> Tensor:
        """Map ``(B, inputs)`` to ``(B, outputs)``."""
        output: Tensor = super().forward(vector)
        return output
