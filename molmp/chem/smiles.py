"""SMILES to molecule, or a reason why not."""

from rdkit import Chem, RDLogger

from molmp.errors import InvalidSmilesError

__all__ = ["parse_smiles"]

RDLogger.DisableLog("rdApp.*")


def parse_smiles(smiles: str, row: int | None = None) -> Chem.Mol:
    """Read one SMILES."""
    mol = Chem.MolFromSmiles(smiles)
    if mol is None or not mol.GetNumAtoms():
        raise InvalidSmilesError(smiles, "syntax", "not SMILES", row)
    return mol
