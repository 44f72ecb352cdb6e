"""`molmp predict --resume`: killed at any moment and started again, the file is the same to the byte."""

import os
import random
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest
import torch
from tiny import tiny_bundle, with_trust

from molmp.errors import ConfigError, DataError, FileFormatError
from molmp.inference import journal
from molmp.inference.folders import predict_folder
from molmp.inference.journal import Journal, journal_path
from molmp.inference.model_file import save_bundle
from molmp.inference.predictor import Predictor
from molmp.inference.tables import predict_table
from molmp.tables.shard import Shard
from molmp.training.bundle import Bundle

# Many small batches, each kept at once: every moment is one at which something can be lost.
PROGRAM = """
import sys, time
from molmp.inference import journal, tables
tables.FIRST, tables.BATCH, journal.BEGIN_AFTER = 10, 20, 0.0
add = journal.Journal.add
def slow_add(self, *args):
    add(self, *args)
    if self.path.stat().st_size >= {hangs_at}:
        time.sleep(3000)
journal.Journal.add = slow_add
from molmp_cli.main import main
main(sys.argv[1:], prog_name="molmp")
"""

ROWS = ["smiles,id", *(f"{'C' * (i % 40 + 1)}{'C1CC' if i % 50 == 7 else 'O'},{i:04d}" for i in range(400))]

NAMES = ["out.csv", "out.tsv", "out.csv.gz", "out.parquet"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save_bundle(calibrated(), folder)
    return folder


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "in.csv").write_text("\n".join(ROWS) + "\n")
    return tmp_path / "in.csv"


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    from molmp.inference import tables

    monkeypatch.setattr(tables, "FIRST", 10)
    monkeypatch.setattr(tables, "BATCH", 20)
    monkeypatch.setattr(journal, "BEGIN_AFTER", 0.0)


class StopError(Exception):
    """Stands for whatever ends a process."""


class Stopped(Predictor):
    """A predictor that gives up after some batches."""

    batches_left = 0

    def stream(self, batches, *, n_jobs=1, trust=False):
        for answer in super().stream(batches, n_jobs=n_jobs, trust=trust):
            if self.batches_left == 0:
                raise StopError
            self.batches_left -= 1
            yield answer


@cache
def calibrated(**options: int) -> Bundle:
    return with_trust(tiny_bundle(members=2, loss="mve", **options))


def stopped_after(num_batches: int, **options: int) -> Predictor:
    predictor = Stopped(calibrated(**options), "cpu")
    predictor.batches_left = num_batches
    return predictor


def start(model: Path, table: Path, output: Path, *more: str, hangs_at: int = 1 << 60) -> "subprocess.Popen[bytes]":
    """Begin, or go on, and wait with that many bytes in the journal for somebody to end it."""
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [
        sys.executable,
        "-c",
        PROGRAM.format(hangs_at=hangs_at),
        "predict",
        table,
        "-m",
        model,
        "-o",
        output,
        "--device",
        "cpu",
        *more,
    ]
    return subprocess.Popen(
        list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )


def kill_when_it_has_kept(process: "subprocess.Popen[bytes]", output: Path, size: int) -> bool:
    """Kill a run when its journal has that many bytes; say whether it was still at work."""
    while process.poll() is None:
        if journal_path(output).exists() and journal_path(output).stat().st_size >= size:
            process.kill()
            break
        time.sleep(0.01)
    return process.wait() == -signal.SIGKILL


def kill_and_resume(model: Path, table: Path, name: str, moments: list[int], *more: str, **how: int) -> int:
    """Kill a run again and again, resume it, compare; return how often it was killed at work."""
    whole, output = table.with_name(f"whole-{name}"), table.with_name(name)
    predict_table(Predictor.load(model, "cpu"), table, whole)
    killed = 0
    for size in moments:
        killed += kill_when_it_has_kept(start(model, table, output, "--resume", *more, **how), output, size)
    predict_table(Predictor.load(model, "cpu"), table, output, resume=True)
    assert output.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in table.parent.iterdir()) == sorted(["in.csv", name, whole.name])
    return killed


def test_killed(small_batches: None, model: Path, table: Path) -> None:
    assert kill_and_resume(model, table, "out.csv.gz", [9_000], hangs_at=9_000) == 1


@pytest.mark.skipif("MOLMP_CHAOS" not in os.environ, reason="make chaos")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", NAMES)
def test_chaos(small_batches: None, model: Path, tmp_path: Path, name: str) -> None:
    """Twenty random moments over all formats: sizes of what was kept, which grows to some 60,000 bytes."""
    rng = random.Random(name)
    table = tmp_path / "in.csv"
    table.write_text("\n".join(ROWS[:1] + ROWS[1:] * 4) + "\n")
    moments = [9_000 * i + rng.randrange(9_000) for i in range(5)]
    killed = kill_and_resume(model, table, name, moments, "--n-jobs", str(rng.choice([1, 2])))
    print(f"{name}: killed at work {killed} times, with {moments} bytes kept")
    assert killed == 5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("on_error", ["keep", "drop"])
def test_stopped_twice(small_batches: None, table: Path, tmp_path: Path, name: str, on_error: str) -> None:
    whole, output = tmp_path / f"whole-{name}", tmp_path / name
    want = predict_table(stopped_after(-1), table, whole, on_error=on_error)
    told: list[str] = []
    for num_batches in (3, 12):
        with pytest.raises(StopError):
            predict_table(stopped_after(num_batches), table, output, resume=True, on_error=on_error, tell=told.append)
        assert not output.exists()
    # A tail that was torn in the middle is computed again.
    os.truncate(journal_path(output), journal_path(output).stat().st_size - 3)
    outcome = predict_table(stopped_after(-1), table, output, resume=True, on_error=on_error, tell=told.append)
    assert outcome == want
    assert output.read_bytes() == whole.read_bytes()
    assert [note for note in told if "rows" in note] == [
        f"50 rows are predicted and kept in {journal_path(output)}: --resume goes on from there",
        "50 rows were predicted before",
        f"290 rows are predicted and kept in {journal_path(output)}: --resume goes on from there",
        "270 rows were predicted before",
    ]
    assert not journal_path(output).exists()


def test_answers_are_taken_and_not_computed(small_batches: None, table: Path, tmp_path: Path) -> None:
    with pytest.raises(StopError):
        predict_table(stopped_after(15), table, tmp_path / "out.csv")
    last = stopped_after(6)
    predict_table(last, table, tmp_path / "out.csv", resume=True)
    assert last.batches_left == 0


def test_what_is_written_may_change(small_batches: None, table: Path, tmp_path: Path) -> None:
    """Only answers are kept: other columns, another format are as good as from the start."""
    with pytest.raises(StopError):
        predict_table(stopped_after(10), table, tmp_path / "out.csv")
    for output in ("whole.csv", "out.csv"):
        predict_table(
            stopped_after(-1), table, tmp_path / output, columns=["id"], on_error="drop", resume=output == "out.csv"
        )
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_short_runs_leave_nothing(table: Path, tmp_path: Path) -> None:
    with pytest.raises(StopError):
        predict_table(stopped_after(0), table, tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_begins_anew_without_being_asked_to_resume(small_batches: None, table: Path, tmp_path: Path) -> None:
    with pytest.raises(StopError):
        predict_table(stopped_after(3), table, tmp_path / "out.csv")
    told: list[str] = []
    predict_table(stopped_after(-1), table, tmp_path / "out.csv", tell=told.append)
    assert "--resume would go on with it; this one begins anew" in "".join(told)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


def change_first(table: Path) -> None:
    table.write_text(table.read_text().replace("CO,0001", "CN,0001"))


def shorten(table: Path) -> None:
    table.write_text("\n".join(ROWS[:41]) + "\n")


@pytest.mark.parametrize(
    ("change", "rows"), [(change_first, "rows 1 to 10 are not"), (shorten, "rows 31 to 50 are not")]
)
def test_another_input_is_refused(small_batches, table: Path, tmp_path: Path, change, rows: str) -> None:
    with pytest.raises(StopError):
        predict_table(stopped_after(5), table, tmp_path / "out.csv")
    before = journal_path(tmp_path / "out.csv").read_bytes()
    change(table)
    with pytest.raises(DataError, match=f"the input changed: {rows} those that were predicted"):
        predict_table(stopped_after(-1), table, tmp_path / "out.csv", resume=True)
    assert journal_path(tmp_path / "out.csv").read_bytes() == before
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("network", "options", "what"),
    [
        ({"hidden": 16}, {}, "model"),
        ({}, {"smiles_column": "smiles"}, "SMILES column"),
        ({}, {"shard": Shard(1, 2)}, "shard"),
    ],
)
def test_other_answers_are_refused(small_batches, table: Path, tmp_path: Path, network, options, what: str) -> None:
    with pytest.raises(StopError):
        predict_table(stopped_after(5), table, tmp_path / "out.csv")
    with pytest.raises(ConfigError, match=f"was begun with another {what}; without --resume it is predicted anew"):
        predict_table(stopped_after(-1, **network), table, tmp_path / "out.csv", resume=True, **options)


def test_a_file_that_is_no_journal_is_left_alone(table: Path, tmp_path: Path) -> None:
    (tmp_path / "out.csv.resume").write_text("my notes")
    with pytest.raises(FileFormatError, match="is not what an earlier run left"):
        predict_table(stopped_after(-1), table, tmp_path / "out.csv", resume=True)
    assert (tmp_path / "out.csv.resume").read_text() == "my notes"


def test_a_beginning_that_was_torn(table: Path, tmp_path: Path) -> None:
    (tmp_path / "out.csv.resume").write_bytes(journal.MAGIC + b"\7\0\0")
    predict_table(stopped_after(-1), table, tmp_path / "out.csv", resume=True)
    assert not (tmp_path / "out.csv.resume").exists()


def test_two_at_once_are_refused(small_batches: None, table: Path, tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with pytest.raises(StopError):
        predict_table(stopped_after(5), table, tmp_path / "out.csv")
    with Journal(tmp_path / "out.csv", dict, resume=True), pytest.raises(ConfigError, match="another process"):
        predict_table(stopped_after(-1), table, tmp_path / "out.csv", resume=True)


def test_within_a_folder(small_batches: None, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.csv", "b.csv"):
        (tmp_path / "in" / name).write_text("\n".join(ROWS[:101]) + "\n")
    predict_folder(stopped_after(-1), tmp_path / "in", tmp_path / "whole")
    with pytest.raises(StopError):
        predict_folder(stopped_after(10), tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "out" / "b.csv.resume").exists()
    last = stopped_after(2)
    assert predict_folder(last, tmp_path / "in", tmp_path / "out", resume=True).finished_before == 1
    assert last.batches_left == 0
    for name in ("a.csv", "b.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-", "-o", "out.csv"], "standard input cannot be had from its start again: --resume needs a file as input"),
        (["in.csv"], "standard output cannot be had from its start again: --resume needs a file as output"),
        (["in.csv", "-o", "/dev/null"], "/dev/null, which is no file, cannot be had from its start again"),
        (["--smiles", "C"], "--columns, --shard, --resume and --engine are for a file IN"),
        (["in.csv", "-o", "out", "--engine", "ray"], "--resume does not go with --engine ray"),
    ],
)
def test_wrong_use(molmp, model: Path, table: Path, monkeypatch, arguments: list[str], message: str) -> None:
    monkeypatch.chdir(table.parent)
    result = molmp("predict", "-m", model, "--resume", *arguments, input="smiles\nC\n")
    assert result.exit_code == 2
    assert message in result.stderr
