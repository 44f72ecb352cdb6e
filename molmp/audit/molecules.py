"""What each molecule of a table is: identities at four levels, fingerprint, fragments; or why it cannot be read."""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple, cast

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors, rdMolHash

from molmp.chem.clock import timed
from molmp.chem.guard import run_chunks
from molmp.chem.molecules import read_molecule
from molmp.chem.options import GraphOptions
from molmp.chem.pool import Lost, count_jobs
from molmp.chem.similarity import SIZE, morgan_bits
from molmp.chem.smiles import quiet_rdkit
from molmp.errors import InvalidSmilesError

__all__ = ["Molecules", "canonical_tautomer", "canonical_tautomers", "read_facts"]

CHUNK = 2_000

TAUTOMER_CHUNK, TAUTOMER_SECONDS = 50, 20.0
"""Molecules whose tautomers a worker looks for at a time, and processor time for each."""

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


def read_facts(smiles: Sequence[str], options: GraphOptions = GraphOptions(), n_jobs: int | None = None) -> Molecules:
    """Read molecules in processes of their own; ``options`` tell their standard form and their limits.

    >>> facts = read_facts(["C[C@H](N)C(=O)O", "CC([NH3+])C(=O)[O-].[Na+]", "C1"])
    >>> facts.flat, facts.kind, facts.errors[2].reason
    (['CC(N)C(=O)O', 'CC(N)C(=O)O'], ['one', 'salt'], 'ring 1 is not closed')
    """
    chunks = [smiles[start : start + CHUNK] for start in range(0, len(smiles), CHUNK)]
    parts = run_chunks(_read, chunks, options, options.time_limit, jobs=count_jobs(n_jobs), trusted=lambda chunk: False)
    return _joined([_lost(part) if isinstance(part, Lost) else part for pieces in parts for part in pieces])


def _lost(lost: Lost) -> Molecules:
    return _gathered([], {0: lost.error(0)})


class _Fact(NamedTuple):
    """One molecule; its fields are those of :class:`Molecules`."""

    row: int
    exact: str
    parent: str
    flat: str
    skeleton: str
    kind: str
    bits: np.ndarray
    atoms: int


def _read(smiles: Sequence[str], options: GraphOptions) -> Molecules:
    facts: list[_Fact] = []
    errors: dict[int, InvalidSmilesError] = {}
    with quiet_rdkit():
        for row, text in timed(smiles):
            try:
                facts.append(_fact(row, read_molecule(text, options, row)))
            except InvalidSmilesError as error:
                errors[row] = error
            except RuntimeError as error:  # an invariant of RDKit's, as by a metal of many bonds
                why = f"RDKit has no features for it: {' '.join(str(error).split())[:200]}"
                errors[row] = InvalidSmilesError(text, "valence", why, row)
    return _gathered(facts, errors)


@cache
def _tools() -> tuple[Any, Any, Any]:
    from rdkit.Chem.MolStandardize import rdMolStandardize

    chooser = rdMolStandardize.LargestFragmentChooser(preferOrganic=True)
    return rdMolStandardize.FragmentRemover(), chooser, rdMolStandardize.Uncharger()


def _fact(row: int, mol: Chem.Mol) -> _Fact:
    remover, chooser, uncharger = _tools()
    exact = str(Chem.MolToSmiles(mol))
    several, main = "." in exact, mol
    kind = "one" if not several else _kind(remover.remove(mol))
    if several or Chem.GetFormalCharge(mol):
        main = uncharger.uncharge(chooser.choose(mol))
    parent = exact if main is mol else str(Chem.MolToSmiles(main))
    graph = rdMolHash.MolHash(main, rdMolHash.HashFunction.ElementGraph)
    skeleton = f"{graph} {rdMolDescriptors.CalcMolFormula(main)}"
    return _Fact(row, exact, parent, _flat(main, parent), skeleton, kind, morgan_bits([mol])[0], mol.GetNumHeavyAtoms())


def _gathered(facts: Sequence[_Fact], errors: dict[int, InvalidSmilesError]) -> Molecules:
    rows, exact, parent, flat, skeleton, kind, bits, atoms = zip(*facts, strict=True) if facts else ((),) * 8
    packed = np.array(bits, np.uint8).reshape(-1, SIZE // 8)
    return Molecules(
        np.array(rows, np.int64), [*exact], [*parent], [*flat], [*skeleton], [*kind], packed, np.array(atoms, np.int64),
        errors,
    )  # fmt: skip


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


def canonical_tautomers(smiles: Sequence[str], n_jobs: int | None = None) -> list[str]:
    """As :func:`canonical_tautomer` of each, worked out by workers; one that takes RDKit too long stays as it is.

    >>> canonical_tautomers(["CC(O)=NC", "CCO"])
    ['CNC(C)=O', 'CCO']
    """
    chunks = (smiles[start : start + TAUTOMER_CHUNK] for start in range(0, len(smiles), TAUTOMER_CHUNK))
    jobs = count_jobs(n_jobs)
    parts = run_chunks(_tautomers, chunks, None, TAUTOMER_SECONDS, jobs=jobs, trusted=lambda chunk: False)
    return [one for pieces in parts for piece in pieces for one in ([piece.row] if isinstance(piece, Lost) else piece)]


def _tautomers(smiles: Sequence[str], options: None) -> list[str]:
    return [canonical_tautomer(text) for _, text in timed(smiles)]
