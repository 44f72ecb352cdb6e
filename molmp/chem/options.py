"""What is done to a molecule on its way to a graph, and what it may cost."""

from dataclasses import asdict, dataclass
from typing import Any, Self

from molmp.chem.molecule_features import feature_columns
from molmp.chem.smiles import MAX_ATOMS, MAX_CHARACTERS, STANDARDIZE
from molmp.errors import ConfigError

__all__ = ["LIMITS", "GraphOptions"]

LIMITS = {"max_atoms": 100_000, "max_characters": 1_000_000, "time_limit": 86_400}
"""The most that may be asked for."""


@dataclass(frozen=True, kw_only=True)
class GraphOptions:
    """What is done to a molecule before it becomes a graph, and its limits; a model remembers both."""

    explicit_hydrogens: bool = False
    """Hydrogens become atoms of the graph."""
    standardize: str = "none"
    """``none``, ``clean`` or ``tautomer``, see :func:`molmp.chem.smiles.standardize`."""
    features: str = "none"
    """What stands beside the graph: ``none``, ``descriptors``, ``morgan`` or ``descriptors+morgan``; see
    :mod:`molmp.chem.molecule_features`."""
    max_atoms: int = MAX_ATOMS
    """Larger molecules are refused, counted as written."""
    max_characters: int = MAX_CHARACTERS
    """Longer SMILES are refused."""
    time_limit: float = 20.0
    """Seconds of processor time for one molecule, where it is read by a worker process."""
    bits: bool = False
    """Whether Morgan bits come with the graphs, for similarities; no property of a model, so no part of its file."""

    def __post_init__(self) -> None:
        if self.standardize not in STANDARDIZE:
            raise ConfigError(f"standardize must be one of {', '.join(STANDARDIZE)}, not {self.standardize!r}")
        feature_columns(self.features)
        for name in ("explicit_hydrogens", "bits"):
            if type(getattr(self, name)) is not bool:
                raise ConfigError(f"{name} must be true or false, not {getattr(self, name)!r}")
        for name, most in LIMITS.items():
            value = getattr(self, name)
            number = type(value) is int or (name == "time_limit" and type(value) is float)
            if not number or not 0 < value <= most:
                raise ConfigError(f"{name} must be a number above 0, at most {most:,}, not {value!r}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a model file."""
        return {name: value for name, value in asdict(self).items() if name != "bits"}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Undo :meth:`to_dict`; what an older model does not mention has its default.

        >>> GraphOptions.from_dict({"standardize": "clean", "max_atoms": 100}).max_atoms
        100
        """
        unknown = set(values) - set(cls.__dataclass_fields__)
        if unknown:
            raise ConfigError(f"unknown graph options: {', '.join(sorted(unknown))}")
        return cls(**values)
