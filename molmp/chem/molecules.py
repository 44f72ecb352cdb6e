"""Molecules as people hold them - lists, arrays, columns of data frames; SMILES or RDKit's own - made uniform."""

from collections.abc import Iterable, Mapping
from typing import Any

from rdkit import Chem

from molmp.chem.options import GraphOptions
from molmp.chem.smiles import check_text, quiet_rdkit, read_text, standardize
from molmp.errors import DataError, InvalidSmilesError

__all__ = ["as_list", "as_smiles", "raise_for_errors", "read_molecule", "read_molecules"]

MOST_REASONS = 20


def as_list(X: Any) -> list[Any]:
    """Elements of a list, array, pandas or polars column, or frame or matrix of one column.

    Raises
    ------
    DataError
        One string, nothing at all, or more than one column.

    Examples
    --------
    >>> import numpy as np
    >>> as_list(np.array([["CCO"], ["C"]]))
    ['CCO', 'C']
    """
    if isinstance(X, str | bytes | Chem.Mol):
        raise DataError(f"X must be a list of molecules, but it is one {type(X).__name__}: write [X]")
    shape = getattr(X, "shape", None)
    if shape is not None and len(shape) != 1:
        X = _only_column(X, shape)
    for method in ("to_list", "tolist", "to_pylist"):
        if hasattr(X, method):
            X = getattr(X, method)()
            break
    if not isinstance(X, Iterable) or isinstance(X, Mapping):
        raise DataError(f"X must be a list of SMILES or molecules, not {type(X).__name__}")
    return list(X)


def as_smiles(X: Any) -> list[Any]:
    """As :func:`as_list`, with SMILES in place of RDKit's molecules; what is neither is left for the reader to refuse.

    >>> as_smiles([Chem.MolFromSmiles("OCC"), "C"])
    ['CCO', 'C']
    """
    with quiet_rdkit():
        return [Chem.MolToSmiles(item) if isinstance(item, Chem.Mol) else item for item in as_list(X)]


def read_molecules(
    items: Iterable[Any], how: str = "none"
) -> tuple[list[Chem.Mol | None], dict[int, InvalidSmilesError]]:
    """Molecules of SMILES, None where there is an error, brought into the standard form ``how``."""
    options = GraphOptions(standardize=how)
    mols: list[Chem.Mol | None] = []
    errors: dict[int, InvalidSmilesError] = {}
    for row, item in enumerate(items):
        try:
            mols.append(read_molecule(item, options, row))
        except InvalidSmilesError as error:
            errors[row] = error
            mols.append(None)
    return mols, errors


def read_molecule(item: Any, options: GraphOptions = GraphOptions(), row: int | None = None) -> Chem.Mol:
    """Molecule of a SMILES, or a molecule itself, within the limits of ``options`` and in its standard form.

    Raises
    ------
    InvalidSmilesError
        Also for a molecule without atoms.
    """
    mol = item
    if not isinstance(item, Chem.Mol) or item.GetNumAtoms() == 0:
        text = check_text("" if isinstance(item, Chem.Mol) else item, row, options.max_atoms, options.max_characters)
        with quiet_rdkit():
            mol = read_text(text, row, options.max_atoms)
    try:
        return standardize(mol, options.standardize)
    except InvalidSmilesError as error:
        raise InvalidSmilesError(error.smiles, error.code, error.reason, row) from None


def raise_for_errors(errors: Mapping[int, InvalidSmilesError]) -> None:
    """Raise where there are errors, and name every row: rows must not be lost where ``y`` goes with them.

    >>> raise_for_errors({1: InvalidSmilesError("", "empty", "it is empty", 1), 4: InvalidSmilesError("C1", "syntax",
    ...     "ring 1 is not closed", 4)})
    Traceback (most recent call last):
    molmp.errors.DataError: 2 molecules cannot be read, rows 1, 4:
      row 1: cannot read SMILES '': it is empty
      row 4: cannot read SMILES 'C1': ring 1 is not closed
    """
    if not errors:
        return
    if len(errors) == 1:
        raise next(iter(errors.values()))
    reasons = [f"  {error}" for error in list(errors.values())[:MOST_REASONS]]
    if len(errors) > MOST_REASONS:
        reasons.append(f"  and {len(errors) - MOST_REASONS} more")
    rows = ", ".join(map(str, errors))
    raise DataError("\n".join([f"{len(errors)} molecules cannot be read, rows {rows}:", *reasons]))


def _only_column(X: Any, shape: tuple[int, ...]) -> Any:
    if len(shape) != 2 or shape[1] != 1:
        columns = f": {', '.join(map(str, X.columns))}" if hasattr(X, "columns") else ""
        raise DataError(f"X must be one column of molecules, but its shape is {shape}{columns}")
    return X[X.columns[0]] if hasattr(X, "columns") else X.ravel()
