"""Which column is which, what its cells mean, and every table that cannot be learned from, in words."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molmp.errors import ColumnError, ConfigError, DataError
from molmp.tables.columns import find_smiles_column, find_target_columns, smiles_cell
from molmp.tables.dataset import load_dataset
from molmp.tables.labels import Column, read_labels, read_times, read_weights
from molmp.tables.numbers import is_number, read_numbers

NAN = np.nan


@pytest.fixture
def load(tmp_path):
    def load(text, **options):
        path = tmp_path / "t.csv"
        path.write_text(text)
        return load_dataset(path, **options)

    return load


def column(*cells):
    return Column("t.csv", "y", cells, range(2, len(cells) + 2))


def molecules(*values, header="smiles,y"):
    """A table with a molecule for each value."""
    return "\n".join([header, *(f"{'C' * (i + 1)},{value}" for i, value in enumerate(values))]) + "\n"


# SMILES


@pytest.mark.parametrize(
    ("columns", "want"),
    [
        (["smiles"], 0),
        (["id", "SMILES"], 1),
        (["Canonical SMILES", "smiles"], 1),
        (["name", "Ligand SMILES"], 1),
        (["smiles_stripped", "mol"], 0),
        (["\ufeffx", "canonical-smiles"], 1),
    ],
)
def test_smiles_by_name(columns, want):
    assert find_smiles_column("t.csv", columns, [["?"] * len(columns)]) == (want, "by its name")


@pytest.mark.parametrize(
    ("columns", "rows", "want"),
    [
        (["mol", "CID"], [["CCO", "x1"], ["CC", "x2"]], 0),
        (["mol", "structure"], [["m1", "CCO"], ["m2", "CC"]], 1),
        (["a", "b"], [["1", "CCO"], ["2", "c1ccccc1"]], 1),
        (["flag", "text"], [["N", "CCO"], ["P", "CC"], ["N", "CCC"]], 1),
        (["a", "b"], [["1", "CCO"]] * 9 + [["2", "bad"]], 1),
        (["a", "b"], [["1", "CCO"], ["2", ""], ["3", ""]], 1),
    ],
)
def test_smiles_by_content(columns, rows, want):
    assert find_smiles_column("t.csv", columns, rows)[0] == want


def test_no_smiles():
    rows = [["1", "CCO"]] * 8 + [["2", "bad"]] * 2
    with pytest.raises(DataError, match="no column of SMILES, neither by name nor by content; it has a, b"):
        find_smiles_column("t.csv", ["a", "b"], rows)


def test_several_columns_of_smiles_are_refused():
    with pytest.raises(DataError, match=r"educt_smiles, product_smiles; say which to use \(--smiles-column\)"):
        find_smiles_column("t.csv", ["educt_smiles", "product_smiles"], [])
    with pytest.raises(DataError, match="2 columns named 'smiles'"):
        find_smiles_column("t.csv", ["smiles", "smiles"], [])


def test_a_header_is_told_from_data():
    assert smiles_cell(["CO", "name"], [["CCO", "x"]]) == 0
    assert smiles_cell(["CO", "name"], [["1.5", "x"]]) is None
    assert smiles_cell(["smiles", "y"], [["CCO", "1"]]) is None
    assert smiles_cell(["1.5", "CCO"], []) == 1


# Targets


def test_targets_and_what_is_left_out():
    table = {
        "rank": ["1", "2", "3"],
        "smiles": ["C", "CC", "CCC"],
        "": ["0", "1", "2"],
        "Unnamed: 0": ["5", "6", "7"],
        "mol_id": ["17", "99", "3"],
        "PUBCHEM_CID": ["17", "99", ""],
        "compoundId": ["17", "99", "4"],
        "name": ["a", "b", "c"],
        "bounds": ["1", "2", "> 3"],
        "mixed": ["1", "2", ">three"],
        "empty": ["", "NA", "nan"],
        "constant": ["1", "1.0", "1"],
        "split": ["0", "1", "1"],
        "Fold": ["a", "b", "b"],
        "weight": ["0.5", "1", "1"],
        "step": ["1", "2", "3"],
        "num_rings": ["1", "2", "2"],
        "ok": ["True", "FALSE", ""],
        "logS": ["-1.5", "2e3", "NA"],
    }
    targets, left_out = find_target_columns(list(table), list(table.values()), taken=[1])
    assert [list(table)[i] for i in targets] == ["bounds", "step", "num_rings", "ok", "logS"]
    assert left_out == {
        "rank": "a count of the rows",
        "": "an identifier by its name",
        "Unnamed: 0": "an identifier by its name",
        "mol_id": "an identifier by its name",
        "PUBCHEM_CID": "an identifier by its name",
        "compoundId": "an identifier by its name",
        "name": "not numeric, for example 'a'",
        "mixed": "not numeric, for example '>three'",
        "empty": "no values",
        "constant": "one value only",
        "split": "a split by its name",
        "Fold": "a split by its name",
        "weight": "weights by its name",
    }


# Labels


@pytest.mark.parametrize("cell", ["1", "-1.5", "+.5", "1.", "1e5", "-1E-05", " 7 "])
def test_numbers(cell):
    assert is_number(cell)


@pytest.mark.parametrize("cell", ["", "inf", "nan", "1_000", "1e999", "0x10", "1,5", "\u0661", "1 2", "--1", "e5", "."])
def test_no_numbers(cell):
    assert not is_number(cell)


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_written_floats_are_read_back(value):
    assert is_number(repr(value))
    assert read_labels(column(repr(value), "1", "2.5", "3.5")).values[0] == value


@pytest.mark.parametrize(
    ("cells", "task", "values", "classes"),
    [
        (["1.5", "", "NA", "2"], "regression", [1.5, NAN, NAN, 2], ()),
        (["1", "0", "1.0", "N/A"], "binary", [1, 0, 1, NAN], ("0", "1")),
        (["1", "-1", "1"], "binary", [1, 0, 1], ("-1", "1")),
        (["True", "FALSE", "true", ""], "binary", [1, 0, 1, NAN], ("false", "true")),
        (["2", "0", "1", "1"], "regression", [2, 0, 1, 1], ()),
        (["0.5", "1.5"], "regression", [0.5, 1.5], ()),
        (["1", "2"], "regression", [1, 2], ()),
        (["yes", "no"] * 3, "binary", [1, 0] * 3, ("no", "yes")),
        (["active", "inactive"] * 3, "binary", [1, 0] * 3, ("inactive", "active")),
        (["low", "mid", "high"] * 3, "multiclass", [1, 2, 0] * 3, ("high", "low", "mid")),
    ],
)
def test_task_by_the_values(cells, task, values, classes):
    labels = read_labels(column(*cells))
    assert labels.task == task
    assert labels.classes == classes
    np.testing.assert_array_equal(labels.values, values)


@pytest.mark.parametrize("task", [None, "regression"])
def test_bounds_are_labels(task):
    labels = read_labels(
        column("1", "<5", "> 10", ">=3", "<=-2.5e1", "\u22647", "\u2265 8", "=4", "~5", "", "NA"), task
    )
    assert (labels.task, labels.classes) == ("regression", ())
    np.testing.assert_array_equal(labels.values, [1, 5, 10, 3, -25, 7, 8, 4, 5, NAN, NAN])
    assert labels.sides.tolist() == [0, -1, 1, 1, -1, -1, 1, 0, 0, 0, 0]


def test_numbers_without_bounds_have_no_sides():
    assert read_labels(column("1", "2.5", "~3")).sides is None
    assert read_labels(column("<10", "10-20", ">20", "<10", ">20", "10-20", "<10", "10-20", ">20")).task == "multiclass"


def test_numbers_of_any_kind():
    for cells in ([1, "2.5", "<3", None], np.array(["1", "2.5", "<3", ""], object), pd.Series([1, 2.5, "<3", NAN])):
        values, sides = read_numbers(cells)
        np.testing.assert_array_equal(values, [1, 2.5, 3, NAN])
        assert sides.tolist() == [0, 0, -1, 0]
    values, sides = read_numbers(pd.DataFrame({"a": [1, 2], "b": ["<3", "4"]}))
    assert values.tolist() == [[1, 3], [2, 4]]
    assert sides.tolist() == [[0, -1], [0, 0]]
    for bad in (["low", 1], ["<low", "2"], ["2,5"], [1, float("inf")]):
        with pytest.raises(DataError):
            read_numbers(bad)


@pytest.mark.parametrize(
    ("cells", "task", "values", "classes"),
    [
        (["0", "1", "1"], "regression", [0, 1, 1], ()),
        (["5", "2", "9", ""], "multiclass", [1, 0, 2, NAN], ("2", "5", "9")),
        (["b", "a"], "binary", [1, 0], ("a", "b")),
        (["0", "1"], "multiclass", [0, 1], ("0", "1")),
    ],
)
def test_task_as_asked(cells, task, values, classes):
    labels = read_labels(column(*cells), task)
    assert (labels.task, labels.classes) == (task, classes)
    np.testing.assert_array_equal(labels.values, values)


@pytest.mark.parametrize(
    ("cells", "task", "message"),
    [
        (["1", "x", "2", "z"], None, r"row 2 \(line 3\): column 'y' has 'x', not a number \(1 more rows like it\)"),
        (["1.5", "inf"], None, "has 'inf', not a number"),
        (["1,5", "2,5"], "regression", "'1,5', not a number; write decimals with a point"),
        (["1", ">10", "ten"], None, "'ten', not a number"),
        (["1", "six", "ten"], "regression", "'six', not a number"),
        ([">5", ">10"], "regression", "'>5', not a number; bounds need some values beside them"),
        (["0", "1", ">1"], "binary", "'>1', not a number; bounds need some values beside them, and the task regr"),
        (["~5", "=5", "5"], None, "all labels of 'y' are"),
        (["a", "b", "c"], None, "column 'y' has 'a', not a number"),
        (["yes", "no"] * 5, "regression", "'yes', not a number"),
        (["", "NA"], None, "all labels of 'y' are missing"),
        (["1", "1.0", ""], None, "all labels of 'y' are '1': with one value or class only"),
        (["0", "0"], "binary", "one value or class only"),
        (["0", "1", "2"], "binary", "'y' has 3 different values, a binary target has two; they are 0, 1, 2"),
        (["0", "1.5", "2"], "multiclass", "has '1.5', a fraction, which is no class"),
    ],
)
def test_labels_that_are_refused(cells, task, message):
    with pytest.raises(DataError, match=message):
        read_labels(column(*cells), task)


@pytest.mark.parametrize("bad", ["-1", "", "x", "inf", "nan"])
def test_weights(bad):
    np.testing.assert_array_equal(read_weights(column("0", "1.5")), [0, 1.5])
    with pytest.raises(DataError, match=r"row 2 .line 3.*no weight"):
        read_weights(column("1", bad))
    with pytest.raises(DataError, match="all weights in 'y' are zero"):
        read_weights(column("0", "0"))


def test_times():
    dates = read_times(column("2001-02-03", "2001-02-03T01:00:00+01:00", "1999-01-01 12:00"))
    assert dates[0] == dates[1] > dates[2]
    np.testing.assert_array_equal(read_times(column("1999", "2001.5")), [1999, 2001.5])
    with pytest.raises(DataError, match=r"row 2 .*'31/12/1999', not a date such as 2024-05-31"):
        read_times(column("1999-12-31", "31/12/1999"))
    with pytest.raises(DataError, match=r"row 2 .*'', not a number"):
        read_times(column("1999", "", "2000"))


def test_malformed_rows_are_not_judged():
    bad = Column("t.csv", "y", ["1", "rubbish", "2.5"], [2, 3, 4], skip={1})
    np.testing.assert_array_equal(read_labels(bad).values, [1, NAN, 2.5])
    np.testing.assert_array_equal(read_weights(bad), [1, 0, 2.5])
    np.testing.assert_array_equal(read_times(bad), [1, NAN, 2.5])


# The whole table


def test_what_was_inferred_is_told(load):
    data = load(molecules("1.5", "", "-2"))
    assert data.smiles == ["C", "CC", "CCC"]
    assert (data.task, data.target_names, len(data)) == ("regression", ("y",), 3)
    np.testing.assert_array_equal(data.targets, [[1.5], [NAN], [-2]])
    assert data.notes == [
        "columns delimited by comma",
        "SMILES in column 'smiles' (found by its name)",
        "target 'y'",
        "task regression (by the values of the targets)",
    ]


def test_several_targets_with_gaps(load):
    data = load("a,smiles,b\n1,C,\n0,CC,1\n,CCC,0\n")
    assert data.target_names == ("a", "b")
    np.testing.assert_array_equal(data.targets, [[1, NAN], [0, 1], [NAN, 0]])
    assert data.task == "binary"
    assert data.class_names == {"a": ("0", "1"), "b": ("0", "1")}


def test_all_that_can_be_said(load):
    data = load(
        "mol,w,part,year,b,a,smiles\nC,1,train,2001,1,0,x\nCC,2,test,2000,2,0,y\n",
        smiles_column="mol",
        target_columns=["b"],
        task="regression",
        weight_column="w",
        split_column="part",
        time_column="year",
        units={"b": "kcal/mol"},
    )
    assert data.smiles == ["C", "CC"]
    assert data.split == ["train", "test"]
    assert data.units == {"b": "kcal/mol"}
    np.testing.assert_array_equal(data.weights, [1, 2])
    np.testing.assert_array_equal(data.times, [2001, 2000])
    np.testing.assert_array_equal(data.targets, [[1], [2]])
    assert data.notes == ["columns delimited by comma", "task regression"]


def test_classes_are_told(load):
    data = load(molecules("toxic", "safe", "toxic", "safe", "toxic", "safe"), target_columns=["y"])
    assert data.class_names == {"y": ("safe", "toxic")}
    assert data.notes[-1] == "task binary (by the values of the targets); classes from 0: y 'safe' 'toxic'"
    assert "if the whole numbers in y are classes" in load(molecules(3, 1, 2, 3, 1, 2, 3, 1, 2)).notes[-1]
    assert "classes" not in load(molecules(3, 1, 2, 5)).notes[-1]


def test_the_only_other_column_may_hold_classes(load):
    data = load(molecules("toxic", "safe", "toxic", "safe", "toxic", "safe"))
    assert (data.task, data.class_names) == ("binary", {"y": ("safe", "toxic")})


def test_malformed_rows_are_kept_without_labels(load):
    data = load("smiles,y\nC,1\nCC,2,3\nCCC\nCCCC,4\n")
    assert data.smiles == ["C", "", "", "CCCC"]
    np.testing.assert_array_equal(data.targets[:, 0], [1, NAN, NAN, 4])
    assert sorted(data.problems) == [1, 2]
    assert (
        "row 2 (line 3) is malformed and not used: the row has 3 cells, the table 2 columns, and 1 more malformed rows"
        in data.notes
    )


@pytest.mark.parametrize(
    ("text", "options", "error", "message"),
    [
        (molecules("1", "x"), {}, DataError, r"row 2 \(line 3\): column 'y' has 'x', not a number"),
        (molecules("1", "1"), {}, DataError, "one value or class only"),
        (molecules("", ""), {}, DataError, "all labels of 'y' are missing"),
        (molecules("7", "9", header="smiles,id"), {}, DataError, r"left out: id \(an identifier by its name\)"),
        ("smiles,a,b\nC,x,1\nCC,y,1\n", {}, DataError, r"left out: a \(not numeric, for example 'x'\), b \(one value"),
        (molecules("1", "x"), {"target_columns": ["y"]}, DataError, r"row 2 \(line 3\): column 'y' has 'x'"),
        (molecules("1", "1"), {"target_columns": ["y"]}, DataError, "one value or class only"),
        (molecules("", ""), {"target_columns": ["y"]}, DataError, "all labels of 'y' are missing"),
        (molecules("1", "2"), {"target_columns": ["Y"]}, ColumnError, "no column 'Y'; it has smiles, y"),
        (molecules("1", "2"), {"target_columns": ["y", "y"]}, ConfigError, "'y' is named twice"),
        (molecules("1", "2"), {"target_columns": []}, ConfigError, "no target column is named"),
        (molecules("1", "2"), {"target_columns": ["smiles"]}, ConfigError, "both the SMILES column and a target"),
        (molecules("1", "2"), {"weight_column": "y", "target_columns": ["y"]}, ConfigError, "both the weights column"),
        (molecules("1", "2"), {"split_column": "part"}, ColumnError, "no column 'part'"),
        (molecules("1", "2"), {"task": "ranking"}, ConfigError, "no task 'ranking'; there are regression, binary"),
        (molecules("1", "2"), {"units": {"z": "K"}}, ConfigError, "a unit is given for z, no target; targets are y"),
        ("smiles,y,y\nC,1,2\nCC,2,3\n", {}, DataError, "2 columns named 'y'"),
        ("smiles,a,b\nC,1,2.5\nCC,0,3\n", {}, DataError, r"mixes tasks \(regression: b; binary: a\)"),
    ],
)
def test_tables_that_are_refused(load, text, options, error, message):
    with pytest.raises(error, match=message):
        load(text, **options)


def test_mixed_tasks_can_be_settled(load):
    text = "smiles,a,b\nC,1,2.5\nCC,0,3\n"
    assert load(text, task="regression").target_names == ("a", "b")
    assert load(text, target_columns=["a"]).task == "binary"
