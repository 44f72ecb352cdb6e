"""From categorical codes to vectors.

Shapes: U rows of codes, C fields, W codes of all fields together, H hidden width, E members of an ensemble.
"""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import ClassVar

import torch
from torch import Tensor, nn

from molmp.chem.features import Field
from molmp.nn.autograd import plain
from molmp.nn.linear import add_bias
from molmp.nn.segment import Bags, Rows, bag_sum

__all__ = ["CodeEmbedding"]


class CodeEmbedding(nn.Module):
    """A vector for each code of each field, added up: equal to a linear layer on concatenated one-hot rows.

    Parameters
    ----------
    fields
        The fields in the order of the codes; their widths add up to ``W``.
    hidden
        ``H``.
    """

    stacks: ClassVar[bool] = True

    offsets: Tensor

    def __init__(self, fields: Sequence[Field], hidden: int) -> None:
        super().__init__()
        ends = list(accumulate(field.width for field in fields))
        self.register_buffer("offsets", torch.tensor([0, *ends[:-1]]), persistent=False)
        self.weight = nn.Parameter(torch.empty(ends[-1], hidden))
        self.bias = nn.Parameter(torch.empty(hidden))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights so that the sum has about the variance of a linear layer's output on unit inputs."""
        nn.init.normal_(self.weight, std=1 / math.sqrt(len(self.offsets)))
        nn.init.zeros_(self.bias)

    def forward(self, codes_UC: Tensor) -> Tensor:
        """Embed rows of codes, shape ``(U, H)``."""
        places_UC = codes_UC + self.offsets
        weight_WH: Tensor = self.weight
        if weight_WH.dim() == 3:  # the first rows of codes are those of the first member, and so on
            num_members, num_codes, _ = weight_WH.shape
            first_E11 = num_codes * torch.arange(num_members, device=codes_UC.device).view(-1, 1, 1)
            places_UC = (places_UC.unflatten(0, (num_members, -1)) + first_E11).flatten(0, 1)
            weight_WH = weight_WH.flatten(0, 1)
        if plain():
            return add_bias(weight_WH[places_UC].sum(1), self.bias)
        num_rows, num_fields = places_UC.shape
        rows = Rows(places_UC.flatten(), weight_WH.shape[0])
        ends = torch.arange(num_rows + 1, device=codes_UC.device) * num_fields
        return add_bias(bag_sum(weight_WH, Bags(rows, ends)), self.bias)
