"""SMILES to molecule: every refusal has a code and a reason, and what is accepted is RDKit's own molecule."""

import pickle

import numpy as np
import pytest
from rdkit import Chem

from molmp.chem.smiles import (
    MAX_ATOMS,
    MAX_CHARACTERS,
    canonical_smiles,
    is_plain,
    parse_smiles,
    read_plain_text,
    scaffold_smiles,
    standardize,
)
from molmp.errors import ConfigError, InvalidSmilesError

REFUSED = [
    ("", "empty", "it is empty"),
    ("  \t ", "empty", "it is empty"),
    (None, "empty", "it is empty"),
    (float("nan"), "empty", "it is empty"),
    (5, "syntax", "it is int, not text"),
    (b"CC", "syntax", "it is bytes, not text"),
    ("CCO CCN", "whitespace", "it holds white space at position 4"),
    ("C\nC", "whitespace", "it holds white space at position 2"),
    ("CC |$R;$|", "whitespace", "it holds white space at position 3"),
    ("C\u2212C", "non-ascii", "it holds the character U+2212 at position 2"),
    ("C\x00C", "non-ascii", "it holds the character U+0000 at position 2"),
    ("C" * (MAX_CHARACTERS + 1), "too-large", f"it has {MAX_CHARACTERS + 1} characters, more than {MAX_CHARACTERS}"),
    ("C" * (MAX_ATOMS + 1), "too-large", f"it has {MAX_ATOMS + 1} atoms, more than {MAX_ATOMS}"),
    ("C1CC", "syntax", "ring 1 is not closed"),
    ("C%12CC", "syntax", "ring 12 is not closed"),
    ("CC(C", "syntax", "a parenthesis is not closed"),
    ("CC)C", "syntax", "a parenthesis is closed that was not opened"),
    ("C[NH", "syntax", "the bracket at position 2 is not closed"),
    ("CqC", "syntax", "unexpected 'q' at position 2"),
    ("CC[Xx]", "syntax", "there is no atom '[Xx]' (position 3)"),
    ("[#200]", "syntax", "there is no atom '[#200]' (position 1)"),
    ("C==C", "syntax", "not SMILES syntax"),
    ("CC.", "syntax", "not SMILES syntax"),
    ("aspirin", "syntax", "unexpected 'a' at position 1"),
    ("CCO>>CC=O", "reaction", "it is a reaction, not a molecule"),
    ("[Fe]<-N>O>C", "reaction", "it is a reaction, not a molecule"),
    ("C[C,N]", "query", "it is a SMARTS query, not a molecule"),
    ("C(C)(C)(C)(C)C", "valence", "Explicit valence for atom # 0 C, 5, is greater than permitted"),
    ("c1cccc1", "kekulize", "Can't kekulize mol. Unkekulized atoms: 0 1 2 3 4"),
    ("cC", "kekulize", "non-ring atom 0 marked aromatic"),
]


@pytest.mark.parametrize(("smiles", "code", "reason"), REFUSED)
def test_refusals_have_a_code_and_a_reason(smiles, code, reason):
    with pytest.raises(InvalidSmilesError) as caught:
        parse_smiles(smiles, row=7)
    assert (caught.value.code, caught.value.reason, caught.value.row) == (code, reason, 7)
    assert str(caught.value).startswith("row 7: cannot read SMILES ")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    "smiles", ["C", " CCO\n", "N->[Fe]", "[Na+].[Cl-]", "*", "[*:1]C", "C~C", "C$C", np.str_("CC")]
)
def test_accepts(smiles):
    assert parse_smiles(smiles).GetNumAtoms() > 0


def test_a_peptide_of_a_thousand_atoms_is_no_mistake():
    assert parse_smiles("N[C@@H](Cc1ccccc1)C(=O)" * 91 + "O").GetNumAtoms() == 1002


def test_rdkit_is_quiet_and_its_log_is_left_alone(capfd):
    with pytest.raises(InvalidSmilesError):
        parse_smiles("c1cccc1")
    assert capfd.readouterr().err == ""
    Chem.MolFromSmiles("c1cccc1")
    assert "kekulize" in capfd.readouterr().err


def test_labels_do_not_depend_on_the_callers_stereo_perception():
    assert Chem.GetUseLegacyStereoPerception()
    Chem.SetUseLegacyStereoPerception(False)
    try:
        mol = parse_smiles("C[C@H](F)/C=C/C")
        assert not Chem.GetUseLegacyStereoPerception()
    finally:
        Chem.SetUseLegacyStereoPerception(True)
    assert mol.GetAtomWithIdx(1).GetProp("_CIPCode") == "S"
    assert mol.GetBondWithIdx(3).GetStereo() == Chem.BondStereo.STEREOE


@pytest.mark.parametrize(
    ("smiles", "plain"),
    [
        ("CCO", True),
        ("c1c[nH]cc1[Br]", True),
        ("C[Hg]C", False),
        ("C[C@H](F)O", False),
        ("C/C=C/C", True),
        ("[2H]C", False),
        ("[#1]C", False),
    ],
)
def test_is_plain(smiles, plain):
    assert is_plain(smiles) == plain


def test_the_quick_way_refuses_alike():
    for smiles in ("C(C)(C)(C)(C)C", "c1cccc1", "C1CC", "[#200]"):
        with pytest.raises(InvalidSmilesError) as quick:
            read_plain_text(smiles)
        with pytest.raises(InvalidSmilesError) as slow:
            parse_smiles(smiles)
        assert str(quick.value) == str(slow.value)


@pytest.mark.parametrize(
    ("smiles", "how", "expected"),
    [
        ("OCC.Cl", "none", "CCO.Cl"),
        ("[Na+].CC(=O)[O-]", "clean", "CC(=O)O"),
        ("CCC[NH3+].OC(=O)C(F)(F)F", "clean", "CCCN"),
        ("CN.[Na]Cl", "clean", "CN"),
        ("CN(=O)=O", "clean", "C[N+](=O)[O-]"),
        ("Oc1ccccn1", "clean", "Oc1ccccn1"),
        ("Oc1ccccn1", "tautomer", "O=c1cccc[nH]1"),
        ("C[C@H](F)CC(=O)[O-].[K+]", "clean", "C[C@H](F)CC(=O)O"),
    ],
)
def test_standard_forms(smiles, how, expected):
    assert canonical_smiles(standardize(parse_smiles(smiles), how)) == expected


def test_standard_form_does_not_depend_on_the_spelling():
    mol = parse_smiles("C[C@H](N)C(=O)[O-].[Na+].Oc1ccccn1")
    forms = set()
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(mol.GetNumAtoms()).tolist()
        forms.add(canonical_smiles(standardize(Chem.RenumberAtoms(mol, order), "tautomer")))
    assert len(forms) == 1


def test_unknown_standard_form():
    with pytest.raises(ConfigError, match="must be one of none, clean, tautomer, not 'tidy'"):
        standardize(parse_smiles("C"), "tidy")


def test_scaffolds():
    assert scaffold_smiles(parse_smiles("CCCC")) == ""
    assert scaffold_smiles(parse_smiles("CN1CCC[C@H]1c1cccnc1")) == "c1cncc(C2CCCN2)c1"
