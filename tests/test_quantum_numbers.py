"""Molecular quantum numbers, counted in packed graphs, are those that RDKit counts in each molecule."""

import numpy as np
import pytest
from awkward import awkward_spellings
from generated import generated
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from molmp.chem.binary import binary_graphs
from molmp.chem.featurize import GraphOptions, featurize
from molmp.chem.graphs import MolGraphs
from molmp.chem.plain import plain_graphs
from molmp.chem.quantum_numbers import MOST_ROTATABLE, QUANTUM_NUMBERS, quantum_numbers
from molmp.chem.rings import NUM_RING_COUNTS, count_rings
from molmp.chem.smiles import quiet_rdkit

HARD = [
    "O=C(O)c1ccccc1O", "CC(=O)NCCN", "CC(=N)NC", "CC(=[NH2+])NC", "CC(=[NH2+])SC", "CC(=S)SC", "CC(=S)S",
    "CSC(C)=O", "SC(=O)C(=O)S", "OC(=O)C(=O)O", "OC(=O)C(=N)N", "O=CC=O", "CC(=O)C(=O)NC", "FC(F)(F)CC(Cl)(Cl)Cl",
    "BrC(Br)(Br)CC(F)(F)Cl", "CC(C)(C)CC(C)(C)C", "CC#CCC", "N#CCCC", "CCC", "C[CH2+]", "c1ccccc1-c1ccccc1",
    "c1ccc(-c2ccoc2)cc1", "C1CC1C1CC1", "CCO[Na]", "CC[N+](C)(C)CC", "O=C1CCCN1CC", "CC->[Fe]", "CCCP(=O)(OCC)OCC",
    "CC[Si](CC)(CC)CC", "C=CC=CC", "O=S(=O)(NCC)c1ccccc1", "CC(=O)OC(=O)CC", "CN(C)C(N)=[N+](C)C",
    "[2H]C([2H])([2H])CC", "[H][H]", "C1CCC2(CC1)CCCC2", "C12C3C4C1C5C2C3C45", "C1CCCCCCCCCC1", "*CCC*",
    "CC[CH3:1]", "C:C", "C1:C:C1", "CC:C:CC", "C1:C:C:C:C:C1", "c1cc:C:cc1", "C" * 60, "CC(=O)N" * 30 + "C",
    "C" * 300, "CC" + "C(C)" * 150 + "C",
]  # fmt: skip


def by_rdkit(mols: list[Chem.Mol]) -> np.ndarray:
    return np.array([rdMolDescriptors.MQNs_(mol) for mol in mols])


@pytest.mark.parametrize("which", ["drawn", "awkward", "hard"])
@pytest.mark.parametrize("reader", ["lockstep", "plain"])
def test_numbers_are_those_of_rdkit(which: str, reader: str) -> None:
    texts = {"drawn": generated(4000, seed=9), "awkward": awkward_spellings(), "hard": HARD}[which]
    texts = [text for text in texts if len(text) < 300 or which == "hard"]
    if reader == "plain":
        texts = texts[:1000]
    with quiet_rdkit():
        mols = [mol for mol in map(Chem.MolFromSmiles, texts) if mol is not None]
        if reader == "plain":
            graphs = plain_graphs(mols, rings=True)
        else:
            graphs = binary_graphs([mol.ToBinary(0) for mol in mols], {}, mols.__getitem__, rings=True)
        got = quantum_numbers(graphs, graphs.features, mols.__getitem__)
        np.testing.assert_array_equal(got, by_rdkit(mols))


def test_rdkit_is_asked_only_where_codes_leave_something_open() -> None:
    texts = ["CCO", "[2H]CC", "C" * (MOST_ROTATABLE + 3), "C" * (MOST_ROTATABLE + 4), "*C", "c1ccccc1C(N)=O"]
    mols, asked = [Chem.MolFromSmiles(text) for text in texts], []

    def again(row: int) -> Chem.Mol:
        asked.append(row)
        return mols[row]

    graphs = plain_graphs(mols, rings=True)
    np.testing.assert_array_equal(quantum_numbers(graphs, graphs.features, again), by_rdkit(mols))
    assert asked == [1, 3, 4]


def test_features_hold_them_whoever_reads() -> None:
    texts = ["CC(=O)Nc1ccc(O)cc1", "C1CC", "*CC", "C1CC2CCC1C2", "[NH4+]", *("C" * n for n in range(1, 8))]
    want = by_rdkit([Chem.MolFromSmiles(text) for text in texts if text != "C1CC"])
    for hydrogens in (False, True):
        made = featurize(texts, GraphOptions(features="descriptors", explicit_hydrogens=hydrogens))
        np.testing.assert_array_equal(made.graphs.features[:, -len(QUANTUM_NUMBERS) :], want)


def test_no_molecules() -> None:
    none = MolGraphs.empty()
    assert quantum_numbers(none, np.zeros((0, NUM_RING_COUNTS)), pytest.fail).shape == (0, len(QUANTUM_NUMBERS))
    assert count_rings([]).shape == (0, NUM_RING_COUNTS)
