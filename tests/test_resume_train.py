"""Checkpoints: a training that is stopped at any moment and goes on ends with the same weights to the bit."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result

from molmp.chem.featurize import GraphOptions, featurize
from molmp.errors import ConfigError, FileFormatError
from molmp.inference.predictor import load
from molmp.nn.config import ModelConfig
from molmp.tables.lock import lock_file
from molmp.tables.splits import Split
from molmp.training import checkpoints as room
from molmp.training.checkpoints import Checkpoints
from molmp.training.config import TrainConfig
from molmp.training.loop import Step
from molmp.training.problem import Problem
from molmp.training.run import Trained, train
from molmp.training.targets import Target, Targets

SMILES = ["C" * n + end for n in range(1, 9) for end in ("", "O", "N", "Cl")]
NETWORK = ModelConfig(hidden=8, steps=2, edge_hidden=4, head_hidden=8, dropout=0.3)
CONFIG = TrainConfig(epochs=2, batch_size=8, ensemble=2, seed=5)
STEPS = 4  # of each epoch: the networks that learn from validation molecules too have 28
SAVED = CONFIG.epochs * (STEPS + 1)  # checkpoints in all: after each step, and after each epoch

# A checkpoint after every step, and before one of them time for a signal to arrive.
PROGRAM = """
import itertools, sys, time
from molmp.training import checkpoints, loop
checkpoints.EVERY, checkpoints.SHARE = 0.0, 1e9
step = loop._Learner.step
steps = itertools.count(1)
def slow_step(*args):
    if next(steps) == {hangs_at}:
        time.sleep(3000)
    return step(*args)
loop._Learner.step = slow_step
from molmp_cli.main import main
main(sys.argv[1:], prog_name="molmp")
"""


@pytest.fixture(autouse=True)
def _checkpoint_after_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "EVERY", 0.0)
    monkeypatch.setattr(room, "SHARE", 1e9)


def problem(shift: float = 0.0) -> Problem:
    rows = np.arange(len(SMILES))
    labels = np.array([[s.count("C") + shift] for s in SMILES])
    return Problem(
        featurized=featurize(SMILES), options=GraphOptions(), targets=Targets("regression", (Target(name="y"),)),
        labels=labels, weights=None, split=Split(rows[:-8], rows[-8:-4], rows[-4:]),
    )  # fmt: skip


def finish(folder: Path, *, config: TrainConfig = CONFIG, told: list[str] | None = None, **options: Any) -> Trained:
    tell = (lambda note: None) if told is None else told.append
    with Checkpoints(folder, resume=True, tell=tell) as checkpoints:
        *_, last = train(problem(**options), NETWORK, config, device="cpu", checkpoints=checkpoints)
    assert isinstance(last, Trained)
    return last


class Stopping(Checkpoints):
    """Gives up when it should write one checkpoint more."""

    left = 0

    def is_due(self) -> bool:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return super().is_due()


def stop_after(folder: Path, number: int, config: TrainConfig = CONFIG, resume: bool = True, what: Any = None) -> None:
    """Begin, or go on, and stop after so many checkpoints."""
    with pytest.raises(KeyboardInterrupt):
        run_until_stopped(folder, number, config, resume, problem() if what is None else what)


def run_until_stopped(folder: Path, number: int, config: TrainConfig, resume: bool, what: Problem) -> None:
    with Stopping(folder, resume=resume) as checkpoints:
        checkpoints.left = number
        list(train(what, NETWORK, config, device="cpu", checkpoints=checkpoints))


def assert_same(mine: Trained, want: Trained) -> None:
    for a, b in zip(mine.bundle.members, want.bundle.members, strict=True):
        assert a.keys() == b.keys()
        for name, weight in a.items():
            assert torch.equal(weight, b[name]), name
    assert mine.bundle.metrics == want.bundle.metrics
    timed = {"seconds", "molecules_per_second"}
    histories = [[{k: v for k, v in r.items() if k not in timed} for r in t.history] for t in (mine, want)]
    assert histories[0] == histories[1]


@pytest.fixture(scope="module")
def whole() -> Trained:
    *_, last = train(problem(), NETWORK, CONFIG, device="cpu")
    assert isinstance(last, Trained)
    return last


@pytest.mark.parametrize("number", range(1, SAVED))
def test_stopped_after_any_step(whole: Trained, tmp_path: Path, number: int) -> None:
    stop_after(tmp_path / "run.resume", number)
    assert len(list((tmp_path / "run.resume").glob("*.checkpoint"))) == min(number, 2)
    assert_same(finish(tmp_path / "run.resume"), whole)
    assert list(tmp_path.iterdir()) == []


def test_stopped_again_and_again(whole: Trained, tmp_path: Path) -> None:
    for _ in range(3):
        stop_after(tmp_path / "run.resume", 3)
    assert_same(finish(tmp_path / "run.resume"), whole)


def test_patience_is_remembered(tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=40, patience=2, lr=0.3, ensemble=1)
    *_, want = train(problem(), NETWORK, config, device="cpu")
    assert isinstance(want, Trained)
    assert len(want.history) < 40
    for before_end in (1, 5):
        stop_after(tmp_path / "run.resume", 4 * len(want.history) - before_end, config, resume=False)
        assert_same(finish(tmp_path / "run.resume", config=config), want)


def test_classes_and_weights_of_another_task(tmp_path: Path) -> None:
    labels = np.array([[float("O" in s)] for s in SMILES])
    targets = Targets("binary", (Target(name="y", classes=("no", "yes")),))
    binary = Problem(**{**vars(problem()), "labels": labels, "targets": targets, "weights": np.linspace(0, 2, 32)})
    *_, want = train(binary, NETWORK, CONFIG, device="cpu")
    stop_after(tmp_path / "c", 7, what=binary)
    with Checkpoints(tmp_path / "c", resume=True) as checkpoints:
        *_, last = train(binary, NETWORK, CONFIG, device="cpu", checkpoints=checkpoints)
    assert isinstance(last, Trained)
    assert isinstance(want, Trained)
    assert_same(last, want)


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_damaged_checkpoint_is_told_and_the_one_before_is_used(whole: Trained, tmp_path: Path) -> None:
    folder = tmp_path / "run.resume"
    stop_after(folder, 7)
    first, last = sorted(folder.glob("*.checkpoint"))
    damage(last)
    told: list[str] = []
    assert_same(finish(folder, told=told), whole)
    assert f"{last} is damaged: the content does not match its hash" in told
    stop_after(folder, 7)
    os.truncate(last, 1000)
    damage(first)
    with pytest.raises(FileFormatError, match=r"no checkpoint in .* is whole; without --resume training begins anew"):
        finish(folder)


@pytest.mark.parametrize(
    ("config", "options", "words"),
    [
        (replace(CONFIG, lr=0.01), {}, "lr was 0.002, is 0.01"),
        (replace(CONFIG, epochs=9), {}, "epochs was 2, is 9"),
        (CONFIG, {"shift": 1.0}, "other data"),
    ],
)
def test_another_training_is_refused(tmp_path: Path, config: TrainConfig, options: Any, words: str) -> None:
    stop_after(tmp_path / "run.resume", 2)
    before = {path: path.read_bytes() for path in (tmp_path / "run.resume").iterdir()}
    with pytest.raises(ConfigError, match=f"holds the checkpoints of another training \\({words}\\)"):
        finish(tmp_path / "run.resume", config=config, **options)
    assert before == {path: path.read_bytes() for path in (tmp_path / "run.resume").iterdir()}


def test_other_threads_are_set_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[int] = []
    with monkeypatch.context() as patched:
        patched.setattr(torch, "get_num_threads", lambda: 7)
        stop_after(tmp_path / "run.resume", 2)
    monkeypatch.setattr("molmp.training.run.set_threads", wanted.append)
    with pytest.raises(ConfigError, match=r"threads was 7, is \d"):  # because here they were not set in earnest
        finish(tmp_path / "run.resume")
    assert wanted == [7]


def test_begins_anew_without_being_asked_to_resume(whole: Trained, tmp_path: Path) -> None:
    stop_after(tmp_path / "run.resume", 7)
    told: list[str] = []
    with Checkpoints(tmp_path / "run.resume", tell=told.append) as checkpoints:
        records = list(train(problem(), NETWORK, CONFIG, device="cpu", checkpoints=checkpoints))
    assert sum(isinstance(record, Step) for record in records) == CONFIG.epochs * STEPS
    assert "is left of an earlier run: --resume would go on with it; this one begins anew" in told[0]
    assert not (tmp_path / "run.resume").exists()


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    stop_after(tmp_path / "run.resume", 2)
    with open(tmp_path / "run.resume" / "lock") as held:
        assert lock_file(held)
        with pytest.raises(ConfigError, match="another process is training, and keeps its checkpoints in"):
            Checkpoints(tmp_path / "run.resume", resume=True)
    finish(tmp_path / "run.resume")


def test_short_runs_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "EVERY", 60.0)
    stop_after(tmp_path / "run.resume", 7)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def files_of_at_most() -> Iterator[Any]:
    """Limit the size of files: what is longer cannot be written, as on a disk that is full."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_without_room(whole: Trained, tmp_path: Path, files_of_at_most: Any) -> None:
    folder = tmp_path / "run.resume"
    stop_after(folder, 4)
    before = {path: path.read_bytes() for path in folder.glob("*.checkpoint")}
    files_of_at_most(10_000)
    with pytest.raises(OSError, match="File too large") as caught:
        finish(folder)
    files_of_at_most(-1)
    assert caught.value.filename == str(folder / "000000005.checkpoint")
    assert before == {path: path.read_bytes() for path in folder.iterdir() if path.name != "lock"}
    assert_same(finish(folder), whole)


def test_a_full_disk(whole: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run.resume"
    stop_after(folder, 4)

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"No space left on device: .*checkpoint"):
            finish(folder)
    assert len(list(folder.iterdir())) == 3
    assert_same(finish(folder), whole)


# The command line, in processes that are killed.

QUICK = ["--hidden", "8", "--steps", "2", "--epochs", "5", "--batch-size", "8", "--no-cache", "--device", "cpu"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [f"{s},{s.count('C')}" for s in SMILES]
    (tmp_path / "t.csv").write_text("\n".join(["smiles,y", *rows]) + "\n")
    return tmp_path / "t.csv"


def start(table: Path, run: Path, *more: str, hangs_at: int = 0) -> "subprocess.Popen[str]":
    """Begin, or go on, and wait before that step for somebody to end it."""
    program = PROGRAM.format(hangs_at=hangs_at)
    command = [sys.executable, "-c", program, "train", table, "-o", run, *QUICK, "--resume", *more]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    return subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True, env=environment)


def send_after(process: "subprocess.Popen[str]", folder: Path, number: int, sent: int, delay: float = 0.0) -> bool:
    """Send a signal after that checkpoint; say whether the process was still at work."""
    while process.poll() is None:
        there = [int(path.stem) for path in folder.glob("*.checkpoint")]
        if there and max(there) >= number:
            time.sleep(delay)
            process.send_signal(sent)
            break
        time.sleep(0.02)
    process.wait()
    return process.returncode in (-sent, 128 + sent)


def assert_same_run(mine: Path, want: Path) -> None:
    for name in ("model.safetensors", "metrics.json", "predictions.csv", "config.toml"):
        assert (mine / name).read_bytes() == (want / name).read_bytes(), name
    assert load(mine, "cpu").bundle.members


def test_sigkill_and_sigterm(molmp: Any, table: Path, tmp_path: Path) -> None:
    assert molmp("train", table, "-o", tmp_path / "whole", *QUICK).exit_code == 0
    run, folder = tmp_path / "run", tmp_path / "run.resume"
    assert send_after(start(table, run, hangs_at=7), folder, 5, signal.SIGKILL)
    assert not run.exists()
    process = start(table, run, hangs_at=12)
    assert send_after(process, folder, 15, signal.SIGTERM)
    assert process.returncode == 143
    assert process.stderr is not None
    assert f"the last checkpoint is kept in {folder}: the same command" in process.stderr.read()
    result: Result = molmp("train", table, "-o", run, *QUICK, "--resume")
    assert result.exit_code == 0, result.output
    assert_same_run(run, tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "t.csv", "whole"]
    again: Result = molmp("train", table, "-o", run, *QUICK, "--resume")
    assert again.exit_code == 0
    assert "is finished; nothing is left to resume" in again.stderr
    other: Result = molmp("train", table, "-o", run, *QUICK, "--resume", "--lr", "0.1")
    assert other.exit_code == 2
    assert "exists already; --force replaces it" in other.stderr


@pytest.mark.skipif("MOLMP_CHAOS" not in os.environ, reason="make chaos")
@pytest.mark.timeout(3600)
def test_chaos(molmp: Any, table: Path, tmp_path: Path) -> None:
    """Twenty random moments: while it starts, in a step, while a checkpoint is written."""
    options = ["--ensemble", "2", "--epochs", "150", "--patience", "0"]
    assert molmp("train", table, "-o", tmp_path / "whole", *QUICK, *options).exit_code == 0
    run, folder, rng = tmp_path / "run", tmp_path / "run.resume", random.Random(0)
    killed = []
    for _ in range(20):
        before = max([int(path.stem) for path in folder.glob("*.checkpoint")], default=0)
        process = start(table, run, *options)
        moment = before + rng.randrange(8)  # where the machine is busy it will be further before it is killed
        if send_after(process, folder, moment, signal.SIGKILL, rng.random() * 0.02):
            killed.append(moment)
    print(f"killed at work {len(killed)} times, after checkpoints {killed}")
    result: Result = molmp("train", table, "-o", run, *QUICK, *options, "--resume")
    assert result.exit_code == 0, result.output
    assert_same_run(run, tmp_path / "whole")
    assert len(killed) == 20
    assert json.loads((run / "metrics.json").read_text())["test"]["rmse"] > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "t.csv", "whole"]
