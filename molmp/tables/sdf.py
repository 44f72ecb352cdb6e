"""SD files: mol blocks and data fields; the SMILES is written by RDKit, the fields become columns."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rdkit import Chem

from molmp.chem.smiles import MAX_ATOMS, canonical_smiles, quiet_rdkit
from molmp.errors import FileFormatError
from molmp.tables.lines import Lines
from molmp.tables.rows import Layout, Parsed, Problem, Row
from molmp.tables.source import MAX_LINE

__all__ = ["field_names", "is_sdf", "read_sdf"]

_END = "$$$$"
_FIELD = re.compile(r">.*?<(.*)>")
_COUNTS = re.compile(r"M  V30 COUNTS +(\d{1,9})")


class _Record(NamedTuple):
    line: int
    block: str
    fields: list[tuple[str, str]]


def is_sdf(lines: Sequence[str]) -> bool:
    """Tell an SD file by the counts line of its first mol block or by an end of record.

    >>> is_sdf(["methane\\n", "\\n", "\\n", "  1  0  0  0  0  0  0  0  0  0999 V2000\\n"])
    True
    """
    counts = lines[3].rstrip() if len(lines) > 3 else ""
    return counts.endswith(("V2000", "V3000")) or any(line.rstrip() in (_END, "M  END") for line in lines)


def field_names(lines: Lines) -> list[str]:
    """Read a whole file for the names of its data fields, in the order in which they first come."""
    names: dict[str, None] = {}
    for record in _records(lines):
        names.update(dict.fromkeys(name for name, _ in record.fields))
    return list(names)


def read_sdf(lines: Lines, fields: Sequence[str]) -> Parsed:
    """Read molecules as SMILES, names and ``fields``; a block RDKit refuses gives a row with its problem.

    A field that a record does not have is an empty cell; of one that it has twice, the first counts.
    """
    taken = set(fields)
    smiles = next(name for name in ("smiles", "smiles_from_structure", "_smiles_") if name not in taken)
    title = next(name for name in ("name", "title", "_name_") if name not in taken)
    layout = Layout(format="sdf", columns=(smiles, title, *fields), smiles=0)
    return Parsed(layout=layout, rows=(_row(record, fields) for record in _records(lines)))


def _records(lines: Lines) -> Iterator[_Record]:
    record: list[str] = []
    size = 0
    for line in lines:
        lines.taken.clear()
        line = line.rstrip("\r\n")
        size = len(line) + 1 if not record else size + len(line) + 1
        if size > MAX_LINE:
            start = lines.number - len(record)
            raise FileFormatError(f"{lines.where}: the record from line {start} is longer than {MAX_LINE:,} characters")
        if line.rstrip() != _END:
            record.append(line)
            continue
        yield _split(record, lines.number - len(record))
        record = []
    if any(line.strip() for line in record):  # the last end of record may be missing
        yield _split(record, lines.number - len(record) + 1)


def _split(record: list[str], start: int) -> _Record:
    """Cut a record into its mol block and its fields; a field's value ends at a blank line."""
    end = next((i for i, line in enumerate(record) if line.startswith("M  END")), None)
    if end is None:
        end = next((i for i, line in enumerate(record) if line.startswith(">")), len(record)) - 1
    fields: list[tuple[str, list[str]]] = []
    inside = False
    for line in record[end + 1 :]:
        if not inside and (found := _FIELD.match(line)):
            fields.append((found[1], []))
            inside = True
        elif not line.strip():
            inside = False
        elif inside:
            fields[-1][1].append(line)
    return _Record(start, "\n".join(record[: end + 1]), [(name, "\n".join(value)) for name, value in fields])


def _row(record: _Record, fields: Sequence[str]) -> Row:
    smiles, problem = _smiles(record.block)
    values = dict(reversed(record.fields))
    title = record.block.split("\n", 1)[0]
    return Row(record.line, (smiles, title, *(values.get(name, "") for name in fields)), problem)


def _smiles(block: str) -> tuple[str, Problem | None]:
    with quiet_rdkit():
        return _read(block)


def _read(block: str) -> tuple[str, Problem | None]:
    block = block.encode("ascii", "replace").decode()  # other letters stand in titles and comments only
    counts = _COUNTS.search(block)
    if counts is not None and int(counts[1]) > MAX_ATOMS:  # before RDKit sees it
        return "", Problem("too-large", f"{int(counts[1]):,} atoms, more than {MAX_ATOMS:,}")
    mol = Chem.MolFromMolBlock(block, sanitize=False)
    if mol is None:
        return "", Problem("syntax", "RDKit cannot read the mol block")
    if not mol.GetNumAtoms():
        return "", Problem("empty", "the mol block has no atoms")
    if mol.GetNumAtoms() > MAX_ATOMS:
        return "", Problem("too-large", f"{mol.GetNumAtoms():,} atoms, more than {MAX_ATOMS:,}")
    mol = Chem.MolFromMolBlock(block)
    if mol is None:
        return "", Problem("valence", "RDKit refuses the mol block: a valence or an aromatic ring makes no sense")
    # Canonical because RDKit's other order of writing loses stereo in rings; with so few atoms it takes no time.
    return canonical_smiles(mol), None
