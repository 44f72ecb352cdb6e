"""`molmp predict`, called through the console script that pyproject.toml declares."""

import subprocess
import sys
from pathlib import Path

import pytest

COLUMNS = (
    "logS_pred", "logS_low", "logS_high", "logS_spread", "nearest", "similarity", "in_domain", "domain_reason", "error"
)  # fmt: skip

MOLMP = [sys.executable, "-m", "molmp_cli"]


def test_standard_input_to_standard_output(molmp, tiny_model):
    result = molmp("predict", "-", "--model", tiny_model, input="smiles;id\nCCO;007\nC1CC;NA\n")
    assert result.exit_code == 0, result.output
    header, first, second = result.stdout.splitlines()
    assert header == f"smiles;id;{';'.join(COLUMNS)}"
    assert first.startswith("CCO;007;")
    assert second == f"C1CC;NA;{';' * (len(COLUMNS) - 1)}syntax: ring 1 is not closed"
    assert "2 rows: 1 predicted, 1 without a prediction" in result.stderr


def test_smiles_on_the_command_line(molmp, tiny_model):
    result = molmp("predict", "--model", tiny_model, "--smiles", "CCO", "--smiles", "C(")
    assert result.exit_code == 0
    assert [line.split(",")[0] for line in result.stdout.splitlines()] == ["smiles", "CCO", "C("]


def test_file_to_file(molmp, tiny_model, tmp_path):
    (tmp_path / "in.csv").write_text("a,b\nC,1\nCC,2\nCCC,3\n")
    options = ["--smiles-column", "a", "--columns", "b", "--shard", "1/2", "--device", "cpu", "--n-jobs", "1"]
    result = molmp("predict", tmp_path / "in.csv", "-m", tiny_model, "-o", tmp_path / "out.csv", *options)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert [line.split(",")[0] for line in (tmp_path / "out.csv").read_text().splitlines()] == ["b", "1", "3"]


def test_folder_to_folder(molmp, tiny_model, tmp_path):
    (tmp_path / "in").mkdir()
    for name in "ab":
        (tmp_path / "in" / f"{name}.smi").write_text("C\nCC\n")
    for message in ("2 files; 4 rows: 4 predicted", "2 files, 2 finished before; 0 rows"):
        result = molmp("predict", tmp_path / "in", "-m", tiny_model, "-o", tmp_path / "out")
        assert result.exit_code == 0, result.output
        assert message in result.stderr
    assert len((tmp_path / "out" / "a.csv").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give either a file IN (- for standard input) or --smiles"),
        (["{table}", "--smiles", "C"], 2, "give either a file IN"),
        (["--smiles", "C", "--shard", "1/2"], 2, "--columns, --shard, --resume and --engine are for a file IN"),
        (["--smiles", "C", "--columns", "smiles"], 2, "--columns, --shard, --resume and --engine are for a file IN"),
        (["{folder}"], 2, "is a folder; name a folder for its predictions with -o"),
        (["{folder}", "-o", "{table}"], 1, "in has no tables; it has none"),
        (["{table}", "-o", "{folder}"], 2, "the name does not say what to write"),
        (["{table}", "-o", "out.xlsx"], 2, "the name does not say what to write"),
        (["{folder}/none.csv"], 1, "no such file"),
        (["{table}", "--shard", "3/2"], 2, "a shard is i/n with i from 1 to n, such as 1/8; got '3/2'"),
        (["{table}", "--shard", "1/3"], 1, "has 2 rows, fewer than 3 shards"),
        (["{table}", "--columns", "smiles,mass"], 1, "has no column 'mass'; it has smiles, id"),
        (["{table}", "--smiles-column", "SMILES"], 1, "has no column 'SMILES'; it has smiles, id"),
        (["{table}", "--device", "cuda:99"], 1, "there is no device 'cuda:99' here"),
        (["{table}", "--n-jobs", "0"], 2, "n_jobs must not be 0"),
        (["{table}", "--on-error", "fail"], 1, "line 3: 'C1CC' has no prediction: ring 1 is not closed"),
        (["{table}", "--on-error", "ignore"], 2, "'ignore' is not one of"),
    ],
)
def test_wrong_input(molmp, tiny_model, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in.csv").write_text("smiles,id\nC,1\nC1CC,2\n")
    filled = [text.format(table="in.csv", folder="in") for text in arguments]
    result = molmp("predict", "--model", tiny_model, *filled)
    assert result.exit_code == code
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "in.csv"]


@pytest.mark.parametrize("model", ["none", "in.csv", "."])
def test_no_model(molmp, tmp_path, monkeypatch, model):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text("smiles\nC\n")
    result = molmp("predict", "in.csv", "--model", model, "-o", "out.csv")
    assert result.exit_code == 1
    assert "is not a molmp model" in result.stderr
    assert not (tmp_path / "out.csv").exists()


def test_first_rows_appear_while_the_input_goes_on(tiny_model: Path):
    """A pipe that stays open: what was read is predicted and written without waiting for its end."""
    process = subprocess.Popen(
        [*MOLMP, "predict", "-", "--model", tiny_model], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("smiles\n" + "C\n" * 12_000)
    process.stdin.flush()
    lines = [process.stdout.readline() for _ in range(4_001)]  # the test's time-out tells when it waits
    assert lines[0] == f"smiles,{','.join(COLUMNS)}\n"
    assert all(line.startswith("C,") for line in lines[1:])
    process.stdin.close()
    assert len(process.stdout.readlines()) == 8_000
    assert process.wait() == 0


def test_a_reader_that_has_seen_enough(tiny_model: Path, tmp_path: Path):
    (tmp_path / "in.csv").write_text("smiles\n" + "C\n" * 20_000)
    process = subprocess.Popen(
        [*MOLMP, "predict", tmp_path / "in.csv", "--model", tiny_model],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    assert process.wait() == 1
    assert "Traceback" not in said
    assert "Broken" not in said


def test_what_a_table_does_not_say_can_be_said(molmp, tiny_model, tmp_path):
    """Commas and tabs both cut this into columns with SMILES; and the first line could be a molecule or a name."""
    path = tmp_path / "in.txt"
    path.write_text("C,C\tC\nCC,CC\tCC\n")
    result = molmp("predict", path, "-m", tiny_model)
    assert result.exit_code == 1
    assert "can be cut into columns by comma and by tab; say which is meant (--delimiter)" in result.stderr
    said = ["--delimiter", "tab", "--header", "--smiles-column", "C"]
    result = molmp("predict", path, "-m", tiny_model, *said)
    assert [line.split("\t")[:2] for line in result.stdout.splitlines()] == [["C,C", "C"], ["CC,CC", "CC"]]
    result = molmp("predict", path, "-m", tiny_model, "--delimiter", "\t", "--no-header")
    assert [line.split("\t")[1] for line in result.stdout.splitlines()] == ["smiles", "C", "CC"]


def test_one_named_column_is_no_list_of_names(molmp, tiny_model, tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("smiles\nCCO\nC C\nCC CC\n")
    result = molmp("predict", path, "-m", tiny_model, "--no-trust")
    lines = result.stdout.splitlines()
    assert lines[0] == "smiles,logS_pred,error"
    assert [line.rpartition(",")[2] for line in lines[2:]] == [
        "whitespace: it holds white space at position 2", "whitespace: it holds white space at position 3"
    ]  # fmt: skip
