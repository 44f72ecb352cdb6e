"""What a reader hands out: rows as they stood in the file, and the layout they share."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

__all__ = ["Layout", "Parsed", "Problem", "Row", "fit"]


class Problem(NamedTuple):
    """Why a row cannot be used: one of the words in :data:`molmp.chem.reasons.REASONS`, and a sentence."""

    code: str
    reason: str

    @property
    def outcome(self) -> str:
        """What stands in a table in the place of a result: the code, then the reason."""
        return f"{self.code}: {self.reason}"


class Row(NamedTuple):
    """One record of a table, never changed on the way."""

    line: int
    """Where the record begins: its line, counting from 1 (in Parquet its row)."""
    cells: tuple[str, ...]
    """The text of every cell, byte for byte; always as many as the table has columns."""
    problem: Problem | None = None
    """What is wrong with the record itself, or ``None``."""
    raw: Any = None
    """The record as it stood (text without its line end; Parquet: typed values), for writing it out again."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a table was written, so that it can be written the same way again."""

    format: str
    """``csv`` (any delimiter), ``smi``, ``sdf`` or ``parquet``."""
    columns: tuple[str, ...]
    smiles: int | None = None
    """The column of SMILES, where the format says which it is."""
    delimiter: str = ","
    newline: str = "\n"
    header: str | None = None
    """The line of column names as it stood, where there was one."""
    schema: Any = None
    """The Arrow schema of a Parquet file."""


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """An opened table: its layout, its rows as a stream, and what had to be inferred."""

    layout: Layout
    rows: Iterator[Row]
    notes: list[str] = field(default_factory=list)


def fit(cells: list[str], width: int, delimiter: str) -> tuple[str, ...]:
    """Give a ragged record ``width`` cells without losing text.

    Missing cells are empty; the surplus stays in the last cell, delimiters and all.

    >>> fit(["CCO", "1", "x", "y"], 2, ",")
    ('CCO', '1,x,y')
    """
    if len(cells) <= width:
        return (*cells, *[""] * (width - len(cells)))
    return (*cells[: width - 1], delimiter.join(cells[width - 1 :]))
