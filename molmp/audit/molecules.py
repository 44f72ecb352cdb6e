"""What each molecule of a table is: identities at four levels, fingerprint, fragments; or why it cannot be read."""

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors, rdMolHash

from molmp.chem.molecules import read_molecules
from molmp.chem.similarity import SIZE, morgan_bits
from molmp.chem.smiles import quiet_rdkit
from molmp.errors import InvalidSmilesError

__all__ = ["Molecules", "canonical_tautomer", "read_facts"]

CHUNK = 2_000

MOST_TRANSFORMS = 200
"""Steps of RDKit's search for tautomers; a molecule that needs more is taken as it is after them."""


class Molecules(NamedTuple):
    """``B`` molecules that could be read; rows of equal ``exact`` are one molecule, what follows is coarser."""

    rows: np.ndarray
    """Input row of each, ascending, shape ``(B,)``."""
    exact: list[str]
    """Canonical SMILES with stereo."""
    parent: list[str]
    """That of the largest organic fragment, without charges that protons can balance."""
    flat: list[str]
    """That without stereo."""
    skeleton: list[str]
    """Equal for all tautomers of ``flat``, and for some other molecules: elements, connections and formula."""
    kind: list[str]
    """``one`` fragment, ``salt`` (at most one fragment is no well-known counter ion or solvent) or ``mixture``."""
    bits: np.ndarray
    """Morgan bits, packed, see :func:`molmp.chem.similarity.morgan_bits`."""
    atoms: np.ndarray
    """Heavy atoms, shape ``(B,)``."""
    errors: dict[int, InvalidSmilesError]
    """Why each other row cannot be read."""


def read_facts(smiles: Sequence[str], standardize: str = "none", n_jobs: int | None = None) -> Molecules:
    """Read molecules, brought into a standard form first where that is wanted.

    >>> facts = read_facts(["C[C@H](N)C(=O)O", "CC([NH3+])C(=O)[O-].[Na+]", "C1"])
    >>> facts.flat, facts.kind, facts.errors[2].reason
    (['CC(N)C(=O)O', 'CC(N)C(=O)O'], ['one', 'salt'], 'ring 1 is not closed')
    """
    from joblib import Parallel, delayed

    chunks = [smiles[start : start + CHUNK] for start in range(0, len(smiles), CHUNK)]
    jobs = Parallel(n_jobs=n_jobs if len(chunks) > 1 else 1)
    return _joined(jobs(delayed(_read)(chunk, standardize) for chunk in chunks))


def _read(smiles: Sequence[str], standardize: str) -> Molecules:
    from rdkit.Chem.MolStandardize import rdMolStandardize

    mols, errors = read_molecules(smiles, standardize)
    rows = [row for row, mol in enumerate(mols) if mol is not None]
    known = [mol for mol in mols if mol is not None]
    largest = rdMolStandardize.LargestFragmentChooser(preferOrganic=True)
    uncharger, remover = rdMolStandardize.Uncharger(), rdMolStandardize.FragmentRemover()
    exact, parent, flat, skeleton, kind = [], [], [], [], []
    with quiet_rdkit():
        for mol in known:
            exact.append(Chem.MolToSmiles(mol))
            several = "." in exact[-1]
            kind.append("one" if not several else _kind(remover.remove(mol)))
            main = mol
            if several or Chem.GetFormalCharge(mol):
                main = uncharger.uncharge(largest.choose(mol))
            parent.append(exact[-1] if main is mol else Chem.MolToSmiles(main))
            flat.append(_flat(main, parent[-1]))
            graph = rdMolHash.MolHash(main, rdMolHash.HashFunction.ElementGraph)
            skeleton.append(f"{graph} {rdMolDescriptors.CalcMolFormula(main)}")
        bits = morgan_bits(known)
    atoms = np.array([mol.GetNumHeavyAtoms() for mol in known], np.int64)
    return Molecules(np.array(rows, np.int64), exact, parent, flat, skeleton, kind, bits, atoms, errors)


def _kind(rest: Chem.Mol) -> str:
    return "mixture" if len(set(Chem.MolToSmiles(rest).split("."))) > 1 else "salt"


def _flat(mol: Chem.Mol, smiles: str) -> str:
    if not any(mark in smiles for mark in "@/\\"):
        return smiles
    mol = Chem.Mol(mol)
    Chem.RemoveStereochemistry(mol)
    return str(Chem.MolToSmiles(mol))


def _joined(parts: Sequence[Molecules]) -> Molecules:
    rows: list[np.ndarray] = [np.zeros(0, np.int64)]
    errors: dict[int, InvalidSmilesError] = {}
    start = 0
    for part in parts:
        rows.append(part.rows + start)
        for row, error in part.errors.items():
            errors[start + row] = InvalidSmilesError(error.smiles, error.code, error.reason, start + row)
        start += len(part.rows) + len(part.errors)

    def texts(column: int) -> list[str]:
        return [text for part in parts for text in cast(list[str], part[column])]

    bits = np.concatenate([np.zeros((0, SIZE // 8), np.uint8), *(part.bits for part in parts)])
    atoms = np.concatenate([np.zeros(0, np.int64), *(part.atoms for part in parts)])
    return Molecules(np.concatenate(rows), texts(1), texts(2), texts(3), texts(4), texts(5), bits, atoms, errors)


def canonical_tautomer(smiles: str) -> str:
    """Return the tautomer that RDKit ranks first, of a molecule without stereo.

    >>> canonical_tautomer("CC(O)=NC") == canonical_tautomer("CNC(C)=O")
    True
    """
    from rdkit.Chem.MolStandardize import rdMolStandardize

    enumerator = rdMolStandardize.TautomerEnumerator()
    enumerator.SetMaxTransforms(MOST_TRANSFORMS)
    with quiet_rdkit():
        return str(Chem.MolToSmiles(enumerator.Canonicalize(Chem.MolFromSmiles(smiles))))
