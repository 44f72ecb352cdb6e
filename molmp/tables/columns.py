"""Which column is which: SMILES by name or by content, targets, and what was left out and why."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from molmp.chem.smiles import parse_smiles
from molmp.errors import ColumnError, DataError, InvalidSmilesError, listed
from molmp.tables.numbers import is_missing, is_number, split_bound
from molmp.tables.strays import few_strays

__all__ = [
    "MOST_JUDGED", "SAMPLE", "column_index", "find_smiles_column", "find_target_columns", "holds_smiles", "is_smiles",
    "is_smiles_name", "looks_like_header", "smiles_cell",
]  # fmt: skip

SAMPLE = 100
"""Values of a column that are looked at to tell whether it holds SMILES."""
MOST_JUDGED = 10_000
"""Columns of a table that are looked through for molecules at most: that takes a second."""
LONGEST = 500
"""Characters of a cell that is read for that."""
ENOUGH = 0.9
"""The share of them that must be readable."""

_LONG = re.compile(r"(?=[^(\[=#]*[(\[=#])[A-Za-z0-9()\[\]=#$:/\\~.+*@%-]+")

_SURE = ("smiles", "canonical_smiles", "isomeric_smiles", "smiles_string", "smile", "smi")
_LIKELY = ("structure", "mol", "molecule", "compound", "drug", "ligand", "rdkit_mol", "chemical", "input")


_IDENTIFIERS = {
    "id",
    "ids",
    "idx",
    "index",
    "key",
    "row",
    "num",
    "number",
    "no",
    "nr",
    "cid",
    "sid",
    "cas",
    "casrn",
    "code",
}
_ROLES = {
    "weight": "weights", "weights": "weights", "sample_weight": "weights", "sample_weights": "weights",
    "split": "a split", "splits": "a split", "fold": "a split", "folds": "a split", "subset": "a split",
    "partition": "a split", "set": "a split", "train_test_split": "a split",
}  # fmt: skip


def _plain(name: str) -> str:
    """Fold case and punctuation: ``Canonical SMILES`` and ``canonical_smiles`` are one name."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def is_smiles(text: str) -> bool:
    """Tell whether a cell can be read as a molecule.

    Long ones, of which RDKit may never make an end, are judged by their characters: those of SMILES, and brackets or
    bonds among them, which proteins and names lack.

    >>> [is_smiles(text) for text in ("CCO", "smiles", "1.5", "", "C(" * 5_000, "GAVLIP" * 500)]
    [True, False, False, False, True, False]
    """
    if len(text.strip()) > LONGEST:
        return _LONG.fullmatch(text.strip()) is not None
    try:
        parse_smiles(text)
    except InvalidSmilesError:
        return False
    return True


def is_smiles_name(name: str) -> bool:
    """Tell whether a column of this name surely holds SMILES.

    >>> [is_smiles_name(name) for name in ("SMILES", "Ligand SMILES", "mol", "smile_count")]
    [True, True, False, False]
    """
    plain = _plain(name)
    return plain in _SURE or plain.startswith("smiles_") or plain.endswith("_smiles")


def column_index(where: str, columns: Sequence[str], name: str) -> int:
    """Find a column by its exact name; refuse one that is missing or there twice."""
    match columns.count(name):
        case 0:
            raise ColumnError(where, name, columns)
        case 1:
            return columns.index(name)
    raise DataError(f"{where} has {columns.count(name)} columns named {name!r}; rename all but one")


def find_smiles_column(where: str, columns: Sequence[str], sample: Sequence[Sequence[str]]) -> tuple[int, str]:
    """Find the column of SMILES and say how: by its name, else by what its cells hold.

    A name such as ``smiles`` or ``Canonical SMILES`` decides; one such as ``mol`` or ``structure`` must be borne
    out by the cells, as any other column: at least nine in ten of the sampled cells can be read.
    """
    by_name = _by_name(where, columns)
    if by_name is not None:
        return by_name, "by its name"
    if len(columns) > MOST_JUDGED:
        raise DataError(
            f"{where} has {len(columns):,} columns, none of them SMILES by its name; more than {MOST_JUDGED:,} are not "
            "looked through for molecules"
        )
    readable = [i for i in range(len(columns)) if holds_smiles([row[i] for row in sample])]
    likely = [i for i in readable if _plain(columns[i]) in _LIKELY]
    if likely:
        return likely[0], "by its name and content"
    if readable:
        # A column of flags such as N and P can be read as atoms: molecules are the more varied.
        return max(readable, key=lambda i: (len({row[i] for row in sample}), -i)), "by its content"
    if not sample:
        raise DataError(f"{where} has no column of SMILES by name and no rows; it has the columns {listed(columns)}")
    raise DataError(f"{where} has no column of SMILES, neither by name nor by content; it has {listed(columns)}")


def _by_name(where: str, columns: Sequence[str]) -> int | None:
    plain = [_plain(name) for name in columns]
    for sure in _SURE:
        if sure in plain:
            first = plain.index(sure)
            column_index(where, columns, columns[first])  # refuses a name that is there twice
            return first
    others = [i for i, name in enumerate(columns) if is_smiles_name(name)]
    if len(others) > 1:
        names = listed(columns[i] for i in others)
        raise DataError(f"{where} has several columns of SMILES: {names}; say which to use (--smiles-column)")
    return others[0] if others else None


def holds_smiles(cells: Sequence[str]) -> bool:
    """Tell whether nine in ten of the cells that are not empty can be read as molecules."""
    filled = [cell for cell in cells if cell.strip()][:SAMPLE]
    return bool(filled) and sum(map(is_smiles, filled)) >= ENOUGH * len(filled)


def smiles_cell(first: Sequence[str], others: Sequence[Sequence[str]]) -> int | None:
    """Return where a table without a header holds its SMILES, or ``None`` where ``first`` is a header.

    The first record is data where one of its cells can be read as a molecule and so can that column below:
    a header named ``C`` or ``NO`` would pass the first test only.
    """
    for i, cell in enumerate(first[:MOST_JUDGED]):
        below = [row[i] for row in others if len(row) > i]
        if is_smiles(cell) and not is_smiles_name(cell) and (not below or holds_smiles(below)):
            return i
    return None


def looks_like_header(word: str) -> bool:
    """Tell whether the first word of a file of SMILES is a title instead of a molecule."""
    return not is_smiles(word) and (is_smiles_name(word) or _plain(word) in _LIKELY)


def find_target_columns(
    columns: Sequence[str], cells: Sequence[Sequence[str]], taken: Iterable[int]
) -> tuple[list[int], dict[str, str]]:
    """Find the targets, and say of each other column why it is none.

    A target is a column of numbers, or of true and false, with two values at least, that is not ``taken`` and by its
    name and content no identifier, index, split or weight.

    >>> find_target_columns(["smiles", "id", "logS"], [["C", "CC"], ["7", "9"], ["1.5", ""]], taken=[0])
    ([], {'id': 'an identifier by its name', 'logS': 'one value only'})
    """
    taken = set(taken)
    targets, left_out = [], {}
    for i, name in enumerate(columns):
        if i in taken:
            continue
        reason = _no_target(name, cells[i], first=i == 0)
        if reason is None:
            targets.append(i)
        else:
            left_out[name] = reason
    return targets, left_out


def _no_target(name: str, cells: Sequence[str], first: bool) -> str | None:
    if role := _ROLES.get(_plain(name)):
        return f"{role} by its name"
    counts = Counter(cell.strip() for cell in cells if not is_missing(cell))
    texts = set(counts) - set(few_strays(counts))
    if not texts:
        return "no values"
    if any(map(is_number, texts)):
        texts = {split_bound(text)[1] for text in texts}
    words = [text for text in texts if not is_number(text)]
    if words and not {text.lower() for text in texts} <= {"true", "false"}:
        return f"not numeric, for example {min(words)!r}"
    values: set[Any] = {text.lower() for text in texts} if words else {float(text) for text in texts}
    if not words:
        if all(float(text).is_integer() for text in texts) and (not name or _names_identifier(name)):
            return "an identifier by its name"
        if first and _counts_rows(cells):
            return "a count of the rows"
    return "one value only" if len(values) == 1 else None


def _names_identifier(name: str) -> bool:
    """Tell names such as ``mol_id``, ``CID`` and ``Unnamed: 0``, but not ``num_rings``."""
    words = _plain(re.sub(r"([a-z])([A-Z])", r"\1_\2", name)).split("_")
    return words[-1] in _IDENTIFIERS or words[0] == "unnamed"


def _counts_rows(cells: Sequence[str]) -> bool:
    if len(cells) < 3 or not is_number(cells[0]) or float(cells[0]) not in (0.0, 1.0):
        return False
    start = int(float(cells[0]))
    return all(cell.strip() == str(i) for i, cell in enumerate(cells, start))
