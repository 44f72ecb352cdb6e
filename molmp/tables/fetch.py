"""Fetch a set of the catalogue, verify it, and write it in molmp's form: smiles, targets, split."""

import hashlib
import http.client
import re
import shutil
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import NamedTuple, Self

from molmp.errors import ColumnError, ConfigError, DataError, FileFormatError, listed
from molmp.tables.catalogue import Entry, RemoteFile
from molmp.tables.numbers import is_missing
from molmp.tables.read import Table, open_table
from molmp.tables.write import Writer, open_writer

__all__ = ["Fetched", "fetch_dataset"]

Progress = Callable[[str, int, int | None], None]
"""Called with the name of a file, the bytes that have come, and how many there are, if known."""

_CHUNK = 1 << 16
_TIMEOUT = 60.0


class Fetched(NamedTuple):
    """What was written."""

    rows: int
    targets: list[str]
    notes: list[str]
    """What is not as the catalogue has it."""


class _Part(NamedTuple):
    path: Path
    split: str | None = None
    """The part that all of its rows belong to."""


def fetch_dataset(
    entry: Entry, out: str | Path, *, mirror: str | None = None, replace: bool = False, progress: Progress | None = None
) -> Fetched:
    """Get a data set and write it to ``out``, whole or not at all.

    ``mirror`` is a folder with the original files (or ``NAME.csv`` in molmp's form), or the URL of one. What is
    downloaded must match the catalogue's checksum, where it has one; a folder of the user's own is only remarked upon.

    Raises :class:`ConfigError` where ``out`` exists and is not to be replaced, :class:`DataError` for what cannot be
    downloaded or found or does not have the columns, :class:`FileFormatError` for a damaged file.
    """
    if not replace and str(out) != "-" and Path(out).exists():
        raise ConfigError(f"{out} exists already; --force replaces it")
    notes: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix="molmp-") as scratch,
        _parts(entry, mirror, Path(scratch), progress or (lambda name, done, total: None), notes) as parts,
    ):
        rows, targets = _convert(entry, parts, out)
    if entry.rows is not None and rows != entry.rows:
        notes.append(f"{rows:,} rows, where the catalogue has {entry.rows:,}")
    return Fetched(rows, targets, notes)


# Getting the files


@contextmanager
def _parts(
    entry: Entry, mirror: str | None, scratch: Path, progress: Progress, notes: list[str]
) -> Iterator[list[_Part]]:
    """Yield the tables of a set as local files."""
    if mirror is None and entry.files[0].url.startswith("molmp:"):
        with as_file(files("molmp_data") / entry.files[0].file_name) as path:
            yield [_Part(path)]
    elif mirror is None or re.match(r"[a-z]+://", mirror):
        yield [_downloaded(file, mirror, scratch, progress) for file in entry.files]
    else:
        yield _local(entry, Path(mirror), scratch, notes)


def _downloaded(file: RemoteFile, mirror: str | None, scratch: Path, progress: Progress) -> _Part:
    url = file.url if mirror is None else f"{mirror.rstrip('/')}/{file.file_name}"
    if not url.startswith(("https://", "http://")):
        raise ConfigError(f"{url}: only http and https addresses can be fetched; for a folder give its path")
    path = scratch / file.file_name
    if not path.exists():  # two tables may be in one archive
        _download(url, path, progress)
    digest = _sha256(path)
    if file.sha256 not in (None, digest):
        raise FileFormatError(
            f"{url} is not the file that the catalogue describes: its sha256 is {digest}, expected {file.sha256}; "
            "if you trust it, download it into a folder and say --from FOLDER"
        )
    return _Part(_unpacked(path, file, scratch), file.split)


def _download(url: str, path: Path, progress: Progress) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "molmp"})
    done = 0
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer, open(path, "wb") as file:
            length = answer.headers.get("Content-Length")
            total = int(length) if length and length.isdigit() else None
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                done += len(chunk)
                progress(path.name, done, total)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = error if isinstance(error, urllib.error.HTTPError) else getattr(error, "reason", error)
        raise _no_download(url, str(reason) or type(error).__name__) from error
    if total is not None and done != total:
        raise _no_download(url, f"the connection broke after {done:,} of {total:,} bytes")


def _no_download(url: str, why: str) -> DataError:
    return DataError(
        f"cannot download {url}: {why}; if you have it, or get it elsewhere, put it into a folder and say --from FOLDER"
    )


def _local(entry: Entry, folder: Path, scratch: Path, notes: list[str]) -> list[_Part]:
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    parts = []
    for file in entry.files:
        unpacked = folder / (file.member or file.file_name)
        path = unpacked if unpacked.is_file() else folder / file.file_name
        if not path.is_file():
            return [_Part(_in_our_form(entry, folder))]
        if path.name == file.file_name and file.sha256 not in (None, _sha256(path)):
            notes.append(f"{path} is not the published file: its sha256 is another")
        parts.append(_Part(path if path == unpacked else _unpacked(path, file, scratch), file.split))
    return parts


def _in_our_form(entry: Entry, folder: Path) -> Path:
    ours = [f"{entry.name}.csv", f"{entry.name}.csv.gz"]
    found = next((folder / name for name in ours if (folder / name).is_file()), None)
    if found is None:
        wanted = " or ".join(dict.fromkeys([file.file_name for file in entry.files] + ours[:1]))
        raise DataError(f"{folder} has no {wanted}; it has {listed(sorted(path.name for path in folder.iterdir()))}")
    return found


def _unpacked(path: Path, file: RemoteFile, scratch: Path) -> Path:
    if file.member is None:
        return path
    target = scratch / f"{file.split or 'all'}-{Path(file.member).name}"
    try:
        with zipfile.ZipFile(path) as archive, archive.open(file.member) as source, open(target, "wb") as copy:
            shutil.copyfileobj(source, copy)
    except KeyError:
        with zipfile.ZipFile(path) as archive:
            there = listed(archive.namelist())
        raise DataError(f"{path.name} has no file {file.member}; it has {there}") from None
    except zipfile.BadZipFile as error:
        raise FileFormatError(f"{path.name} is not a zip archive, or a damaged one: {error}") from error
    return target


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Converting them


def _convert(entry: Entry, parts: list[_Part], out: str | Path) -> tuple[int, list[str]]:
    with open_table(parts[0].path) as table:
        columns = _Columns.find(entry, table)
    has_split = parts[0].split is not None or columns.split is not None
    header = {"smiles": str} | dict.fromkeys(columns.targets, str) | ({"split": str} if has_split else {})
    with open_writer(out, header) as writer:
        rows = sum(_copy(entry, part, writer) for part in parts)
    return rows, list(columns.targets)


def _copy(entry: Entry, part: _Part, writer: Writer) -> int:
    """Copy the rows of one table; returns their number."""
    rows = 0
    with open_table(part.path) as table:
        columns = _Columns.find(entry, table)
        for batch in table.batches():
            values = []
            for row in batch:
                if row.problem is not None:
                    raise DataError(f"{table.where}, line {row.line}: {row.problem.reason}")
                labels = [row.cells[i].strip() for i in columns.targets.values()]
                split = part.split if columns.split is None else row.cells[columns.split].strip()
                kept = ["" if is_missing(label) else label for label in labels]
                values.append([row.cells[columns.smiles].strip(), *kept, *([split] if split is not None else [])])
            writer.write(values)
            rows += len(batch)
    return rows


class _Columns(NamedTuple):
    """Where a table has what."""

    smiles: int
    targets: dict[str, int]
    """By their names here."""
    split: int | None

    @classmethod
    def find(cls, entry: Entry, table: Table) -> Self:
        """Find the columns by their names in the original or, failing that, in molmp's form."""
        split = entry.split_column or "split"
        if isinstance(entry.targets, str):
            others = {entry.smiles, split, *entry.ignore}
            targets = {_plain(name): name for name in table.columns if name not in others}
        else:
            targets = {here: there for there, here in entry.targets.items()}
        smiles = entry.smiles
        if "smiles" in table.columns and not {smiles, *targets.values()} <= set(table.columns):
            smiles, targets = "smiles", {here: here for here in targets}
        place = {here: _first(table, there) for here, there in targets.items()}
        return cls(_first(table, smiles), place, table.columns.index(split) if split in table.columns else None)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _first(table: Table, name: str) -> int:
    """Find a column; of several of one name (QM8 has such) the first."""
    if name not in table.columns:
        raise ColumnError(table.where, name, table.columns)
    return table.columns.index(name)
