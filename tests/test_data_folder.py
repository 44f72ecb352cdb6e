"""The data that ship: they are what their script makes and what their README says."""

import hashlib
import re
import runpy
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from molmp.chem.smiles import canonical_smiles, parse_smiles
from molmp.errors import InvalidSmilesError
from molmp.tables.catalogue import find_entry
from molmp.tables.dataset import load_dataset
from molmp.tables.read import open_table

FOLDER = Path(__file__).parents[1] / "data"
README = (FOLDER / "README.md").read_text()


def test_sulfonamides_are_what_rdkit_carries():
    made = runpy.run_path(str(FOLDER / "make_sulfonamides.py"))
    if not made["SOURCE"].is_dir():
        pytest.skip("this RDKit comes without its Contrib folder")
    with open_table(FOLDER / "sulfonamides.csv") as table:
        assert table.columns == made["COLUMNS"]
        assert [row.cells for row in table] == made["rows"]()


def test_the_script_writes_the_same_bytes(tmp_path, monkeypatch):
    made = runpy.run_path(str(FOLDER / "make_sulfonamides.py"))
    if not made["SOURCE"].is_dir():
        pytest.skip("this RDKit comes without its Contrib folder")
    made["main"].__globals__["TARGET"] = tmp_path / "again.csv"
    made["main"]()
    assert (tmp_path / "again.csv").read_bytes() == (FOLDER / "sulfonamides.csv").read_bytes()


def test_sulfonamides_are_as_the_readme_says():
    data = load_dataset(FOLDER / "sulfonamides.csv")
    assert (len(data), data.task, data.target_names) == (1017, "regression", ("p_activity",))
    assert not np.isnan(data.targets).any()
    assert (data.targets.min(), data.targets.max()) == (4.27, 9.22)
    assert f"{data.targets.mean():.2f} {data.targets.std():.2f}" == "6.55 1.09"
    mols = [parse_smiles(smiles) for smiles in data.smiles]
    assert len({canonical_smiles(mol) for mol in mols}) == 1017
    assert max(mol.GetNumAtoms() for mol in mols) == 41


@pytest.mark.parametrize("name", ["sulfonamides.csv", "new_molecules.csv"])
def test_checksums_of_the_readme(name):
    stated = re.search(rf"`{name}` .*`([0-9a-f]{{64}})`", README)
    assert stated
    assert stated[1] == hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()


def test_the_catalogue_agrees():
    (file,) = find_entry("sulfonamides").files
    assert file.sha256 == hashlib.sha256((FOLDER / "sulfonamides.csv").read_bytes()).hexdigest()


def test_new_molecules_are_readable_but_for_two():
    with open_table(FOLDER / "new_molecules.csv") as table:
        rows = [row.cells for row in table]
        assert table.columns == ("name", "smiles")
    bad = []
    for name, smiles in rows:
        try:
            parse_smiles(smiles)
        except InvalidSmilesError as error:
            bad.append((name, error.code))
    assert len(rows) == 35
    assert bad == [("a ring left open", "syntax"), ("a carbon with five bonds", "valence")]


@pytest.mark.parametrize("name", ["sulfonamides.csv", "new_molecules.csv", "catalogue.toml", "README.md"])
def test_the_installed_package_carries_them(name):
    assert (files("molmp_data") / name).read_bytes() == (FOLDER / name).read_bytes()
