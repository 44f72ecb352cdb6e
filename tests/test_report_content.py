"""What a report says: each figure from its file, nothing where there is none, and nothing that is not so."""

import csv
import re
from dataclasses import replace

import numpy as np
import pytest
from browser import needs_browser, run_in_browser
from tiny import tiny_bundle

from molmp.inference.model_file import save_bundle
from molmp.page.charts import columns, scatter, stacked
from molmp.report.page import report_page
from molmp.report.plots import Points, error_by_similarity, of_classes, of_trust
from molmp.report.run_files import read_settings, read_test_rows
from molmp.report.story import findings, split_words
from molmp.training.targets import Target

SMILES = ["CCO", "CCN", "c1ccccc1O", "CC(=O)O", "C", "CCCl", "C1CC1", "CCS", "CCF", "CCBr"]

TRUST = {
    "coverage": 0.9,
    "in_domain": 0.6,
    "targets": {
        "logS": {
            "count": 10, "coverage": 0.7, "width": 2.0, "spearman": 0.345,
            "by_similarity": [{"from": 0.0, "to": 0.3, "count": 4, "coverage": 0.75, "width": None},
                              {"from": 0.3, "to": 1.0, "count": 6, "coverage": 1.0, "width": 2.0}],
            "selective": {"retained": [0.1, 0.5, 1.0], "rmse": [0.1, 0.3, 0.4], "best": [0.0, 0.1, 0.4]},
        }
    },
}  # fmt: skip

METRICS = {
    "test": {"rmse": 0.5, "mae": 0.4},
    "per_target": {"logS": {"test": {"count": 10, "rmse": 0.5, "mae": 0.4}},
                   "mp": {"test": {"count": 10, "rmse": 40.0, "mae": 30.0}}},
    "trust": TRUST,
    "baselines": {
        "mean": {"test": {"rmse": 0.9}, "per_target": {"logS": {"rmse": 0.911}, "mp": {"rmse": 45.0}}},
        "forest": {"test": {"rmse": 0.3}, "per_target": {"logS": {"rmse": 0.333}, "mp": {"rmse": 41.0}},
                   "about": "random forest of 100 trees"},
    },
    "labels": {
        "logS": {"count": {"train": 5, "val": 1, "test": 2}, "bounds": 1, "low": -1.0, "high": 3.0,
                 "histogram": {"train": [2, 3], "val": [0, 1], "test": [1, 1]}, "mean": {}, "std": {}},
    },
}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    """A run of two numbers, with everything that training stores."""
    bundle = replace(tiny_bundle("regression"), metrics=METRICS, data={"file": "t.csv", "split_rows": {"train": 80}})
    save_bundle(bundle, tmp_path)
    lines = []
    for i, smiles in enumerate(SMILES):
        truth = i / 10
        lines.append({
            "row": i + 1, "smiles": smiles, "logS": truth, "mp": 10 * i, "logS_pred": truth + (i - 5) / 10,
            "logS_low": truth - 1, "logS_high": "" if i == 3 else truth + 1, "mp_pred": 50, "nearest": "CC",
            "similarity": i / 10, "in_domain": "no" if i < 4 else "yes", "domain_reason": "too odd" if i < 4 else "",
        })  # fmt: skip
    with (tmp_path / "predictions.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    (tmp_path / "config.toml").write_text('split = "scaffold"\nsplit-sizes = [0.8, 0.1, 0.1]\nseed = 7\n')
    return tmp_path


def test_everything_that_was_stored_is_told(run):
    page = re.sub(r"\s+", " ", report_page(run, "cpu"))
    for text in (
        "Better than the mean: test rmse 0.5 against 0.9.", "WORSE than a random forest: test rmse 0.5 against 0.3.",
        "Only 10 test molecules have a label", "The 90% intervals hold 70% of the measured values.",
        "60% of the test molecules are in the model&#39;s domain", "a random forest of 100 trees",
        "logS: 8 labels; 1 of them are bounds", "by Bemis-Murcko scaffold", "seed 7", "0.911", "0.333",
        "the surest half has 25% less error than all", "correlation 0.34", "out of the domain: too odd",
        "lines: 90% intervals, which hold 100% of the measured values", "RMSE by similarity", "Best predictions",
        "mean of all", "mean widths 0.3-1: 2", "Half of the test molecules have a similarity of 0.45 or more",
    ):  # fmt: skip
        assert text in page, text
    assert "nan" not in re.sub(r'<svg.*?</svg>|aria-label="[^"]*"', "", page)


def test_a_run_of_an_older_molmp(run):
    """No trust, no baselines, no labels, bare columns: less is told, and that it is less."""
    save_bundle(replace(tiny_bundle("regression"), metrics={"test": {"rmse": 0.5}}, data={}), run)
    lines = list(csv.DictReader((run / "predictions.csv").open()))
    with (run / "predictions.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["row", "smiles", "logS", "mp", "logS_pred", "mp_pred"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(lines)
    (run / "config.toml").write_text("no toml")
    page = report_page(run, "cpu")
    assert "Nothing is stored that tells how far to believe a prediction." in page
    assert "No forest was trained for comparison." in page
    assert "How far to believe" not in page
    assert "Tanimoto" not in page


def test_rows_are_read_with_their_trust(run):
    rows = read_test_rows(run, tiny_bundle("regression").targets)
    assert rows.has_domain
    assert rows.low[2].tolist()[:1] == [-0.8]
    assert np.isnan(rows.high[3, 0])
    assert np.isnan(rows.low[:, 1]).all()
    assert rows.outside.tolist() == [True] * 4 + [False] * 6
    assert read_settings(run)["seed"] == 7


def points(**fields):
    nothing = np.full(6, np.nan)
    arrays = dict.fromkeys(Points._fields, nothing) | {"outside": np.zeros(6, bool)}
    return Points(**(arrays | {name: np.array(values) for name, values in fields.items()}))


def test_errors_by_similarity_are_worked_out_in_bins():
    some = points(
        truth=[0.0] * 6, prediction=[3.0, 4.0, 1.0, 1.0, 1.0, 7.0], similarity=[0, 0.2, 0.3, 0.35, 1.0, np.nan]
    )
    ((chart, _),) = error_by_similarity(some, numbers=True)
    assert "0-0.3 3.536 (n=2); 0.3-0.4 1 (n=2); 0.8-1 1 (n=1)" in chart
    classes = points(truth=[0] * 6, right=[1, 0, 1, 1, 1, 1], similarity=[0.1] * 6)
    assert "0-0.3 0.1667 (n=6)" in error_by_similarity(classes, numbers=False)[0][0]


def test_reliability_of_both_probabilities():
    target = Target(name="toxic", classes=("no", "yes"))
    truth, network = np.array([0.0, 1, 0, 1, 1, 0]), np.array([0.1, 0.9, 0.2, 0.8, 0.7, 0.3])
    *_, (chart, words) = of_classes(target, points(truth=truth, prediction=network, calibrated=truth))
    assert words.endswith("expected calibration error: network 0.200, calibrated 0.000")
    assert chart.count("<polyline") == 3
    assert of_classes(target, points(truth=np.ones(6), prediction=network))[0][1] == "All test labels are of one class"


def test_selective_prediction_of_classes():
    curve = {"retained": [0.1, 0.5, 1.0], "error": [0.0, 0.1, 0.4]}
    ((_, words),) = of_trust({"selective": curve}, points(), {}, None)
    assert "the surest half has 75% less error" in words
    assert of_trust({"selective": curve | {"error": [0.0, 0.0, 0.0]}}, points(), {}, None)
    assert of_trust({}, points(), {}, None) == []


def test_words_about_a_split():
    assert split_words({}) == ""
    assert "by the column part" in split_words({"split": "random", "split-column": "part"})
    assert "by the file s.json" in split_words({"splits-file": "s.json"})
    folds = split_words({"split": "butina", "folds": 5, "repeats": 2, "rolling-test": True})
    assert "Cross-validation over 5 folds, dealt 2 times; each fold is tested once." in folds


def test_levels_of_findings():
    metrics = {
        "test": {"roc_auc": 0.8},
        "baselines": {n: {"test": {"roc_auc": v}} for n, v in (("mean", 0.5), ("forest", 0.8))},
    }
    trust = {"coverage": 0.9, "in_domain": 0.9, "targets": {"a": {"count": 3, "set_coverage": 0.93}, "b": {"count": 0}}}
    found = findings(metrics | {"trust": trust}, "binary", 100)
    assert [one.level for one in found] == ["good", "warning", "good", "good"]
    assert found[2].text == "The 90% sets of classes hold 93% of the measured values."


def test_charts():
    drawn = scatter(np.arange(4.0), np.arange(4.0), "x", "y", odd=np.array([True, False, False, False]),
                    spans=(np.full(4, -9.0), np.array([1.0, np.nan, 2.0, 9.0])))  # fmt: skip
    assert (drawn.count('class="point odd"'), drawn.count('class="span"')) == (1, 3)
    assert not re.search(r'y[12]="-', drawn), "intervals end at the frame"
    many = scatter(np.arange(5000.0), np.arange(5000.0), "x", "y")
    assert many.count("<circle") <= 2000
    assert "of 5,000 points" in many
    assert "a 3, b 4" in stacked({"a": [1, 2], "b": [4, 0]}, 0.0, 1.0, "x")
    assert stacked({"a": [0, 0]}, 1.0, 1.0, "x").count("<rect") == 2
    assert "no values" in columns([], "x", "y")
    assert "&lt;b&gt;" in columns([("<b>", 1.0, "n=1")], "x", "y", mark=0.5)


@needs_browser
@pytest.mark.parametrize("width", [500, 1200])  # the narrowest that Chromium opens without a window
def test_page_in_a_browser(run, tmp_path, width):
    script = """
      const table = document.querySelector("table.sortable");
      const first = () => table.tBodies[0].rows[0].cells[0].textContent;
      const heads = [...table.querySelectorAll("th button")];
      const rmse = heads.findIndex((head) => head.textContent.startsWith("rmse"));
      heads[rmse].click(); const up = first(); heads[rmse].click(); const down = first();
      const drawn = [...document.querySelectorAll(".card svg, figure svg")];
      out = up + " " + down + " " + drawn.length + " " + drawn.every((svg) => svg.getBoundingClientRect().height > 10)
        + " " + (document.documentElement.scrollWidth <= window.innerWidth)"""
    out, errors = run_in_browser(report_page(run, "cpu"), tmp_path, script, width)
    assert re.fullmatch(r"(logS|mean of all) mp \d+ true true", out)
    assert int(out.split()[-3]) >= 16 + 8 + 8
    assert not errors
