"""What a model says of one target and what is known of the molecules, as calibration and its users see it.

Shapes: n molecules, C classes, L quantile levels.
"""

from typing import NamedTuple, Self

import numpy as np

__all__ = ["Told"]


class Told(NamedTuple):
    """Predictions of one target in its unit, and everything that may tell how far to believe them."""

    value: np.ndarray
    """Predictions or probabilities of class 1, shape ``(n,)``; probabilities of all classes, shape ``(n, C)``."""
    spread: np.ndarray | None = None
    """Standard deviation of the value that more data would lower, such as that among networks, shape ``(n,)``."""
    noise: np.ndarray | None = None
    """Standard deviation of the truth that the loss has learned, shape ``(n,)``."""
    quantiles: np.ndarray | None = None
    """Of the truth, ascending, shape ``(n, L)``."""
    similarity: np.ndarray | None = None
    """To the nearest training molecule, shape ``(n,)``."""
    surprise: np.ndarray | None = None
    """How far the value is from the labels of the nearest training molecules, shape ``(n,)``."""

    def at(self, rows: np.ndarray) -> Self:
        """Return some of the molecules: positions or a mask."""
        others = (None if array is None else array[rows] for array in self[1:])
        return type(self)(self.value[rows], *others)

    @property
    def known(self) -> np.ndarray:
        """Whether there is a prediction, shape ``(n,)``, bool."""
        return ~np.isnan(self.value if self.value.ndim == 1 else self.value.sum(axis=1))
