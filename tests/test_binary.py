"""The lockstep reader gives what plain calls give, on everything awkward; what it does not know goes the plain way."""

import csv
from pathlib import Path

import pytest
from awkward import MOLECULES, awkward_spellings
from rdkit import Chem

from molmp.chem import binary, reader, records
from molmp.chem.binary import binary_graphs, binary_is_known, lacks_labels, to_binary
from molmp.chem.graphs import ARRAYS, MolGraphs
from molmp.chem.options import GraphOptions
from molmp.chem.plain import plain_graphs
from molmp.chem.reader import read_chunk
from molmp.chem.smiles import quiet_rdkit
from molmp.chem.stereo import name_stereocentres

DATA = Path(__file__).parents[1] / "data" / "sulfonamides.csv"


def rdkit_mols(texts: list[str], explicit_hydrogens: bool = False) -> dict[int, Chem.Mol]:
    """What plain RDKit makes of them, with none of our short cuts."""
    mols = {}
    with quiet_rdkit():
        for row, text in enumerate(texts):
            mol = Chem.MolFromSmiles(text)
            if mol is None:
                continue
            name_stereocentres(mol)
            if explicit_hydrogens:
                mol = Chem.AddHs(mol)
                Chem.SetHybridization(mol)
            mols[row] = mol
    return mols


def same_bytes(one: MolGraphs, other: MolGraphs) -> bool:
    return all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in ARRAYS)


def read_quickly(mols: list[Chem.Mol]) -> MolGraphs:
    text = "@@"  # as if there were one mark
    buffers = [to_binary(mol, text) for mol in mols]
    unnamed = {row: mol for row, mol in enumerate(mols) if lacks_labels(buffers[row], text)}
    return binary_graphs(buffers, unnamed, mols.__getitem__)


def test_this_rdkit_is_known():
    """A new RDKit with an unknown format is no error, but somebody should look at it."""
    assert binary_is_known()


@pytest.mark.parametrize("explicit_hydrogens", [False, True])
def test_both_ways_agree_on_awkward_chemistry(explicit_hydrogens):
    texts = awkward_spellings()
    assert len(texts) > 500
    mols = rdkit_mols(texts, explicit_hydrogens)
    graphs, rows, errors = read_chunk(texts, GraphOptions(explicit_hydrogens=explicit_hydrogens))
    assert rows.tolist() == list(mols)
    assert set(errors) == set(range(len(texts))) - set(mols)
    assert same_bytes(graphs, plain_graphs(list(mols.values())))


def test_both_ways_agree_one_by_one():
    """So that no molecule is right only because of its company."""
    for row, mol in rdkit_mols(list(MOLECULES)).items():
        assert same_bytes(read_chunk([MOLECULES[row]])[0], plain_graphs([mol])), MOLECULES[row]


def test_both_ways_agree_on_real_molecules():
    with DATA.open() as file:
        texts = [row["smiles"] for row in csv.DictReader(file)][::3]
    mols = rdkit_mols(texts)
    assert same_bytes(read_chunk(texts)[0], plain_graphs(list(mols.values())))


def test_a_ring_bond_of_two_ring_sizes_keeps_the_smaller():
    (mol,) = rdkit_mols(["C1=C[C@@H]2[C@H]3Cc4ccc(O)c5O[C@@H]([C@@H]1O)[C@]2(CCN3C)c45"]).values()
    assert same_bytes(read_quickly([mol]), plain_graphs([mol]))


@pytest.mark.parametrize("smiles", ["*C", "[CH3:1]C", "C~C", "[*:2]" + "C" * 300])
def test_what_is_not_understood_goes_the_plain_way_in_its_place(smiles, monkeypatch):
    asked = []

    def spy(mols, rings):
        asked.append(len(mols))
        return plain_graphs(mols, rings=rings)

    mols = list(rdkit_mols(["CCO", smiles, "c1ccccc1", smiles]).values())
    expected = plain_graphs(mols)
    monkeypatch.setattr(binary, "plain_graphs", spy)
    assert same_bytes(read_quickly(mols), expected)
    assert asked == [2]


def test_long_chains_and_large_rings_are_read_quickly(monkeypatch):
    def ring(size: int) -> str:
        return "C1" + "C" * (size - 2) + "C1"

    wide = ["C" * 255, "C" * 256, "C" * 1500, ring(254), ring(255), ring(256), ring(700), "F/C=C/" + "C" * 300]
    texts = ["CCO", *wide, "c1ccccc1", "N[C@@H](C)C(=O)" * 90 + "O", "C1CC1" * 90 + "[13CH3]", *wide] * 3
    mols = rdkit_mols(texts)
    expected = plain_graphs(list(mols.values()))
    binary_is_known()
    monkeypatch.setattr(
        binary, "plain_graphs", lambda mols, rings: plain_graphs(mols) if not mols else pytest.fail("plain")
    )
    assert same_bytes(read_chunk(texts)[0], expected)


def test_stereocentres_are_read_quickly(monkeypatch):
    texts = [
        "C[C@H](F)Cl.C[C@H]1CC[C@@H](C)CC1",
        "C[C@](C)(C)F",
        "C[C@@H](O)[C@](C)(C)N",
        "CC",
        "O[C@H]1C[C@@H](F)C1",
    ] * 9
    mols = rdkit_mols(texts)
    expected = plain_graphs(list(mols.values()))
    binary_is_known()
    monkeypatch.setattr(
        binary, "plain_graphs", lambda mols, rings: plain_graphs(mols) if not mols else pytest.fail("plain")
    )
    assert same_bytes(read_chunk(texts)[0], expected)


def test_atoms_and_bonds_with_queries_go_the_plain_way():
    mol = Chem.MolFromSmarts("[C,N]~C-[!#6]")
    mol.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(mol)
    assert same_bytes(read_quickly([mol]), plain_graphs([mol]))


def test_no_molecules():
    assert same_bytes(binary_graphs([], {}, {}.__getitem__), MolGraphs.empty())


@pytest.mark.parametrize("fault", ["version", "codes"])
def test_an_rdkit_that_writes_something_else_is_read_plainly(fault, monkeypatch):
    if fault == "version":
        monkeypatch.setattr(binary, "KNOWN_VERSIONS", {(99, 1)})
    else:  # the charge read where the radical stands
        monkeypatch.setattr(records, "CHARGE", records.RADICAL)
    binary_is_known.cache_clear()
    try:
        assert not binary_is_known()
        texts = ["CC[N+](C)(C)C", "C[C@H](F)Cl", "C1CC"]
        monkeypatch.setattr(reader, "binary_graphs", None)
        graphs, rows, errors = read_chunk(texts)
        assert same_bytes(graphs, plain_graphs(list(rdkit_mols(texts).values())))
        assert (rows.tolist(), list(errors)) == ([0, 1], [2])
    finally:
        binary_is_known.cache_clear()


@pytest.mark.parametrize("field", ["CHARGE", "HYBRIDIZATION", "EXPLICIT_HYDROGENS", "IMPLICIT_HYDROGENS", "RADICAL"])
def test_the_self_test_notices_each_field_read_from_the_wrong_place(field, monkeypatch):
    monkeypatch.setattr(records, field, {"CHARGE": 3}.get(field, 1))
    binary_is_known.cache_clear()
    try:
        assert not binary_is_known()
    finally:
        monkeypatch.undo()
        binary_is_known.cache_clear()
        assert binary_is_known()
