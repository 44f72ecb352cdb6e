"""`molmp data`, called through the console script that pyproject.toml declares."""

from importlib.metadata import entry_points

import pytest
from click.testing import CliRunner

from molmp.tables.catalogue import catalogue


@pytest.fixture
def molmp():
    (script,) = entry_points(group="console_scripts", name="molmp")
    return lambda *args: CliRunner().invoke(script.load(), [str(arg) for arg in args])


def test_list(molmp):
    result = molmp("data", "list")
    assert result.exit_code == 0
    header, *lines = result.stdout.splitlines()
    assert header.split() == ["NAME", "ROWS", "TARGETS", "TASK", "METRIC", "SPLIT", "LICENCE", "TITLE"]
    assert [line.split()[0] for line in lines] == list(catalogue())
    start = header.index("TASK")
    assert all(line[start:].split()[0] == entry.task for line, entry in zip(lines, catalogue().values(), strict=True))


def test_get(molmp, tmp_path):
    (tmp_path / "delaney-processed.csv").write_text("smiles,measured log solubility in mols per litre\nCCO,-0.5\n")
    result = molmp("data", "get", "esol", "--from", tmp_path, "-o", tmp_path / "out.csv")
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert (tmp_path / "out.csv").read_text() == "smiles,logs\nCCO,-0.5\n"
    for said in ("1 molecules", "logs [log10(mol/L)]", "doi:10.1021/ci034243x", "licence: none stated", "molmp train"):
        assert said in result.stderr
    assert "molmp: note: 1 rows, where the catalogue has 1,128" in result.stderr


def test_get_without_a_file_name(molmp, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert molmp("data", "get", "sulfonamides").exit_code == 0
    assert (tmp_path / "sulfonamides.csv").read_text().count("\n") == 1018


def test_get_to_standard_output(molmp):
    result = molmp("data", "get", "sulfonamides", "-o", "-")
    assert result.exit_code == 0
    assert result.stdout.startswith("smiles,p_activity\n")
    assert "licence" not in result.stdout


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["get", "esool"], 2, "molmp: no data set 'esool'; did you mean esol"),
        (["get"], 2, "Missing argument 'NAME'"),
        (["get", "esol", "--from", "no-such-folder"], 1, "molmp: there is no folder no-such-folder"),
        (["get", "sulfonamides", "-o", "x.xlsx"], 2, "end it in .csv, .tsv"),
        (["fetch"], 2, "No such command 'fetch'"),
    ],
)
def test_mistakes_are_told_in_one_line(molmp, tmp_path, monkeypatch, args, code, said):
    monkeypatch.chdir(tmp_path)
    result = molmp("data", *args)
    assert result.exit_code == code
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())


def test_a_file_that_exists(molmp, tmp_path):
    (tmp_path / "out.csv").write_text("mine")
    result = molmp("data", "get", "sulfonamides", "-o", tmp_path / "out.csv")
    assert (result.exit_code, "--force replaces it" in result.stderr) == (2, True)
    assert (tmp_path / "out.csv").read_text() == "mine"
    assert molmp("data", "get", "sulfonamides", "-o", tmp_path / "out.csv", "--force").exit_code == 0
