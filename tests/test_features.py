"""Tables of features: golden rows, keys that sort as rows do, codes for what is not listed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem

from molmp.chem.features import (
    ATOM_FIELDS,
    BOND_FIELDS,
    atom_row,
    bond_row,
    column_names,
    key_rows,
    lookup_table,
    row_keys,
)
from molmp.chem.stereo import name_stereocentres


def labelled(smiles: str) -> list[dict[str, str]]:
    """Names of the values of each atom."""
    mol = Chem.MolFromSmiles(smiles)
    name_stereocentres(mol)
    return [
        {field.name: [*field.labels, "other"][code] for field, code in zip(ATOM_FIELDS, atom_row(atom), strict=True)}
        for atom in mol.GetAtoms()
    ]


def column(smiles: str, name: str) -> list[str]:
    return [atom[name] for atom in labelled(smiles)]


def test_golden_rows_of_ethanol():
    mol = Chem.MolFromSmiles("CCO")
    assert [atom_row(atom) for atom in mol.GetAtoms()] == [
        [5, 4, 4, 3, 4, 0, 0, 0, 0, 0, 0, 0],
        [5, 4, 4, 2, 4, 0, 0, 0, 0, 0, 0, 0],
        [7, 2, 4, 1, 4, 0, 0, 0, 0, 0, 0, 0],
    ]
    assert [bond_row(bond) for bond in mol.GetBonds()] == [[0, 0, 0, 0], [0, 0, 0, 0]]


def test_golden_tables():
    assert [(field.name, field.width) for field in (*ATOM_FIELDS, *BOND_FIELDS)] == [
        ("element", 119), ("degree", 10), ("charge", 10), ("hydrogens", 6), ("hybridization", 9), ("aromatic", 3),
        ("ring_size", 8), ("ring_size_fused", 8), ("ring_bonds", 5), ("radical", 4), ("isotope", 17), ("chirality", 6),
        ("order", 8), ("conjugated", 3), ("ring", 3), ("stereo", 5),
    ]  # fmt: skip
    assert len(column_names(ATOM_FIELDS)) == 205
    assert len(set(column_names(BOND_FIELDS))) == 19


def test_ring_fields_tell_fused_rings_apart():
    assert column("C1CC2CCCC12", "ring_size") == ["4", "4", "4", "5", "5", "5", "4"]
    assert column("C1CC2CCCC12", "ring_size_fused") == ["4", "4", "5", "5", "5", "5", "5"]
    assert column("C1CC2CCCC12", "ring_bonds") == ["2", "2", "3", "2", "2", "2", "3"]
    assert column("C" * 3, "ring_size") == ["none"] * 3
    assert column("C1CCCCCCCCC1", "ring_size") == ["other"] * 10


@pytest.mark.parametrize(
    ("smiles", "name", "expected"),
    [
        ("*C", "element", ["other", "C"]),
        ("[999C]", "isotope", ["other"]),
        ("[256C]", "isotope", ["other"]),
        ("[2H]O", "isotope", ["2", "0"]),
        ("[CH2]", "radical", ["2"]),
        ("[Fe+6]", "charge", ["other"]),
        ("[Fe+4]", "charge", ["+4"]),
        ("F[P-](F)(F)(F)(F)F", "hybridization", ["SP3", "SP3D2", "SP3", "SP3", "SP3", "SP3", "SP3"]),
        ("C[C@H](F)Cl", "chirality", ["none", "R", "none", "none"]),
        ("C[C@@H](F)Cl", "chirality", ["none", "S", "none", "none"]),
        ("C[C@H]1CC[C@@H](C)CC1", "chirality", ["none", "cis", "none", "none", "cis", "none", "none", "none"]),
        ("C[C@H]1CC[C@H](C)CC1", "chirality", ["none", "trans", "none", "none", "trans", "none", "none", "none"]),
        ("Cl[Pt@SP1](F)(Br)N", "chirality", ["none", "other", "none", "none", "none"]),
    ],
)
def test_values(smiles, name, expected):
    assert column(smiles, name) == expected


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("C[C@H]1CC[C@@H](C)CC1", ["cis", "cis"]),
        ("C[C@]1(F)CC[C@@H](O)CC1", ["cis", "cis"]),  # F and OH
        ("F[C@]1(C)CC[C@H](O)CC1", ["cis", "cis"]),
        ("CC[C@]1(C)CC[C@H](C)CC1", ["cis", "cis"]),  # ethyl and methyl
        ("C1CC[C@H]2CCCC[C@H]2C1", ["cis", "cis"]),
        ("C1CC[C@@H]2CCCC[C@H]2C1", ["trans", "trans"]),
        ("C[S@@]1(=O)CC[C@H](O)CC1", ["cis", "cis"]),
        ("C[C@H]1C[C@@H](C)C[C@@H](C)C1", ["cis", "cis", "cis"]),
        ("C[C@H]1C[C@@H](C)C[C@H](C)C1", ["other", "other", "trans"]),
        # The nearest decide: both neighbours on the other side, or one on each.
        ("O[C@H]1[C@H](O)[C@@H](O)[C@H](O)[C@@H](O)[C@H]1O", ["other", "trans", "trans", "trans", "other", "cis"]),
        ("C[C@H]1CC[C@]2(CC1)CC[C@@H](C)CC2", ["other", "other"]),  # across a spiro atom, not in one ring
    ],
)
def test_sides_of_rings(smiles, expected):
    assert [value for value in column(smiles, "chirality") if value != "none"] == expected


def test_naming_twice_changes_nothing():
    mol = Chem.MolFromSmiles("Cl[C@H]1[C@H](Cl)[C@@H](Cl)[C@H](Cl)[C@H](Cl)[C@H]1Cl")
    name_stereocentres(mol)
    once = [atom_row(atom) for atom in mol.GetAtoms()]
    name_stereocentres(mol)
    assert [atom_row(atom) for atom in mol.GetAtoms()] == once
    assert {"cis", "trans", "other"} >= {value["chirality"] for value in labelled(Chem.MolToSmiles(mol))} - {"none"}


def test_sides_of_rings_agree_with_coordinates():
    """Two substituents on one side of the ring point one way from its plane."""
    from rdkit.Chem import AllChem

    def weight(atom: Chem.Atom) -> tuple[int, int]:
        return atom.GetAtomicNum(), sum(neighbour.GetAtomicNum() > 1 for neighbour in atom.GetNeighbors())

    for smiles in (
        "C[C@H]1C[C@@H](F)C1", "C[C@H]1C[C@H](F)C1", "C[C@]1(Cl)C[C@](F)(N)C1", "C[C@@]1(Cl)C[C@](F)(N)C1",
        "CC[C@]1(C)C[C@H](C)C1", "CC[C@@]1(C)C[C@H](C)C1", "C[S@@]1(=O)C[C@H](O)C1", "C[C@H]1C[C@@](C)(C(C)C)C1",
    ):  # fmt: skip
        mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
        AllChem.EmbedMolecule(mol, randomSeed=1)
        (ring,) = mol.GetRingInfo().AtomRings()
        points = mol.GetConformer().GetPositions()
        normal = np.linalg.svd(points[list(ring)] - points[list(ring)].mean(axis=0))[2][2]
        tagged = [atom for atom in mol.GetAtoms() if atom.GetChiralTag() != Chem.ChiralType.CHI_UNSPECIFIED]
        heaviest = [max((n for n in atom.GetNeighbors() if not n.IsInRing()), key=weight) for atom in tagged]
        up = [points[n.GetIdx()] @ normal > points[a.GetIdx()] @ normal for a, n in zip(tagged, heaviest, strict=True)]
        said = {value for value in column(smiles, "chirality") if value != "none"}
        assert said == {"cis" if up[0] == up[1] else "trans"}


def test_labels_of_the_full_cip_rules_are_not_mixed_in():
    assert column("C[S@](=O)c1ccccc1", "chirality")[1] == "R"
    assert column("C[S@](=O)c1ccccc1.C[C@H]1C[C@H](O)C1", "chirality")[1] == "R"


@pytest.mark.parametrize("field", [*ATOM_FIELDS, *BOND_FIELDS], ids=lambda field: field.name)
def test_lookup_table_encodes_every_value(field):
    assert lookup_table(field).tolist() == [field.encode(raw) for raw in range(256)]
    assert len(field.labels) == len(field.choices) == field.width - 1


@pytest.mark.parametrize("fields", [ATOM_FIELDS, BOND_FIELDS], ids=["atoms", "bonds"])
@given(data=st.data())
def test_keys_sort_as_rows_do(fields, data):
    rows = data.draw(
        st.lists(st.tuples(*(st.integers(0, field.width - 1) for field in fields)), min_size=1, max_size=20)
    )
    keys = row_keys(np.array(rows, np.uint8), fields)
    assert key_rows(keys, fields).tolist() == [list(row) for row in rows]
    assert [rows[place] for place in np.argsort(keys, kind="stable")] == sorted(rows)
    assert keys.min() >= 0
