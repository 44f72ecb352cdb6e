"""`molmp train` as its users see it: what it leaves behind, what it says, and every wrong input."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

SMILES = ["C" * n + end for n in range(1, 9) for end in ("", "O", "N", "Cl")]
QUICK = ["--hidden", "8", "--steps", "2", "--epochs", "2", "--ensemble", "1", "--no-cache"]


def molmp(*args: Any, **kwargs: Any) -> Result:
    (script,) = entry_points(group="console_scripts", name="molmp")
    return CliRunner().invoke(script.load(), [str(arg) for arg in args], **kwargs)


def write(path: Path, header: str, *rows: str) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write(tmp_path / "t.csv", "id,smiles,carbons", *(f"m{i},{s},{s.count('C')}" for i, s in enumerate(SMILES)))


def refused(result: Result, exit_code: int, *parts: str) -> None:
    """One sentence on stderr with all these parts, the exit code, nothing on stdout, no traceback."""
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == exit_code, result.stderr
    for part in parts:
        assert part in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


@pytest.mark.pictures
def test_a_run(table: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = molmp("train", table, "-o", run, *QUICK, "--unit", "carbons=atoms")
    assert result.exit_code == 0, result.output
    files = {path.name for path in run.iterdir()}
    assert files == {
        "config.toml", "curves.png", "domain.safetensors", "history.csv", "metrics.json", "model.json",
        "model.safetensors", "parity.png", "predictions.csv", "report.html",
    }  # fmt: skip
    assert "target 'carbons'; left out: id" in result.stderr
    assert "task regression" in result.stderr
    assert "recipe: 1 x edge, 2 steps; width 8, set2set+sum; features descriptors+morgan; loss mse" in result.stderr
    assert result.stdout.startswith("test rmse ")
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics) == {"train", "val", "test", "per_target", "trust", "baselines", "labels"}
    assert set(metrics["test"]) == {"rmse", "mae", "r2", "pearson", "spearman", "kendall"}
    history = list(csv.DictReader((run / "history.csv").open()))
    assert [row["epoch"] for row in history] == ["1", "2"]
    predictions = list(csv.DictReader((run / "predictions.csv").open()))
    assert len(predictions) == 3
    for row in predictions:
        assert row["smiles"] == SMILES[int(row["row"]) - 1]
        assert float(row["carbons"]) == row["smiles"].count("C")
        float(row["carbons_pred"])
    assert all((run / name).read_bytes().startswith(b"\x89PNG") for name in ("curves.png", "parity.png"))
    assert not list(tmp_path.glob("run.*")), "a temporary folder is left"


def test_the_run_can_be_repeated_from_its_config(table: Path, tmp_path: Path) -> None:
    molmp("train", table, "-o", tmp_path / "a", *QUICK, "--split", "time", "--split-sizes", 0.6, 0.2, 0.2)
    settings = tomllib.loads((tmp_path / "a" / "config.toml").read_text())
    assert settings["split-sizes"] == [0.6, 0.2, 0.2]
    again = molmp("train", table, "-o", tmp_path / "b", "--config", tmp_path / "a" / "config.toml")
    assert again.exit_code == 0, again.output
    assert (tmp_path / "a" / "metrics.json").read_bytes() == (tmp_path / "b" / "metrics.json").read_bytes()
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()


def test_the_command_line_wins_over_the_config(table: Path, tmp_path: Path) -> None:
    config = write(tmp_path / "c.toml", "epochs = 1", "hidden = 4", "target-columns = ['carbons']")
    assert molmp("train", table, "-o", tmp_path / "run", "--config", config, "--hidden", 8).exit_code == 0
    model = json.loads((tmp_path / "run" / "model.json").read_text())
    assert (model["network"]["hidden"], model["training"]["epochs"]) == (8, 1)


def test_a_split_column_without_validation_rows(tmp_path: Path) -> None:
    rows = [f"{s},{s.count('C')},{'test' if i < 4 else 'train'}" for i, s in enumerate(SMILES)]
    table = write(tmp_path / "t.csv", "smiles,carbons,part", *rows)
    result = molmp("train", table, "-o", tmp_path / "run", *QUICK, "--split-column", "part")
    assert "molecules: train 25, val 3, test 4" in result.stderr
    assert [r["row"] for r in csv.DictReader((tmp_path / "run" / "predictions.csv").open())] == ["1", "2", "3", "4"]


def test_a_splits_file(table: Path, tmp_path: Path) -> None:
    splits = tmp_path / "splits.json"
    splits.write_text(json.dumps([{"train": "0-9", "val": [10, 11], "test": "12-14"}]))
    result = molmp("train", table, "-o", tmp_path / "run", *QUICK, "--splits-file", splits)
    assert "molecules: train 10, val 2, test 3" in result.stderr


@pytest.mark.parametrize("split", ["random", "scaffold", "butina", "time"])
def test_splits(table: Path, tmp_path: Path, split: str) -> None:
    rings = ("c1ccccc1", "C1CC1", "C1CCCC1", "c1ccncc1", "c1ccoc1", "C1CCNCC1", "C1CCC1", "c1ccsc1")
    write(table, "smiles,atoms", *(f"{s}{ring},{len(s) + 5}" for s in SMILES[:8] for ring in rings))
    result = molmp("train", table, "-o", tmp_path / "run", *QUICK, "--split", split, "--split-sizes", 0.5, 0.25, 0.25)
    assert result.exit_code == 0, result.output


def test_unreadable_rows_are_told_and_passed_over(table: Path, tmp_path: Path) -> None:
    with table.open("a") as file:
        file.write("bad,C1CC,3\nworse,,5\n")
    result = molmp("train", table, "-o", tmp_path / "run", *QUICK)
    assert result.exit_code == 0
    assert "row 33 (line 34) is not used: 'C1CC': syntax: ring 1 is not closed" in result.stderr
    assert "row 34 (line 35) is not used: '': empty: it is empty" in result.stderr
    listed = list(csv.DictReader((tmp_path / "run" / "unreadable.csv").open()))
    assert [row["row"] for row in listed] == ["33", "34"]
    assert listed[0]["reason"] == "syntax: ring 1 is not closed"


@pytest.mark.pictures
def test_classes_and_gaps(tmp_path: Path) -> None:
    rows = [f"{s},{i % 2},{'' if i % 3 else i % 4 // 2}" for i, s in enumerate(SMILES)]
    table = write(tmp_path / "t.csv", "smiles,a,b", *rows)
    result = molmp("train", table, "-o", tmp_path / "run", *QUICK, "--split-sizes", 0.5, 0.25, 0.25)
    assert result.exit_code == 0, result.output
    assert "task binary" in result.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert {"roc_auc", "pr_auc", "balanced_accuracy", "f1", "mcc", "log_loss", "brier"} <= set(metrics["test"])
    assert metrics["per_target"]["b"]["train"]["count"] < metrics["per_target"]["a"]["train"]["count"]
    assert (tmp_path / "run" / "roc.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.pictures
def test_names_of_classes(tmp_path: Path) -> None:
    rows = [f"{s},{['low', 'mid', 'high'][i % 3]}" for i, s in enumerate(SMILES)]
    table = write(tmp_path / "t.csv", "smiles,level", *rows)
    result = molmp("train", table, "-o", tmp_path / "run", *QUICK)
    assert result.exit_code == 0, result.output
    row = next(csv.DictReader((tmp_path / "run" / "predictions.csv").open()))
    assert row["level_pred"] in {"low", "mid", "high"}
    assert sum(float(row[f"level_prob_{name}"]) for name in ("low", "mid", "high")) == pytest.approx(1, rel=1e-5)


def test_an_existing_run_is_kept_unless_forced(table: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "precious").write_text("")
    refused(molmp("train", table, "-o", run, *QUICK), 2, f"{run} exists already", "--force")
    refused(
        molmp("train", table, "-o", run, *QUICK, "--force"), 2, f"{run} is not replaced: it has files, and no model"
    )
    refused(molmp("train", table, "-o", tmp_path, *QUICK, "--force"), 2, f"{tmp_path} is not replaced: it has files")
    (run / "model.json").write_text("")
    inside = write(run / "t.csv", table.read_text())
    refused(molmp("train", inside, "-o", run, *QUICK, "--force"), 2, f"{run} is not replaced: {inside} is in it")
    assert (run / "precious").exists()
    refused(molmp("train", tmp_path / "none.csv", "-o", run, *QUICK, "--force"), 1, "none.csv")
    assert (run / "precious").exists(), "a run that failed has replaced a good one"
    (tmp_path / "link").symlink_to(run)
    assert molmp("train", table, "-o", tmp_path / "link", *QUICK, "--force").exit_code == 0
    assert not (run / "precious").exists()
    assert (run / "metrics.json").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"link", "run", "t.csv"}


NUMBERS = ["smiles,y", *(f"{smiles},{number}" for number, smiles in enumerate(SMILES))]

WRONG: list[tuple[str, list[str], list[str], int, list[str]]] = [
    ("empty file", [], [], 1, ["is empty"]),
    ("header only", ["smiles,y"], [], 1, ["no rows"]),
    ("no SMILES column", ["name,y", "water,1", "salt,2"], [], 1, ["no column of SMILES", "name, y"]),
    ("no such SMILES column", ["smiles,y", "C,1"], ["--smiles-column", "mol"], 1, ["no column 'mol'", "smiles, y"]),
    ("no such target", ["smiles,y", "C,1"], ["--target-columns", "z"], 1, ["no column 'z'", "smiles, y"]),
    ("no target", ["smiles,name", "C,methane", "CC,ethane"], [], 1, ["'name' has 'methane', not a number"]),
    ("all rows invalid", ["smiles,y", "C1,1", "C(,2", "x,3"], ["--smiles-column", "smiles"], 1, ["none of its 3 rows"]),
    ("target not numeric", ["smiles,y", "C,1", "CC,high"], ["--target-columns", "y"], 1, ["row 2", "'y' has 'high'"]),
    ("labels missing", ["smiles,y", "C,", "CC,"], ["--target-columns", "y"], 1, ["all labels of 'y' are missing"]),
    ("one class", ["smiles,y", "C,1", "CC,1"], ["--task", "binary"], 1, ["one value or class only"]),
    ("unknown words", ["smiles,y,s", "C,1,train", "CC,2,tset"], ["--split-column", "s"], 1, ["'tset'"]),
    ("empty part", ["smiles,y,s", "C,1,train", "CC,2,val"], ["--split-column", "s"], 1, ["no rows to test"]),
    ("no such weights", ["smiles,y", "C,1"], ["--weight-column", "w"], 1, ["no column 'w'"]),
    ("sizes", ["smiles,y", "C,1", "CC,2"], ["--split-sizes", "0.5", "0.1", "0.1"], 2, ["add up to 1"]),
    ("readout", ["smiles,y", "C,1"], ["--readout", "median"], 2, ["'median'", "set2set, sum, mean, max, attention"]),
    ("layer", ["smiles,y", "C,1"], ["--layer", "cnn"], 2, ["'cnn'", "edge"]),
    ("hidden", ["smiles,y", "C,1"], ["--hidden", "0"], 2, ["hidden must be", "got 0"]),
    ("epochs", ["smiles,y", "C,1"], ["--epochs", "0"], 2, ["epochs must be at least 1, got 0"]),
    (
        "device",
        NUMBERS,
        ["--device", "cuda:9"],
        1,
        ["'cuda:9'", "cpu"],
    ),
    ("loss of another task", NUMBERS, ["--loss", "bce"], 2, ["'bce' is not for the task regression", "mse, mae"]),
    ("no such loss", NUMBERS, ["--loss", "cosine"], 2, ["'cosine'", "evidential"]),
    (
        "quantiles out of order",
        NUMBERS,
        ["--loss", "quantile", "--quantiles", "0.9,0.1"],
        2,
        ["must ascend", "0.9, 0.1"],
    ),
    ("quantiles twice", NUMBERS, ["--quantiles", "0.1,0.1"], 2, ["quantiles must ascend"]),
    ("quantiles of no share", NUMBERS, ["--quantiles", "5,95"], 2, ["from above 0 to below 1, got 5.0, 95.0"]),
    ("quantiles that are words", NUMBERS, ["--quantiles", "low"], 2, ["--quantiles takes numbers", "'low'"]),
    ("weight of no target", NUMBERS, ["--task-weights", "z=2"], 2, ["a weight is given for 'z'", "targets are y"]),
    ("weight that is no number", NUMBERS, ["--task-weights", "y=much"], 2, ["--task-weights takes", "'much'"]),
    ("weight without =", NUMBERS, ["--task-weights", "2"], 2, ["--task-weights takes TARGET=WEIGHT", "'2'"]),
    ("weight of 0", NUMBERS, ["--task-weights", "y=0"], 2, ["task_weights must be numbers above 0"]),
    ("classes of numbers", NUMBERS, ["--class-weight", "balanced"], 2, ["class_weight balanced is for classes"]),
    ("threshold of numbers", NUMBERS, ["--threshold", "tuned"], 2, ["threshold tuned is for targets of two classes"]),
    ("one row", ["smiles,y,s", "C,1,train"], ["--target-columns", "y"], 1, ["all labels of 'y' are '1'"]),
    (
        "one class to learn from",
        ["smiles,y,s", "C,0,train", "CC,0,train", "N,1,val", "NN,0,test"],
        ["--split-column", "s", "--target-columns", "y"],
        1,
        ["all training molecules are of one class ('0')", "--split"],
    ),
    ("unit of no target", ["smiles,y", "C,1", "CC,2"], ["--unit", "z=mol"], 2, ["targets are y"]),
    ("unit without =", ["smiles,y", "C,1", "CC,2"], ["--unit", "mol"], 2, ["TARGET=UNIT", "'mol'"]),
]


@pytest.mark.parametrize(("lines", "options", "code", "parts"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_wrong_input(tmp_path: Path, lines: list[str], options: list[str], code: int, parts: list[str]) -> None:
    table = tmp_path / "t.csv"
    table.write_text("".join(f"{line}\n" for line in lines))
    refused(molmp("train", table, "-o", tmp_path / "run", *QUICK, *options), code, *parts)
    assert {path.name for path in tmp_path.iterdir()} == {"t.csv"}


def test_a_cache_that_cannot_be_written(table: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.iterdir())
    result = molmp("train", table, "-o", tmp_path / "run", *QUICK[:-1], "--cache", tmp_path / "file" / "graphs")
    refused(result, 2, f"cannot be kept in {tmp_path / 'file' / 'graphs'}: Not a directory", "--no-cache")
    assert sorted(tmp_path.iterdir()) == before


def test_wrong_config(table: Path, tmp_path: Path) -> None:
    config = write(tmp_path / "c.toml", "epoch = 3")
    refused(molmp("train", table, "-o", tmp_path / "run", "--config", config), 2, "'epoch'", "it has", "epochs")
    config.write_text("epochs = ")
    refused(molmp("train", table, "-o", tmp_path / "run", "--config", config), 1, "c.toml is not TOML")
    refused(molmp("train", table, "-o", tmp_path / "run", "--config", tmp_path / "no.toml"), 1, "no.toml")


def test_missing_file(tmp_path: Path) -> None:
    refused(molmp("train", tmp_path / "none.csv", "-o", tmp_path / "run"), 1, "none.csv")
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_there_are_no_plots(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = molmp("train", table, "-o", tmp_path / "run", *QUICK)
    assert result.exit_code == 0
    assert "no plots: drawing plots needs matplotlib: pip install 'molmp[report]'" in result.stderr
    assert (tmp_path / "run" / "model.json").exists()


def test_a_full_disk(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device", "model.safetensors")

    monkeypatch.setattr("molmp.run_folder.save_bundle", full)
    refused(molmp("train", table, "-o", tmp_path / "run", *QUICK), 1, "model.safetensors: No space left on device")
    assert {path.name for path in tmp_path.iterdir()} == {"t.csv"}


@pytest.mark.parametrize(("sent", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(table: Path, tmp_path: Path, sent: signal.Signals, exit_code: int) -> None:
    command = [Path(sys.executable).with_name("molmp"), "train", table, "-o", tmp_path / "run", "--epochs", "1000000",
               "--patience", "0", "--hidden", "8", "--no-cache"]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("molmp: molecules:"):
            break
    time.sleep(0.5)
    process.send_signal(sent)
    rest = process.stderr.read()
    assert process.wait(300) == exit_code
    assert "Traceback" not in rest
    assert {path.name for path in tmp_path.iterdir()} <= {"t.csv", "run.resume"}  # the latter where it took its time


def test_losses_and_their_columns(table: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = molmp("train", table, "-o", run, *QUICK, "--loss", "quantile", "--quantiles", "0.1,0.9")
    assert result.exit_code == 0, result.output
    row = next(csv.DictReader((run / "predictions.csv").open()))
    assert list(row)[3:7] == ["carbons_pred", "carbons_q0.1", "carbons_q0.5", "carbons_q0.9"]
    assert float(row["carbons_q0.1"]) <= float(row["carbons_pred"]) <= float(row["carbons_q0.9"])
    assert tomllib.loads((run / "config.toml").read_text())["quantiles"] == [0.1, 0.9]
    again = molmp("train", table, "-o", tmp_path / "again", "--config", run / "config.toml")
    assert again.exit_code == 0, again.output
    assert (tmp_path / "again" / "metrics.json").read_bytes() == (run / "metrics.json").read_bytes()
    predicted = molmp("predict", "--model", run, "--smiles", "CCO", "--no-trust").stdout.splitlines()
    assert predicted[0] == "smiles,carbons_pred,carbons_q0.1,carbons_q0.5,carbons_q0.9,error"
    assert "quantile" in molmp("info", run).stdout


def test_bounds(tmp_path: Path) -> None:
    cells = [f">{n}" if n > 5 else f"<= {n}" if n == 1 else str(n) for n in (s.count("C") for s in SMILES)]
    table = write(tmp_path / "t.csv", "smiles,carbons", *(f"{s},{c}" for s, c in zip(SMILES, cells, strict=True)))
    with table.open("a") as file:
        file.write("CCCO,~3\n")
    run = tmp_path / "run"
    result = molmp("train", table, "-o", run, *QUICK, "--split-sizes", 0.4, 0.1, 0.5)
    assert result.exit_code == 0, result.output
    assert "16 of 33 labels of 'carbons' are bounds (3 <, 13 >)" in result.stderr
    assert "1 labels of 'carbons' are not exact, as '~3'; they are taken as they are" in result.stderr
    truths = {row["smiles"]: row["carbons"] for row in csv.DictReader((run / "predictions.csv").open())}
    for smiles, text in truths.items():
        n = smiles.count("C")
        assert text == (f">{n}" if n > 5 else f"<{n}" if n == 1 else str(n))
    assert {">", "<"} < {text[0] for text in truths.values()}
    assert json.loads((run / "metrics.json").read_text())["per_target"]["carbons"]["test"]["bounds"] > 0
    refused(molmp("train", table, "-o", tmp_path / "no", *QUICK, "--loss", "evidential"), 2,
            "16 labels are bounds such as '>10', from which loss 'evidential' cannot learn; mse, mae")  # fmt: skip


def test_rare_classes(tmp_path: Path) -> None:
    rows = [f"{s},{'rare' if i % 7 == 1 else 'common'},{i % 2}" for i, s in enumerate(SMILES)]
    table, run = write(tmp_path / "t.csv", "smiles,a,b", *rows), tmp_path / "run"
    result = molmp("train", table, "-o", run, *QUICK, "--split-sizes", 0.4, 0.3, 0.3, "--class-weight", "balanced",
                   "--task-weights", "a=2,b=0.5", "--threshold", "tuned", "--target-columns", "a,b",
                   "--loss", "focal")  # fmt: skip
    assert result.exit_code == 0, result.output
    settings = tomllib.loads((run / "config.toml").read_text())
    assert settings["task-weights"] == ["a=2.0", "b=0.5"]
    again = molmp("train", table, "-o", tmp_path / "again", "--config", run / "config.toml")
    assert again.exit_code == 0, again.output
    assert (tmp_path / "again" / "model.json").read_text().count('"task_weights": {') == 1
    thresholds = [target["threshold"] for target in json.loads((run / "model.json").read_text())["targets"]]
    assert all(0 < threshold < 1 for threshold in thresholds)
    predicted = molmp("predict", table, "--model", run, "--columns", "smiles", "--no-trust").stdout
    for row in csv.DictReader(predicted.splitlines()):
        assert row["a_class"] == ("rare" if float(row["a_pred"]) >= thresholds[0] else "common")
    assert list(row) == ["smiles", "a_pred", "a_class", "b_pred", "b_class", "error"]
    assert f"a: common, rare; rare from {thresholds[0]:.3g} on" in molmp("info", run).stdout


def test_what_a_part_lacks_is_said(tmp_path: Path) -> None:
    rows = [f"{s},{'abc'[i % 3 if i < 12 else i % 2]},{'test' if i < 12 else 'train'}" for i, s in enumerate(SMILES)]
    table = write(tmp_path / "t.csv", "smiles,y,s", *rows)
    result = molmp("train", table, "-o", tmp_path / "run", *QUICK, "--split-column", "s", "--target-columns", "y")
    assert result.exit_code == 0, result.output
    assert "no training molecule is of class 'c' of 'y': it cannot be learned" in result.stderr


def test_a_table_from_standard_input(table: Path, tmp_path: Path) -> None:
    result = molmp("train", "-", "-o", tmp_path / "run", *QUICK, input=table.read_bytes())
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "run" / "model.json").read_text())["data"]["file"] == "standard input"
    assert "standard input" in molmp("info", tmp_path / "run").stdout


def test_limits_are_kept_with_the_model(table: Path, tmp_path: Path) -> None:
    result = molmp("train", table, "-o", tmp_path / "run", *QUICK, "--max-atoms", 12, "--time-limit", 3)
    assert result.exit_code == 0, result.output
    options = json.loads((tmp_path / "run" / "model.json").read_text())["features"]["options"]
    assert (options["max_atoms"], options["time_limit"]) == (12, 3.0)
    result = molmp("predict", "--smiles", "C" * 13, "--model", tmp_path / "run")
    assert "too-large: it has 13 atoms, more than 12" in result.stdout
