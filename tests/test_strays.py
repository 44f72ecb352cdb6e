"""Labels that are none: each is told, costs its own cell or row, and many of them are refused."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from molmp.chem.featurize import featurize
from molmp.errors import DataError
from molmp.tables.dataset import load_dataset
from molmp.tables.labels import Column, read_labels
from molmp.training.problem import readable_rows, refuse_bad_rows, unreadable_rows

SMILES = ["C" * n + end for n in range(1, 9) for end in ("", "O", "N", "Cl")]
QUICK = ["--hidden", "8", "--steps", "2", "--epochs", "2", "--ensemble", "1", "--no-cache"]

STRAYS = {
    "n.d.": "not a number",
    "inactive": "not a number",
    ">10 or so": "not a number",
    "1_000": "not a number",
    "inf": "infinite",
    "-Infinity": "infinite",
    "1e999": "infinite",
    ">inf": "infinite",
    "1e39": "beyond what float32 holds, 3.4e+38",
    "<-5e40": "beyond what float32 holds, 3.4e+38",
}


def column(*cells: str) -> Column:
    return Column("t.csv", "y", cells, range(2, len(cells) + 2))


def table(path: Path, cells: dict[int, str], other: dict[int, str] | None = None) -> Path:
    rows = [f"{s},{cells.get(i, f'{i % 7}.5')}" for i, s in enumerate(SMILES)]
    if other is not None:
        rows = [f"{row},{other.get(i, str(i / 8))}" for i, row in enumerate(rows)]
    path.write_text("\n".join(["smiles,y" + (",z" if other is not None else ""), *rows]) + "\n")
    return path


@pytest.mark.parametrize(("cell", "why"), STRAYS.items())
@pytest.mark.parametrize("task", [None, "regression"])
def test_a_few_are_set_aside(cell: str, why: str, task: str | None) -> None:
    labels = read_labels(column(*"123456789", f" {cell} ", ""), task)
    assert labels.strays == {9: why}
    assert labels.task == "regression"
    np.testing.assert_array_equal(labels.values, [1, 2, 3, 4, 5, 6, 7, 8, 9, np.nan, np.nan])


def test_bounds_and_classes_beside_them() -> None:
    labels = read_labels(column("<3", *"123456789", "n.d."))
    assert (labels.strays, labels.values[0]) == ({10: "not a number"}, 3)
    assert labels.sides is not None
    assert labels.sides[0] == -1
    labels = read_labels(column(*"0110110011", "?"))
    assert (labels.task, labels.classes, labels.strays) == ("binary", ("0", "1"), {10: "not a number"})


@pytest.mark.parametrize("cell", ["n.d.", "1e39"])
def test_many_are_refused_with_what_settles_it(cell: str) -> None:
    cells = [*"12345678", cell, cell]
    with pytest.raises(DataError, match=r"row 9 \(line 10\): column 'y' has .*\(1 more rows like it\)"):
        read_labels(column(*cells))
    assert list(read_labels(column(*cells), "regression").strays) == [8, 9]
    with pytest.raises(DataError, match=r"row 3 \(line 4\)"):
        read_labels(column("1", "2", *[cell] * 3), "regression")


def test_the_option_is_named() -> None:
    with pytest.raises(DataError, match=r"has 'n\.d\.', not a number \(1 more .*\); --task regression sets them aside"):
        read_labels(column(*"1234", "n.d.", "n.d."))
    with pytest.raises(DataError, match=r"not a number$"):
        read_labels(column(*"1234", "n.d."), "binary")


def test_all_else_equal_is_refused_still() -> None:
    with pytest.raises(DataError, match="all labels of 'y' are '1'"):
        read_labels(column(*"1111111111", "n.d."))


def test_rows_of_one_target(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", {3: "n.d.", 30: "inf"})
    data = load_dataset(path)
    assert data.target_names == ("y",)
    assert "2 labels are none and are left out of 'y': line 5 has 'n.d.', not a number" in data.notes
    assert {row: problem.outcome for row, problem in data.bad_labels.items()} == {
        3: "label: 'y' has 'n.d.', not a number",
        30: "label: 'y' has 'inf', infinite",
    }
    featurized = featurize(data.smiles)
    assert unreadable_rows(data, featurized)[3] == "label: 'y' has 'n.d.', not a number"
    assert not {3, 30} & set(readable_rows(data, featurized))


def test_of_several_targets_only_the_cell_goes(tmp_path: Path) -> None:
    data = load_dataset(table(tmp_path / "t.csv", {3: "n.d.", 5: "n.d.", 6: ""}, {5: "", 7: "1e39"}))
    assert data.target_names == ("y", "z")
    assert list(data.bad_labels) == [5]  # it has no other label
    assert np.isnan(data.targets[[3, 5, 5, 7], [0, 0, 1, 1]]).all()
    assert not np.isnan(data.targets[[3, 7], [1, 0]]).any()
    assert [note for note in data.notes if "left out of" in note] == [
        "2 labels are none and are left out of 'y': line 5 has 'n.d.', not a number",
        "1 label is none and is left out of 'z': line 9 has '1e39', beyond what float32 holds, 3.4e+38",
    ]
    with pytest.raises(DataError, match=r"row 4 \(line 5\): 'CCl'|'CCl': label: 'y' has 'n\.d\.'.* \(2 more rows"):
        refuse_bad_rows(data, {})


def test_what_an_unreadable_molecule_has_is_told_of_the_molecule(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("smiles,y\n" + "".join(f"{s},{len(s)}\n" for s in SMILES) + "C1,n.d.\n")
    data = load_dataset(path)
    assert unreadable_rows(data, featurize(data.smiles))[32].startswith("syntax")


def test_a_run_lists_them_and_no_cell_is_a_formula(molmp: Any, tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", {3: "n.d.", 30: "=1+1"})
    path.write_text(path.read_text().replace("smiles,y", "smiles,=y") + "=C,2\n")
    run = tmp_path / "run"
    result = molmp("train", path, "-o", run, *QUICK, "--seed", 1)
    assert result.exit_code == 0, result.output
    assert "row 4 (line 5) is not used: 'CCl': label: '=y' has 'n.d.', not a number" in result.stderr
    with (run / "unreadable.csv").open() as file:
        listed = list(csv.DictReader(file))
    assert [(row["row"], row["line"]) for row in listed] == [("4", "5"), ("31", "32"), ("33", "34")]
    assert listed[1]["reason"] == "label: '=y' has '=1+1', not a number"
    assert listed[2]["smiles"] == "'=C"
    with (run / "predictions.csv").open() as file:
        assert next(csv.reader(file))[:4] == ["row", "smiles", "'=y", "'=y_pred"]
    assert "no report" not in result.stderr
    refused = molmp("train", path, "-o", tmp_path / "run2", *QUICK, "--on-error", "fail")
    assert refused.exit_code == 1
    assert "row 4 (line 5): 'CCl': label: '=y' has 'n.d.', not a number (2 more rows" in refused.stderr
    assert not (tmp_path / "run2").exists()


def test_an_audit_counts_them(tmp_path: Path) -> None:
    from molmp.audit.table import audit_table

    (target,) = audit_table(table(tmp_path / "t.csv", {3: "n.d.", 30: "inf"})).targets
    assert (target.unusable, target.kind, target.trouble) == ((3, 30), "regression", "")
