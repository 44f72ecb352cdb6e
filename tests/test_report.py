"""The report of a run: one file, all parts there, whatever the task, and in a real browser."""

import csv
import re
from dataclasses import replace

import numpy as np
import pytest
from browser import needs_browser, run_in_browser
from tiny import tiny_bundle

from molmp.errors import FileFormatError
from molmp.inference.model_file import save_bundle
from molmp.page.charts import lines, scatter
from molmp.report.page import report_page
from molmp.report.run_files import read_test_rows

SMILES = ["CCO", "CCN", "c1ccccc1O", "CC(=O)O", "C", "CCCl", "C1CC1", "CCS"] * 2


@pytest.fixture(params=["regression", "binary", "multiclass"])
def run(request, tmp_path):
    """A run's folder as training leaves it."""
    data = {"file": "my.csv", "rows": 20, "split_rows": {"train": 3, "val": 1, "test": 16}}
    bundle = replace(tiny_bundle(request.param, 2), data=data)
    folder = tmp_path / "my <run>"
    save_bundle(bundle, folder)
    rows = []
    for i, smiles in enumerate(SMILES):
        row = {"row": i + 1, "smiles": smiles}
        for item in bundle.targets.items:
            if request.param == "multiclass":
                row |= {item.name: item.classes[i % 2], f"{item.name}_pred": item.classes[0]}
                row |= {f"{item.name}_prob_{name}": f"{1 / len(item.classes):.3f}" for name in item.classes}
            else:
                row |= {item.name: ">3" if i == 3 else i % 2, f"{item.name}_pred": f"{(i % 5) / 5}"}
        rows.append(row)
    with (folder / "predictions.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (folder / "history.csv").write_text(
        "member,epoch,train_loss,val_loss,val_score,best\n"
        + "".join(f"{m},{e},{1 / e},{1.2 / e},{0.5 / e},True\n" for m in (0, 1) for e in (1, 2, 3))
    )
    (folder / "config.toml").write_text('layer = "<edge>"\n')
    (folder / "unreadable.csv").write_text("row,smiles,reason\n3,C1,ring 1 is not closed\n")
    return folder


def test_everything_is_there(run):
    page = report_page(run, "cpu")
    for text in ("Data", "Training", "Best predictions", "Worst predictions", "How to reproduce", "rdkit",
                 "layer = &#34;&lt;edge&gt;&#34;", "my &lt;run&gt;"):  # fmt: skip
        assert text in page, text
    assert "<run>" not in page
    assert not re.search(r"(src|href)=[\"'](?!#|data:)", page)


def test_bounds_are_no_labels(run):
    targets = tiny_bundle("regression").targets
    if "logS" in (run / "predictions.csv").read_text():
        rows = read_test_rows(run, targets)
        assert np.isnan(rows.truth[3]).all()
        assert rows.truth[1].tolist() == [1.0, 1.0]
        assert rows.prediction[2].tolist() == [0.4, 0.4]


def test_a_model_alone_has_a_report(tmp_path):
    save_bundle(tiny_bundle(), tmp_path)
    page = report_page(tmp_path, "cpu")
    assert "No test molecule has a label" in page
    assert "No history was written" in page


def test_wrong_input(tmp_path):
    with pytest.raises(FileFormatError, match="is not a molmp model"):
        report_page(tmp_path / "nothing")
    save_bundle(tiny_bundle(), tmp_path)
    (tmp_path / "predictions.csv").write_text("row,smiles,colour\n1,C,red\n")
    with pytest.raises(FileFormatError, match=r"predictions\.csv has no column 'logS'"):
        report_page(tmp_path)


def test_charts_survive_anything():
    nothing = np.full(3, np.nan)
    assert "no values" in scatter(nothing, nothing, "x", "y")
    assert "no values" in lines({"a": ([np.nan], [1.0])}, "x", "y")
    assert scatter(np.zeros(3), np.ones(3), "x", "y", diagonal=True).count("<circle") == 3
    assert "<script>" not in lines({"<script>": ([0, 1], [0, 1])}, "<script>", "y")


def test_command(molmp, tiny_model, tmp_path):
    result = molmp("report", tiny_model, "-o", tmp_path / "r.html", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert f"report in {tmp_path / 'r.html'}" in result.stderr


@needs_browser
def test_page_in_a_browser(run, tmp_path):
    script = """
      out = [...document.querySelectorAll("svg")].every((svg) => svg.getBoundingClientRect().height > 10)
        + " " + document.querySelectorAll("table.sortable th button").length
        + " " + (document.documentElement.scrollWidth <= window.innerWidth)"""
    out, errors = run_in_browser(report_page(run, "cpu"), tmp_path, script)
    assert re.fullmatch(r"true \d+ true", out)
    assert not errors


QUICK = ["--hidden", "8", "--steps", "2", "--epochs", "2", "--ensemble", "1", "--no-cache"]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "my <b>.csv"
    path.write_text("smiles,carbons\n" + "".join(f"{'C' * n}{end},{n}\n" for n in range(1, 13) for end in "ONS"))
    return path


def test_training_that_is_stopped_while_it_writes_the_report_goes_on(molmp, table, tmp_path, monkeypatch):
    def stopped(*args, **kwargs):
        raise KeyboardInterrupt

    run = tmp_path / "run"
    with monkeypatch.context() as context:
        context.setattr("molmp.run_folder.report_page", stopped)
        assert molmp("train", table, "-o", run, *QUICK).exit_code != 0
    assert not run.exists()
    result = molmp("train", table, "-o", run, *QUICK, "--resume")
    assert result.exit_code == 0, result.output
    page = (run / "report.html").read_text()
    assert "<h1>run</h1>" in page
    assert "my &lt;b&gt;.csv" in page
    assert sorted(path.name for path in tmp_path.iterdir()) == [table.name, "run"]


def test_a_run_is_kept_where_its_report_cannot_be_written(molmp, table, tmp_path, monkeypatch):
    def refused(*args, **kwargs):
        raise FileFormatError("a reason")

    monkeypatch.setattr("molmp.run_folder.report_page", refused)
    result = molmp("train", table, "-o", tmp_path / "run", *QUICK)
    assert result.exit_code == 0
    assert "molmp: no report: a reason" in result.stderr
    assert (tmp_path / "run" / "model.json").exists()
    assert not (tmp_path / "run" / "report.html").exists()
