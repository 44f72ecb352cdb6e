"""What `molmp train` asks and tells about cross-validation."""

from collections.abc import Mapping
from typing import Any

from molmp.errors import ConfigError

__all__ = ["check_folds", "render_spread"]


def check_folds(settings: Mapping[str, Any]) -> None:
    """Raise ConfigError where options ask for what folds cannot give."""
    if not settings["folds"]:
        for name, default in (("repeats", 1), ("rolling_test", False)):
            if settings[name] != default:
                raise ConfigError(f"--{name.replace('_', '-')} is of use with --folds only")
    for name in ("split_column", "splits_file"):
        if settings["rolling_test"] and settings[name]:
            raise ConfigError(f"--rolling-test tests every molecule once, but --{name.replace('_', '-')} names a test")


def render_spread(spread: Mapping[str, Mapping[str, Any]]) -> str:
    """Write means and standard deviations over folds.

    >>> render_spread({"rmse": {"mean": 2.0, "std": 0.5, "folds": 3}, "r2": {"mean": None, "std": None, "folds": 0}})
    'rmse 2.0000 +- 0.5000  r2 undefined'
    """
    return "  ".join(f"{name} {_one(values)}" for name, values in spread.items())


def _one(values: Mapping[str, Any]) -> str:
    if values["mean"] is None:
        return "undefined"
    return f"{values['mean']:.4f}" + ("" if values["std"] is None else f" +- {values['std']:.4f}")
