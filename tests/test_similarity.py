"""Tanimoto search: RDKit is the oracle, ties go to the first, and wrong shapes are refused."""

import numpy as np
import pytest
from awkward import MOLECULES
from rdkit import DataStructs
from rdkit.Chem import rdFingerprintGenerator

from molmp.chem import similarity
from molmp.chem.similarity import TanimotoIndex, morgan_bits
from molmp.chem.smiles import parse_smiles
from molmp.errors import DataError

MOLS = [parse_smiles(smiles) for smiles in MOLECULES]
HALF = len(MOLS) // 2


@pytest.fixture(scope="module")
def oracle() -> np.ndarray:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    bits = [generator.GetFingerprint(mol) for mol in MOLS]
    return np.array([DataStructs.BulkTanimotoSimilarity(bit, bits) for bit in bits])


def first_best(similarity: np.ndarray, k: int) -> np.ndarray:
    return np.array([sorted(range(len(row)), key=lambda i: (-row[i], i))[:k] for row in similarity])


@pytest.fixture(params=["at once", "in parts", "rare bits as lists", "all bits as lists"])
def added(request, monkeypatch):
    if request.param == "in parts":
        monkeypatch.setattr(similarity, "PART", 7)
        monkeypatch.setattr(similarity, "TOGETHER", 5 * HALF)
    elif request.param != "at once":
        monkeypatch.setattr(similarity, "MANY", 2)
        monkeypatch.setattr(similarity, "RARE", 0.3 if request.param.startswith("rare") else 2)


@pytest.mark.parametrize("k", [1, 3, 1000])
def test_agrees_with_rdkit(oracle, added, k):
    found = TanimotoIndex(morgan_bits(MOLS[:HALF])).nearest(morgan_bits(MOLS), k)
    want = first_best(oracle[:, :HALF], k)
    np.testing.assert_array_equal(found.rows, want)
    np.testing.assert_array_equal(found.similarity, np.take_along_axis(oracle[:, :HALF], want, axis=1))


@pytest.mark.parametrize("least", [0.3, 0.7, 1.0])
def test_pairs_are_those_of_rdkit(oracle, added, least):
    first, second = np.nonzero(np.triu(oracle, 1) >= least)
    found = TanimotoIndex(morgan_bits(MOLS)).pairs(least)
    np.testing.assert_array_equal(found.first, first)
    np.testing.assert_array_equal(found.second, second)
    np.testing.assert_array_equal(found.similarity, oracle[first, second])
    assert len(first) > 0


def test_many_bits_in_common_do_not_overflow():
    bits = np.full((3, 256), 255, np.uint8)
    bits[1, :128] = 0
    bits[2] = 0
    found = TanimotoIndex(bits).nearest(bits, 3)
    np.testing.assert_array_equal(found.similarity, [[1, 0.5, 0], [1, 0.5, 0], [0, 0, 0]])
    np.testing.assert_array_equal(found.rows, [[0, 1, 2], [1, 0, 2], [0, 1, 2]])


def test_an_index_of_many_molecules_is_small(monkeypatch):
    bits = morgan_bits(MOLS)
    whole = TanimotoIndex(bits)
    assert whole.columns.shape == (2048, len(bits))
    assert not len(whole.members)
    monkeypatch.setattr(similarity, "MANY", len(bits))
    small = TanimotoIndex(bits)
    assert len(small.columns) == (whole.columns.mean(axis=1) >= 1 / 32).sum() < 300
    assert len(small.members) + small.columns.sum() == whole.columns.sum()


def test_ties_go_to_the_first():
    bits = np.array([[0b0011], [0b0110], [0b1100], [0b1111]], np.uint8)
    np.testing.assert_array_equal(TanimotoIndex(bits).nearest(np.array([[0b0110]], np.uint8)).rows, [[1]])
    np.testing.assert_array_equal(TanimotoIndex(bits[[2, 0, 3]]).nearest(np.array([[0b0110]], np.uint8)).rows, [[2]])
    np.testing.assert_array_equal(TanimotoIndex(bits[[2, 0]]).nearest(np.array([[0b0110]], np.uint8)).rows, [[0]])


def test_wrong_shapes():
    with pytest.raises(DataError, match=r"needs molecules, but its bits have shape \(0, 256\)"):
        TanimotoIndex(np.zeros((0, 256), np.uint8))
    index = TanimotoIndex(morgan_bits(MOLS[:2]))
    with pytest.raises(DataError, match=r"queries have shape \(1, 128\); the index has 256 bytes a molecule"):
        index.nearest(np.zeros((1, 128), np.uint8))
    assert index.nearest(np.zeros((0, 256), np.uint8)).rows.shape == (0, 1)
