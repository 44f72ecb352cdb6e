"""The page about scale: every command on it is one that molmp has, with the options that it has."""

import importlib
import shlex
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parent.parent / "docs" / "scaling.md"
COMMANDS = [
    line.partition("#")[0].strip() for line in PAGE.read_text().splitlines() if line.startswith(("molmp ", "torchrun "))
]


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_of_the_page(line: str) -> None:
    words = shlex.split(line.replace("$SLURM_ARRAY_TASK_ID", "7"))
    if words[0] == "torchrun":
        words = words[words.index("molmp_cli") :]
    name, arguments = words[1], words[2:]
    command = getattr(importlib.import_module(f"molmp_cli.{name}"), name)
    command.make_context(name, arguments)  # raises for an option or a value that there is not


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 9
