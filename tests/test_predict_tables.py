"""Tables and folders through a model: each row once and in its place, whole files or none."""

import csv
import gzip
import io
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rdkit import Chem
from tiny import SMILES, tiny_bundle

import molmp.inference.predictor as module
import molmp.inference.tables as tables
from molmp.errors import ColumnError, ConfigError, DataError, FileFormatError
from molmp.inference.folders import plan_folder, predict_folder
from molmp.inference.predictor import Predictor
from molmp.inference.tables import predict_smiles, predict_table
from molmp.tables.shard import Shard

HEADER = "id,smiles,note"
ROWS = ['007,CCO,"a, b"', "NA,C1CC,", "1e5,,x", '"q ""1""",C,', "ragged,C", "5,[Na+].[Cl-],end"]


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(tiny_bundle(), "cpu")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "in.csv"
    path.write_text("\n".join([HEADER, *ROWS]) + "\n")
    return path


def read(path: Path) -> list[list[str]]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    lines = io.StringIO(content.decode(), newline="")
    return list(csv.reader(lines, delimiter="\t" if ".tsv" in path.name else ","))


def expected(predictor: Predictor, smiles: list[str]) -> list[list[str]]:
    """Cells as they should be written."""
    frame = predictor.predict(smiles)
    return [
        ["", "", row["error"]] if row["error"] else [f"{row[name]:.7g}" for name in ("logS_pred", "mp_pred")] + [""]
        for _, row in frame.iterrows()
    ]


def close(cells: list[list[str]], wanted: list[list[str]]) -> None:
    for mine, other in zip(cells, wanted, strict=True):
        assert [bool(cell) for cell in mine] == [bool(cell) for cell in other]
        np.testing.assert_allclose([float(c) for c in mine[:2] if c], [float(c) for c in other[:2] if c], rtol=2e-6)


def test_every_row_and_column_as_it_was(predictor, table, tmp_path):
    outcome = predict_table(predictor, table, tmp_path / "out.csv")
    assert str(outcome) == "6 rows: 3 predicted, 3 without a prediction (see the column error)"
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == HEADER + ",logS_pred,mp_pred,error"
    for line, row in zip(lines[1:], ROWS, strict=True):
        assert line.startswith(row + ("," if row.startswith("ragged") else "") + ",")
    rows = read(tmp_path / "out.csv")[1:]
    assert [row[-1] for row in rows] == [
        "", "syntax: ring 1 is not closed", "empty: it is empty", "",
        "ragged: the row has 2 cells, the table 3 columns", "",
    ]  # fmt: skip
    good = [row[3:] for i, row in enumerate(rows) if i not in (2, 4)]
    close(good, expected(predictor, ["CCO", "C1CC", "C", "[Na+].[Cl-]"]))


def test_in_small_batches_and_with_workers(predictor, table, tmp_path, monkeypatch):
    predict_table(predictor, table, tmp_path / "whole.csv")
    monkeypatch.setattr(tables, "BATCH", 2)
    for n_jobs in (1, 2):
        predict_table(predictor, table, tmp_path / "small.csv", n_jobs=n_jobs)
        small, whole = read(tmp_path / "small.csv"), read(tmp_path / "whole.csv")
        assert [row[:3] + row[5:] for row in small] == [row[:3] + row[5:] for row in whole]
        close([row[3:] for row in small[1:]], [row[3:] for row in whole[1:]])


def test_numbers_have_seven_digits(predictor, tmp_path):
    predict_smiles(predictor, SMILES, tmp_path / "out.csv")
    numbers = [cell for row in read(tmp_path / "out.csv")[1:] for cell in row[1:3]]
    assert all(len(number.lstrip("-").replace(".", "").lstrip("0")) <= 7 for number in numbers)
    assert max(len(number.lstrip("-").replace(".", "")) for number in numbers) == 7


def test_drop(predictor, table, tmp_path):
    outcome = predict_table(predictor, table, tmp_path / "out.csv", on_error="drop")
    assert outcome == (6, 3)
    assert [row[0] for row in read(tmp_path / "out.csv")] == ["id", "007", 'q "1"', "5"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["C,CCO,", "1,C1CC,"], "line 3: 'C1CC' has no prediction: ring 1 is not closed"),
        (["1,C", "2,C1CC,"], "line 2: 'C' has no prediction: the row has 2 cells, the table 3 columns"),
    ],
)
def test_fail_writes_nothing(predictor, tmp_path, rows, message):
    (tmp_path / "in.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    (tmp_path / "out.csv").write_text("before")
    with pytest.raises(DataError, match=message):
        predict_table(predictor, tmp_path / "in.csv", tmp_path / "out.csv", on_error="fail")
    assert (tmp_path / "out.csv").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


def test_an_error_half_way_leaves_the_old_file(predictor, table, tmp_path, monkeypatch):
    (tmp_path / "out.csv").write_text("before")
    monkeypatch.setattr(tables, "BATCH", 2)
    calls = itertools.count()

    def fetch(launched):
        if next(calls) == 2:
            raise MemoryError
        return Predictor._fetch(predictor, launched)

    monkeypatch.setattr(predictor, "_fetch", fetch)
    with pytest.raises(MemoryError):
        predict_table(predictor, table, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


def test_unknown_word_for_errors(predictor, table, tmp_path):
    with pytest.raises(ConfigError, match="on_error must be one of keep, drop, fail, got 'ignore'"):
        predict_table(predictor, table, tmp_path / "out.csv", on_error="ignore")
    with pytest.raises(ConfigError, match="on_error"):
        predict_smiles(predictor, ["C"], tmp_path / "out.csv", on_error="ignore")


def test_notes_are_told(predictor, table, tmp_path):
    notes = []
    predict_table(predictor, table, tmp_path / "out.csv", tell=notes.append)
    assert notes == ["columns delimited by comma", "SMILES in column 'smiles' (found by its name)"]


@pytest.mark.parametrize("name", ["out.tsv", "out.csv.gz", "out.tsv.gz"])
def test_other_text_formats_out(predictor, table, tmp_path, name):
    predict_table(predictor, table, tmp_path / "plain.csv")
    predict_table(predictor, table, tmp_path / name)
    assert read(tmp_path / name) == read(tmp_path / "plain.csv")


def test_smi_and_sdf_in(predictor, tmp_path):
    (tmp_path / "in.smi").write_text("CCO ethanol\nC1CC broken\nC\n")
    predict_table(predictor, tmp_path / "in.smi", tmp_path / "smi.csv")
    assert [row[-1] for row in read(tmp_path / "smi.csv")] == ["error", "", "syntax: ring 1 is not closed", ""]
    with Chem.SDWriter(str(tmp_path / "in.sdf")) as writer:
        for text in ("CCO", "C"):
            writer.write(Chem.MolFromSmiles(text))
    predict_table(predictor, tmp_path / "in.sdf", tmp_path / "sdf.csv")
    close([row[-3:] for row in read(tmp_path / "sdf.csv")[1:]], expected(predictor, ["CCO", "C"]))


def test_parquet_in_and_out(predictor, tmp_path):
    ids = pa.array([1, None, 3], pa.int32())
    source = pa.table({"id": ids, "smiles": ["CCO", "C1CC", "C"], "when": pa.array([0, 1, 2], pa.timestamp("ms"))})
    pq.write_table(source, tmp_path / "in.parquet")
    predict_table(predictor, tmp_path / "in.parquet", tmp_path / "out.parquet")
    out = pq.read_table(tmp_path / "out.parquet")
    assert out.select(source.column_names).equals(source)
    assert out.schema.field("logS_pred").type == pa.float64()
    assert out["logS_pred"].is_null().to_pylist() == [False, True, False]
    assert out["error"].to_pylist() == ["", "syntax: ring 1 is not closed", ""]
    predict_table(predictor, tmp_path / "in.parquet", tmp_path / "few.parquet", columns=["when", "id"])
    few = pq.read_table(tmp_path / "few.parquet")
    assert few.column_names == ["when", "id", "logS_pred", "mp_pred", "error"]
    assert few.drop_columns(["when", "id"]).equals(out.select(["logS_pred", "mp_pred", "error"]))
    assert few.schema.field("id").type == pa.int32()


def test_csv_to_parquet(predictor, table, tmp_path):
    predict_table(predictor, table, tmp_path / "out.parquet", columns=["id"])
    frame = pd.read_parquet(tmp_path / "out.parquet")
    assert frame["id"].tolist() == ["007", "NA", "1e5", 'q "1"', "ragged", "5"]
    assert frame["mp_pred"].notna().tolist() == [True, False, False, True, False, True]


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_classes(task, table, tmp_path):
    predictor = Predictor(tiny_bundle(task), "cpu")
    predict_table(predictor, table, tmp_path / "out.csv", columns=["id"])
    header, *rows = read(tmp_path / "out.csv")
    assert header == ["id", *predictor.bundle.targets.column_names, "error"]
    assert all(all(row[1:-1]) for row in rows if not row[-1])
    assert not any(any(row[1:-1]) for row in rows if row[-1])
    if task == "multiclass":
        assert {row[1] for row in rows} <= {"", "red", "green", "blue"}


def test_columns(predictor, table, tmp_path):
    predict_table(predictor, table, tmp_path / "out.csv", columns=["note", "id"])
    rows = read(tmp_path / "out.csv")
    assert rows[0] == ["note", "id", "logS_pred", "mp_pred", "error"]
    assert [row[:2] for row in rows[1:3]] == [["a, b", "007"], ["", "NA"]]


def test_a_column_of_our_name_can_be_left_out(predictor, tmp_path):
    (tmp_path / "in.csv").write_text("smiles,mp_pred\nC,1\n")
    told = []
    predict_table(predictor, tmp_path / "in.csv", tmp_path / "out.csv", tell=told.append)
    assert told[-1] == "the input has a column 'mp_pred'; ours is called 'mp_pred_2'"
    assert read(tmp_path / "out.csv")[0] == ["smiles", "mp_pred", "logS_pred", "mp_pred_2", "error"]
    predict_table(predictor, tmp_path / "in.csv", tmp_path / "out.csv", columns=["smiles"])
    assert read(tmp_path / "out.csv")[1][0] == "C"


def test_columns_that_are_not_there(predictor, table, tmp_path):
    with pytest.raises(ColumnError, match=r"in.csv has no column 'mass'; it has id, smiles, note"):
        predict_table(predictor, table, tmp_path / "out.csv", columns=["id", "mass"])
    with pytest.raises(ConfigError, match="a column is asked for twice: id, id"):
        predict_table(predictor, table, tmp_path / "out.csv", columns=["id", "id"])
    assert not (tmp_path / "out.csv").exists()


def test_shards_are_the_whole(predictor, table, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "BATCH", 2)
    predict_table(predictor, table, tmp_path / "whole.csv")
    parts = []
    for part in (1, 2, 3, 4):
        predict_table(predictor, table, tmp_path / "part.csv", shard=Shard(part, 4))
        parts.append(read(tmp_path / "part.csv")[1:])
    assert [len(part) for part in parts] == [2, 2, 1, 1]
    whole = read(tmp_path / "whole.csv")[1:]
    woven = [parts[i % 4][i // 4] for i in range(len(whole))]
    assert [row[:3] + row[5:] for row in woven] == [row[:3] + row[5:] for row in whole]


@pytest.mark.parametrize("part", [1, 7])
def test_more_shards_than_rows(predictor, table, tmp_path, part):
    with pytest.raises(DataError, match=r"in.csv has 6 rows, fewer than 7 shards"):
        predict_table(predictor, table, tmp_path / "out.csv", shard=Shard(part, 7))
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/0", "-1/3", "a/b", "1/3/5", "", "1.0/3"])
def test_shards_that_make_no_sense(text):
    with pytest.raises(ConfigError, match="a shard is i/n with i from 1 to n"):
        Shard.parse(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "in"
    source.mkdir()
    (source / "a.csv").write_text("smiles,id\nCCO,1\nC1CC,2\n")
    with gzip.open(source / "b.smi.gz", "wt") as file:
        file.write("C methane\nCC ethane\n")
    pq.write_table(pa.table({"smiles": ["C", "CC", "CCC"]}), source / "c.parquet")
    (source / "README.md").write_text("about")
    (source / ".hidden.csv").write_text("smiles\nC\n")
    return source


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_folder(predictor, folder, tmp_path):
    told = []
    outcome = predict_folder(predictor, folder, tmp_path / "deep" / "out", tell=told.append)
    assert names(tmp_path / "deep" / "out") == ["a.csv", "b.csv.gz", "c.parquet"]
    assert str(outcome) == "3 files; 7 rows: 6 predicted, 1 without a prediction (see the column error)"
    assert told[0] == "not tables by their names: README.md"
    assert told[2] == "b.smi.gz: 2 rows: 2 predicted"
    assert [row[1] for row in read(tmp_path / "deep" / "out" / "b.csv.gz")] == ["name", "methane", "ethane"]


def test_finished_files_are_left_alone(predictor, folder, tmp_path):
    out = tmp_path / "out"
    predict_folder(predictor, folder, out)
    (out / "b.csv.gz").unlink()
    (out / "a.csv").write_text("sentinel")
    outcome = predict_folder(predictor, folder, out)
    assert str(outcome) == "3 files, 2 finished before; 2 rows: 2 predicted"
    assert (out / "a.csv").read_text() == "sentinel"
    assert len(read(out / "b.csv.gz")) == 3


def test_one_bad_file_does_not_stop_the_others(predictor, folder, tmp_path):
    (folder / "a.csv").write_text("id,mass\n1,2\n")
    (folder / "c.parquet").write_bytes(b"PAR1 and nothing more")
    told = []
    with pytest.raises(DataError, match=r"2 of 3 tables were not predicted: a.csv, c.parquet"):
        predict_folder(predictor, folder, tmp_path / "out", tell=told.append)
    assert names(tmp_path / "out") == ["b.csv.gz"]
    assert told[1].startswith("a.csv: not predicted: ")
    (folder / "a.csv").write_text("smiles\nC\n")
    (folder / "c.parquet").unlink()
    assert predict_folder(predictor, folder, tmp_path / "out").finished_before == 1


def test_files_of_a_shard(predictor, folder, tmp_path):
    for part in (1, 2):
        predict_folder(predictor, folder, tmp_path / str(part), shard=Shard(part, 2))
    assert names(tmp_path / "1") == ["a.csv", "c.parquet"]
    assert names(tmp_path / "2") == ["b.csv.gz"]
    with pytest.raises(DataError, match="has 3 tables, fewer than 4 shards"):
        predict_folder(predictor, folder, tmp_path / "4", shard=Shard(1, 4))
    assert not (tmp_path / "4").exists()


def test_predictions_of_another_kind_are_not_mixed(predictor, folder, tmp_path):
    out = tmp_path / "out"
    predict_folder(predictor, folder, out, columns=["smiles"])
    with pytest.raises(ConfigError, match="holds files made with another columns; name another folder, or remove it"):
        predict_folder(predictor, folder, out)
    other = Predictor(tiny_bundle(members=2), "cpu")
    with pytest.raises(ConfigError, match="holds files made with another model"):
        predict_folder(other, folder, out, columns=["smiles"])
    assert predict_folder(predictor, folder, out, columns=["smiles"], n_jobs=2).finished_before == 3


def test_files_that_are_not_ours_are_not_taken_for_finished(predictor, folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.csv").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds a.csv, and nothing says how it was made"):
        predict_folder(predictor, folder, tmp_path / "out")
    assert names(tmp_path / "out") == ["a.csv"]


def test_a_damaged_record(predictor, folder, tmp_path):
    predict_folder(predictor, folder, tmp_path / "out")
    for content in ("{", "[]"):
        (tmp_path / "out" / ".molmp.json").write_text(content)
        with pytest.raises(FileFormatError, match=r"molmp.json is damaged"):
            predict_folder(predictor, folder, tmp_path / "out")


def test_two_files_for_one_name(predictor, folder, tmp_path):
    (folder / "a.smi").write_text("C\n")
    with pytest.raises(DataError, match=r"a.csv and a.smi would both be written to .*a.csv; rename one"):
        plan_folder(folder, tmp_path / "out")


def test_folders_that_cannot_be(predictor, folder, tmp_path):
    with pytest.raises(ConfigError, match="is the folder of the input"):
        predict_folder(predictor, folder, folder / ".." / "in")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file is a file; name a folder"):
        predict_folder(predictor, folder, tmp_path / "file")
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "notes.md").write_text("")
    with pytest.raises(DataError, match=r"none has no tables; it has notes.md"):
        predict_folder(predictor, tmp_path / "none", tmp_path / "out")


def test_memory_is_bounded_by_batches(predictor, tmp_path, monkeypatch):
    """However long the table, no more than a few batches of rows are alive at once."""
    monkeypatch.setattr(tables, "BATCH", 10)
    monkeypatch.setattr(module, "BATCH", 10)
    (tmp_path / "in.csv").write_text("smiles\n" + "C\n" * 300)
    alive, most = set(), []

    class Row(str):
        def __del__(self):
            alive.discard(id(self))

    batches = tables._batches

    def watched(table, shard):
        for rows in batches(table, shard):
            marked = [row._replace(raw=Row(row.raw)) for row in rows]
            alive.update(id(row.raw) for row in marked)
            most.append(len(alive))
            yield marked
            del marked, rows

    monkeypatch.setattr(tables, "_batches", watched)
    predict_table(predictor, tmp_path / "in.csv", tmp_path / "out.csv")
    assert max(most) <= 40
    assert len(most) == 30
