"""What a model is made of, as one frozen record; free of torch, so that a command can print its help at once."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from molmp.errors import ConfigError, listed
from molmp.nn.operators import OPERATORS, OWN_CLASS, Operator

__all__ = ["CHOICES", "ModelConfig"]

CHOICES: dict[str, tuple[str, ...]] = {
    "layer": tuple(OPERATORS),
    "aggregation": ("sum", "mean", "max"),
    "weights": ("shared", "own"),
    "norm": ("none", "batch", "layer", "graph"),
    "jumping": ("none", "cat", "max"),
    "positions": ("none", "random-walk", "laplacian"),
    "readout": ("set2set", "sum", "mean", "max", "attention"),
}
"""The options of a model that are words, and the words they can be."""

OF_OPERATORS = ("aggregation", "edge_hidden", "heads")
"""Options that some operators have and others have not."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What a model is made of. Checked when it is made: a config that exists makes sense.

    Where a field says "the operator's own" it is None until the config is made, which then holds what the operator
    brings (:data:`molmp.nn.operators.OPERATORS`); options that an operator does not have stay None.

    >>> ModelConfig(readout="medium")
    Traceback (most recent call last):
    molmp.errors.ConfigError: readout must be one of set2set, sum, mean, max, attention, or several joined by +; ...
    >>> ModelConfig(layer="gat", hidden=64, heads=5)
    Traceback (most recent call last):
    molmp.errors.ConfigError: heads must divide hidden, the width of a state: 64 is no multiple of 5; ...
    """

    layer: str | type = "edge"
    """Operator that passes messages: one of :data:`~molmp.nn.operators.OPERATORS`, or a subclass of
    :class:`~molmp.nn.message_passing.MessagePassing`, which is made with ``hidden``."""
    hidden: int = 64
    """Width of an atom's state."""
    steps: int = 3
    """Bonds that a message travels."""
    aggregation: str | None = None
    """How an atom puts its messages together; the operator's own."""
    edge_hidden: int | None = None
    """Hidden width of the network that turns a bond into a matrix; the operator's own."""
    heads: int | None = None
    """Parts of a state that attend to neighbours in ways of their own; the operator's own."""
    weights: str | None = None
    """Whether all steps share their weights or each has its own; the operator's own."""
    residual: bool | None = None
    """Add a state to the one that follows it (K. He, X. Zhang, S. Ren and J. Sun, Deep residual learning for image
    recognition, 2016, arXiv 1512.03385); the operator's own."""
    norm: str | None = None
    """What normalises states after each step: nothing, each channel over the batch, each state, or each channel over
    a molecule; the operator's own."""
    step_dropout: float = 0.0
    """Share of the numbers of a state that are dropped after each step in training. Atoms of the batch that share a
    state (see :mod:`molmp.nn.batch`) share what is dropped."""
    jumping: str = "none"
    """What the readout sees: the last state, or those of all steps, side by side through a linear layer or their
    maximum (K. Xu et al., Representation learning on graphs with jumping knowledge networks, 2018, arXiv
    1806.03536)."""
    virtual_node: bool = False
    """A state for the whole molecule, which hears and is heard by all atoms in each step (J. Gilmer et al., 2017)."""
    positions: str = "none"
    """Positional encodings that the first states know, joined by ``+``; see :func:`molmp.nn.positions.positions`."""
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
    """In the head only; see ``step_dropout``."""
    num_features: int = 0
    """Features of the whole molecule that the head reads beside the graph; training counts those that are there."""
    feature_dropout: float = 0.5
    """Share of these features that is left out at random in training."""

    def __post_init__(self) -> None:
        if isinstance(self.layer, type) and self.layer.__name__ in OPERATORS:
            raise ConfigError(f"a class called {self.layer.__name__} would be taken for molmp's own: name it otherwise")
        if not isinstance(self.layer, type):
            _check_words("layer", self.layer, CHOICES["layer"])
        for name, value in {**dict.fromkeys(OF_OPERATORS), **self.operator.options, **self.operator.stack}.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        self._check_choices()
        self._check_numbers()
        if "none" in self.positions.split("+")[1:] or self.positions.startswith("none+"):
            raise ConfigError(f"positions are none or some, not {self.positions}")
        for name in ("normalize", "residual", "virtual_node"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} must be true or false, got {getattr(self, name)!r}")

    @property
    def operator(self) -> Operator:
        """What is known of the operator."""
        return OWN_CLASS if isinstance(self.layer, type) else OPERATORS[self.layer]

    @property
    def layer_name(self) -> str:
        """Name of the operator, or of its class."""
        return self.layer.__name__ if isinstance(self.layer, type) else self.layer

    @property
    def encodings(self) -> tuple[str, ...]:
        """Names of the positional encodings."""
        return () if self.positions == "none" else tuple(self.positions.split("+"))

    def layer_options(self) -> dict[str, Any]:
        """Options that the operator takes."""
        return {name: getattr(self, name) for name in self.operator.options}

    def said(self) -> dict[str, Any]:
        """Return the values that make this config again, with None for what the operator brings by itself."""
        own = {**self.operator.options, **self.operator.stack}
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: None if name in own and value == own[name] else value for name, value in values.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and words; a class of one's own is there by its name."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {"layer": self.layer_name}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], layer: type | None = None) -> Self:
        """Make a config of plain values; what is not given keeps its default.

        Parameters
        ----------
        layer
            The class of the operator where ``values`` name none of molmp's: a file holds no code.

        Raises
        ------
        ConfigError
            A name that no option has, or a value that makes no sense.
        """
        names = [field.name for field in fields(cls)]
        unknown = [name for name in values if name not in names]
        if unknown:
            raise ConfigError(f"no model option is called {listed(unknown)}; there are {listed(names, most=99)}")
        if layer is not None:
            if values.get("layer") != layer.__name__:
                raise ConfigError(f"the operator is {values.get('layer')!r}, not {layer.__name__!r}")
            values = {**values, "layer": layer}
        return cls(**values)

    def _check_choices(self) -> None:
        for name, allowed in CHOICES.items():
            value = getattr(self, name)
            if name == "layer" or (name in OF_OPERATORS and name not in self.operator.options):
                continue
            _check_words(
                name, value, self.operator.choices.get(name, allowed), several=name in ("positions", "readout")
            )

    def _check_numbers(self) -> None:
        least = {"hidden": 1, "steps": self.operator.least_steps, "readout_steps": 1, "head_hidden": 1,
                 "head_layers": 0, "edge_hidden": 1, "heads": 1, "num_features": 0}  # fmt: skip
        for name, smallest in least.items():
            value = getattr(self, name)
            if name in OF_OPERATORS and name not in self.operator.options:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < smallest:
                raise ConfigError(f"{name} must be a whole number from {smallest} up, got {value!r}")
        for name in ("dropout", "step_dropout", "feature_dropout"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
                raise ConfigError(f"{name} must be a number from 0 up to, not including, 1, got {value!r}")
        for name in OF_OPERATORS:
            if name not in self.operator.options and getattr(self, name) is not None:
                having = [layer for layer, operator in OPERATORS.items() if name in operator.options]
                raise ConfigError(f"layer {self.layer_name} has no option {name}; {listed(having)} have it")
        if self.heads is not None and self.hidden % self.heads:
            fitting = [str(n) for n in range(1, self.hidden + 1) if self.hidden % n == 0]
            raise ConfigError(
                f"heads must divide hidden, the width of a state: {self.hidden} is no multiple of {self.heads}; "
                f"{listed(fitting)} would do"
            )


def _check_words(name: str, value: object, allowed: tuple[str, ...], *, several: bool = False) -> None:
    parts = value.split("+") if several and isinstance(value, str) else [value]
    if unknown := [part for part in parts if part not in allowed]:
        joined = ", or several joined by +" if several else ""
        raise ConfigError(f"{name} must be one of {listed(allowed, most=20)}{joined}; got {unknown[0]!r}")
    if len(set(parts)) < len(parts):
        raise ConfigError(f"{name} {value!r} names one thing twice")
