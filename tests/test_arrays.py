"""Features as NumPy arrays: what was written is read back, and little of it is held meanwhile."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from molmp.tables.arrays import arrays_writer


def test_what_numpy_would_have_written(tmp_path: Path) -> None:
    matrix = np.array([[1.5, np.nan], [0, -2], [3, 4]], np.float32)
    smiles, errors = ["CCO", "a\nb, \U0001f600", "\udc80"], ["", "syntax: ring 1 is not closed", ""]
    with arrays_writer(tmp_path / "mine.npz", ["a", "bc"]) as arrays:
        arrays.write(matrix[:2], smiles[:2], errors[:2])
        arrays.write(matrix[2:], smiles[2:], errors[2:])
    whole = {"features": matrix, "names": np.array(["a", "bc"]), "smiles": np.array(smiles), "error": np.array(errors)}
    with np.load(tmp_path / "mine.npz") as found:
        assert list(found) == list(whole)
        for name, array in whole.items():
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array)


def test_no_rows(tmp_path: Path) -> None:
    with arrays_writer(tmp_path / "none.npz", ["a"]):
        pass
    with np.load(tmp_path / "none.npz") as found:
        assert [found[name].shape for name in found] == [(0, 1), (1,), (0,), (0,)]


def test_memory_does_not_grow_with_rows_nor_with_the_longest(tmp_path: Path) -> None:
    """One text of 10,000 characters, and 20,000 rows, are 800 MB as NumPy lays them out."""
    tracemalloc.start()
    with arrays_writer(tmp_path / "out.npz", ["a"] * 50) as arrays:
        arrays.write(np.ones((1, 50), np.float32), ["C" * 10_000], [""])
        for _ in range(20):
            arrays.write(np.ones((1_000, 50), np.float32), ["CCO"] * 1_000, [""] * 1_000)
    assert tracemalloc.get_traced_memory()[1] < 30e6
    tracemalloc.stop()


def test_nothing_is_left_of_what_failed(tmp_path: Path) -> None:
    def fail() -> None:
        with arrays_writer(tmp_path / "out.npz", ["a"]) as arrays:
            arrays.write(np.ones((1, 1)), ["C"], [""])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []
