"""`molmp featurize`, through the console script: every kind and format, every row once, wrong input in words."""

import csv
import gzip
import io
import os
from importlib.metadata import entry_points

import numpy as np
import pyarrow.parquet
import pytest
from click.testing import CliRunner

import molmp as package
from molmp.chem.featurize import GraphOptions
from molmp.tables import features

TABLE = 'id,SMILES,y\r\n007,CCO,0.5\r\n2,"C1CC",\r\n3,c1ccccc1,1e-3\r\n4,,2\r\n'


@pytest.fixture
def molmp():
    (script,) = entry_points(group="console_scripts", name="molmp")
    return lambda *args, **kwargs: CliRunner().invoke(script.load(), ["featurize", *map(str, args)], **kwargs)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "in.csv"
    path.write_bytes(TABLE.encode())
    return path


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(
    ("kind", "transformer", "extra"),
    [
        ("morgan", package.MorganFingerprint(), []),
        ("morgan", package.MorganFingerprint(radius=1, size=16, counts=True), ["--radius=1", "--size=16", "--counts"]),
        ("atompair", package.AtomPairFingerprint(size=16), ["--size=16"]),
        ("torsion", package.TopologicalTorsionFingerprint(size=16), ["--size=16"]),
        ("rdkit", package.RDKitFingerprint(size=16), ["--size=16"]),
        ("maccs", package.MACCSKeys(), []),
        ("descriptors", package.RDKitDescriptors(), []),
    ],
)
def test_kinds(molmp, table, tmp_path, kind, transformer, extra):
    out = tmp_path / "out.csv"
    result = molmp(table, "-o", out, "--kind", kind, *extra)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1] == "molmp: 4 rows: 2 featurized, 2 cannot be read"
    rows = rows_of(out.read_text())
    names = list(transformer.get_feature_names_out())
    assert list(rows[0]) == ["id", "SMILES", "y", *names, "error"]
    assert [row["error"] for row in rows] == ["", "syntax: ring 1 is not closed", "", "empty: it is empty"]
    want = transformer.transform(["CCO", "c1ccccc1"])
    got = np.array([[row[name] or np.nan for name in names] for row in rows], np.float32)
    np.testing.assert_array_equal(got[[0, 2]], want)
    assert all(row[name] == "" for row in (rows[1], rows[3]) for name in names)


def test_the_columns_of_the_table_stay_as_they_were(molmp, table, tmp_path):
    out = tmp_path / "out.csv"
    molmp(table, "-o", out, "--kind", "morgan", "--size", 2)
    assert [line.rsplit(",", 3)[0] for line in out.read_bytes().decode().split("\r\n")[:-1]] == TABLE.split("\r\n")[:-1]


def test_graphs(molmp, table, tmp_path):
    out = tmp_path / "out.graphs"
    result = molmp(table, "-o", out, "--kind", "graph", "--explicit-hydrogens", "--standardize", "clean")
    assert result.exit_code == 0, result.output
    options = GraphOptions(explicit_hydrogens=True, standardize="clean")
    assert package.MolGraphs.load(out) == package.featurize(["CCO", "c1ccccc1"], options).graphs
    assert "molmp: left out: line 3: 'C1CC' cannot be read: ring 1 is not closed" in result.stderr
    assert "molmp: left out: line 5: '' cannot be read: it is empty" in result.stderr


def test_many_rows_that_cannot_be_read_are_not_all_told(molmp, tmp_path):
    path = tmp_path / "in.smi"
    path.write_text("CCO\n" + "C1CC x\n" * 9)
    result = molmp(path, "-o", tmp_path / "out.graphs", "--kind", "graph")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("left out: line ") == 5
    assert "molmp: left out: 4 more rows that cannot be read" in result.stderr


@pytest.mark.parametrize("name", ["out.parquet", "out.csv.gz", "out.tsv", "out.npz"])
def test_formats(molmp, table, tmp_path, name):
    out = tmp_path / name
    result = molmp(table, "-o", out, "--kind", "morgan", "--size", 4, "--counts")
    assert result.exit_code == 0, result.output
    want = package.MorganFingerprint(size=4, counts=True).transform(["CCO", "c1ccccc1"])
    errors = ["", "syntax: ring 1 is not closed", "", "empty: it is empty"]
    if name.endswith("npz"):
        arrays = np.load(out)
        np.testing.assert_array_equal(arrays["features"][[0, 2]], want)
        assert np.isnan(arrays["features"][[1, 3]]).all()
        assert arrays["names"].tolist() == [f"morgan2_{i}" for i in range(4)]
        assert arrays["smiles"].tolist() == ["CCO", "C1CC", "c1ccccc1", ""]
        assert arrays["error"].tolist() == errors
        return
    if name.endswith("parquet"):
        read = pyarrow.parquet.read_table(out).to_pylist()
        assert isinstance(read[0]["morgan2_0"], int)
    else:
        text = gzip.decompress(out.read_bytes()).decode() if name.endswith("gz") else out.read_text()
        read = rows_of(text.replace("\t", ","))
    assert [row["error"] for row in read] == errors
    got = [[float(row[f"morgan2_{i}"]) for i in range(4)] for row in (read[0], read[2])]
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(("on_error", "ids"), [("keep", ["007", "2", "3", "4"]), ("drop", ["007", "3"])])
def test_rows_that_cannot_be_read(molmp, table, on_error, ids):
    result = molmp(table, "-o", "-", "--kind", "maccs", "--on-error", on_error)
    assert result.exit_code == 0, result.output
    assert [row["id"] for row in rows_of(result.stdout)] == ids


@pytest.mark.parametrize(("kind", "name"), [("maccs", "out.csv"), ("graph", "out.graphs"), ("maccs", "out.npz")])
def test_on_error_fail_leaves_the_old_file(molmp, table, tmp_path, kind, name):
    out = tmp_path / name
    out.write_text("old")
    result = molmp(table, "-o", out, "--kind", kind, "--on-error", "fail")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "molmp: line 3: 'C1CC' cannot be read: ring 1 is not closed"
    assert out.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == sorted(["in.csv", name])


def test_malformed_records_keep_their_place(molmp, tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("id,smiles\n1,CCO\n2,C,C,C\n3,CC\n")
    result = molmp(path, "-o", "-", "--kind", "morgan", "--size", 2)
    rows = rows_of(result.stdout)
    assert [bool(row["error"]) for row in rows] == [False, True, False], result.output
    assert "fields" in rows[1]["error"] or "columns" in rows[1]["error"] or "cells" in rows[1]["error"]


def test_standard_form_of_fingerprints(molmp):
    result = molmp(
        "-", "-o", "-", "--kind", "maccs", "--standardize", "clean", input="smiles\n[Na+].CC(=O)[O-]\nCC(=O)O\n"
    )
    rows = rows_of(result.stdout)
    assert list(rows[0].values())[1:] == list(rows[1].values())[1:]


def test_jobs_do_not_change_the_output(molmp, tmp_path, monkeypatch):
    monkeypatch.setattr("molmp.chem.transformers.SMALLEST_CHUNK", 20)
    path = tmp_path / "in.smi"
    path.write_text("CCO\nC1CC x\nc1ccccc1\n" * 50)
    outs = []
    for jobs in (1, 2):
        out = tmp_path / f"{jobs}.csv"
        assert molmp(path, "-o", out, "--kind", "morgan", "--size", 8, "--n-jobs", jobs).exit_code == 0
        outs.append(out.read_bytes())
    assert outs[0] == outs[1]


def test_batches_do_not_change_the_output(molmp, table, tmp_path, monkeypatch):
    import molmp_cli.featurize as command

    outs = []
    for batch in (1000, 1, 3):
        monkeypatch.setattr(command, "BATCH", batch)
        for name, kind in (("out.csv", "maccs"), ("out.graphs", "graph")):
            assert molmp(table, "-o", tmp_path / name, "--kind", kind).exit_code == 0
        outs.append([(tmp_path / name).read_bytes() for name in ("out.csv", "out.graphs")])
    assert outs[0] == outs[1] == outs[2]


def test_other_smiles_column(molmp, tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("smiles,product\nC,CCO\n")
    result = molmp(path, "-o", "-", "--kind", "descriptors", "--smiles-column", "product")
    assert rows_of(result.stdout)[0]["MolWt"] == "46.069"


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--kind", "graph", "-o", "x.csv"], 2, "x.csv: graphs are written to a name that ends in .graphs"),
        (["--kind", "maccs", "-o", "x.graphs"], 2, "x.graphs: the name does not say what to write"),
        (["--kind", "maccs", "-o", "x"], 2, "x: the name does not say what to write; end it in .csv"),
        (["--kind", "maccs", "-o", "none/x.csv"], 1, "there is no folder"),
        (["--kind", "graph", "-o", "none/x.graphs"], 1, "none/x.graphs: No such file or directory"),
        (["--kind", "maccs", "-o", "x.csv", "--radius", "1"], 2, "--radius does not go with --kind maccs"),
        (["--kind", "rdkit", "-o", "x.csv", "--explicit-hydrogens"], 2, "--explicit-hydrogens does not go with"),
        (["--kind", "graph", "-o", "x.graphs", "--size", "8"], 2, "--size does not go with --kind graph"),
        (["--kind", "morgan", "-o", "x.csv", "--size", "0"], 2, "0 is not in the range"),
        (["--kind", "morgan", "-o", "x.csv", "--n-jobs", "0"], 2, "n_jobs must not be 0"),
        (["--kind", "ecfp", "-o", "x.csv"], 2, "'ecfp' is not one of"),
        (["--kind", "embedding", "-o", "x.csv"], 2, "--kind embedding needs a trained model: --model RUN"),
        (["--kind", "maccs", "-o", "x.csv", "--smiles-column", "mol"], 1, "has no column 'mol'; it has id, SMILES, y"),
        (["--kind", "maccs"], 2, "Missing option '-o'"),
    ],
)
def test_wrong_input(molmp, table, tmp_path, monkeypatch, args, code, said):
    monkeypatch.chdir(tmp_path)
    result = molmp(table, *args)
    assert result.exit_code == code, result.output
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert os.listdir(tmp_path) == ["in.csv"]


def test_a_column_that_is_there_already(molmp, tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("smiles,MolWt\nCCO,46\n")
    result = molmp(path, "-o", tmp_path / "out.csv", "--kind", "descriptors")
    assert result.exit_code == 0
    assert "the input has a column 'MolWt'; ours is called 'MolWt_2'" in result.stderr


def test_missing_file(molmp, tmp_path):
    result = molmp(tmp_path / "none.csv", "-o", tmp_path / "out.csv", "--kind", "maccs")
    assert result.exit_code == 1
    assert "none.csv" in result.stderr
    assert result.stderr.count("\n") == 1


def test_numbers_are_those_of_float32():
    assert features._shortest(np.array([[0.1, 1 / 3, np.nan]], np.float32))[0][:2] == [0.1, 0.33333334]


def test_embedding(molmp, table, tmp_path):
    from molmp.estimators import MPNNRegressor
    from molmp.inference.predictor import load

    smiles = ["C" * n for n in range(1, 30)]
    MPNNRegressor(hidden=8, steps=1, epochs=1).fit(smiles, range(29)).save(tmp_path / "run")
    result = molmp(table, "-o", tmp_path / "out.npz", "--kind", "embedding", "--model", tmp_path / "run")
    assert result.exit_code == 0, result.output
    arrays = np.load(tmp_path / "out.npz")
    want = load(tmp_path / "run").embed(["CCO", "C1CC", "c1ccccc1", ""])
    np.testing.assert_allclose(arrays["features"], want, rtol=1e-5)
    assert arrays["names"][0] == "mpnn_0"
    refused = molmp(table, "-o", "-", "--kind", "embedding", "--model", tmp_path / "run", "--standardize", "clean")
    assert (refused.exit_code, refused.stderr) == (2, "molmp: --standardize does not go with --kind embedding\n")
