"""Which losses there are for each task, and what they need; free of torch, so that a command can print its help."""

from collections.abc import Sequence

from molmp.errors import ConfigError, listed

__all__ = ["BOUNDED", "LOSS_NAMES", "check_bounds", "check_quantiles", "pick_loss"]

LOSS_NAMES = {
    "regression": ("mse", "mae", "huber", "quantile", "mve", "evidential"),
    "binary": ("bce", "focal", "dirichlet"),
    "multiclass": ("cross-entropy", "focal", "dirichlet"),
}
"""The losses of each task; the first is what ``auto`` stands for."""

BOUNDED = ("mse", "mae", "huber", "mve")
"""Losses that can learn from bounds such as ``>10``."""


def pick_loss(task: str, name: str = "auto") -> str:
    """Return the loss for a task, ``auto`` resolved.

    >>> pick_loss("binary"), pick_loss("multiclass", "focal")
    ('bce', 'focal')
    >>> pick_loss("binary", "mse")
    Traceback (most recent call last):
    molmp.errors.ConfigError: loss 'mse' is not for the task binary; its losses are bce, focal, dirichlet
    """
    if task not in LOSS_NAMES:
        raise ConfigError(f"task is {task!r}; there are {listed(LOSS_NAMES)}")
    if name == "auto":
        return LOSS_NAMES[task][0]
    if name not in LOSS_NAMES[task]:
        raise ConfigError(f"loss {name!r} is not for the task {task}; its losses are {listed(LOSS_NAMES[task])}")
    return name


def check_bounds(loss: str, count: int) -> None:
    """Refuse labels of which ``count`` are bounds, where the loss cannot learn from them."""
    if count and loss not in BOUNDED:
        raise ConfigError(
            f"{count:,} labels are bounds such as '>10', from which loss {loss!r} cannot learn; {listed(BOUNDED)} can"
        )


def check_quantiles(levels: Sequence[float]) -> tuple[float, ...]:
    """Return the levels of quantiles, with the median among them, which is the prediction.

    >>> check_quantiles([0.05, 0.95])
    (0.05, 0.5, 0.95)
    >>> check_quantiles([0.9, 0.1])
    Traceback (most recent call last):
    molmp.errors.ConfigError: quantiles must ascend from above 0 to below 1, got 0.9, 0.1
    """
    numbers = all(isinstance(level, int | float) and not isinstance(level, bool) for level in levels)
    if not numbers or not levels or not all(a < b for a, b in zip([0, *levels], [*levels, 1], strict=True)):
        raise ConfigError(f"quantiles must ascend from above 0 to below 1, got {listed(map(str, levels))}")
    return tuple(sorted({float(level) for level in levels} | {0.5}))
