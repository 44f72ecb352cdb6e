"""Exit codes of real processes: 0 done, 1 data, model or machine, 2 usage, 130 and 143; and nobody is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import children

MOLMP = [sys.executable, "-m", "molmp_cli"]

CHILDREN = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to see child processes")


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_the_end_of(pids: set[int]) -> None:
    """Wait; the test's time-out tells when they stay."""
    while any(is_alive(pid) for pid in pids):
        time.sleep(0.01)


@pytest.fixture
def at_work(tiny_model: Path) -> Iterator[Any]:
    """Start a command that reads standard input, which stays open, with two workers; return when they are at work."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> "subprocess.Popen[bytes]":
        filled = [str(tiny_model) if text == "MODEL" else text for text in arguments]
        before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored by whom nohup started, and by its children
        process = subprocess.Popen(
            [*MOLMP, *filled, "--n-jobs", "2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        signal.signal(signal.SIGHUP, before)
        started.append(process)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"smiles\n" + b"CCO\n" * 20_000)
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.readline()
        while len(children(process.pid)) < 2:
            time.sleep(0.01)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


PREDICT, FEATURIZE = ["predict", "-", "-m", "MODEL"], ["featurize", "-", "-o", "-", "--kind", "maccs"]


@CHILDREN
@pytest.mark.parametrize(
    ("command", "sent", "code"),
    [(PREDICT, signal.SIGTERM, 143), (PREDICT, signal.SIGINT, 130), (FEATURIZE, signal.SIGHUP, 129)],
)
def test_signals_end_a_command_and_its_workers(at_work, command: list[str], sent: signal.Signals, code: int) -> None:
    process = at_work(*command)
    workers = children(process.pid)
    process.send_signal(sent)
    _, said = process.communicate(timeout=300)
    assert process.returncode == code
    assert b"Traceback" not in said
    wait_for_the_end_of(workers)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP")
@pytest.mark.parametrize("before", [signal.SIG_DFL, signal.SIG_IGN])
def test_nohup_is_respected(molmp: Any, before: Any) -> None:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGHUP, before)
    try:
        assert molmp("data", "list").exit_code == 0
        assert (signal.getsignal(signal.SIGHUP) == signal.SIG_IGN) == (before == signal.SIG_IGN)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@CHILDREN
@pytest.mark.parametrize("command", [PREDICT, FEATURIZE])
def test_workers_end_with_a_command_that_is_killed(at_work, command: list[str]) -> None:
    process = at_work(*command)
    workers = children(process.pid)
    process.kill()
    process.communicate()
    wait_for_the_end_of(workers)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["predict", "in.csv", "-m", "MODEL", "-o", "out.csv"], 0, "2 rows: 1 predicted, 1 without a prediction"),
        (["featurize", "in.csv", "-o", "out.csv", "--kind", "maccs"], 0, "1 cannot be read"),
        (["predict", "in.csv", "-m", "MODEL", "-o", "out.csv", "--on-error", "fail"], 1, "'C1CC' has no prediction"),
        (["featurize", "in.csv", "-o", "out.csv", "--kind", "maccs", "--on-error", "fail"], 1, "C1CC"),
        (["predict", "none.csv", "-m", "MODEL"], 1, "no such file"),
        (["predict", "in.csv", "-m", "nowhere"], 1, "is not a molmp model"),
        (["info", "nowhere"], 1, "is not a molmp model"),
        (["train", "in.csv", "-o", "run", "--device", "cuda:99"], 1, "molmp: "),
        (["predict", "in.csv", "-m", "MODEL", "-o", "full.csv"], 1, "No space left on device"),
        (["predict", "in.csv", "-m", "MODEL", "-o", "in.csv"], 2, "in.csv is the input itself"),
        (["predict", "in.csv", "-m", "MODEL", "-o", "link.csv"], 2, "link.csv is the input itself"),
        (["featurize", "in.csv", "-o", "in.csv", "--kind", "maccs"], 2, "in.csv is the input itself"),
        (["check", "in.csv", "--fix", "in.csv"], 2, "in.csv is the input itself"),
        (["predict", "in.csv", "-m", "MODEL", "-o", "out.xlsx"], 2, "the name does not say what to write"),
        (["predict", "in.csv"], 2, "Missing option"),
        (["train", "in.csv", "-o", "run", "--seed", "9" * 30], 2, "seed must be at most 2,147,483,647"),
        (["train", "in.csv", "-o", "run", "--lr", "-1"], 2, "lr must be above 0"),
        (["no-such-command"], 2, "No such command"),
    ],
)
def test_codes(molmp: Any, tiny_model: Path, tmp_path: Path, monkeypatch, arguments, code: int, said: str) -> None:
    if "full.csv" in arguments and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full.csv").symlink_to("/dev/full")
    (tmp_path / "in.csv").write_text("smiles,y\nC,1\nC1CC,2\n")
    (tmp_path / "link.csv").symlink_to("in.csv")
    result = molmp(*(str(tiny_model) if text == "MODEL" else text for text in arguments))
    assert result.exit_code == code, result.output
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert (tmp_path / "in.csv").read_text() == "smiles,y\nC,1\nC1CC,2\n"


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]
)
def test_no_memory(molmp: Any, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error) -> None:
    from molmp.inference.predictor import Predictor

    def full(*args: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(Predictor, "stream", full)
    (tmp_path / "in.csv").write_text("smiles\nC\n")
    result = molmp("predict", tmp_path / "in.csv", "-m", tiny_model)
    assert result.exit_code == 1
    assert "molmp: out of memory" in result.stderr


def test_a_process_says_what_the_test_runner_says(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("smiles\nC\nC1CC\n")
    command = [*MOLMP, "predict", str(tmp_path / "in.csv"), "-m", str(tiny_model), "--on-error", "fail"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONWARNINGS": "error"})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "molmp: line 3: 'C1CC' has no prediction: ring 1 is not closed"


def test_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("smiles\n" + "C\n" * 20_000)
    command = [*MOLMP, "featurize", str(tmp_path / "in.csv"), "-o", "-", "--kind", "maccs"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    process.wait()
    assert "Traceback" not in said
    assert "Broken" not in said


DEAF = """
import time
import click
import molmp_cli.main as home

class Deaf:
    def __del__(self):
        print("deaf", flush=True)
        time.sleep(3000)

@click.command()
def train():
    Deaf()
    while True:
        time.sleep(0.01)

home.ASK_AGAIN = 0.2
home.LazyGroup.get_command = lambda self, ctx, name: train
home.main(["train"])
"""


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_that_a_destructor_swallowed_is_sent_again(sent: signal.Signals, code: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"deaf\n"
    process.send_signal(sent)
    try:
        assert process.wait(300) == code
    finally:
        process.kill()
