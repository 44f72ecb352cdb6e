"""SMI files: a SMILES, white space, a name; no header as a rule; comments begin with ``#``."""

from collections.abc import Iterator, Sequence

from molmp.tables.columns import is_smiles, looks_like_header
from molmp.tables.lines import Lines
from molmp.tables.rows import Layout, Parsed, Row

__all__ = ["SMI_SUFFIXES", "is_smi", "read_smi"]

SMI_SUFFIXES = (".smi", ".smiles", ".ism", ".can", ".cxsmiles")


def is_smi(lines: Sequence[str]) -> bool:
    """Tell whether at least half of the sampled lines begin with a molecule and some say more after it."""
    words = [line.split(None, 1) for line in lines if line.strip() and not line.startswith("#")]
    if words and looks_like_header(words[0][0]):
        if len(words[0]) == 1:  # the name of one column, in which white space is a mistake
            return False
        del words[0]
    readable = sum(is_smiles(first) for first, *_ in words)
    return bool(words) and 2 * readable >= len(words) and any(len(parts) > 1 for parts in words)


def read_smi(lines: Lines) -> Parsed:
    """Read molecules and their names; a title line, if there is one, is skipped with a note."""
    notes = []
    rows = _rows(lines)
    first = next(rows, None)
    if first is not None and looks_like_header(first.cells[0]):
        notes.append(f"line {first.line}, {' '.join(first.cells).strip()!r}, is a title, not a molecule")
        first = None
    layout = Layout(format="smi", columns=("smiles", "name"), smiles=0)
    return Parsed(layout=layout, rows=_chain(first, rows), notes=notes)


def _rows(lines: Lines) -> Iterator[Row]:
    for line in lines:
        lines.taken.clear()
        parts = line.rstrip("\r\n").split(None, 1)
        if parts and not parts[0].startswith("#"):
            yield Row(lines.number, (parts[0], parts[1] if len(parts) > 1 else ""))


def _chain(first: Row | None, rest: Iterator[Row]) -> Iterator[Row]:
    if first is not None:
        yield first
    yield from rest
