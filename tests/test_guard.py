"""What RDKit may never make an end of is done by another process: a molecule that ends that one costs itself alone."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from molmp.audit.molecules import canonical_tautomers
from molmp.chem import guard, pool
from molmp.chem.spellings import mirror_images, other_spellings
from molmp.errors import DataError
from molmp.page.drawing import draw_smiles
from molmp.tables import columns
from molmp.tables.columns import find_smiles_column, is_smiles

TRAP = "N[C@@H](C)C" * 20
"""It ends whatever process writes it, draws it or looks for its tautomers."""

DEADLY = """
import os
from rdkit import Chem
from rdkit.Chem import rdDepictor
from rdkit.Chem.MolStandardize import rdMolStandardize

def deadly(function):
    return lambda mol, *args, **more: os.abort() if mol.GetNumAtoms() == {atoms} else function(mol, *args, **more)

Chem.MolToSmiles, rdDepictor.Compute2DCoords = deadly(Chem.MolToSmiles), deadly(rdDepictor.Compute2DCoords)
"""


@pytest.fixture
def _deadly_workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    program = DEADLY.format(atoms=80).replace("{", "{{").replace("}", "}}")
    first = "import sys; sys.path[:] = {path!r};"
    assert pool.PROGRAM.startswith(first)
    monkeypatch.setattr(pool, "PROGRAM", first.replace("; ", "\n").replace(";", "\n") + program + pool.PROGRAM)
    guard._guard.cache_clear()
    yield
    guard._guard.cache_clear()


WORK: dict[str, Callable[[list[str]], list[Any]]] = {
    "drawing": lambda texts: [draw_smiles(text) for text in texts],
    "spellings": lambda texts: [sorted(set(found)) for found in other_spellings(texts)],
    "mirror images": mirror_images,
    "tautomers": canonical_tautomers,
}

LOST = {
    "drawing": "<span class='quiet'>not drawn: the process that read it died (SIGABRT)</span>",
    "spellings": [], "mirror images": None, "tautomers": TRAP,
}  # fmt: skip


@pytest.mark.parametrize("work", WORK)
@pytest.mark.usefixtures("_deadly_workers")
def test_a_molecule_that_ends_its_process_costs_itself_alone(work: str) -> None:
    first, lost, last = WORK[work](["C[C@H](N)O", TRAP, "CC(O)=NC"])
    assert lost == LOST[work]
    assert [first, last] == WORK[work](["C[C@H](N)O", "CCO", "CC(O)=NC"])[::2]
    assert first


def test_long_cells_are_not_read_to_find_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here RDKit is not yet held to any limit of time."""

    def read(text: str) -> None:
        assert len(text) <= columns.LONGEST

    monkeypatch.setattr(columns, "parse_smiles", read)
    peptide = "N[C@@H](C)C(=O)" * 100 + "O"
    protein, words = "MKVLAT" * 200, "a note " * 200
    assert [is_smiles(text) for text in (peptide, protein, words, "C" * 600, f" {peptide} ")] == [1, 0, 0, 0, 1]
    rows = [[protein, words, peptide]] * 3
    assert find_smiles_column("t.csv", ["sequence", "text", "compound"], rows) == (2, "by its name and content")


def test_a_table_of_very_many_columns_is_not_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "parse_smiles", pytest.fail)
    names = [f"c{i}" for i in range(10_001)]
    with pytest.raises(DataError, match=r"t.csv has 10,001 columns, none of them SMILES by its name; more than 10,000"):
        find_smiles_column("t.csv", names, [["C"] * len(names)])
    assert find_smiles_column("t.csv", [*names, "smiles"], []) == (10_001, "by its name")
