"""Molecules to rows of codes by one RDKit call per atom and field: the reference, for whatever comes."""

from collections.abc import Sequence

import numpy as np
from rdkit import Chem

from molmp.chem.features import ATOM_FIELDS, BOND_FIELDS, atom_row, bond_row
from molmp.chem.graphs import MolGraphs
from molmp.chem.rings import count_rings
from molmp.chem.stereo import name_stereocentres

__all__ = ["plain_graphs"]


def plain_graphs(mols: Sequence[Chem.Mol], *, rings: bool = False) -> MolGraphs:
    """Pack molecules, read by plain calls; with ``rings`` what :func:`molmp.chem.rings.count_rings` says beside them.

    >>> plain_graphs([Chem.MolFromSmiles("CCO")])
    MolGraphs(1 molecules, 3 atoms, 2 bonds)
    """
    atoms, bonds, ends = [], [], []
    for mol in mols:
        name_stereocentres(mol)
        atoms += [atom_row(atom) for atom in mol.GetAtoms()]
        bonds += [bond_row(bond) for bond in mol.GetBonds()]
        ends += [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()]
    begin_end = np.array(ends, np.uint32).reshape(-1, 2)
    return MolGraphs.pack(
        np.array(atoms, np.uint8).reshape(-1, len(ATOM_FIELDS)),
        np.array(bonds, np.uint8).reshape(-1, len(BOND_FIELDS)),
        begin_end[:, 0],
        begin_end[:, 1],
        np.array([mol.GetNumAtoms() for mol in mols], np.uint32),
        np.array([mol.GetNumBonds() for mol in mols], np.uint32),
        count_rings(mols) if rings else None,
    )
