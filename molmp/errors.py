"""Every error that is the user's to mend: where, what, why, and what there was instead.

Anything that is not a :class:`MolmpError` is a bug and keeps its traceback.
"""

from collections.abc import Iterable
from pathlib import Path

__all__ = [
    "ColumnError",
    "ConfigError",
    "DataError",
    "DeviceError",
    "EngineError",
    "FileFormatError",
    "InvalidSmilesError",
    "MissingExtraError",
    "MolmpError",
    "listed",
]


class MolmpError(Exception):
    """Root of the tree; the command line prints it and exits with ``exit_code``."""

    exit_code = 1


class ConfigError(MolmpError, ValueError):
    """Options that make no sense, alone or together."""

    exit_code = 2


class DeviceError(MolmpError, RuntimeError):
    """A device that does not exist or ran out of memory."""


class EngineError(MolmpError, RuntimeError):
    """An engine for many machines that cannot be reached, or that gave up."""


class DataError(MolmpError, ValueError):
    """A table that can be opened but not used."""


class ColumnError(DataError):
    """A table without the column that was asked for.

    >>> print(ColumnError("t.csv", "smiles", ["SMILES", "logS"]))
    t.csv has no column 'smiles'; it has SMILES, logS
    """

    def __init__(self, where: str | Path, name: str, there: Iterable[str]) -> None:
        self.name, self.there = name, list(there)
        super().__init__(f"{where} has no column {name!r}; it has {listed(self.there)}")


class FileFormatError(MolmpError):
    """A file that is not what it should be: no model, another version, damaged."""


class MissingExtraError(MolmpError, ImportError):
    """An optional package that is not installed.

    >>> print(MissingExtraError("pyarrow", "parquet", "reading Parquet files"))
    reading Parquet files needs pyarrow: pip install 'molmp[parquet]'
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {package}: pip install 'molmp[{extra}]'")


class InvalidSmilesError(MolmpError, ValueError):
    """A molecule that cannot be read, with the reason and, where known, its row.

    ``code`` is one of the words in :data:`molmp.chem.reasons.REASONS`, ``reason`` a sentence.

    >>> error = InvalidSmilesError("C1CC", "syntax", "unclosed ring", row=7)
    >>> print(error)
    row 7: cannot read SMILES 'C1CC': unclosed ring
    >>> error.outcome
    'syntax: unclosed ring'
    """

    def __init__(self, smiles: str, code: str, reason: str, row: int | None = None) -> None:
        self.smiles, self.code, self.reason, self.row = smiles, code, reason, row
        shown = smiles if len(smiles) <= 120 else f"{smiles[:117]}..."
        where = "" if row is None else f"row {row}: "
        super().__init__(f"{where}cannot read SMILES {shown!r}: {reason}")

    @property
    def outcome(self) -> str:
        """What stands in a table in the place of a result: the code, then the reason."""
        return f"{self.code}: {self.reason}"

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.smiles, self.code, self.reason, self.row)


def listed(names: Iterable[str], most: int = 12) -> str:
    """Join names for a message and cut a long list short.

    >>> listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    names = list(names)
    if len(names) <= most:
        return ", ".join(names) or "none"
    return f"{', '.join(names[:most])} and {len(names) - most} more"
