"""Both ways to read molecules, on twenty thousand of them; ``make readers``: on a hundred thousand."""

import os
import sys
from pathlib import Path

import pytest
from generated import generated

from molmp.chem import records

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.readers import CHUNK, compare

MOLECULES = int(os.environ.get("MOLMP_READERS", "20000"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_both_ways_agree_on_many_molecules(seed):
    texts = generated(MOLECULES // 4, seed)
    found = [compare(texts[start : start + CHUNK]) for start in range(0, len(texts), CHUNK)]
    assert [text for one in found for text in one.differing] == []
    read, in_lockstep = (sum(getattr(one, name) for one in found) for name in ("molecules", "in_lockstep"))
    assert read > 0.88 * len(texts)
    assert in_lockstep > 0.85 * read


def test_a_difference_is_found_and_named(monkeypatch):
    assert compare(["CCO", "C[N+](C)(C)C", "C#N"]).differing == []
    monkeypatch.setattr(records, "CHARGE", records.RADICAL)  # read from the wrong place
    assert compare(["CCO", "C[N+](C)(C)C", "C#N"]).differing == ["C[N+](C)(C)C"]
