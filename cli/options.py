"""Options that several commands share, and files of options."""

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from molmp.chem.options import GraphOptions
from molmp.errors import ConfigError, FileFormatError, listed

__all__ = [
    "config_file",
    "device",
    "dialect",
    "given_limits",
    "limits",
    "model_defaults",
    "names",
    "numbers",
    "on_error",
    "pairs",
    "render_config",
    "smiles_column",
    "tell",
    "weights",
    "workers",
]

smiles_column = click.option(
    "--smiles-column", metavar="NAME", help="Column of SMILES.  [default: found by name or content]"
)
device = click.option("--device", default="auto", metavar="auto|cpu|cuda|cuda:N|mps", help="Where the network runs.")
on_error = click.option("--on-error", type=click.Choice(["keep", "drop", "fail"]), default="keep",
                        help="A row that cannot be read: keep it with the reason, leave it out, or stop.")  # fmt: skip
workers = click.option("--n-jobs", default=1, metavar="N", help="Processes that read SMILES; -1: one for each core.")


_WORDS = {"comma": ",", "tab": "\t", "semicolon": ";", "space": " ", "bar": "|"}


def _delimiter(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    return None if value is None else _WORDS.get(value, value)


def dialect(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what a table itself leaves open."""
    command = click.option("--header/--no-header", default=None, help="Whether the first line names the columns.  "
                           "[default: told from the content]")(command)  # fmt: skip
    return click.option("--delimiter", metavar="CHARACTER", callback=_delimiter, help="Between columns of text: a "
                        f"character or {', '.join(_WORDS)}.  [default: told from the content]")(command)  # fmt: skip


def limits(command: Callable[..., Any], *, told: bool = True) -> Callable[..., Any]:
    """Add the options for what a molecule may cost; a model remembers them."""
    said = {
        "time_limit": ("SECONDS", "Processor time for a molecule; more is refused."),
        "max_characters": ("N", "Longer SMILES are refused."),
        "max_atoms": ("N", "Larger molecules are refused."),
    }
    for name, (metavar, help) in said.items():
        default = getattr(GraphOptions, name)
        extra = {"default": default} if told else {"type": type(default)}
        help = help if told else f"{help}  [default: {default:g}]"
        command = click.option(f"--{name.replace('_', '-')}", metavar=metavar, help=help, **extra)(command)
    return command


def given_limits(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the same options, ``None`` where they are not given."""
    return limits(command, told=False)


def names(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Callback for options that take several names: repeated, or separated by commas."""
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip())


def numbers(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[float, ...]:
    """Callback for options that take several numbers: repeated, or separated by commas."""
    try:
        return tuple(map(float, names(ctx, param, tuple(map(str, values)))))
    except ValueError as error:
        raise ConfigError(f"--{param.name} takes numbers: {error}") from None


def pairs(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Callback for options of the form NAME=VALUE, repeated."""
    split = [value.partition("=") for value in values]
    if bad := [value for value, equals, _ in split if not equals]:
        raise ConfigError(f"--{(param.name or '').replace('_', '-')} takes {param.metavar}, got {bad[0]!r}")
    return {name.strip(): value.strip() for name, _, value in split}


def weights(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, float] | None:
    """Callback for options of the form NAME=NUMBER, repeated or separated by commas."""
    split = pairs(ctx, param, names(ctx, param, values))
    try:
        return {name: float(value) for name, value in split.items()} or None
    except ValueError as error:
        raise ConfigError(f"--{(param.name or '').replace('_', '-')} takes {param.metavar}: {error}") from None


def config_file(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    """Callback: take the defaults of this command's options from a TOML file; options on the command line win."""
    if path is None:
        return None
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path} is not TOML: {error}") from None
    known = {p.name for p in ctx.command.params if isinstance(p, click.Option)} - {param.name}
    settings = {name.replace("-", "_"): value for name, value in content.items()}
    if unknown := [name for name in settings if name not in known]:
        there = listed(sorted(str(name).replace("_", "-") for name in known), 40)
        raise ConfigError(f"{path} sets {unknown[0]!r}, which this command does not have; it has {there}")
    ctx.default_map = {**(ctx.default_map or {}), **settings}
    return path


def model_defaults(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    """Callback: take the defaults of this command's options from a trained model; all that is given wins."""
    if path is None:
        return None
    from molmp.inference.model_file import load_bundle

    bundle = load_bundle(path)
    stored = {**bundle.network.to_dict(), **bundle.options.to_dict()}
    known = {p.name for p in ctx.command.params}
    stored = {name: value for name, value in stored.items() if name in known and value is not None}
    ctx.default_map = {**stored, **(ctx.default_map or {})}
    return path


def render_config(settings: Mapping[str, Any]) -> str:
    """Write settings as TOML that ``--config`` reads back; those that are not set are left out.

    >>> print(render_config({"split_sizes": (0.8, 0.1, 0.1), "task": None, "layer": "edge"}), end="")
    split-sizes = [0.8, 0.1, 0.1]
    layer = "edge"
    """
    plain = {k: [f"{a}={b}" for a, b in v.items()] if isinstance(v, dict) else v for k, v in settings.items()}
    # Strings, numbers, booleans and flat lists are written alike in JSON and TOML.
    lines = [
        f"{k.replace('_', '-')} = {json.dumps(v, default=str)}" for k, v in plain.items() if v not in (None, (), [])
    ]
    return "".join(f"{line}\n" for line in lines)


def tell(sentence: str) -> None:
    """Say something that is not data: on stderr."""
    click.echo(f"molmp: {sentence}", err=True)
