"""One row of numbers for each molecule of a chunk: the work of one process, without scikit-learn.

A recipe says how; it can be sent to another process, which RDKit's generators cannot.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator, rdMolDescriptors

from molmp.chem.clock import timed
from molmp.chem.guard import longest_text, run_chunks
from molmp.chem.molecules import read_molecule
from molmp.chem.options import GraphOptions
from molmp.chem.pool import Lost
from molmp.chem.smiles import quiet_rdkit
from molmp.errors import InvalidSmilesError

__all__ = [
    "Recipe", "Vectors", "fingerprint_reader", "iter_vectors", "join_vectors", "maccs_reader", "read_vectors",
]  # fmt: skip

ALL = int(Chem.PropertyPickleOptions.AllProps)

Reader = Callable[[Chem.Mol], np.ndarray]

Vectors = tuple[Any, dict[int, InvalidSmilesError]]
"""Rows of float32, NaN (where sparse: empty) for what cannot be read, and the reasons by row."""


class Recipe(NamedTuple):
    """How molecules become rows."""

    make: Callable[[], Reader]
    """Makes the function from a molecule to its row; a function that can be imported, or a partial of one."""
    width: int
    sparse: bool = False
    """Rows are a CSR matrix."""
    options: GraphOptions = GraphOptions()
    """What is done to molecules first, and what they may cost."""
    trusted: int = 0
    """Characters of a SMILES that may be read in the user's own process: with so few, this can neither hang nor
    crash."""


class _Packed(NamedTuple):
    """A molecule on its way to another process, with all that is known of it."""

    binary: Any
    """Bytes; RDKit's stubs say text."""

    def unpacked(self) -> Chem.Mol:
        return Chem.Mol(self.binary)


def iter_vectors(batches: Iterable[Sequence[Any]], recipe: Recipe, jobs: int) -> Iterator[Vectors]:
    """Rows for batch after batch of SMILES or molecules, in order, counted within each batch.

    One job is this process wherever that is safe: molecules of the user's would have to be packed for another.
    """
    trusted = partial(_trusted, recipe)
    others = jobs if jobs > 1 else 0
    chunks = (batch if not others and trusted(batch) else list(map(_packed, batch)) for batch in batches)
    for pieces in run_chunks(read_vectors, chunks, recipe, recipe.options.time_limit, jobs=others, trusted=trusted):
        yield join_vectors([_lost(piece, recipe) if isinstance(piece, Lost) else piece for piece in pieces])


def join_vectors(parts: Sequence[Vectors]) -> Vectors:
    """Rows of chunks that follow each other, as one; there is at least one."""
    if len(parts) == 1:
        return parts[0]
    errors: dict[int, InvalidSmilesError] = {}
    start = 0
    for rows, refused in parts:
        for row, error in refused.items():
            errors[start + row] = InvalidSmilesError(error.smiles, error.code, error.reason, start + row)
        start += rows.shape[0]
    return _stacked([rows for rows, _ in parts]), errors


def read_vectors(items: Sequence[Any], recipe: Recipe) -> Vectors:
    """Rows for a chunk.

    >>> recipe = Recipe(partial(fingerprint_reader, "GetMorganGenerator", True, radius=1, fpSize=4), 4)
    >>> rows, errors = read_vectors(["CCO", "C1"], recipe)
    >>> rows.sum(axis=1), errors[1].code
    (array([ 6., nan], dtype=float32), 'syntax')
    """
    rows = np.full((len(items), recipe.width), 0 if recipe.sparse else np.nan, np.float32)
    errors: dict[int, InvalidSmilesError] = {}
    read = recipe.make()
    with quiet_rdkit():
        for row, item in timed(items):
            try:
                mol = item.unpacked() if isinstance(item, _Packed) else item
                rows[row] = read(read_molecule(mol, recipe.options, row))
            except InvalidSmilesError as error:
                errors[row] = error
            except RuntimeError as error:  # an invariant of RDKit's, as by a metal of many bonds
                why = f"RDKit has no features for it: {' '.join(str(error).split())[:200]}"
                errors[row] = InvalidSmilesError(_text(item), "valence", why, row)
    return _sparse(rows) if recipe.sparse else rows, errors


def fingerprint_reader(generator: str, counts: bool, **settings: Any) -> Reader:
    """What one of RDKit's generators finds, as counts or bits; ``settings`` are its own."""
    made = getattr(rdFingerprintGenerator, generator)(**settings)
    return made.GetCountFingerprintAsNumPy if counts else made.GetFingerprintAsNumPy


def maccs_reader() -> Reader:
    """The 166 MACCS keys; there is no key 0."""
    return lambda mol: np.array(rdMolDescriptors.GetMACCSKeysFingerprint(mol), np.float32)[1:]


def _trusted(recipe: Recipe, chunk: Sequence[Any]) -> bool:
    if recipe.options.standardize == "tautomer" or any(isinstance(item, _Packed) for item in chunk):
        return False
    atoms = max((item.GetNumAtoms() for item in chunk if isinstance(item, Chem.Mol)), default=0)
    return max(longest_text(chunk), atoms) <= recipe.trusted


def _packed(item: Any) -> Any:
    return _Packed(item.ToBinary(ALL)) if isinstance(item, Chem.Mol) else item


def _lost(lost: Lost, recipe: Recipe) -> Vectors:
    row = np.full((1, recipe.width), 0 if recipe.sparse else np.nan, np.float32)
    return _sparse(row) if recipe.sparse else row, {0: InvalidSmilesError(_text(lost.row), lost.code, lost.reason, 0)}


def _text(item: Any) -> str:
    """What stands for an item in a message."""
    return item if isinstance(item, str) else "" if isinstance(item, Chem.Mol | _Packed) else str(item)


def _sparse(rows: np.ndarray) -> Any:
    import scipy.sparse

    return scipy.sparse.csr_matrix(rows)


def _stacked(blocks: Sequence[Any]) -> Any:
    if isinstance(blocks[0], np.ndarray):
        return np.concatenate(blocks)
    import scipy.sparse

    return scipy.sparse.vstack(blocks, format="csr")
