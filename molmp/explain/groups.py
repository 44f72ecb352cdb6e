"""Substructures that are taken out of a molecule as a whole."""

from collections.abc import Sequence

from rdkit import Chem

from molmp.chem.smiles import quiet_rdkit
from molmp.errors import ConfigError

__all__ = ["FRAGMENTS", "find_groups"]

FRAGMENTS = "fragments"
"""Stands for the pieces between the bonds that BRICS would cut."""

Group = tuple[str, tuple[int, ...]]


def find_groups(mols: Sequence[Chem.Mol], patterns: Sequence[str]) -> list[list[Group]]:
    """Names and atoms of the substructures of each molecule.

    ``patterns``: SMARTS, or :data:`FRAGMENTS`: J. Degen, C. Wegscheid-Gerlach, A. Zaliani and M. Rarey, On the art of
    compiling and using "drug-like" chemical fragment spaces, 2008, doi:10.1002/cmdc.200800178.

    Raises :class:`ConfigError` for a pattern that is no SMARTS.

    >>> find_groups([Chem.MolFromSmiles("CCC(=O)O")], ["C(=O)[OH]"])
    [[('C(=O)[OH]', (2, 3, 4))]]
    """
    with quiet_rdkit():
        queries = [(name, None if name == FRAGMENTS else Chem.MolFromSmarts(name)) for name in patterns]
        for name, query in queries:
            if query is None and name != FRAGMENTS:
                raise ConfigError(f"{name!r} is no SMARTS, nor the word {FRAGMENTS!r}")
        return [[group for name, query in queries for group in _of(mol, name, query)] for mol in mols]


def _of(mol: Chem.Mol, name: str, query: Chem.Mol | None) -> list[Group]:
    if query is not None:
        return [(name, tuple(match)) for match in mol.GetSubstructMatches(query)]
    from rdkit.Chem import BRICS

    bonds = [mol.GetBondBetweenAtoms(*pair).GetIdx() for pair, _ in BRICS.FindBRICSBonds(mol)]
    cut = Chem.FragmentOnBonds(mol, bonds, addDummies=False) if bonds else mol
    pieces = Chem.GetMolFrags(cut)
    return [(Chem.MolFragmentToSmiles(mol, piece), tuple(piece)) for piece in pieces]
