"""Distance in the space that a network has learned, to some of the training molecules.

J. P. Janet, C. Duan, T. Yang, A. Nandy and H. J. Kulik, A quantitative uncertainty metric controls error in neural
network-driven chemical discovery, 2019, doi:10.1039/C9SC02298H.

Shapes: R training molecules, L reference points, Q queries, D width of a fingerprint.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from molmp.errors import DataError
from molmp.tables.groups import stable_rng

__all__ = ["Learned"]

POINTS = 2_000
"""Reference points, at most: drawn from the training molecules, so that a query costs little."""

NEIGHBOURS = 5
"""The distance is the mean of those to as many nearest points."""

USUAL = 0.99
"""Share of the reference points whose distance to the others is called usual."""

BLOCK = 2_048


@dataclass(frozen=True, eq=False)
class Learned:
    """Reference points, and how far from them is far."""

    points: np.ndarray
    """Standardized fingerprints, shape ``(L, D)``, float32."""
    center: np.ndarray
    """Mean of the training fingerprints, shape ``(D,)``."""
    scale: np.ndarray
    """Their standard deviation; 1 where nothing varies; shape ``(D,)``."""
    most: float
    """Distance above which a query is outside."""

    @classmethod
    def fit(cls, fingerprints: np.ndarray) -> Self:
        """Draw reference points from training fingerprints, shape ``(R, D)``, all finite, two at least."""
        if fingerprints.ndim != 2 or len(fingerprints) < 2 or not np.isfinite(fingerprints).all():
            raise DataError(f"learned fingerprints must be two or more finite rows, not {fingerprints.shape}")
        center, scale = fingerprints.mean(0), fingerprints.std(0)
        scale = np.where(scale > 0, scale, 1)
        chosen = np.sort(stable_rng(0).permutation(len(fingerprints))[:POINTS])
        points = ((fingerprints[chosen] - center) / scale).astype(np.float32)
        distance = _mean_distance(points, points, skip_self=True)
        return cls(points, center.astype(np.float32), scale.astype(np.float32), float(np.quantile(distance, USUAL)))

    def distance(self, fingerprints: np.ndarray) -> np.ndarray:
        """Mean Euclidean distance to the nearest points, in standard deviations, shape ``(Q,)``, float32."""
        if fingerprints.shape[1:] != self.center.shape:
            raise DataError(f"fingerprints have shape {fingerprints.shape}, training's {len(self.center)} columns")
        return _mean_distance(((fingerprints - self.center) / self.scale).astype(np.float32), self.points)


def _mean_distance(queries: np.ndarray, points: np.ndarray, skip_self: bool = False) -> np.ndarray:
    count = min(NEIGHBOURS, len(points) - skip_self)
    lengths = (points**2).sum(1)
    means = [np.zeros(0, np.float32)]
    for start in range(0, len(queries), BLOCK):
        part = queries[start : start + BLOCK]
        squares = lengths - 2 * part @ points.T + (part**2).sum(1)[:, None]
        if skip_self:
            squares[np.arange(len(part)), start + np.arange(len(part))] = np.inf
        nearest = np.partition(squares, count - 1, axis=1)[:, :count]
        means.append(np.sqrt(np.maximum(nearest, 0)).mean(1))
    return np.concatenate(means)
