"""What a model is made of, as one frozen record; free of torch, so that a command can print its help at once."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from molmp.errors import ConfigError, listed

__all__ = ["CHOICES", "ModelConfig"]

CHOICES: dict[str, tuple[str, ...]] = {
    "layer": ("edge",),
    "aggregation": ("sum", "mean", "max"),
    "readout": ("set2set", "sum", "mean", "max", "attention"),
}
"""The options of a model that are words, and the words they can be."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What a model is made of. Checked when it is made: a config that exists makes sense.

    >>> ModelConfig(readout="medium")
    Traceback (most recent call last):
    molmp.errors.ConfigError: readout must be one of set2set, sum, mean, max, attention, or several joined by +; ...
    """

    layer: str = "edge"
    """Operator that passes messages."""
    hidden: int = 64
    """Width of an atom's state."""
    steps: int = 3
    """Bonds that a message travels; all steps share their weights."""
    aggregation: str = "sum"
    """How an atom puts its messages together."""
    edge_hidden: int = 32
    """Hidden width of the network that turns a bond into a matrix."""
    readout: str = "set2set+sum"
    """How a molecule is read from its atoms; several readouts, joined by ``+``, stand side by side.

    Set2set is a weighted mean and cannot count; the sum beside it grows with the molecule.
    """
    readout_steps: int = 3
    """Questions that set2set asks."""
    normalize: bool = True
    """Bring each molecule's vector to mean 0 and deviation 1 before the head (J. L. Ba, J. R. Kiros and G. E. Hinton,
    Layer normalization, 2016, arXiv 1607.06450)."""
    head_hidden: int = 128
    """Width of the head's hidden layers."""
    head_layers: int = 1
    """Hidden layers of the head."""
    dropout: float = 0.1
    """In the head only: between steps it would forbid atoms to share a state."""

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            value = getattr(self, name)
            parts = value.split("+") if name == "readout" and isinstance(value, str) else [value]
            if unknown := [part for part in parts if part not in allowed]:
                joined = ", or several joined by +" if name == "readout" else ""
                raise ConfigError(f"{name} must be one of {listed(allowed)}{joined}; got {unknown[0]!r}")
            if len(set(parts)) < len(parts):
                raise ConfigError(f"{name} {value!r} names one thing twice")
        least = {"hidden": 1, "steps": 1, "edge_hidden": 1, "readout_steps": 1, "head_hidden": 1, "head_layers": 0}
        for name, smallest in least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < smallest:
                raise ConfigError(f"{name} must be a whole number from {smallest} up, got {value!r}")
        if not isinstance(self.normalize, bool):
            raise ConfigError(f"normalize must be true or false, got {self.normalize!r}")
        if isinstance(self.dropout, bool) or not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must be a number from 0 up to, not including, 1, got {self.dropout!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and words."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make a config of plain values; what is not given keeps its default.

        Raises
        ------
        ConfigError
            A name that no option has, or a value that makes no sense.
        """
        names = [field.name for field in fields(cls)]
        unknown = [name for name in values if name not in names]
        if unknown:
            raise ConfigError(f"no model option is called {listed(unknown)}; there are {listed(names, most=99)}")
        return cls(**values)
