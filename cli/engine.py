"""Options of commands that can run on a Ray cluster."""

from collections.abc import Callable
from typing import Any

import click

from molmp.errors import ConfigError

__all__ = ["engine_options", "ray_settings"]

_OPTIONS = (
    click.option(
        "--engine", type=click.Choice(["local", "ray"]), default="local", help="ray: workers of a Ray cluster."
    ),
    click.option("--address", metavar="HOST:PORT", help="Ray cluster.  [default: RAY_ADDRESS, else one started here]"),
    click.option("--workers", metavar="N", type=int, help="Workers of --engine ray.  [default: as many as have room]"),
    click.option("--gpus", metavar="SHARE", type=float, help="Share of a GPU of each worker of --engine ray, as 0.25."),
)


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; :func:`ray_settings` takes them out of the settings again."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def ray_settings(settings: dict[str, Any], output: str, unfit: dict[str, bool]) -> dict[str, Any] | None:
    """Remove the engine's options from ``settings``; return those given for Ray, or ``None`` for no engine.

    ``unfit`` are options without a meaning for Ray, and whether they were given.

    Raises
    ------
    ConfigError
        Options that do not go together, or no name for the output.
    """
    engine = settings.pop("engine")
    ray = {name: settings.pop(name) for name in ("address", "workers", "gpus")}
    ray = {name: value for name, value in ray.items() if value is not None}
    if engine == "local":
        if ray:
            raise ConfigError(f"--{next(iter(ray))} goes with --engine ray")
        return None
    for name, given in unfit.items():
        if given:
            raise ConfigError(f"{name} does not go with --engine ray; --workers and --gpus do")
    if output == "-":
        raise ConfigError("--engine ray writes a folder of Parquet files; name it with -o")
    return ray
