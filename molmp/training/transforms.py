"""Skewed labels brought nearer to a bell curve before a network learns them, and predictions brought back.

Shapes: n labels of one target.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = ["TRANSFORMED", "Transform", "choose_transform"]

TRANSFORMED = ("mse", "mae", "huber", "quantile")
"""Losses whose predictions can be brought back: those that learn a variance give it in the label's own unit."""

SKEWED = 1.0
"""Skewness, either way, from which labels are transformed."""

FEWEST = 20
"""Labels from which a skewness can be told."""


@dataclass(frozen=True, kw_only=True)
class Transform:
    """``t = (g(z) - center) / scale`` of standardized labels ``z``, with ``g`` the power of I.-K. Yeo and R. A. Johnson
    (A new family of power transformations to improve normality or symmetry, 2000, doi 10.1093/biomet/87.4.954).

    Without a ``power``, ``g(z) = log(z + shift)``, for labels that are all positive.
    """

    power: float | None
    shift: float
    center: float
    scale: float
    low: float
    """Smallest of the training labels, transformed; predictions are brought back from no lower."""
    high: float

    def encode(self, z: np.ndarray) -> np.ndarray:
        """Transform standardized labels, NaN kept."""
        if self.power is not None:
            return (_yeo_johnson(z, self.power) - self.center) / self.scale
        # A label to validate with may have no logarithm: it counts as the lowest that was learned from.
        raw = np.log(np.maximum(z + self.shift, np.exp(self.low * self.scale + self.center)))
        return (raw - self.center) / self.scale

    def decode(self, t: Tensor) -> Tensor:
        """Bring predictions back to standardized labels; they end where the training labels end."""
        raw = t.clamp(self.low, self.high) * self.scale + self.center
        if self.power is None:
            return raw.exp() - self.shift
        power, sign = (self.power, 1.0), (2 - self.power, -1.0)
        above, below = (_inverse(side * raw, p) * side for p, side in (power, sign))
        return torch.where(raw >= 0, above, below)


def choose_transform(values: np.ndarray, center: float, scale: float) -> Transform | None:
    """Choose a transform for the training labels of one target, shape ``(n,)``; None where they are not skewed.

    Of a logarithm and Yeo-Johnson's power, the one that leaves less skewness. Labels of which some are negative stay as
    they are: they are logarithms or energies already, and their squared errors are meant.

    >>> rng = np.random.default_rng(0)
    >>> choose_transform(rng.normal(size=500), 0.0, 1.0)
    >>> half_lives = np.exp(rng.normal(size=500))
    >>> transform = choose_transform(half_lives, half_lives.mean(), half_lives.std())
    >>> transform.power, abs(skewness(transform.encode((half_lives - half_lives.mean()) / half_lives.std()))) < 0.3
    (None, True)
    """
    z = (values - center) / scale
    if len(z) < FEWEST or values.min() < 0 or abs(skewness(z)) <= SKEWED:
        return None
    from scipy import stats

    _, power = stats.yeojohnson(z)
    candidates = [_fitted(z, float(power), 0.0)]
    if values.min() > 0:
        candidates.append(_fitted(z, None, center / scale))
    return min(candidates, key=lambda candidate: abs(skewness(candidate.encode(z))))


def skewness(values: np.ndarray) -> float:
    """Third moment over the cube of the deviation; 0 where all are equal."""
    centered = values - values.mean()
    deviation = float(centered.std())
    return float((centered**3).mean() / deviation**3) if deviation > 0 else 0.0


def _fitted(z: np.ndarray, power: float | None, shift: float) -> Transform:
    raw = np.log(z + shift) if power is None else _yeo_johnson(z, power)
    center, scale = float(raw.mean()), float(raw.std()) or 1.0
    low, high = (float(end - center) / scale for end in (raw.min(), raw.max()))
    return Transform(power=power, shift=shift, center=center, scale=scale, low=low, high=high)


def _yeo_johnson(z: np.ndarray, power: float) -> np.ndarray:
    above, below = np.maximum(z, 0.0), np.maximum(-z, 0.0)
    return np.where(z >= 0, _box_cox(above, power), -_box_cox(below, 2 - power)) + 0 * z


def _box_cox(x: np.ndarray, power: float) -> np.ndarray:
    return np.log1p(x) if abs(power) < 1e-8 else np.expm1(power * np.log1p(x)) / power


def _inverse(raw: Tensor, power: float) -> Tensor:
    raw = raw.clamp(min=0.0)
    if abs(power) < 1e-8:
        return torch.exp(raw) - 1
    return torch.exp(torch.log((raw * power + 1).clamp(min=1e-12)) / power) - 1
