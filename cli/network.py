"""Options of a network, shared by the commands that make one."""

from collections.abc import Callable
from typing import Any

import click

from molmp.nn.config import CHOICES, ModelConfig
from molmp.nn.operators import OPERATORS

__all__ = ["options"]

OWN = "  [default: the operator's own]"


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command with the options of operator, stack and readout."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def _of(option: str) -> str:
    """The operators that have an option."""
    return ", ".join(name for name, operator in OPERATORS.items() if option in operator.options)


def _word(name: str, help: str) -> Any:
    default = getattr(ModelConfig, name)
    return click.option(
        f"--{name.replace('_', '-')}", type=click.Choice(CHOICES[name]), default=default,
        help=help + (OWN if default is None else ""),
    )  # fmt: skip


def _number(name: str, help: str, kind: type = int) -> Any:
    default = getattr(ModelConfig, name)
    return click.option(
        f"--{name.replace('_', '-')}", type=kind, default=default, help=help + (OWN if default is None else "")
    )


_OPTIONS = (
    _word("layer", "Message passing operator: " + "; ".join(f"{n}: {o.sentence}" for n, o in OPERATORS.items()) + "."),
    _number("hidden", "Width of an atom's state."),
    _number("steps", "Message passing steps."),
    _word("aggregation", f"How messages are put together; of {_of('aggregation')}."),
    _number("edge_hidden", f"Hidden width of the network that reads bonds; of {_of('edge_hidden')}."),
    _number("heads", f"Attention heads, a divisor of --hidden; of {_of('heads')}."),
    _word("weights", "One set of weights for all steps, or one for each."),
    click.option("--residual/--no-residual", default=None, help=f"Add a state to the one that follows it.{OWN}"),
    _word("norm", "What normalises states after each step."),
    _number("step_dropout", "Share of a state that is dropped after each step in training.", float),
    _word("jumping", "Let the readout see the states of all steps, side by side or their maximum."),
    click.option("--virtual-node", is_flag=True, help="A state for the molecule that all atoms hear and are heard by."),
    click.option(
        "--positions",
        default=ModelConfig.positions,
        metavar="|".join(CHOICES["positions"]),
        help="Positional encodings that the first states know; several are joined by +.",
    ),
    click.option(
        "--readout",
        default=ModelConfig.readout,
        metavar="|".join(CHOICES["readout"]),
        help="From atoms to a molecule; several are joined by +.",
    ),
)
