"""One chunk of SMILES to packed graphs: the work of one process, with neither torch nor scikit-learn."""

from collections.abc import Sequence

import numpy as np
from rdkit import Chem

from molmp.chem.binary import binary_graphs, binary_is_known
from molmp.chem.graphs import MolGraphs
from molmp.chem.plain import plain_graphs
from molmp.chem.smiles import MAX_CHARACTERS, check_text, quiet_rdkit, read_text, read_text_quickly, standardize
from molmp.errors import InvalidSmilesError

__all__ = ["read_chunk", "read_mol"]


def read_chunk(
    texts: Sequence[str], *, explicit_hydrogens: bool = False, standardize: str = "none"
) -> tuple[MolGraphs, np.ndarray, dict[int, InvalidSmilesError]]:
    """Read a chunk, see :class:`molmp.chem.featurize.Featurized`.

    >>> read_chunk(["CCO", ""])
    (MolGraphs(1 molecules, 3 atoms, 2 bonds), array([0]), {1: InvalidSmilesError(...)})
    """
    errors: dict[int, InvalidSmilesError] = {}
    rows: list[int] = []
    kept: dict[int, Chem.Mol] = {}
    buffers: list[bytes] = []
    with quiet_rdkit():
        fast = binary_is_known()
        texts = _checked(texts, errors)
        for row, text in enumerate(texts):
            if row in errors:
                continue
            try:
                mol = read_mol(text, row, explicit_hydrogens, standardize)
            except InvalidSmilesError as error:
                errors[row] = error
                continue
            if fast:
                buffers.append(mol.ToBinary(0))
            if "@" in text or not fast:
                kept[len(rows)] = mol  # a molecule that is dropped at once costs half as much
            rows.append(row)
        if fast:
            graphs = binary_graphs(
                buffers, kept, lambda i: read_mol(texts[rows[i]], None, explicit_hydrogens, standardize)
            )
        else:
            graphs = plain_graphs(list(kept.values()))
    return graphs, np.array(rows, np.int64), dict(sorted(errors.items()))


def read_mol(text: str, row: int | None, explicit_hydrogens: bool, how: str) -> Chem.Mol:
    """Read one molecule and prepare it, from a text that has been checked."""
    mol = read_text_quickly(text, row) if how == "none" else standardize(read_text(text, row), how)
    if explicit_hydrogens:
        mol = Chem.AddHs(mol)
        Chem.SetHybridization(mol)  # of the new atoms, so that they equal hydrogens that were there
    return mol


def _checked(texts: Sequence[str], errors: dict[int, InvalidSmilesError]) -> Sequence[str]:
    """Refuse what is no candidate for a SMILES; the result has an empty text in its place."""
    try:
        joined = "".join(texts)
        clean = joined.isascii() and joined.isprintable() and " " not in joined
        if clean and all(texts) and max(map(len, texts), default=0) <= MAX_CHARACTERS:
            return texts
    except TypeError:  # something else than text is among them
        pass
    checked = []
    for row, text in enumerate(texts):
        try:
            checked.append(check_text(text, row))
        except InvalidSmilesError as error:
            errors[row] = error
            checked.append("")
    return checked
