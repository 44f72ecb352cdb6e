"""Options of `molmp train` that say what is learned: the loss and what it weighs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from molmp.training.config import CHOICES, TrainConfig
from molmp.training.loss_names import LOSS_NAMES

from . import options

__all__ = ["objective_options"]

_LOSSES = ["auto", *dict.fromkeys(name for names in LOSS_NAMES.values() for name in names)]

_OPTIONS = [
    click.option(
        "--loss",
        type=click.Choice(_LOSSES),
        default=TrainConfig.loss,
        help=f"What training makes small; auto: {', '.join(names[0] for names in LOSS_NAMES.values())}, by task.",
    ),
    click.option(
        "--quantiles",
        type=str,
        multiple=True,
        metavar="LEVELS",
        default=TrainConfig.quantiles,
        callback=options.numbers,
        help="What --loss quantile learns, separated by commas.",
    ),
    click.option(
        "--class-weight",
        type=click.Choice(CHOICES["class_weight"]),
        default=TrainConfig.class_weight,
        help="balanced: rare classes weigh as much as frequent ones.",
    ),
    click.option(
        "--task-weights",
        multiple=True,
        metavar="TARGET=WEIGHT",
        callback=options.weights,
        help="Weights of targets in the loss, separated by commas.  [default: 1 each]",
    ),
    click.option(
        "--threshold",
        type=click.Choice(CHOICES["threshold"]),
        default=TrainConfig.threshold,
        help="Probability from which a molecule is of the second of two classes: 0.5, or tuned on the validation "
        "molecules, and then predictions have a column of classes.",
    ),
    click.option(
        "--init-from",
        metavar="RUN",
        type=click.Path(path_type=Path),
        is_eager=True,
        callback=options.model_defaults,
        help="Start from the weights of a trained model: the encoder's, and the head's where the targets are the same. "
        "Options of the network that are not given are those of RUN.",
    ),
    click.option(
        "--freeze",
        default=TrainConfig.freeze,
        metavar="encoder|N",
        help="Keep what RUN, or without one the pretrained encoder, has learned as it is: the encoder, or the first N "
        "parts: atoms, messages, readout, hidden layers of the head.",
    ),
]


def objective_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command these options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
