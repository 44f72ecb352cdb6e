"""Which options are searched, and where; free of torch and Optuna."""

from typing import Any, NamedTuple

__all__ = ["SPACE", "OneOf", "Range", "with_default"]


class OneOf(NamedTuple):
    """Some values."""

    values: tuple[Any, ...]


class Range(NamedTuple):
    """Numbers from ``low`` to ``high``, both included; whole ones where ``low`` is.

    With ``log`` all orders of magnitude are equally likely.
    """

    low: float
    high: float
    log: bool = False


SPACE: dict[str, OneOf | Range] = {
    "hidden": OneOf((32, 48, 64, 96, 128, 192)),
    "steps": Range(2, 6),
    "readout": OneOf(("set2set+sum", "sum", "mean", "attention+sum", "mean+sum")),
    "dropout": Range(0.0, 0.4),
    "batch_size": OneOf((16, 32, 64, 128)),
    "lr": Range(3e-4, 1e-2, log=True),
    "freeze": OneOf(("none", "encoder")),
}
"""Options of :class:`~molmp.nn.config.ModelConfig` and :class:`~molmp.training.config.TrainConfig` that matter most."""


def with_default(space: OneOf | Range, default: Any) -> OneOf | Range:
    """Widen a space so that the default lies in it.

    >>> with_default(OneOf((1, 2)), 5), with_default(Range(2, 4), 1)
    (OneOf(values=(1, 2, 5)), Range(low=1, high=4, log=False))
    """
    if isinstance(space, OneOf):
        return space if default in space.values else OneOf((*space.values, default))
    return space._replace(low=min(space.low, default), high=max(space.high, default))
