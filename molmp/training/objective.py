"""The loss of each task, on the numbers that the network gives.

Shapes: B molecules, K targets, O outputs of the network, C the largest number of classes.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from molmp.nn.losses import LOSSES

__all__ = ["task_loss"]


def task_loss(task: str, widths: Sequence[int]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return ``loss(outputs (B, O), labels (B, K), weights (B,))``, a scalar; labels that are NaN take no part.

    ``widths`` are the numbers of outputs of each target and add up to ``O``.

    >>> loss = task_loss("multiclass", [2, 3])
    >>> loss(torch.zeros(1, 5), torch.tensor([[0.0, float("nan")]]), torch.ones(1)).exp()
    tensor(2.)
    """
    if task != "multiclass":
        return LOSSES[{"regression": "mse", "binary": "bce"}[task]]
    widest = max(widths)

    def loss(outputs_BO: Tensor, labels_BK: Tensor, weights_B: Tensor) -> Tensor:
        parts = outputs_BO.split(list(widths), dim=1)
        # Targets with fewer classes: the missing ones are impossible.
        logits = [F.pad(part, (0, widest - part.shape[1]), value=-1e9) for part in parts]
        return LOSSES["cross-entropy"](torch.stack(logits, dim=1), labels_BK, weights_B)

    return loss
