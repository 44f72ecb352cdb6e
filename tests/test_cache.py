"""Graphs kept for the next run: the same to the byte, found by content only, and never in the way."""

import os

import numpy as np
import pytest

from molmp.chem import cache as module
from molmp.chem.cache import cache_folder, cached_featurize, writable
from molmp.chem.featurize import GraphOptions, featurize
from molmp.errors import ConfigError

SMILES = ["CCO", "C1CC", "", None, "c1ccccc1", "C" * 30] * 200
OPTIONS = GraphOptions()


@pytest.fixture
def counted(monkeypatch):
    """How often something was featurized."""
    calls = []

    def spy(*args, **kwargs):
        calls.append(args)
        return featurize(*args, **kwargs)

    monkeypatch.setattr(module, "featurize", spy)
    return calls


def same(one, other) -> bool:
    errors = [[str(error) for error in each.errors.values()] for each in (one, other)]
    return one.graphs == other.graphs and np.array_equal(one.rows, other.rows) and errors[0] == errors[1]


def test_the_second_time_nothing_is_read_again(tmp_path, counted):
    first = cached_featurize(SMILES, OPTIONS, cache=tmp_path / "new" / "folder")
    second = cached_featurize(SMILES, OPTIONS, cache=tmp_path / "new" / "folder")
    assert len(counted) == 1
    assert same(first, second)
    assert same(first, featurize(SMILES))
    assert list(first.errors) == list(second.errors)
    assert isinstance(second.graphs.atom_types, np.memmap)


@pytest.mark.parametrize("change", ["smiles", "order", "options", "version", "rdkit"])
def test_whatever_matters_is_told_apart(change, tmp_path, counted, monkeypatch):
    cached_featurize(SMILES, OPTIONS, cache=tmp_path)
    smiles, options = SMILES, OPTIONS
    if change == "smiles":
        smiles = [*SMILES[:-1], "C" * 31]
    elif change == "order":
        smiles = SMILES[::-1]
    elif change == "options":
        options = GraphOptions(explicit_hydrogens=True)
    elif change == "version":
        monkeypatch.setattr(module, "__version__", "0.0.0")
    else:
        monkeypatch.setattr(module.rdkit, "__version__", "0.0.0")
    again = cached_featurize(smiles, options, cache=tmp_path)
    assert len(counted) == 2
    assert same(again, featurize(smiles, options))


@pytest.mark.parametrize("content", [b"", b"[", b"[]", b"[[0]]", b"{}", b"\xff\xfe"])
@pytest.mark.parametrize("suffix", [".graphs", ".json"])
def test_damaged_files_are_made_again(suffix, content, tmp_path, counted):
    expected = cached_featurize(SMILES, OPTIONS, cache=tmp_path)
    (path,) = tmp_path.glob(f"*{suffix}")
    path.write_bytes(content)
    assert same(cached_featurize(SMILES, OPTIONS, cache=tmp_path), expected)
    assert len(counted) == 2
    assert same(cached_featurize(SMILES, OPTIONS, cache=tmp_path), expected)
    assert len(counted) == 2


def test_short_lists_and_no_cache_leave_no_trace(tmp_path, counted):
    cached_featurize(SMILES[:10], OPTIONS, cache=tmp_path)
    cached_featurize(SMILES, OPTIONS, cache=None)
    assert os.listdir(tmp_path) == []
    assert len(counted) == 2


def test_a_folder_that_cannot_be_written_is_told_and_does_no_harm(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    featurized = cached_featurize(SMILES, OPTIONS, cache=tmp_path / "file" / "folder")
    assert same(featurized, featurize(SMILES))
    (record,) = caplog.records
    assert record.getMessage().startswith("graphs are not kept for the next run: ")
    assert str(tmp_path / "file") in record.getMessage()


def test_a_folder_that_somebody_named(tmp_path):
    assert writable(tmp_path / "new" / "folder") == tmp_path / "new" / "folder"
    assert os.listdir(tmp_path / "new" / "folder") == []
    (tmp_path / "file").write_text("")
    for name in ("file", "file/folder"):
        with pytest.raises(ConfigError, match=f"graphs cannot be kept in {tmp_path / name}: .*; name another folder"):
            writable(tmp_path / name)


def test_a_crash_is_not_kept(tmp_path, monkeypatch):
    made = featurize(SMILES)
    made.errors[1].code = "crash"
    monkeypatch.setattr(module, "featurize", lambda *args, **kwargs: made)
    assert cached_featurize(SMILES, OPTIONS, cache=tmp_path) is made
    assert os.listdir(tmp_path) == []


def test_where_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("MOLMP_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("MOLMP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "molmp"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "molmp"
