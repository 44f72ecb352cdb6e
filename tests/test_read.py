"""The reader: every format told by its content, every row once and untouched, every wrong file in words."""

import bz2
import csv
import gzip
import io
import lzma
import random
import sys
import tracemalloc
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molmp.errors import ColumnError, ConfigError, DataError, FileFormatError, MissingExtraError
from molmp.tables.read import open_table

CSV = "id,smiles,y\n007,CCO,1.5\nNA,c1ccccc1,\n1e5,C1CC,nan\n"
CELLS = [("007", "CCO", "1.5"), ("NA", "c1ccccc1", ""), ("1e5", "C1CC", "nan")]


@pytest.fixture
def write(tmp_path):
    def write(content, name="t.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def rows_of(path, **options):
    with open_table(path, **options) as table:
        return list(table)


def cells_of(path, **options):
    return [row.cells for row in rows_of(path, **options)]


# Delimited text


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_cells_are_kept_byte_for_byte(write, delimiter, newline, bom):
    text = CSV.replace(",", delimiter).replace("\n", newline)
    with open_table(write(bom + text.encode())) as table:
        assert table.columns == ("id", "smiles", "y")
        assert table.smiles_index == 1
        assert [row.cells for row in table] == CELLS
        assert table.layout.delimiter == delimiter
        assert table.layout.newline == newline


def test_utf16_with_a_byte_order_mark(write):
    assert cells_of(write(CSV.encode("utf-16"))) == CELLS


def test_damaged_utf16(write):
    with pytest.raises(FileFormatError, match="not UTF-16"):
        cells_of(write(CSV.encode("utf-16")[:-1]))


def test_bytes_that_are_not_utf8_pass_through(write):
    (row,) = cells_of(write("smiles,name\nCCO,caf\xe9\n".encode("latin-1")))
    assert row[1].encode("utf-8", "surrogateescape") == b"caf\xe9"


def test_quotes_and_newlines_within_cells(write):
    text = 'smiles,note\nCCO,"a ""b"", c"\nCCC,"two\nlines"\nCCN,last\n'
    rows = rows_of(write(text))
    assert [row.cells[1] for row in rows] == ['a "b", c', "two\nlines", "last"]
    assert [row.line for row in rows] == [2, 3, 5]
    assert [row.raw for row in rows] == ['CCO,"a ""b"", c"', 'CCC,"two\nlines"', "CCN,last"]


def test_blank_lines_are_no_rows_but_count_as_lines(write):
    rows = rows_of(write("\nsmiles,y\n\nCCO,1\n   \n,\nCCC,2\n\n"))
    assert [(row.line, row.cells) for row in rows] == [(4, ("CCO", "1")), (6, ("", "")), (7, ("CCC", "2"))]


def test_ragged_rows_are_marked_and_lose_nothing(write):
    rows = rows_of(write("smiles,y\nCCO,1\nCCC\nCCN,2,x,y\nCCF,3,,\n"))
    assert [row.cells for row in rows] == [("CCO", "1"), ("CCC", ""), ("CCN", "2,x,y"), ("CCF", "3")]
    assert [row.problem and row.problem.code for row in rows] == [None, "ragged", "ragged", None]
    assert rows[2].problem.reason == "the row has 4 cells, the table 2 columns"


@pytest.mark.parametrize("stray", ['"CCC,2', '"CCC"x,2'])
def test_a_stray_quote_spoils_its_own_row_only(write, stray):
    rows = rows_of(write(f"smiles,y\nCCO,1\n{stray}\nCCN,3\nCCF,4\n"))
    assert [row.problem and row.problem.code for row in rows] == [None, "ragged", None, None]
    assert [row.line for row in rows] == [2, 3, 4, 5]
    assert [row.cells[1] for row in rows] == ["1", "2", "3", "4"]


def test_a_quote_within_an_unquoted_cell_is_text(write):
    assert cells_of(write('smiles,name\nCCO,3"-methyl\n')) == [("CCO", '3"-methyl')]


def test_one_column_and_no_header(write):
    with open_table(write("CCO\nC\nC1CC\n" + "CC\n" * 20, "list.txt")) as table:
        assert table.columns == ("smiles",)
        assert [row.cells[0] for row in table][:3] == ["CCO", "C", "C1CC"]
        assert "no line of column names: the first line is a molecule" in table.notes


def test_several_columns_and_no_header(write):
    with open_table(write("1.5,CCO\n2.5,CCC\n")) as table:
        assert table.columns == ("column1", "smiles")
        assert [row.cells for row in table] == [("1.5", "CCO"), ("2.5", "CCC")]


def test_a_header_that_reads_as_a_molecule(write):
    with open_table(write("CO,smiles\n1,CCO\n2,CCC\n")) as table:
        assert table.columns == ("CO", "smiles")


@pytest.mark.parametrize(("header", "count"), [(True, 1), (False, 2), (None, 2)])
def test_header_can_be_said(write, header, count):
    assert len(cells_of(write("CCO,1\nCCC,2\n"), header=header)) == count


def test_delimiter_can_be_said(write):
    path = write("smiles|y\nCCO|1\n")
    assert cells_of(path, delimiter="|") == [("CCO", "1")]
    with pytest.raises(ConfigError, match="one character"):
        open_table(path, delimiter="||")


def test_decimal_commas_do_not_confuse_semicolons(write):
    assert cells_of(write("smiles;y\nCCO;1,5\nCCC;2,5\n")) == [("CCO", "1,5"), ("CCC", "2,5")]
    assert cells_of(write("1,5;CCO\n2,5;CCC\n")) == [("1,5", "CCO"), ("2,5", "CCC")]


def test_an_ambiguous_delimiter_is_refused(write):
    with pytest.raises(DataError, match="by comma and by semicolon; say which"):
        open_table(write("a,b;c\n1,2;3\n4,5;6\n"))


def test_row_names_without_a_column_name_are_refused(write):
    with pytest.raises(DataError, match="every row has 3 cells but the first line names 2"):
        open_table(write("smiles,y\n1,CCO,1\n2,CCC,2\n"))


def test_a_column_that_is_there_twice(write):
    with open_table(write("smiles,y,y\nCCO,1,2\n")) as table:
        assert table.columns == ("smiles", "y", "y")
        with pytest.raises(DataError, match="2 columns named 'y'"):
            table.index("y")


@pytest.mark.parametrize("count", [1, 99, 100, 101, 102, 2500])
def test_every_row_comes_out_once(write, count):
    path = write("smiles,i\n" + "".join(f"CCO,{i}\n" for i in range(count)))
    with open_table(path) as table:
        table.peek(7)
        seen = [int(row.cells[1]) for row in islice(table, 3)]
        _ = table.smiles_index  # looks ahead in the middle of the stream
        seen += [int(row.cells[1]) for row in table]
    assert seen == list(range(count))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["C", "CCO", "N#N"]), st.text(max_size=8), st.text(max_size=8)), max_size=9))
def test_what_the_csv_module_writes_is_read(tmp_path_factory, cells):
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    clean = [tuple(cell.replace("\0", "") for cell in row) for row in cells]
    encodable = [row for row in clean if all(cell.isascii() or cell.isprintable() for cell in row)]
    writer.writerows([("smiles", "a", "b"), ("CCC", "1", "2"), *encodable])
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_bytes(text.getvalue().encode("utf-8", "surrogatepass"))
    assert cells_of(path, delimiter=",", header=True)[1:] == encodable


# Other formats


def test_smi_keeps_its_first_molecule(write):
    path = write("# a comment\nCCO ethanol\n\nC1CC\tbroken ring\nC\n#end\n", "t.smi")
    with open_table(path) as table:
        assert table.columns == ("smiles", "name")
        assert table.layout.format == "smi"
        rows = list(table)
    assert [row.cells for row in rows] == [("CCO", "ethanol"), ("C1CC", "broken ring"), ("C", "")]
    assert [row.line for row in rows] == [2, 4, 5]


def test_smi_with_a_title_line(write):
    with open_table(write("SMILES Name\nCCO ethanol\n", "t.smi")) as table:
        assert [row.cells for row in table] == [("CCO", "ethanol")]
        assert any("is a title" in note for note in table.notes)


def test_smi_is_known_without_its_name(write):
    assert cells_of(write("CCO ethanol\nCCC propane gas\n", "t")) == [("CCO", "ethanol"), ("CCC", "propane gas")]


def test_smi_delimited_by_tabs_has_no_header(write):
    assert cells_of(write("CCO\tethanol\nCCC\tpropane\n", "t.smi")) == [("CCO", "ethanol"), ("CCC", "propane")]


def test_smi_name_on_a_csv_does_not_mislead(write):
    assert cells_of(write(CSV, "t.smi")) == CELLS


def test_smi_of_unreadable_molecules_keeps_its_rows(write):
    assert cells_of(write("C1CC a\nxyz b\n", "t.smi")) == [("C1CC", "a"), ("xyz", "b")]


@pytest.fixture
def sdf():
    """Ethanol, a carbon with five bonds, a block that is none, an empty one; fields differ."""
    ethanol = Chem.MolToMolBlock(Chem.MolFromSmiles("OCC"))
    five = Chem.MolToMolBlock(Chem.MolFromSmiles("C(C)(C)(C)(C)C", sanitize=False), kekulize=False)
    empty = Chem.MolToMolBlock(Chem.MolFromSmiles(""))
    return (
        f"alcohol{ethanol}>  <id>\n007\n\n> <note>  (1)\ntwo\nlines\n\n> <id>\nagain\n\n$$$$\n"
        f"{five}> <id>\nNA\n\n$$$$\nrubbish\n\n\nrubbish V2000\nM  END\n> <late>\n1e5\n\n$$$$\n{empty}$$$$\n"
    )


def test_sdf(write, sdf):
    with open_table(write(sdf, "t.dat")) as table:
        assert table.columns == ("smiles", "name", "id", "note", "late")
        assert table.smiles_index == 0
        rows = list(table)
    assert [row.cells for row in rows] == [
        ("CCO", "alcohol", "007", "two\nlines", ""),
        ("", "", "NA", "", ""),
        ("", "rubbish", "", "", "1e5"),
        ("", "", "", "", ""),
    ]
    assert [row.problem and row.problem.code for row in rows] == [None, "valence", "syntax", "empty"]
    lines = sdf.splitlines()
    assert [row.line for row in rows] == [1, *(i + 2 for i, line in enumerate(lines[:-1]) if line == "$$$$")]


def test_sdf_without_its_last_end(write, sdf):
    assert cells_of(write(sdf.rstrip().removesuffix("$$$$"))) == cells_of(write(sdf, "u.sdf"))


def test_sdf_with_a_field_of_our_names(write):
    block = Chem.MolToMolBlock(Chem.MolFromSmiles("OCC"))
    with open_table(write(f"{block}> <smiles>\nOCC\n\n> <name>\nx\n\n$$$$\n", "t.sdf")) as table:
        assert table.columns == ("smiles_from_structure", "title", "smiles", "name")
        assert table.smiles_index == 0
        assert [row.cells for row in table] == [("CCO", "", "OCC", "x")]


def test_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "t"
    pq.write_table(pa.table({"n": [1, None], "smiles": ["CCO", "CC"], "y": [0.1, None], "ok": [True, False]}), path)
    with open_table(path) as table:
        assert table.columns == ("n", "smiles", "y", "ok")
        assert [row.cells for row in table] == [("1", "CCO", "0.1", "True"), ("", "CC", "", "False")]


def test_damaged_parquet(write):
    pytest.importorskip("pyarrow")
    with pytest.raises(FileFormatError, match="damaged Parquet"):
        open_table(write(b"PAR1 and then nothing"))


def test_parquet_without_pyarrow(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match=r"molmp\[parquet\]"):
        open_table(write(b"PAR1 and then nothing"))


# Compression and standard input


def zstd_compress(data):
    module = pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    return module.compress(data)


PACK = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstd_compress}


@pytest.mark.parametrize("kind", PACK)
def test_compression_is_told_by_content(write, kind):
    assert cells_of(write(PACK[kind](CSV.encode()), "t.csv")) == CELLS


@pytest.mark.parametrize("kind", PACK)
def test_truncated_compression(write, kind):
    noise = random.Random(0)
    text = "smiles,y\n" + "".join(f"CCO,{noise.random()}\n" for _ in range(20_000))
    data = PACK[kind](text.encode())
    with pytest.raises(FileFormatError, match=f"damaged {kind}"):
        cells_of(write(data[: len(data) * 2 // 3]))


def test_damaged_gzip(write):
    data = bytearray(gzip.compress(CSV.encode() * 2000))
    data[-6] ^= 1  # in the checksum
    with pytest.raises(FileFormatError, match=r"damaged gzip data: CRC"):
        cells_of(write(bytes(data)))
    with pytest.raises(FileFormatError, match="damaged gzip"):
        open_table(write(b"\x1f\x8brubbish"))


def test_gzip_of_several_members(write):
    head, tail = CSV[:30].encode(), CSV[30:].encode()
    assert cells_of(write(gzip.compress(head) + gzip.compress(tail))) == CELLS


def test_zstd_without_its_package(write, monkeypatch):
    data = b"\x28\xb5\x2f\xfd rubbish"
    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    with pytest.raises(MissingExtraError, match=r"molmp\[zstd\]"):
        open_table(write(data))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
@pytest.mark.parametrize("kind", ["csv", "sdf", "parquet"])
def test_standard_input(write, monkeypatch, sdf, kind, pack):
    match kind:
        case "csv":
            data = CSV.encode()
        case "sdf":
            data = sdf.encode()
        case _:
            pa = pytest.importorskip("pyarrow")
            pq = pytest.importorskip("pyarrow.parquet")
            file = io.BytesIO()
            pq.write_table(pa.table({"smiles": ["CCO"]}), file)
            data = file.getvalue()

    class Drops(io.RawIOBase):
        """A pipe that gives a few bytes at a time."""

        left = pack(data)

        def readable(self):
            return True

        def readinto(self, buffer):
            some, self.left = self.left[:3], self.left[3:]
            buffer[: len(some)] = some
            return len(some)

    stdin = type("stdin", (), {"buffer": Drops()})
    monkeypatch.setattr(sys, "stdin", stdin)
    assert cells_of("-") == cells_of(write(data))
    assert not stdin.buffer.closed


# Wrong files


def test_missing_file_names_its_neighbours(write, tmp_path):
    write(CSV, "molecules.csv")
    with pytest.raises(DataError, match=r"no such file: .*molecule\.csv; did you mean molecules\.csv\?"):
        open_table(tmp_path / "molecule.csv")
    with pytest.raises(DataError, match="no such file"):
        open_table(tmp_path / "no" / "such.csv")


def test_folder(tmp_path):
    with pytest.raises(DataError, match="is a folder"):
        open_table(tmp_path)


EMPTY = {"nothing": b"", "zipped": gzip.compress(b"", mtime=0), "blank lines": b"\n\n  \n", "mark": b"\xef\xbb\xbf"}


@pytest.mark.parametrize("content", EMPTY.values(), ids=EMPTY.keys())
def test_empty_file(write, content):
    with pytest.raises(DataError, match="is empty"):
        open_table(write(content))


def test_header_only(write):
    with pytest.raises(DataError, match="has no rows; it has the columns smiles, y"):
        open_table(write("smiles,y\n"))
    with pytest.raises(DataError, match="has no rows"):
        open_table(write("# nothing\n", "t.smi"))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (bytes(range(256)) * 20, "binary data"),
        (b"PK\x03\x04....", "zip archive or an Excel workbook"),
        (b"%PDF-1.7", "PDF"),
        (b"  <!DOCTYPE html><html>", "HTML page"),
        (b"\x89PNG\r\n", "picture"),
        (b"\x80\x04\x95\x00\x00", "binary data"),
    ],
)
def test_files_that_are_no_table(write, content, what):
    with pytest.raises(FileFormatError, match=what):
        open_table(write(content))


def test_no_such_column(write):
    with pytest.raises(ColumnError, match="has no column 'SMILES'; it has id, smiles, y"):
        open_table(write(CSV), smiles_column="SMILES")


def test_no_column_of_smiles(write):
    with open_table(write("a,b\n1,x\n2,y\n")) as table, pytest.raises(DataError, match=r"no column of SMILES.*a, b"):
        _ = table.smiles_index


def test_an_endless_line_is_refused(write, monkeypatch):
    monkeypatch.setattr("molmp.tables.lines.Lines.__init__.__defaults__", (1000,))
    with pytest.raises(FileFormatError, match="line 2 is longer than 1,000 characters"):
        cells_of(write("smiles\n" + "C" * 2000))


# Memory


def test_memory_does_not_grow_with_rows(write):
    def peak(count):
        path = write(gzip.compress(("smiles,y\n" + "CCO,1\n" * count).encode()))
        tracemalloc.start()
        with open_table(path) as table:
            for _ in table.batches(100):
                pass
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(10)
    assert peak(40_000) < 1.5 * peak(4_000)


def test_batches(write):
    with open_table(write(CSV)) as table:
        assert [len(batch) for batch in table.batches(2)] == [2, 1]


# Hostile files

SWELL = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstd_compress}


@pytest.mark.parametrize("kind", SWELL)
def test_a_bomb_is_refused_before_it_has_gone_off(write, kind, monkeypatch):
    monkeypatch.setattr("molmp.tables.unpack.FREE", 1 << 20)
    path = write(SWELL[kind](b"smiles\n" + (b"C" * 9999 + b"\n") * (1 << 12)))
    with pytest.raises(FileFormatError, match=r"t\.csv unpacks to more than 500 times its size"):
        cells_of(path)


def test_what_swells_little_is_read(write, monkeypatch):
    monkeypatch.setattr("molmp.tables.unpack.FREE", 100)
    noise = random.Random(0)
    text = "smiles,y\n" + "".join(f"CCO,{noise.random()}\n" for _ in range(5_000))
    assert len(rows_of(write(lzma.compress(text.encode())))) == 5_000


def test_xz_that_asks_for_the_machines_memory(write):
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29, "mode": lzma.MODE_FAST, "mf": lzma.MF_HC3}]
    with pytest.raises(FileFormatError, match="damaged xz data: Memory usage limit exceeded"):
        open_table(write(lzma.compress(CSV.encode(), filters=filters)))


def test_xz_of_several_streams_with_padding(write):
    data = lzma.compress(CSV[:30].encode()) + b"\0" * 8 + lzma.compress(CSV[30:].encode()) + b"\0" * 4
    assert cells_of(write(data)) == CELLS


@pytest.mark.parametrize("kind", ["gzip", "xz"])
def test_rubbish_after_compressed_data(write, kind):
    with pytest.raises(FileFormatError, match=f"damaged {kind} data"):
        cells_of(write(PACK[kind](CSV.encode()) + b"rubbish"))


def test_an_endless_record_of_an_sd_file(write, sdf, monkeypatch):
    monkeypatch.setattr("molmp.tables.sdf.MAX_LINE", 1000)
    with pytest.raises(FileFormatError, match="the record from line 1 is longer than 1,000 characters"):
        cells_of(write(sdf.split("$$$$")[0] + "a\n" * 2000))


def test_an_sd_file_in_another_encoding(write, sdf):
    first = sdf.split("$$$$")[0].encode()
    (row,) = rows_of(write(b"m\xe9thane" + first[first.index(b"\n") :]))
    assert row.cells[0]
    assert row.cells[1].encode("utf-8", "surrogateescape") == b"m\xe9thane"


def test_an_sd_file_that_announces_more_atoms_than_there_may_be(write, monkeypatch):
    monkeypatch.setattr(Chem, "MolFromMolBlock", None)
    counts = "  0  0  0     0  0            999 V3000\nM  V30 BEGIN CTAB\nM  V30 COUNTS 99999999 1 0 0 0\n"
    (row,) = rows_of(write(f"big\n\n\n{counts}M  END\n$$$$\n"))
    assert row.problem == ("too-large", "99,999,999 atoms, more than 2,000")


def test_utf16_without_its_mark(write):
    for encoding in ("utf-16-le", "utf-16-be"):
        with pytest.raises(FileFormatError, match="looks like UTF-16 without its byte order mark"):
            open_table(write(CSV.encode(encoding)))


def test_a_comment_in_a_csv(write):
    with pytest.raises(DataError, match=r"line 1: '# made by hand' is a comment, which only SMI files may have"):
        open_table(write("# made by hand\n" + CSV))


def test_vertical_bars(write):
    assert cells_of(write(CSV.replace(",", "|"))) == CELLS


def test_parquet_whose_texts_are_no_text(write):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file = io.BytesIO()
    raw = pa.array([b"CCO", b"\xff\xfe"]).view(pa.string())
    pq.write_table(pa.table({"smiles": raw}), file)
    with pytest.raises(FileFormatError, match="is a damaged Parquet file after row 0"):
        rows_of(write(file.getvalue()))
