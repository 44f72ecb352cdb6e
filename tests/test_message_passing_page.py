"""The page on message passing: its examples run, and its picture is that of the command it names."""

import doctest
from pathlib import Path

from benchmarks.operators import SUBJECTS, load_rows
from benchmarks.operators_report import page
from molmp.nn.config import CHOICES
from molmp.nn.operators import OPERATORS

ROOT = Path(__file__).parent.parent


def test_examples_run() -> None:
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failed, tried = doctest.testfile(
        str(ROOT / "docs" / "message-passing.md"), module_relative=False, optionflags=flags
    )
    assert tried > 30
    assert failed == 0


def test_the_page_of_operators_names_every_operator_and_option() -> None:
    text = (ROOT / "docs" / "operators.md").read_text("ascii")
    table = text.partition("## Options of the stack")[0].splitlines()
    for name, operator in OPERATORS.items():
        (row,) = [line for line in table if line.startswith(f"| `{name}` |")]
        for option in operator.options:
            assert f"--{option.replace('_', '-')}" in row
    for name in ("norm", "jumping", "weights", "positions"):
        assert f"`--{name} {','.join(CHOICES[name])}`" in text


def test_the_table_of_the_benchmark_is_that_of_its_results() -> None:
    rows = load_rows()
    text = (ROOT / "docs" / "operators.md").read_text("ascii")
    assert page(rows) in text
    assert {row["subject"] for row in rows} == set(SUBJECTS)
    sizes = [row["parameters"] for row in rows]
    assert max(sizes) < 1.5 * min(sizes)
