"""A little of what ``make fuzz`` runs much of."""

import pytest
from awkward import ENDLESS
from fuzz import base_files, check_file, check_strings, files, strings

from molmp.chem import pool
from molmp.chem.options import GraphOptions


@pytest.fixture(scope="module")
def worker():
    with pool.WorkerPool(1) as workers:
        yield workers


@pytest.mark.parametrize("part", range(3))
def test_strings(part, worker):
    outcomes = check_strings(strings(7, part), worker)
    assert outcomes.total() == 1000
    assert outcomes["graph"] > 100
    assert len(outcomes) > 6


@pytest.mark.parametrize("part", range(3))
def test_files(part, tmp_path):
    pytest.importorskip("pyarrow")
    for name, content in files(7, part, base_files()):
        (tmp_path / name).write_bytes(content)
        check_file(tmp_path / name, tmp_path / "out.csv")


def test_parts_are_the_same_again():
    assert strings(1, 2) == strings(1, 2) != strings(2, 2)
    base = {"a": b"abc"}
    assert list(files(1, 2, base)) == list(files(1, 2, base))


def test_the_check_itself_sees_a_timeout(worker):
    with pytest.raises(AssertionError, match="processor time"):
        check_strings(["CCO", ENDLESS], worker, GraphOptions(features="descriptors", time_limit=0.5))
