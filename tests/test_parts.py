"""Parts of Parquet tables: together the whole table, each file complete, done twice the same."""

import os
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import SMILES, tiny_bundle

import molmp
from molmp.errors import ColumnError, ConfigError, DataError, FileFormatError
from molmp.inference import parts as module
from molmp.inference.batch_features import BatchFeaturizer
from molmp.inference.batch_predictor import BatchPredictor
from molmp.inference.parts import Part, PartWorker, attempts_file, check_columns, parquet_files, plan_parts
from molmp.inference.predictor import Predictor
from molmp.inference.tables import predict_table
from molmp.tables.features import Features, write_features

ROWS = [*SMILES, "C1CC", "", *SMILES[::-1], "?"] * 3


@pytest.fixture
def source(tmp_path: Path) -> Path:
    ids = pa.array([None if i % 7 == 3 else i for i in range(len(ROWS))], pa.int32())
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"id": ids, "smiles": ROWS}), path, row_group_size=10)
    return path


def worker(on_error: str = "keep", columns: list[str] | None = None) -> PartWorker:
    return PartWorker(partial(BatchPredictor, tiny_bundle(), on_error=on_error, device="cpu"), "smiles", columns)


def read(parts: list[Part]) -> pa.Table:
    return pa.concat_tables([pq.read_table(part.output) for part in parts])


def same(parts: pa.Table, whole: pa.Table) -> None:
    """Equal but for the last digit of predictions, which depends on the company."""
    assert parts.schema == whole.schema
    numbers = [name for name in whole.column_names if name.endswith("_pred")]
    assert parts.drop_columns(numbers).equals(whole.drop_columns(numbers))
    for name in numbers:
        assert parts[name].is_null().equals(whole[name].is_null())
        np.testing.assert_allclose(parts[name].drop_null(), whole[name].drop_null(), rtol=2e-6)


@pytest.mark.parametrize("rows", [1, 4, 10, 13, 1000])
@pytest.mark.parametrize("on_error", ["keep", "drop"])
def test_parts_are_the_whole(source, tmp_path, monkeypatch, rows, on_error):
    predict_table(Predictor(tiny_bundle(), "cpu"), source, tmp_path / "whole.parquet", on_error=on_error)
    monkeypatch.setattr(module, "BATCH", 4)
    (tmp_path / "out").mkdir()
    parts = plan_parts([source], tmp_path / "out", rows)
    done = [worker(on_error)(part) for part in parts]
    assert [part.stop - part.start for part in parts] == [outcome.rows for outcome in done]
    assert sum(outcome.failed for outcome in done) == 9
    same(read(parts), pq.read_table(tmp_path / "whole.parquet"))
    assert sorted(os.listdir(tmp_path / "out")) == [Path(part.output).name for part in parts]


def test_some_columns(source, tmp_path):
    (part,) = plan_parts([source], tmp_path)
    worker(columns=["id"])(part)
    out = pq.read_table(part.output)
    assert out.column_names == ["id", "logS_pred", "mp_pred", "error"]
    assert out["id"].to_pylist() == pq.read_table(source)["id"].to_pylist()


@pytest.mark.parametrize("kind", ["MorganFingerprint", "RDKitDescriptors"])
@pytest.mark.parametrize("on_error", ["keep", "drop"])
def test_features(source, tmp_path, kind, on_error):
    """Parts of features together are what `molmp featurize` writes."""

    def make() -> Features:
        transformer = getattr(molmp, kind)(**({"size": 32} if kind == "MorganFingerprint" else {}))
        names = list(transformer.get_feature_names_out())
        return Features(names, kind == "MorganFingerprint", transformer.iter_rows)

    whole = tmp_path / "whole.parquet"
    write_features(
        str(source), str(whole), make(), smiles_column=None, on_error=on_error, batch=7, tell=lambda note: None
    )
    parts = plan_parts([source], tmp_path, 13)
    features = PartWorker(partial(BatchFeaturizer, make, on_error), "smiles", None)
    assert sum(features(part).failed for part in parts) == 9
    assert read(parts).equals(pq.read_table(whole))


def test_done_twice_is_the_same_file(source, tmp_path):
    part = plan_parts([source], tmp_path, 20)[1]
    first = worker()(part), Path(part.output).read_bytes()
    assert (worker()(part), Path(part.output).read_bytes()) == first


def test_a_fault_of_the_data_is_told_and_leaves_nothing(source, tmp_path):
    (tmp_path / "out").mkdir()
    for part in plan_parts([source], tmp_path / "out", 13):
        done = worker("fail")(part)
        assert done.rows == 0
        assert f"in.parquet, rows {part.start + 1} to {part.stop}: row " in done.problem
        assert "has no prediction" in done.problem
    assert os.listdir(tmp_path / "out") == []


def test_a_part_that_kills_its_workers_is_given_up(source, tmp_path):
    (tmp_path / "out").mkdir()
    part = plan_parts([source], tmp_path / "out", 13)[1]

    class DeathError(BaseException):
        pass

    class Deadly:
        types = {"error": str}  # noqa: RUF012

        def columns_of(self, smiles):
            raise DeathError

    for attempt in (1, 2, 3):
        with pytest.raises(DeathError):
            PartWorker(Deadly, "smiles", None)(part)
        assert attempts_file(part).stat().st_size == attempt
    assert "3 workers died of it" in PartWorker(Deadly, "smiles", None)(part).problem
    assert os.listdir(tmp_path / "out") == []


def test_plan(tmp_path):
    for name, count in (("b", 5), ("a", 4), ("none", 0)):
        pq.write_table(pa.table({"smiles": ["C"] * count}), tmp_path / f"{name}.parquet")
    (tmp_path / "notes.txt").write_text("")
    files = parquet_files(tmp_path)
    assert [path.name for path in files] == ["a.parquet", "b.parquet", "none.parquet"]
    parts = plan_parts(files, tmp_path / "out", 2)
    assert [(Path(p.source).stem, p.start, p.stop, Path(p.output).name) for p in parts] == [
        ("a", 0, 2, "a-00000.parquet"),
        ("a", 2, 4, "a-00001.parquet"),
        ("b", 0, 2, "b-00000.parquet"),
        ("b", 2, 4, "b-00001.parquet"),
        ("b", 4, 5, "b-00002.parquet"),
    ]
    with pytest.raises(DataError, match=r"none.parquet: no rows"):
        plan_parts(files[2:], tmp_path)


def test_inputs_that_cannot_be(tmp_path, source):
    (tmp_path / "in.csv").write_text("smiles\nC\n")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"in.csv is not Parquet: an engine reads parts of files"):
        parquet_files(tmp_path / "in.csv")
    with pytest.raises(DataError, match="empty has no Parquet files; it has none"):
        parquet_files(tmp_path / "empty")
    with pytest.raises(DataError, match=r"no such file: .*other"):
        parquet_files(tmp_path / "other.parquet")
    (tmp_path / "in.pq").write_bytes(source.read_bytes())
    with pytest.raises(DataError, match=r"in.parquet and .*in.pq would both be written to"):
        plan_parts(parquet_files(tmp_path), tmp_path / "out")


def test_columns_that_cannot_be(tmp_path, source):
    with pytest.raises(ColumnError, match=r"in.parquet has no column 'SMILES'; it has id, smiles"):
        check_columns([source], ["SMILES"], None, [])
    with pytest.raises(ColumnError, match=r"in.parquet has no column 'mass'; it has id, smiles"):
        check_columns([source], ["smiles"], ["mass"], [])
    told = check_columns([source], ["smiles"], None, ["id", "error"])
    assert told == ["the input has a column 'id'; ours is called 'id_2'"]
    assert check_columns([source], ["smiles"], ["smiles"], ["id", "error"]) == []
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(FileFormatError, match=r"bad.parquet is a damaged Parquet file"):
        check_columns([source, tmp_path / "bad.parquet"], ["smiles"], None, [])


def test_a_column_of_our_name_is_kept_and_ours_is_called_otherwise(tmp_path):
    """As `molmp predict` does; the same on every engine."""
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"smiles": ["C", "C1"], "error": ["mine", "too"]}), path)
    (part,) = plan_parts([path], tmp_path / "out", 10)
    Path(part.output).parent.mkdir()
    assert worker()(part).problem == ""
    table = pq.read_table(part.output)
    assert table["error"].to_pylist() == ["mine", "too"]
    assert [bool(text) for text in table["error_2"].to_pylist()] == [False, True]
