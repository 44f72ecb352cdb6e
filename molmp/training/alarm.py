"""A loss or a gradient that is no finite number: which step it was, without waiting for a GPU in every step."""

import numpy as np
import torch
from torch import Tensor

from molmp.errors import DataError
from molmp.training.targets import Targets

__all__ = ["Alarm", "likely_cause"]

FAR = 30.0
"""Standard deviations from the mean, from which on a label is called extreme."""


class Alarm:
    """Remembers, on the device, the first step of an epoch that went wrong.

    >>> alarm = Alarm(torch.device("cpu"), "Try a lower lr")
    >>> for step, norm in enumerate([1.0, torch.inf, torch.nan]):
    ...     alarm.watch(torch.tensor([0.5]), torch.tensor([norm]), step)
    >>> alarm.check(epoch=3)
    Traceback (most recent call last):
    molmp.errors.DataError: training diverged in epoch 3, step 2: a gradient is not finite. Try a lower lr
    """

    def __init__(self, device: torch.device, advice: str) -> None:
        self.advice = advice
        self._first = torch.full((), -1, dtype=torch.int64, device=device)
        """Twice the step, and one more where its loss was finite; -1 as long as all is well."""

    def watch(self, losses: Tensor, norms: Tensor, step: int) -> None:
        """Look at a step's losses and norms of gradients, any shapes."""
        loss_is_finite = torch.isfinite(losses.detach()).all()
        is_well = loss_is_finite & torch.isfinite(norms).all()
        self._first = torch.where((self._first >= 0) | is_well, self._first, loss_is_finite + 2 * step)

    def check(self, epoch: int) -> None:
        """Raise :class:`DataError` if a step of this epoch went wrong; a GPU finishes its work first."""
        if (first := int(self._first)) >= 0:
            what = "a gradient" if first % 2 else "a loss"
            raise DataError(
                f"training diverged in epoch {epoch}, step {first // 2 + 1}: {what} is not finite. {self.advice}"
            )


def likely_cause(targets: Targets, labels: np.ndarray, encoded: np.ndarray, lr: float) -> str:
    """Say what probably makes a training diverge: an extreme label, or else the learning rate.

    Labels in real units and as the loss sees them, both of shape ``(n, t)``.
    """
    distance = np.nan_to_num(np.abs(encoded), posinf=np.inf)
    row, column = np.unravel_index(distance.argmax(), distance.shape)
    if targets.task == "regression" and distance[row, column] > FAR:
        return (
            f"The likely cause is an extreme label, {labels[row, column]:g} of target {targets.names[column]!r}: it is "
            f"{distance[row, column]:.0f} standard deviations from the mean"
        )
    return f"The likely cause is the learning rate: try a lower --lr than {lr:g}"
