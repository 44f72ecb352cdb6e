"""Threads and memory of the process."""

import pytest
import torch

from molmp import MPNNRegressor
from molmp.nn import process
from molmp.nn.process import keep_memory, pick_threads, set_threads


@pytest.mark.parametrize(
    ("cores", "load", "threads"),
    [(1, 0, 1), (2, 0, 1), (4, 0, 2), (8, 0, 4), (64, 0, 4), (64, 60, 2), (64, 90, 1), (0.5, 0, 1), (6.5, 0.4, 3)],
)
def test_half_of_the_idle_cores(cores: float, load: float, threads: int) -> None:
    assert pick_threads(cores, load) == threads


def test_the_caller_decides_first() -> None:
    assert set_threads(2) == torch.get_num_threads() == 2


def test_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(2)  # as torch does at start with OMP_NUM_THREADS=2
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert set_threads() == 2


def test_then_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(process, "_usable_cores", lambda: 8.0)
    monkeypatch.setattr(process.os, "getloadavg", lambda: (2.0, 0.0, 0.0))
    assert set_threads() == torch.get_num_threads() == 3


@pytest.mark.parametrize(("before", "within"), [(4, 3), (1, 1)])
def test_an_estimator_computes_with_fewer_threads_and_leaves_them_as_they_were(
    monkeypatch: pytest.MonkeyPatch, before: int, within: int
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(process, "_usable_cores", lambda: 6.0)
    monkeypatch.setattr(process.os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    torch.set_num_threads(before)
    seen = []
    monkeypatch.setattr("molmp.base_estimator.train", lambda *a, **k: seen.append(torch.get_num_threads()) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        MPNNRegressor(device="cpu").fit(["C" * n for n in range(1, 21)], range(20))
    assert (seen, torch.get_num_threads()) == ([within], before)


def test_cores_are_those_of_this_process() -> None:
    assert 0 < process._usable_cores() <= (process.os.cpu_count() or 1)


def test_keeping_memory_is_for_glibc() -> None:
    assert keep_memory() in (True, False)
    assert float(torch.ones(1 << 20).sum()) == 1 << 20
