"""The torture corpus: what must become of each molecule and each table stands beside it, in ``torture.toml``."""

import tomllib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_bundle

from molmp.chem.featurize import featurize
from molmp.chem.reasons import REASONS
from molmp.errors import MolmpError
from molmp.inference.predictor import Predictor
from molmp.inference.tables import predict_table
from molmp.tables.read import open_table

CORPUS = tomllib.loads((Path(__file__).parent / "torture.toml").read_text("utf-8"))

PEPTIDE = "N[C@@H](Cc1ccccc1)C(=O)" * 91 + "O"
"""1,002 atoms."""


@pytest.fixture(scope="module")
def predictor():
    return Predictor(tiny_bundle(), "cpu")


@pytest.mark.parametrize("outcome", CORPUS["smiles"])
def test_molecules(outcome):
    texts = CORPUS["smiles"][outcome]
    errors = featurize(texts).errors
    became = {text: errors[row].code if row in errors else "graph" for row, text in enumerate(texts)}
    assert became == dict.fromkeys(texts, outcome)


def test_the_corpus_knows_every_word():
    """Those that are not there need a clock, a death, a size or a table."""
    assert set(REASONS) - set(CORPUS["smiles"]) == {"too-large", "timeout", "crash", "label", "ragged"}


def test_valid_chemistry_gets_a_number(predictor):
    table = predictor.predict([*CORPUS["smiles"]["graph"], PEPTIDE])
    assert table["error"].tolist() == [""] * len(table)
    assert table.notna().all(axis=None)


@pytest.mark.parametrize("file", CORPUS["file"], ids=lambda file: file["name"])
def test_tables(file, predictor, tmp_path):
    source, output = tmp_path / "t.csv", tmp_path / "out.csv"
    source.write_bytes(file["content"].encode())
    if "refused" in file:
        with pytest.raises(MolmpError) as caught:
            predict_table(predictor, source, output)
        assert file["refused"] in str(caught.value)
        assert not output.exists()
        return
    predict_table(predictor, source, output)
    with open_table(output, header=True, delimiter=";" if ";" in file["content"] else None) as table:
        error = table.index("error")
        assert [row.cells[error].partition(":")[0] or "graph" for row in table] == file["rows"]


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_rows_or_refused_in_words(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "t"
    path.write_bytes(content)
    with suppress(MolmpError), open_table(path) as table:
        width = len(table.columns)
        assert all(len(row.cells) == width for row in table)


@given(st.lists(st.text(max_size=40), max_size=8))
@settings(max_examples=200, deadline=None)
def test_any_texts_are_graphs_or_have_a_reason(texts):
    graphs, rows, errors = featurize(texts)
    assert sorted([*rows.tolist(), *errors]) == list(range(len(texts)))
    assert {error.code for error in errors.values()} <= set(REASONS)
    assert len(graphs) == len(rows)
