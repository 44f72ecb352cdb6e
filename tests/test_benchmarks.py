"""The benchmarks' own bookkeeping: statistics, the results file, and the page that is made from it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import featurize, frame, report  # noqa: E402
from benchmarks.subjects.census import census  # noqa: E402
from benchmarks.worker import Worker, timed  # noqa: E402

FAST, SLOW = frame.Series("fast", [1.0, 40.0, 2.0]), frame.Series("slow", [3.0, 80.0, 8.0], peak_mb=12.34)


@pytest.fixture
def made():
    return frame.lines("step", {"batch": 4}, "step", [FAST, SLOW], base="fast")


def test_everybody_does_every_chunk_in_every_round():
    calls = []

    def subject(name):
        return lambda chunk: calls.append((name, chunk)) or 0.5

    spent = frame.interleave({"a": subject("a"), "b": subject("b")}, rounds=3, chunks=4)
    assert spent == {"a": [0.5] * 12, "b": [0.5] * 12}
    assert sorted(calls) == sorted((name, chunk) for name in "ab" for chunk in range(4) for _ in range(3))
    pairs = [calls[i : i + 2] for i in range(0, len(calls), 2)]
    assert all({name for name, _ in pair} == {"a", "b"} and len({k for _, k in pair}) == 1 for pair in pairs)
    assert len({pair[0][0] for pair in pairs}) == 2  # the order changes


def test_ratio_is_taken_turn_by_turn(made):
    fast, slow = made
    assert (fast["seconds"], fast["ratio"], fast["ratio_to"]) == (2.0, 1.0, "fast")
    assert (slow["seconds"], slow["ratio"], slow["peak_mb"]) == (8.0, 3.0, 12.3)


def test_lines_have_the_fields_of_the_schema(made):
    assert all(list(line) == list(frame.SCHEMA) for line in made)


def test_a_new_run_replaces_the_old_one_and_nothing_else(tmp_path, made):
    path = tmp_path / "results.jsonl"
    frame.save(made, path)
    frame.save(frame.lines("step", {"batch": 8}, "step", [FAST], base=None), path)
    frame.save(frame.lines("step", {"batch": 4}, "step", [SLOW], base=None), path)
    kept = [(line["parameters"]["batch"], line["subject"]) for line in frame.load(path)]
    assert kept == [(4, "slow"), (8, "fast")]


def test_machine_names_a_kind_not_a_host():
    import platform

    assert list(frame.machine()) == ["cpu", "cores", "os"]
    assert not platform.node() or platform.node() not in json.dumps(frame.machine())


@pytest.mark.parametrize("line", frame.load(), ids=lambda line: f"{line['benchmark']}-{line['subject']}")
def test_committed_results_keep_to_the_schema(line):
    assert list(line) == list(frame.SCHEMA)
    assert all(isinstance(line[name], kind) for name, kind in frame.SCHEMA.items())
    assert line["seconds"] > 0
    assert str(ROOT.parent) not in json.dumps(line)


@pytest.mark.parametrize("path", report.PAGES, ids=lambda path: path.name)
def test_page_is_made_from_the_committed_results(path):
    page = path.read_text("ascii")
    assert report.fill(page, frame.load()) == page


def test_prose_of_the_page_is_left_alone():
    text = "before <!-- table: gpu --> old\n| x |\n<!-- end --> between <!-- other --> after"
    filled = report.fill(text, [])
    assert filled.startswith("before <!-- table: gpu -->")
    assert filled.endswith("<!-- end --> between <!-- other --> after")
    assert "old" not in filled


def test_census_tells_apart_what_featurizers_could_confuse():
    propane_chain = census([6, 6, 8], [0, 1, 1, 2])
    assert propane_chain != census([6, 8, 6], [0, 1, 1, 2])  # C-O-C
    assert propane_chain != census([6, 6, 8], [0, 1])  # a bond is missing
    assert census([6, 6, 8], [0, 1, 1, 2]) == census([8, 6, 6], [2, 1, 1, 0])  # any order
    assert census([52], []) == census([92], []) == [0, 0]  # Chemprop lumps these together


class Answers:
    """A worker that gives the census it is told to give."""

    tasks = ("census",)

    def __init__(self, found):
        self.found = found

    def ask(self, task, smiles):
        return self.found


def test_molecules_that_a_peer_refuses_are_left_out_for_everybody():
    workers = {("molmp", "rdkit"): Answers([[6, 0], [8, 0], [7, 0]]), ("peers", "pyg"): Answers([[6, 0], None, [7, 0]])}
    assert featurize.agreed(["C", "O", "N"], workers) == ["C", "N"]


@pytest.mark.parametrize("found", [[[6, 0], [7, 0]], [[6, 0]]])
def test_unequal_work_stops_the_bench(found):
    workers = {("molmp", "rdkit"): Answers([[6, 0], [8, 0]]), ("peers", "chemprop"): Answers(found)}
    with pytest.raises(SystemExit, match="chemprop in peers"):
        featurize.agreed(["C", "O"], workers)


def test_worker_answers_and_counts_cpu_time():
    with Worker(Path(sys.executable), "featurize_rdkit", frame.ONE_THREAD) as worker:
        assert worker.tasks == ["parse", "census"]
        assert worker.ask("census", ["OCC", "C"]) == [[1006, 1008, 2006, 4], [6, 0]]
        used = worker.run("parse", ["CCO"] * 300)
        assert used["cpu_s"] > 0
        assert used["peak_mb"] >= 0


def test_processes_that_a_task_starts_are_counted():
    burn = [sys.executable, "-c", "import time\nwhile time.process_time() < 0.2: pass"]
    assert timed(lambda _: subprocess.run(burn, check=True), None)["cpu_s"] >= 0.2


def test_worker_that_fails_is_noticed():
    with (
        Worker(Path(sys.executable), "featurize_rdkit", frame.ONE_THREAD) as worker,
        pytest.raises(RuntimeError, match="ended with status 1"),
    ):
        worker.run("no such task", [])


def test_gpu_bench_compares_without_rdkit_and_pyg_and_says_what_it_did(tmp_path):
    from benchmarks.carry import write
    from molmp.chem.featurize import featurize as to_graphs

    write(
        to_graphs(["C", "[Na+].[Cl-]", "OCC", "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O", "C#N"]).graphs,
        tmp_path / "graphs.pt",
    )
    script = """
import runpy, sys
for name in ("rdkit", "rdkit.Chem", "torch_geometric", "torch_geometric.nn"):
    sys.modules[name] = None
runpy.run_module("benchmarks.gpu", run_name="__main__")
"""
    run = subprocess.run(
        [sys.executable, "-c", script, "--graphs", str(tmp_path / "graphs.pt")],
        cwd=ROOT, env={**os.environ, **frame.ONE_THREAD, "CUDA_VISIBLE_DEVICES": ""}, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    *compared, last = run.stdout.splitlines()
    assert last == "no CUDA device here: the formulas agree, nothing was timed"
    assert len(compared) == 3
    assert all("a matrix for each edge, GRU, set2set, in torch" in line for line in compared)
