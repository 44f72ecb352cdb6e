"""The audit: every kind of trouble is found, nothing is invented, and what is mended is listed."""

import csv
import json
import re

import numpy as np
import pytest
from browser import needs_browser, run_in_browser
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem.MolStandardize import rdMolStandardize

from molmp.audit.cliffs import find_cliffs
from molmp.audit.duplicates import find_duplicates, noise_floor
from molmp.audit.findings import audit_dict, findings
from molmp.audit.fix import fix_table
from molmp.audit.labels import audit_target
from molmp.audit.molecules import canonical_tautomer, read_facts
from molmp.audit.page import audit_page
from molmp.audit.table import audit_table
from molmp.chem.similarity import TanimotoIndex
from molmp.errors import ColumnError, ConfigError, DataError

MESSY = """id,smiles,logS,kind
1,CCO,1.0,a
2,OCC,3.0,b
3,C1CC<i>,1,a
4,CC(=O)O,>5,a
5,CC(=O)[O-].[Na+],2,b
6,C[C@H](N)C(=O)O,abc,b
7,C[C@@H](N)C(=O)O,0.5,a
8,CC(O)=NC,0.1,a
9,CNC(C)=O,,b
10,c1ccccc1N.CCCCCCO,-0.1,<b>bold</b>
11,C,1
12,"CCN,2,a
"""


@pytest.fixture
def messy(tmp_path):
    path = tmp_path / "messy.csv"
    path.write_text(MESSY)
    return path


def groups(levels) -> dict[str, list[list[int]]]:
    return {level.name: [group.tolist() for group in level.groups] for level in levels}


def test_every_trouble_is_found(messy):
    audit = audit_table(messy, target_columns=["logS", "kind"])
    assert [(bad.row, bad.line, bad.code) for bad in audit.bad] == [
        (2, 4, "syntax"), (10, 12, "ragged"), (11, 13, "ragged"),
    ]  # fmt: skip
    assert groups(audit.levels) == {"exact": [[0, 1]], "salt form": [[3, 4]], "stereo": [[5, 6]], "tautomer": [[7, 8]]}
    assert audit.molecules.kind[-1] == "mixture"
    assert audit.molecules.kind.count("salt") == 1
    logs, kind = audit.targets
    assert (logs.kind, logs.missing, logs.bounds, logs.unusable) == ("regression", 1, {">": 1}, (5,))
    assert "row 6 (line 7): column 'logS' has 'abc', not a number" in logs.trouble
    assert audit.repeats["logS"]["exact"].noise.floor == pytest.approx(2**0.5)
    assert kind.balance == {"<b>bold</b>": 1, "a": 5, "b": 4}
    assert len(audit_table(messy).targets) == 0  # what is no number nor a class by itself is no target


def test_findings_put_problems_first(messy):
    found = findings(audit_table(messy, target_columns=["logS"]))
    weights = [finding.weight for finding in found]
    assert weights == sorted(weights, key=["problem", "warning", "good"].index)
    assert found[0].text == "3 rows of 12 cannot be used (ragged 2, syntax 1)"


def test_a_clean_table_is_called_clean(tmp_path):
    path = tmp_path / "clean.csv"
    path.write_text("smiles,y\nCCO,1\nc1ccccc1,2\nCC(=O)NC,1.5\n")
    assert [finding.text for finding in findings(audit_table(path))] == [
        "all 3 rows can be read", "no molecule occurs twice, in whatever stereo, salt or tautomeric form",
    ]  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["CC(=O)CC(C)=O", "Oc1ccccn1", "c1nc[nH]c1CN", "CC(O)=NC", "NC(=N)NC", "Cn1cnc2[nH]cnc2c1=O"]))
def test_tautomers_share_a_skeleton_and_a_canonical_form(smiles):
    twins = [
        Chem.MolToSmiles(mol) for mol in rdMolStandardize.TautomerEnumerator().Enumerate(Chem.MolFromSmiles(smiles))
    ]
    facts = read_facts(twins)
    assert len(set(facts.skeleton)) == 1
    assert len({canonical_tautomer(twin) for twin in facts.flat}) == 1
    if len(twins) > 1:
        assert groups(find_duplicates(facts)[0])["tautomer"] == [list(range(len(twins)))]


def test_isomers_that_are_no_tautomers_stay_apart():
    facts = read_facts(["CCO", "COC", "C1CCCCC1", "CC1CCCC1", "c1ccncc1", "C1=CC=NC=C1"])
    assert groups(find_duplicates(facts)[0]) == {"exact": [[4, 5]], "salt form": [], "stereo": [], "tautomer": []}


def test_tautomers_are_bounded(monkeypatch):
    monkeypatch.setattr("molmp.audit.duplicates.MOST_TAUTOMERS", 1)
    _, note = find_duplicates(read_facts(["CC(O)=NC", "CNC(C)=O"]))
    assert note == "tautomers: 1 of 2 molecules that may have twins were looked at"


def test_facts_do_not_depend_on_chunks(monkeypatch):
    smiles = ["CCO", "?", "OCC", "[Na+].[Cl-]", "", "CCN"]
    whole = read_facts(smiles)
    monkeypatch.setattr("molmp.audit.molecules.CHUNK", 2)
    parts = read_facts(smiles)
    for name, value in whole._asdict().items():
        assert np.array_equal(value, getattr(parts, name)) if name != "errors" else list(value) == list(parts.errors)
    assert [error.row for error in parts.errors.values()] == [1, 4]


def test_noise_of_numbers_is_recovered():
    random = np.random.default_rng(0)
    values = np.repeat(random.normal(0, 3, 4000), 2) + random.normal(0, 0.5, 8000)
    noise = noise_floor([np.array([2 * i, 2 * i + 1]) for i in range(4000)], values, classes=False)
    assert noise.floor == pytest.approx(0.5, rel=0.03)
    assert noise.best == pytest.approx(1 - 0.25 / 9.25, abs=0.005)


def test_noise_of_classes_is_recovered():
    random = np.random.default_rng(0)
    values = np.repeat(random.integers(0, 2, 5000), 2) ^ (random.random(10000) < 0.1)
    noise = noise_floor([np.array([2 * i, 2 * i + 1]) for i in range(5000)], values.astype(float), classes=True)
    assert noise.floor == pytest.approx(0.1, abs=0.01)


def test_no_noise_without_repeats():
    assert noise_floor([np.array([0, 1])], np.array([1.0, np.nan]), classes=False) is None


def test_labels_that_are_odd():
    random = np.random.default_rng(0)
    cells = [*(f"{value:.6f}" for value in np.exp(random.normal(0, 1.2, 300))), "1e6", "<=0.1", "≥ 5", "~3", "NA", "?"]
    target = audit_target("t.csv", "y", cells, range(2, 2 + len(cells)))
    assert target.bounds == {"<": 1, ">": 1, "~": 1}
    assert (target.missing, target.unusable) == (1, (305,))
    assert target.log_helps
    assert target.outliers[0][0] == 300
    constant = audit_target("t.csv", "y", ["1"] * 5, range(5))
    assert constant.kind == "none"
    assert "nothing to learn" in constant.trouble
    assert audit_target("t.csv", "y", ["1"] * 6 + ["2", "900"], range(8)).outliers == []  # no spread to measure by


def test_cliffs_are_pairs_alike_and_far_apart():
    smiles = ["CCCCCCCCCCO", "CCCCCCCCCCCO", "CCCCCCCCCCO", "c1ccccc1"]
    facts = read_facts(smiles)
    pairs = TanimotoIndex(facts.bits).pairs(0.8)
    cliffs = find_cliffs(pairs, facts.rows, facts.flat, np.array([0.0, 9.0, 5.0, 0.0]), classes=False)
    assert cliffs.alike == 2  # not the pair of equal molecules
    assert [(pair.first, pair.second) for pair in cliffs.pairs] == [(0, 1)]
    assert cliffs.molecules == 2
    classes = find_cliffs(pairs, facts.rows, facts.flat, np.array([0.0, 1.0, 1.0, np.nan]), classes=True)
    assert [(pair.first, pair.second) for pair in classes.pairs] == [(0, 1)]


def test_split_is_looked_through(tmp_path):
    path = tmp_path / "split.csv"
    rows = ["CCO,1,train", "c1ccccc1C,2,train", "OCC,3,test", "c1ccccc1O,4,test", "CCCCN,5,val", "C[C@H](F)O,1,train",
            "C[C@@H](F)O,1,test"]  # fmt: skip
    path.write_text("smiles,y,split\n" + "\n".join(rows) + "\n")
    audit = audit_table(path, split_column="split")
    val, test = audit.overlap.parts
    assert (audit.overlap.train, val.size, test.size) == (3, 1, 3)
    assert test.exact.tolist() == [2]
    assert test.stereo.tolist() == [6]
    assert (test.scaffolds, test.ringed) == (1, 1)
    assert test.nearest[0] == 1.0
    assert any(f.weight == "problem" and "1 of 3 test molecules are in the training part too" in f.text
               for f in findings(audit))  # fmt: skip


def test_fix_mends_what_needs_no_guess(messy, tmp_path):
    audit = audit_table(messy, target_columns=["logS", "kind"])
    changes = fix_table(audit, messy, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().splitlines()[:4] == [
        "id,smiles,logS,kind", "1,CCO,2,", "4,CC(=O)O,>5,a", "5,CC(=O)[O-].[Na+],2,b",
    ]  # fmt: skip
    assert {(change.row, change.action) for change in changes} == {
        (0, "label"), (1, "merge"), (2, "drop"), (5, "label"), (10, "drop"), (11, "drop"),
    }  # fmt: skip
    listed = list(csv.DictReader((tmp_path / "out.changes.csv").open()))
    assert listed[0] == {"row": "1", "line": "2", "action": "label", "column": "logS", "before": "1.0", "after": "2",
                         "reason": "the median of 2 rows"}  # fmt: skip
    again = audit_table(tmp_path / "out.csv", target_columns=["logS", "kind"])
    assert not again.bad
    assert not again.levels[0].groups
    assert fix_table(again, tmp_path / "out.csv", tmp_path / "twice.csv") == []
    assert (tmp_path / "twice.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()


def test_fix_writes_the_standard_form(messy, tmp_path):
    audit = audit_table(messy, standardize="clean", target_columns=["logS"])
    fix_table(audit, messy, tmp_path / "out.csv")
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert [row["smiles"] for row in rows][:2] == ["CCO", "CC(=O)O"]
    assert [row["id"] for row in rows] == ["1", "4", "6", "7", "8", "9", "10"]


def test_fix_takes_the_most_frequent_class(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("smiles,y\nCCO,0\nOCC,1\nC(O)C,1\nCCN,0\nCCC,0\n")
    fix_table(audit_table(path), path, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "smiles,y\nCCO,1\nCCN,0\nCCC,0\n"


def test_fix_refuses(messy, tmp_path):
    audit = audit_table(messy)
    with pytest.raises(ConfigError, match=r"written as \.csv or \.tsv, not .* to .*out\.parquet"):
        fix_table(audit, messy, tmp_path / "out.parquet")
    with pytest.raises(ConfigError, match="made from a file"):
        fix_table(audit, "-", tmp_path / "out.csv")
    messy.write_text("smiles\nC\n")
    with pytest.raises(DataError, match="has 1 rows, but 12 were audited"):
        fix_table(audit, messy, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_wrong_input(messy, tmp_path):
    with pytest.raises(ColumnError, match="has no column 'nonsense'"):
        audit_table(messy, target_columns=["nonsense"])
    with pytest.raises(ConfigError, match="no task 'guess'"):
        audit_table(messy, task="guess")
    with pytest.raises(ConfigError, match="either a split or a split column"):
        audit_table(messy, split="random", split_column="kind")
    with pytest.raises(DataError, match="words that name no part"):
        audit_table(messy, split_column="kind")
    bad = tmp_path / "bad.csv"
    bad.write_text("smiles,y\nC1,1\n?,2\n")
    with pytest.raises(DataError, match=r"none of its 2 rows can be read \(row 1: ring 1 is not closed\)"):
        audit_table(bad)


def test_page_is_one_file_and_escapes(messy):
    page = audit_page(audit_table(messy, target_columns=["logS", "kind"]))
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "<b>bold</b>" not in page
    assert "<i>" not in page
    assert not re.search(r"(src|href)=[\"'](?!#|data:)", page)
    assert page.count("<svg") == page.count("</svg>") == 7


def test_json_is_plain(messy):
    content = json.loads(json.dumps(audit_dict(audit_table(messy, target_columns=["logS"])), allow_nan=False))
    assert content["unreadable"]["reasons"] == {"syntax": 1, "ragged": 2}
    assert content["duplicates"]["exact"] == {"count": 1, "groups": [[1, 2]]}
    assert content["targets"]["logS"]["repeats"]["exact"]["noise"]["groups"] == 1


@needs_browser
def test_page_in_a_browser(messy, tmp_path):
    page = audit_page(audit_table(messy, target_columns=["logS", "kind"]))
    script = """
      const head = document.querySelector("table.sortable th:nth-child(4) button");
      const codes = () => [...head.closest("table").tBodies[0].rows].map((row) => row.cells[3].textContent).join(" ");
      out = codes(); head.click(); out += "|" + codes(); head.click(); out += "|" + codes();
      out += "|" + [...document.querySelectorAll("svg")].every((svg) => svg.getBoundingClientRect().height > 10);
      out += "|" + document.querySelectorAll("b > b, i").length"""
    out, errors = run_in_browser(page, tmp_path, script)
    assert out == "syntax ragged ragged|ragged ragged syntax|syntax ragged ragged|true|0"
    assert not errors


def test_command(molmp, messy, tmp_path):
    page, data, fixed = tmp_path / "a.html", tmp_path / "a.json", tmp_path / "fixed.csv"
    result = molmp("check", messy, "-o", page, "-o", data, "--fix", fixed, "--target-columns", "logS")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("problem  3 rows of 12 cannot be used")
    assert page.read_text().startswith("<!doctype html>")
    assert json.loads(data.read_text())["rows"] == 12
    assert "6 changes, listed in" in result.stderr
    assert fixed.exists()


def test_command_refuses_a_name_that_says_nothing(molmp, messy):
    result = molmp("check", messy, "-o", "audit.txt")
    assert result.exit_code == 2
    assert "audit.txt: the name does not say what to write; end it in .html or .json" in result.stderr


def test_what_a_table_leaves_open_and_limits_can_be_said(molmp, tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("".join(f"{'C' * n}|{n}.5\n" for n in (1, 2, 30, 2)))
    result = molmp("check", path, "--delimiter", "bar", "--no-header", "--max-atoms", 20, "--fix", tmp_path / "out.csv")
    assert result.exit_code == 0, result.output
    assert "1 row of 4 cannot be used (too-large 1)" in result.stdout
    assert (tmp_path / "out.csv").read_text() == "smiles|column2\nC|1.5\nCC|2.5\n"
