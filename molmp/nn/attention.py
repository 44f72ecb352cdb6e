"""What the operators with attention share.

Shapes: S rows of the level before, R rows of this level, E edges, H heads, C numbers a head.
"""

import math

import torch
from torch import Tensor

from molmp.nn.autograd import plain
from molmp.nn.batch import Level
from molmp.nn.segment import Bags, bag_dot, bag_softmax, bag_sum

__all__ = ["attend", "softmax_with_self", "weighted_sum"]


def attend(query_RC: Tensor, key_RC: Tensor, value_RC: Tensor, level: Level) -> Tensor:
    """Let each row attend to all rows of its molecule with scaled dot products, one head; shape ``(R, C)``."""
    scaled_RC = query_RC / math.sqrt(query_RC.shape[1])
    if plain():
        owner = level.whole.owner
        score_RR = (scaled_RC @ key_RC.t()).masked_fill(owner.unsqueeze(1) != owner, -math.inf)
        return score_RR.softmax(1) @ value_RC
    companions = level.companions
    return bag_sum(value_RC.contiguous(), companions, bag_softmax(bag_dot(scaled_RC, key_RC, companions), companions))


def softmax_with_self(score_EH: Tensor, own_RH: Tensor, inbox: Bags) -> tuple[Tensor, Tensor]:
    """Normalize the scores of the edges of each row together with its score of itself.

    Returns the weights of the edges, shape ``(E, H)``, and of the rows themselves, shape ``(R, H)``.

    >>> from molmp.nn.segment import Rows
    >>> inbox = Bags(Rows(torch.arange(1), 1), torch.tensor([0, 1, 1]))
    >>> softmax_with_self(torch.tensor([[900.0]]), torch.tensor([[900.0], [5.0]]), inbox)
    (tensor([[0.5000]]), tensor([[0.5000],
            [1.0000]]))
    """
    owner = inbox.owner
    owners = owner.unsqueeze(1).expand_as(score_EH)
    top_RH = own_RH.detach().scatter_reduce(0, owners, score_EH.detach(), "amax")
    weight_EH = torch.exp(score_EH - top_RH.index_select(0, owner))  # at most 1: no overflow
    own_weight_RH = torch.exp(own_RH - top_RH)
    total_RH = own_weight_RH.index_add(0, owner, weight_EH)
    return weight_EH / total_RH.index_select(0, owner), own_weight_RH / total_RH


def weighted_sum(value_EHC: Tensor, weight_EH: Tensor, inbox: Bags) -> Tensor:
    """Add up what each row receives, each head with its own weights; shape ``(R, H * C)``."""
    return bag_sum((value_EHC * weight_EH.unsqueeze(2)).flatten(1), inbox)
