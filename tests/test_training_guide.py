"""docs/training.md: its examples run, its commands too, and it tells of every loss."""

import doctest
import re
import shlex
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from click.testing import CliRunner

from molmp.training.loss_names import LOSS_NAMES

GUIDE = Path(__file__).parent.parent / "docs" / "training.md"
SMILES = ["C" * n + end for n in range(1, 9) for end in ("", "O", "N", "Cl")]
QUICK = ["--epochs", "1", "--no-cache", "--force"]

TABLES = {
    "solubility.csv": ("logS,logP", lambda i, s: f"{-0.5 * len(s)},{s.count('C')}"),
    "toxicity.csv": ("toxic", lambda i, s: str(int(i % 3 == 1))),
    "ic50.csv": ("pIC50", lambda i, s: f"<{4}" if i % 7 == 3 else str(i / 4)),
    "few.csv": ("mp", lambda i, s: str(10 * len(s))),
}


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, (header, cells) in TABLES.items():
        rows = [f"{s},{cells(i, s)}" for i, s in enumerate(SMILES)]
        (tmp_path / name).write_text("\n".join([f"smiles,{header}", *rows]) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_examples_run() -> None:
    failed, attempted = doctest.testfile(str(GUIDE), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert attempted > 8
    assert failed == 0


def test_commands_run_and_say_what_the_guide_says(tables: Path) -> None:
    text = GUIDE.read_text()
    commands = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert len(commands) > 8
    (script,) = entry_points(group="console_scripts", name="molmp")
    said = ""
    for command in commands:
        small = [] if "--init-from" in command else ["--hidden", "8"]
        result = CliRunner().invoke(script.load(), [*shlex.split(command)[1:], *QUICK, *small])
        assert result.exit_code == 0, result.output
        said += result.stderr
    for sentence in re.findall(r"^    (molmp: .*)$", text, re.MULTILINE):
        assert sentence in said


def test_every_loss_is_told() -> None:
    told = set(re.findall(r"^\| `([a-z][a-z-]+)` \|", GUIDE.read_text(), re.MULTILINE))
    assert {name for names in LOSS_NAMES.values() for name in names} == told
