"""`molmp data`: list the public data sets that people train on, and fetch them."""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import click

from molmp.tables.catalogue import Entry, catalogue, find_entry

__all__ = ["data"]


@click.group()
def data() -> None:
    """List the public data sets that people train on, and fetch them."""


@data.command("list")
def list_sets() -> None:
    """List the data sets: name, rows, targets, task, metric, split, licence, title."""
    table: list[tuple[str, ...]] = [("NAME", "ROWS", "TARGETS", "TASK", "METRIC", "SPLIT", "LICENCE", "TITLE")]
    table += [_summary(entry) for entry in catalogue().values()]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = [
            cell.rjust(w) if i in (1, 2) else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())


def _summary(entry: Entry) -> tuple[str, ...]:
    rows = "" if entry.rows is None else f"{entry.rows:,}"
    targets = "many" if isinstance(entry.targets, str) else str(len(entry.targets))
    licence = entry.licence.split(" (")[0].split(",")[0]
    return entry.name, rows, targets, entry.task, entry.metric, entry.split, licence, entry.title


@data.command()
@click.argument("name")
@click.option("-o", "--output", metavar="FILE", help="CSV, TSV or Parquet to write.  [default: NAME.csv]")
@click.option("--from", "mirror", metavar="FOLDER|URL", help="Take the files from there instead of their origin.")
@click.option("--force", is_flag=True, help="Replace FILE where it exists.")
def get(name: str, output: str | None, mirror: str | None, force: bool) -> None:
    """Download the data set NAME, verify it, and write it with the columns smiles, targets and split."""
    from molmp.tables.fetch import fetch_dataset

    entry = find_entry(name)
    output = output or f"{entry.name}.csv"
    with _Bar() as bar:
        fetched = fetch_dataset(entry, output, mirror=mirror, replace=force, progress=bar)
    for note in fetched.notes:
        click.echo(f"molmp: note: {note}", err=True)
    click.echo(f"{output}: {fetched.rows:,} molecules; {entry.title}", err=True)
    for line in _description(entry, fetched.targets, output):
        click.echo(line, err=True)


def _description(entry: Entry, targets: list[str], output: str) -> Iterator[str]:
    shown = [f"{target} [{entry.unit_of(target)}]" for target in targets[:12]]
    yield f"targets: {', '.join(shown)}" + (f" and {len(targets) - 12} more" if len(targets) > 12 else "")
    if entry.note:
        yield f"mind: {entry.note}"
    yield f"cite: {entry.citation}" + (f", doi:{entry.doi}" if entry.doi else "")
    yield f"licence: {entry.licence}"
    split = "--split-column split" if entry.split == "column" else f"--split {entry.split}"
    yield f"usual: molmp train {output} -o RUN --task {entry.task} {split}, metric {entry.metric}"


class _Bar:
    """A progress bar for each file that is downloaded, where a person is watching."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __call__(self, name: str, done: int, total: int | None) -> None:
        from tqdm import tqdm

        if self._bar is None or self._bar.desc != f"{name}: ":
            self._close()
            self._bar = tqdm(desc=name, total=total, unit="B", unit_scale=True, disable=None)
        self._bar.update(done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._close()
