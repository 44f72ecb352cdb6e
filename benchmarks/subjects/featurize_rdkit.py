"""The floor: RDKit reads SMILES and nothing is done with the molecules."""

from collections.abc import Callable
from typing import Any

from rdkit import Chem, RDLogger

from benchmarks.subjects.census import census

__all__ = ["setup"]

RDLogger.DisableLog("rdApp.*")


def setup() -> dict[str, Callable[[list[str]], Any]]:
    """Tasks: ``parse`` and ``census``."""
    return {"parse": parse, "census": count}


def parse(smiles: list[str]) -> None:
    """Read and drop."""
    for text in smiles:
        Chem.MolFromSmiles(text)


def count(smiles: list[str]) -> list[list[int]]:
    """The census by plain calls: what the featurizers must agree with."""
    mols = [Chem.MolFromSmiles(text) for text in smiles]
    return [census([a.GetAtomicNum() for a in m.GetAtoms()], _begins(m)) for m in mols]


def _begins(mol: Chem.Mol) -> list[int]:
    return [i for bond in mol.GetBonds() for i in (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())]
