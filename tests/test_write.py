"""The writer: input columns byte for byte, ours after them, files whole or not at all."""

import csv
import errno
import gzip
import io
import os

import click
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from molmp.errors import ConfigError, DataError
from molmp.tables.read import open_table
from molmp.tables.rows import Layout, Row
from molmp.tables.write import atomic_path, open_writer

INPUT = 'id,"smiles",note\n007,CCO,"a ""b"", c"\nNA, CC,"two\nlines"\n1e5,"C",3"\n'
OURS = {"y_pred": float, "error": str}
VALUES = [(1.5, None), (float("nan"), 'not, "good"'), (-2e-7, "")]


def append(source, out, values=VALUES, columns=OURS):
    with open_table(source) as table, open_writer(out, columns, after=table.layout) as writer:
        for i, batch in enumerate(table.batches(2)):
            writer.write(values[2 * i : 2 * i + 2], batch)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.csv"
    path.write_bytes(INPUT.encode())
    return path


def test_input_lines_are_copied_as_they_stood(source, tmp_path):
    append(source, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == (
        'id,"smiles",note,y_pred,error\n007,CCO,"a ""b"", c",1.5,\nNA, CC,"two\nlines",,"not, ""good"""\n'
        '1e5,"C",3",-2e-07,\n'
    )


@pytest.mark.parametrize("name", ["out.tsv", "out.csv.gz", "OUT.TSV.GZ", "out.parquet"])
def test_every_format_holds_the_same(source, tmp_path, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    append(source, tmp_path / name)
    append(source, tmp_path / "want.csv")
    with open_table(tmp_path / name) as got, open_table(tmp_path / "want.csv") as want:
        assert got.columns == want.columns == ("id", "smiles", "note", "y_pred", "error")
        assert [row.cells for row in got] == [row.cells for row in want]
        assert all(row.problem is None for row in got)


def test_gzip_does_not_depend_on_the_time_or_the_name(source, tmp_path):
    append(source, tmp_path / "a.csv.gz")
    packed = (tmp_path / "a.csv.gz").read_bytes()
    assert gzip.decompress(packed).startswith(b'id,"smiles"')
    assert packed[3:8] == bytes(5)  # no name, no time


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("semicolons.csv", b"smiles;y\r\nCCO;1,5\r\n", b"smiles;y;p\r\nCCO;1,5;7\r\n"),
        ("latin.csv", b"smiles,name\nCCO,caf\xe9\n", b"smiles,name,p\nCCO,caf\xe9,7\n"),
        ("blanks.tsv", b"smiles\tname\nCCO\t \n", b"smiles\tname\tp\nCCO\t \t7\n"),
        ("one.csv", b"smiles\nCCO", b"smiles,p\nCCO,7\n"),
    ],
)
def test_dialect_of_the_input_is_kept(tmp_path, name, before, after):
    (tmp_path / name).write_bytes(before)
    append(tmp_path / name, tmp_path / f"out-{name}", [(7,)], {"p": int})
    assert (tmp_path / f"out-{name}").read_bytes() == after


def test_a_table_without_header_gets_one(tmp_path):
    (tmp_path / "in.smi").write_text("CCO ethanol, pure\nCC\n")
    append(tmp_path / "in.smi", tmp_path / "out.csv", [(1,), (2,)], {"p": int})
    assert (tmp_path / "out.csv").read_text() == 'smiles,name,p\nCCO,"ethanol, pure",1\nCC,,2\n'


def test_ragged_rows_keep_their_text_and_our_columns_their_place(tmp_path):
    (tmp_path / "in.csv").write_text("smiles,y\nCCO\nCC,1,x\nC,2,,\n")
    append(tmp_path / "in.csv", tmp_path / "out.csv", [(1,), (2,), (3,)], {"p": int})
    with open(tmp_path / "out.csv") as file:
        assert list(csv.reader(file))[1:] == [["CCO", "", "1"], ["CC", "1,x", "2"], ["C", "2", "3"]]


cells = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)


@settings(deadline=None)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=5))
def test_cells_survive_reading_and_writing(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("t")
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([("smiles", "x"), *rows])
    (folder / "in.csv").write_bytes(text.getvalue().encode())
    for name in ("out.csv", "out.tsv"):
        append(folder / "in.csv", folder / name, [(i,) for i in range(len(rows))], {"p": int})
        with open(folder / name, newline="", encoding="utf-8") as file:
            got = list(csv.reader(file, delimiter="," if name == "out.csv" else "\t"))
        assert [tuple(row[:2]) for row in got[1:]] == rows


def test_parquet_keeps_types(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    before = pa.table(
        {
            "id": pa.array([1, None], pa.int32()),
            "smiles": ["CCO", "CC"],
            "y": [float("nan"), None],
            "tags": [["a"], []],
            "kind": pa.array(["x", "y"]).dictionary_encode(),
        }
    )
    pq.write_table(before, tmp_path / "in.parquet")
    before = pq.read_table(tmp_path / "in.parquet")
    append(tmp_path / "in.parquet", tmp_path / "out.parquet", [(1.5, None), (float("nan"), "bad")])
    after = pq.read_table(tmp_path / "out.parquet")
    assert str(after.select(before.column_names)) == str(before)
    assert after["y_pred"].to_pylist() == [1.5, None]
    assert after["error"].to_pylist() == [None, "bad"]


def test_parquet_refuses_bytes_that_are_no_text(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "in.csv").write_bytes(b"smiles,name\nCCO,caf\xe9\n")
    with pytest.raises(DataError, match="'name' holds bytes that are not UTF-8"):
        append(tmp_path / "in.csv", tmp_path / "out.parquet", [(1,)], {"p": int})
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_a_table_of_our_own(tmp_path):
    with open_writer(tmp_path / "t.csv", {"a": float, "b": str}) as writer:
        writer.write([(np.float32(1.1), "x"), (np.nan, None)])
        writer.write([])
    assert (tmp_path / "t.csv").read_text() == "a,b\n1.1,x\n,\n"


def test_standard_output(source):
    @click.command()
    def command():
        append(source, "-")

    want = 'id,"smiles",note,y_pred,error\n007,CCO,"a ""b"", c",1.5,\n'
    assert CliRunner().invoke(command).output.startswith(want)


# Whole or not at all


def interrupted(error):
    yield from ((i,) for i in range(20_000))
    raise error


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz", "out.parquet"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_error_leaves_nothing_behind(source, tmp_path, name, error):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_text("old")
    with pytest.raises(error), open_writer(tmp_path / name, {"a": int}) as writer:
        writer.write(interrupted(error))
    assert (tmp_path / name).read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["in.csv", name])


@pytest.fixture
def small_disk():
    """Let no file grow beyond 4 kB: the system refuses as a full disk does."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz", "out.parquet"])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, small_disk, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    noise = np.random.default_rng(0).random((2000, 1)).tolist()
    with pytest.raises(OSError, match="File too large") as caught, open_writer(tmp_path / name, {"a": float}) as writer:
        writer.write(noise)
    assert caught.value.errno == errno.EFBIG
    assert caught.value.filename == str(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_devices_are_written_to_directly():
    with atomic_path("/dev/null") as path:
        assert str(path) == "/dev/null"
    assert os.path.exists("/dev/null")


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("real.csv")
    with open_writer(tmp_path / "link.csv", {"a": int}):
        pass
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text() == "a\n"


def test_new_files_have_the_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    with open_writer(tmp_path / "t.csv", {"a": int}):
        pass
    assert (tmp_path / "t.csv").stat().st_mode == (tmp_path / "usual").stat().st_mode


# Wrong names


@pytest.mark.parametrize("name", ["out", "out.xlsx", "out.smi", "out.parquet.gz", "out.gz"])
def test_a_name_that_says_no_format(tmp_path, name):
    with (
        pytest.raises(ConfigError, match=r"end it in \.csv, \.tsv, \.csv\.gz or \.parquet"),
        open_writer(tmp_path / name, {"a": int}),
    ):
        pass


def test_a_missing_folder_and_a_folder(tmp_path):
    with pytest.raises(DataError, match="there is no folder"), open_writer(tmp_path / "no" / "t.csv", {"a": int}):
        pass
    (tmp_path / "dir.csv").mkdir()
    with pytest.raises(DataError, match="is a folder"), open_writer(tmp_path / "dir.csv", {"a": int}):
        pass


def test_a_column_of_our_name(source, tmp_path):
    """Ours has another, so that a table of predictions can be predicted again."""
    layout = Layout(format="csv", columns=("smiles", "error", "error_2"))
    for name in ("out.csv", "out.parquet"):
        with open_writer(tmp_path / name, {"y": float, "error": str}, after=layout) as writer:
            assert writer.notes == ["the input has a column 'error'; ours is called 'error_3'"]
            writer.write([(1.5, "bad")], after=[Row(2, ("CCO", "a", "b"))])
        with open_table(tmp_path / name) as table:
            assert table.columns == ("smiles", "error", "error_2", "y", "error_3")
            assert [row.cells for row in table] == [("CCO", "a", "b", "1.5", "bad")]


def test_a_cell_with_a_lone_carriage_return_stays_one_cell(tmp_path):
    """Python's csv module would not quote it, and the next program would see two rows."""
    layout = Layout(format="csv", columns=("smiles", "a\rb"))
    with open_writer(tmp_path / "out.csv", {"y": float}, after=layout) as writer:
        writer.write([(1.5,)], after=[Row(2, ("C\rC", "x"))])
    assert (tmp_path / "out.csv").read_bytes() == b'smiles,"a\rb",y\n"C\rC",x,1.5\n'


FORMULAS = ["=1+1", "+A1", "-A1", "@SUM(A1)", "\t=1", "\r=1", "-", "=HYPERLINK('http://x')"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_or_name_of_ours_is_a_formula_and_those_of_the_user_are_left_alone(tmp_path, text):
    path = tmp_path / "out.csv"
    with open_writer(path, {text: str}, after=Layout(format="csv", columns=("smiles", text + "!"))) as writer:
        writer.write([(text,)], after=[Row(2, ("CCO", text))])
    with path.open(newline="") as file:
        header, row = csv.reader(file)
    assert header == ["smiles", text + "!", "'" + text]
    assert row == ["CCO", text, "'" + text]


def test_numbers_of_ours_stay_numbers(tmp_path):
    with open_writer(tmp_path / "out.csv", {"a": float, "b": str, "c": str}) as writer:
        writer.write([(-1.5, "-2", "+1e-3")])
    assert (tmp_path / "out.csv").read_text() == "a,b,c\n-1.5,-2,+1e-3\n"
