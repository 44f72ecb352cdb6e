"""The catalogue of public tables that people train on, read from ``catalogue.toml`` beside the shipped data."""

import difflib
import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from molmp.errors import ConfigError

__all__ = ["Entry", "RemoteFile", "catalogue", "find_entry"]


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file to download: all of a data set, or one part of it."""

    url: str
    """``molmp:NAME`` for a file that ships with molmp."""
    name: str = ""
    """In a mirror folder; the end of the url unless that says nothing."""
    member: str | None = None
    """The table within a zip archive."""
    split: str | None = None
    """The part that all of its rows belong to."""
    sha256: str | None = None
    """Of the file as it is served."""

    @property
    def file_name(self) -> str:
        return self.name or self.url.rsplit("/", 1)[-1].removeprefix("molmp:")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One data set: where it is, what its columns mean, how to cite it."""

    name: str
    title: str
    task: str
    metric: str
    """The one that the benchmark reports, by its name in ``metrics.json``."""
    split: str
    """The split that the benchmark recommends; ``column`` where the set brings its own."""
    smiles: str
    """The column of SMILES there."""
    targets: dict[str, str] | str
    """Columns there and their names here, or ``*``: all others, in lower case."""
    files: tuple[RemoteFile, ...]
    citation: str
    licence: str
    source: str = ""
    unit: str = ""
    units: dict[str, str] = field(default_factory=dict)
    """By name here; ``unit`` holds for the others."""
    ignore: tuple[str, ...] = ()
    """Columns there that ``*`` leaves out."""
    split_column: str | None = None
    rows: int | None = None
    """Of the published file, where it was counted."""
    doi: str | None = None
    note: str | None = None
    family: str | None = None

    def unit_of(self, target: str) -> str:
        """Return the unit of a target by its name here."""
        return self.units.get(target, self.unit)


@cache
def catalogue() -> dict[str, Entry]:
    """Read all entries, by name, in the order of the file.

    >>> catalogue()["esol"].unit_of("logs")
    'log10(mol/L)'
    """
    content = tomllib.loads(files("molmp_data").joinpath("catalogue.toml").read_text(encoding="utf-8"))
    families = content["family"]
    return {name: _entry(name, families.get(own.get("family"), {}) | own) for name, own in content["set"].items()}


def _entry(name: str, values: dict[str, Any]) -> Entry:
    remote = tuple(RemoteFile(**file) for file in values.pop("files"))
    return Entry(name=name, files=remote, ignore=tuple(values.pop("ignore", ())), **values)


def find_entry(name: str) -> Entry:
    """Return an entry, or name those that are spelled alike.

    >>> find_entry("esoll")
    Traceback (most recent call last):
    molmp.errors.ConfigError: no data set 'esoll'; did you mean esol? `molmp data list` shows all ...
    """
    known = catalogue()
    if name in known:
        return known[name]
    close = (
        difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.75)
        or [key for key in known if name.lower() in key][:3]
    )
    hint = f"; did you mean {' or '.join(close)}?" if close else ";"
    raise ConfigError(f"no data set {name!r}{hint} `molmp data list` shows all {len(known)}")
