"""CIP labels for the stereocentres that RDKit's legacy perception keeps but leaves without a name."""

from rdkit import Chem
from rdkit.Chem import rdCIPLabeler

from molmp.chem.features import TETRAHEDRAL

__all__ = ["name_stereocentres"]

MAX_STEPS = 100_000
"""Where the ranking of one molecule takes more steps (about 0.1 s), its unnamed centres stay so."""


def name_stereocentres(mol: Chem.Mol, tagged: list[Chem.Atom] | None = None) -> None:
    """Give a label to each tetrahedral centre of ``mol`` that has none: cis and trans across a ring, mostly.

    Labels that are there stay: the newer algorithm ranks some sulfoxides the other way round, and a label must not
    depend on whether another centre of the molecule needed a name. ``tagged``: the atoms with a chiral tag, if known.

    >>> cis, trans = map(Chem.MolFromSmiles, ("C[C@H]1CC[C@@H](C)CC1", "C[C@H]1CC[C@H](C)CC1"))
    >>> name_stereocentres(cis), name_stereocentres(trans)
    (None, None)
    >>> cis.GetAtomWithIdx(1).GetProp("_CIPCode"), trans.GetAtomWithIdx(1).GetProp("_CIPCode")
    ('s', 'r')
    """
    if tagged is None:
        tagged = [atom for atom in mol.GetAtoms() if int(atom.GetChiralTag()) in TETRAHEDRAL]
    unnamed = [atom for atom in tagged if not atom.HasProp("_CIPCode")]
    if not unnamed:
        return
    try:
        rdCIPLabeler.AssignCIPLabels(mol, [atom.GetIdx() for atom in unnamed], [], MAX_STEPS)
    except RuntimeError:  # too many steps: what was named on the way depends on the order of the atoms
        for atom in unnamed:
            atom.ClearProp("_CIPCode")
