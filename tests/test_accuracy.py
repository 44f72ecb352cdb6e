"""The accuracy benchmark: its file, its splits, what counts as better, and the page that is made from it."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import accuracy, accuracy_report, variants_report  # noqa: E402
from benchmarks.accuracy_methods import METHODS  # noqa: E402
from benchmarks.accuracy_report import Scores, gain  # noqa: E402
from benchmarks.accuracy_sets import QM9, SETS, load_task, split_of  # noqa: E402
from benchmarks.variants import VARIANTS, load_variant_rows  # noqa: E402
from molmp.errors import ConfigError  # noqa: E402


@pytest.fixture
def data(tmp_path):
    lines = ["smiles,logs,split"]
    lines += [f"{'C' * (i % 9 + 1)}O,{i % 9 * -0.5},{'test' if i % 5 == 0 else 'train'}" for i in range(40)]
    (tmp_path / "esol.csv").write_text("\n".join([*lines, "C1CC,0,train"]) + "\n")
    return tmp_path


def test_validation_rows_are_drawn_where_a_set_has_none(data):
    task = load_task("esol", data)
    first, again, other = (split_of(task, "column", seed) for seed in (0, 0, 1))
    assert [len(part) for part in first] == [28, 4, 8]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.val, other.val)
    assert np.array_equal(first.test, np.arange(0, 40, 5))
    assert 40 not in np.concatenate(first)  # its SMILES cannot be read


@pytest.mark.parametrize("method", ["mean", "forest", "boosting"])
def test_a_line_has_the_fields_of_the_schema_and_is_found_again(data, tmp_path, method, monkeypatch):
    monkeypatch.setattr(accuracy, "versions", lambda method: {})
    row = accuracy.measure(load_task("esol", data), "column", 1, method)
    assert list(row) == list(accuracy.SCHEMA)
    assert all(isinstance(row[name], kind) for name, kind in accuracy.SCHEMA.items())
    path = tmp_path / "rows.jsonl"
    accuracy.save_row(row | {"value": 9.0}, path)
    accuracy.save_row(row, path)
    rows = accuracy.load_rows(path)
    assert rows == [json.loads(json.dumps(row))]
    assert accuracy.is_there(rows, "esol", "column", 1, method)
    assert not accuracy.is_there(rows, "esol", "column", 2, method)
    assert not accuracy.is_there([row | {"settings": {"epochs": 3}}], "esol", "column", 1, method)


def test_the_mean_is_that_of_the_training_rows(data):
    task = load_task("esol", data)
    split = split_of(task, "column", 0)
    (values,) = METHODS["mean"].run(task, split, 0)
    np.testing.assert_allclose(values, task.dataset.targets[split.train].mean())
    assert values.shape == split.test.shape


def test_the_inner_split_leaves_out_the_test_rows_and_keeps_scaffolds_together(data):
    rings = [f"{'C' * (i % 3 + 1)}C1CC{'C' * (i % 11)}1" for i in range(40)]
    lines = [f"{smiles},{i % 9 * -0.5},{'test' if i % 5 == 0 else 'train'}" for i, smiles in enumerate(rings)]
    (data / "esol.csv").write_text("\n".join(["smiles,logs,split", *lines, "C,,train"]) + "\n")
    task = load_task("esol", data)
    split, again, other = (split_of(task, "inner", seed) for seed in (0, 0, 1))
    used = np.concatenate(split)
    assert sorted(used.tolist()) == [i for i in range(40) if i % 5], "neither test rows nor rows without a label"
    assert all(np.array_equal(a, b) for a, b in zip(split, again, strict=True))
    assert not np.array_equal(split.test, other.test)
    scaffolds = [{i % 11 for i in part.tolist()} for part in split]
    assert not any(a & b for n, a in enumerate(scaffolds) for b in scaffolds[:n])


def test_rows_of_a_set_without_a_split_are_drawn_with_the_seed(tmp_path):
    lines = [",".join(["smiles", *QM9])]
    lines += [",".join(["C" * (i + 1), *map(str, range(i, i + len(QM9)))]) for i in range(40)]
    (tmp_path / "qm9_subset.csv").write_text("\n".join(lines) + "\n")
    task = load_task("qm9", tmp_path)
    assert task.dataset.target_names == QM9
    first, again, other = (split_of(task, "column", seed) for seed in (0, 0, 1))
    assert [len(part) for part in first] == [32, 4, 4]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.test, other.test)
    with pytest.raises(ConfigError, match="qm9 has no split of its own"):
        split_of(task, "inner", 0)


def variant(name, method, seed, value, metric="rmse", cpu=1.0, origin="elsewhere"):
    return {"set": name, "seed": seed, "method": method, "value": value, "metric": metric, "cpu_s": cpu,
            "origin": origin, "settings": {}}  # fmt: skip


def test_variants_can_be_named_on_the_command_line():
    assert not [name for name in VARIANTS if "," in name]


def test_the_table_of_variants_compares_the_same_set_and_seed():
    rows = [variant("esol", "default", s, 1.0 + s) for s in (0, 1)]
    rows += [variant("herg", "default", 0, 0.8, "roc_auc"), variant("herg", "width 128", 0, 0.9, "roc_auc", 2.0)]
    rows += [variant("esol", "width 128", s, v, cpu=8.0) for s, v in ((0, 2.0), (1, 4.0), (2, 0.1))]
    made = variants_report.table(rows).splitlines()
    assert made[2:] == ["| width 128 | 1.000 | 0.500 (herg) | 2.000 (esol) | 1 of 2 | 3 | 4.0 |"]
    older = [row | {"origin": "measured here", "settings": {"recipe": 1}} for row in rows]
    assert variants_report.table(older) == variants_report.table([]) == "Not measured yet."


def test_words_that_are_no_set_or_split(data):
    with pytest.raises(ConfigError, match="no set 'esoll'"):
        load_task("esoll", data)
    with pytest.raises(ConfigError, match=r"has no bace\.csv"):
        load_task("bace", data)
    with pytest.raises(ConfigError, match="no split 'random'"):
        split_of(load_task("esol", data), "random", 0)


def test_gain_points_the_right_way_for_errors_and_for_scores():
    low, high = Scores((1.0, 1.0), None), Scores((2.0, 2.0), None)
    assert gain("rmse", low, high) == (1.0, 0.0)
    assert gain("roc_auc", low, high) == (-1.0, 0.0)
    _, error = gain("rmse", Scores((1.0, 3.0), None), Scores((5.0,), None))
    assert error == pytest.approx(np.sqrt(2.0 / 2 + 2.0 / 1))


def line(name, method, seed, value):
    return {"set": name, "split": "column", "seed": seed, "method": method, "value": value, "cpu_s": 1.0,
            "origin": "measured earlier"}  # fmt: skip


def test_summary_counts_sets():
    rows = [line("esol", "molmp", s, v) for s, v in ((0, 0.8), (1, 0.82))]
    rows += [line("esol", "chemprop", 0, 0.9), line("bace", "molmp", 0, 0.7), line("bace", "molmp", 1, 0.72)]
    rows += [line("bace", "chemprop", 0, 0.9), line("bbbp", "molmp", 0, 0.7)]
    assert "| Chemprop 2.3.1 | 1 of 2 (50 %) | 1 | 0 | 1 (bace) |" in accuracy_report.tables(rows)["summary"]


def test_scaffold_splits_are_compared_seed_by_seed():
    values = {"molmp": (1.0, 2.0, 3.0), "chemprop": (1.1, 2.2), "forest": (0.9, 2.1, 3.3)}
    rows = [
        line("esol", method, seed, value) | {"split": "scaffold"}
        for method, found in values.items()
        for seed, value in enumerate(found)
    ]
    assert {m: s.values for m, s in accuracy_report.collect(rows, "scaffold")["esol"].items()} == {
        "molmp": (1.0, 2.0), "chemprop": (1.1, 2.2), "forest": (0.9, 2.1)
    }  # fmt: skip
    made = accuracy_report.tables(rows)["summary_scaffold"]
    assert "| Chemprop 2.3.1 | 1 of 1 (100 %) | 1 | 0 | 0 |" in made  # by 0.1 and 0.2, whatever the spread of splits
    assert "| random forest | 0 of 1 (0 %) | 0 | 1 | 0 |" in made


@pytest.mark.parametrize(
    "row",
    accuracy.load_rows() + load_variant_rows(),
    ids=lambda r: f"{r['set']}-{r['split']}-{r['method']}-{r['seed']}",
)
def test_committed_rows_keep_to_the_schema(row):
    assert list(row) == list(accuracy.SCHEMA)
    assert all(isinstance(row[name], kind) for name, kind in accuracy.SCHEMA.items())
    assert row["set"] in SETS
    assert row["metric"] == SETS[row["set"]].metric
    assert row["value"] == row["metrics"][row["metric"]]
    assert str(ROOT.parent) not in json.dumps(row)


def test_page_is_made_from_the_committed_rows():
    page = accuracy_report.PAGE.read_text("ascii")
    assert accuracy_report.fill(page, accuracy.load_rows(), load_variant_rows()) == page


def test_lines_of_an_older_recipe_are_measured_again_and_left_out():
    now = accuracy.settings_of(METHODS["molmp"])
    older = now | {"training": now["training"] | {"epochs": 7}}
    before = now | {"training": {name: value for name, value in now["training"].items() if name != "loss"}}
    other = {name: value for name, value in now.items() if name != "recipe"}
    gone = now | {"training": now["training"] | {"cleverness": 1}}
    lines = [line("esol", "molmp", 0, 0.8) | {"origin": "measured here", "settings": s}
             for s in (now, before, older, gone, other)]  # fmt: skip
    assert [accuracy.is_current(one) for one in lines] == [True, True, False, False, False]
    assert [accuracy.is_there([one], "esol", "column", 0, "molmp") for one in lines] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert accuracy_report.collect(lines[2:], "column") == {}
