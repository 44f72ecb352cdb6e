"""Training in several processes: the same result as in one, one voice, and one end."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from molmp.errors import ConfigError
from molmp.training.distributed import ALONE, LAUNCHED, Ranks, join

SMILES = ["C" * n + end for n in range(1, 9) for end in ("", "O", "N", "Cl")]
# 26 molecules are trained on: the last batch has one, which leaves nothing for the second process.
TRAIN = [
    "--hidden",
    "8",
    "--steps",
    "2",
    "--epochs",
    "2",
    "--batch-size",
    "5",
    "--ensemble",
    "2",
    "--no-cache",
]

LONELY_ERROR = """
import torch
from molmp.errors import DataError
from molmp.training.distributed import join

try:
    with join("cpu") as ranks:
        print("rank", ranks.rank)
        if ranks.rank == 1:
            raise DataError("the second machine lacks the table")
        ranks.mean(torch.ones(()))
except DataError as error:
    raise SystemExit(f"molmp: {error}")
"""


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in LAUNCHED} | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", *map(str, command)], capture_output=True, text=True, env=environment, timeout=1000
    )


def in_two(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return run("torch.distributed.run", "--standalone", "--nproc-per-node", "2", *command)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Labels are uneven between the rows of a batch, so that a mean of means is not the mean.
    lines = [f"{s},{s.count('C')},{'' if i % 3 else len(s)}" for i, s in enumerate(SMILES)]
    path = tmp_path_factory.mktemp("table") / "table.csv"
    path.write_text("\n".join(["smiles,carbons,letters", *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def two(table: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The folder that two processes wrote, and what they said."""
    folder = tmp_path_factory.mktemp("two") / "run"
    done = in_two("-m", "molmp_cli", "train", table, "-o", folder, *TRAIN)
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(molmp: Any, table: Path, two: Any, tmp_path: Path) -> None:
    folder, done = two
    one = molmp("train", table, "-o", tmp_path / "one", *TRAIN)
    assert one.exit_code == 0, one.output
    expected, got = (load_file(run / "model.safetensors") for run in (tmp_path / "one", folder))
    assert set(expected) == set(got)
    for name, weight in expected.items():
        np.testing.assert_allclose(got[name], weight, rtol=1e-5, atol=1e-6, err_msg=name)
    first, second = (json.loads((run / "metrics.json").read_text()) for run in (tmp_path / "one", folder))
    for part in ("train", "val", "test"):
        assert second[part] == pytest.approx(first[part], rel=1e-5)
    columns = [0, 1, 2, 3, 4]  # member, epoch, losses and score; not the times
    history = [np.loadtxt(run / "history.csv", delimiter=",", skiprows=1, usecols=columns)
               for run in (tmp_path / "one", folder)]  # fmt: skip
    np.testing.assert_allclose(history[1], history[0], rtol=1e-5)
    assert done.stdout.count("model and results in") == done.stderr.count("network 1:") == 1, "one speaks for all"


@pytest.mark.slow
def test_an_error_of_all_is_told_once(table: Path, tmp_path: Path) -> None:
    result = in_two("-m", "molmp_cli", "train", table, "-o", tmp_path / "run", "--target-columns", "tails", *TRAIN)
    assert result.returncode == 1
    assert result.stderr.count("has no column 'tails'") == 1
    assert not list(tmp_path.iterdir()), "nothing is left behind"


@pytest.mark.slow
def test_an_error_of_one_ends_all(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(LONELY_ERROR)
    result = in_two(script)
    assert result.returncode == 1
    assert result.stderr.count("the second machine lacks the table") == 1
    assert "Connection" not in result.stderr, "the other one hears of it in silence"
    assert "rank 1" not in result.stdout


def test_shares_make_up_the_batch() -> None:
    counts = np.array([[1.0, 0.0, 3.0, 2.0, 5.0], [1.0, 1.0, 0.0, 0.0, 0.0]])
    rows = np.array([4, 2, 0])
    for size in (1, 2, 3):
        shares = [Ranks(rank, size).share(rows, counts) for rank in range(size)]
        assert sorted(np.concatenate([s.rows for s in shares])) == [0, 2, 4]
        # What each process's own mean is worth: its part of all weights, times the processes of the mean over them.
        for share in shares:
            of_all = counts[:, [0, 2, 4]].sum(1)
            assert share.factors == pytest.approx(size * counts[:, share.rows].sum(1) / of_all)


def test_a_network_that_learns_nothing_from_a_batch() -> None:
    shares = [Ranks(rank, 2).share(np.array([0, 1]), np.array([[1.0, 1.0], [0.0, 0.0]])) for rank in range(2)]
    assert [share.factors.tolist() for share in shares] == [[1.0, 0.0], [1.0, 0.0]]


def test_more_processes_than_rows() -> None:
    shares = [Ranks(rank, 3).share(np.array([7]), np.ones((1, 8))) for rank in range(3)]
    assert [list(share.rows) for share in shares] == [[7]] * 3
    assert [share.factors.tolist() for share in shares] == [[3.0], [0.0], [0.0]]


def test_without_torchrun_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LAUNCHED:
        monkeypatch.delenv(name, raising=False)
    with join("cpu") as ranks:
        assert ranks == ALONE
    assert ALONE.pick_device("cpu") == torch.device("cpu")
    assert ALONE.is_main


def test_a_device_of_its_own() -> None:
    assert Ranks(1, 2, 1).pick_device("cpu") == torch.device("cpu")
    with pytest.raises(
        ConfigError, match="2 processes train together, each on its own device: cpu or cuda, not cuda:0"
    ):
        Ranks(0, 2, 0).pick_device("cuda:0")


def test_each_process_drops_other_units() -> None:
    from molmp.training.loop import _seed

    assert _seed(3, 1, 2, 0) == _seed(3, 1, 2, 0)
    assert _seed(3, 1, 2, 0) != _seed(3, 1, 2, 1)


STOPPED = """
import os, sys
from molmp.training import checkpoints, loop
checkpoints.EVERY, checkpoints.SHARE = 0.0, 1e9
step, count = loop._Learner.step, [0]
def few_steps(*args):
    count[0] += 1
    if count[0] > 7:
        os.kill(os.getpid(), 9)
    return step(*args)
loop._Learner.step = few_steps
from molmp_cli.main import main
main(sys.argv[1:], prog_name="molmp")
"""


@pytest.mark.slow
def test_two_processes_that_were_killed_go_on(molmp: Any, table: Path, two: Any, tmp_path: Path) -> None:
    """The weights and metrics are those of two that were not, to the bit."""
    (tmp_path / "stopped.py").write_text(STOPPED)
    killed = in_two(tmp_path / "stopped.py", "train", table, "-o", tmp_path / "run", *TRAIN)
    assert killed.returncode != 0
    assert not (tmp_path / "run").exists()
    assert list((tmp_path / "run.resume").glob("*.checkpoint"))
    command = ("-m", "molmp_cli", "train", table, "-o", tmp_path / "run", *TRAIN, "--resume")
    alone = molmp(*command[2:], "--lr", "0.5")
    assert alone.exit_code == 2
    assert "another training (lr was 0.002, is 0.5, processes was 2, is 1)" in alone.stderr
    again = in_two(*command)
    assert again.returncode == 0, again.stderr
    for name in ("model.safetensors", "metrics.json"):
        assert (tmp_path / "run" / name).read_bytes() == (two[0] / name).read_bytes(), name
