"""The engine Ray, in its local mode: the same rows as without it, whoever dies on the way."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import SMILES, tiny_bundle

from molmp.errors import ConfigError, DeviceError, EngineError, MissingExtraError
from molmp.inference import ray_engine
from molmp.inference.model_file import save_bundle
from molmp.inference.predictor import Predictor
from molmp.inference.tables import predict_table


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    smiles = [*SMILES, "C1CC", ""] * 2_000
    path = tmp_path_factory.mktemp("ray") / "in.parquet"
    pq.write_table(pa.table({"id": list(range(len(smiles))), "smiles": smiles}), path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "run"
    save_bundle(tiny_bundle(), folder)
    return folder


@pytest.fixture
def cluster() -> Iterator[None]:
    """A Ray that runs already, on this machine; the engine leaves it running."""
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    assert ray.is_initialized()
    ray.shutdown()


def ray_workers() -> list[int]:
    """Processes of ours that Ray started to predict."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().startswith(b"ray::MapWorker"):
                found.append(int(folder.name))
        except OSError:  # it has just ended
            continue
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for workers in /proc")
@pytest.mark.usefixtures("cluster")
def test_a_worker_that_is_killed_changes_nothing(source: Path, tmp_path: Path) -> None:
    killed: list[int] = []

    def kill() -> None:
        while not killed:
            time.sleep(0.05)
            workers = ray_workers()
            if len(workers) == 2 and any((tmp_path / "out").glob(".*.attempts")):
                os.kill(workers[0], signal.SIGKILL)
                killed.append(workers[0])

    threading.Thread(target=kill, daemon=True).start()
    predictor = Predictor(tiny_bundle(), "cpu")
    run = lambda: ray_engine.predict_with_ray(  # noqa: E731
        predictor.bundle, source, tmp_path / "out", workers=2, rows=1_000
    )
    outcome = run()
    assert killed
    assert str(outcome) == "20 files; 20,000 rows: 16,000 predicted, 4,000 without a prediction (see the column error)"
    assert not any((tmp_path / "out").glob(".*.attempts"))
    predict_table(predictor, source, tmp_path / "whole.parquet")
    whole = pq.read_table(tmp_path / "whole.parquet")
    parts = pa.concat_tables(pq.read_table(path) for path in sorted((tmp_path / "out").glob("in-*.parquet")))
    assert parts["id"].to_pylist() == list(range(20_000))
    assert parts.schema == whole.schema
    assert parts.select(["smiles", "error"]).equals(whole.select(["smiles", "error"]))
    for name in ("logS_pred", "mp_pred"):
        assert parts[name].is_null().equals(whole[name].is_null())
        np.testing.assert_allclose(parts[name].drop_null(), whole[name].drop_null(), rtol=2e-6)

    # What is finished is not done again; what is missing is.
    (tmp_path / "out" / "in-00003.parquet").unlink()
    before = (tmp_path / "out" / "in-00002.parquet").stat().st_mtime_ns
    assert run().finished_before == 19
    assert (tmp_path / "out" / "in-00002.parquet").stat().st_mtime_ns == before
    assert pq.read_table(tmp_path / "out" / "in-00003.parquet").num_rows == 1_000


@pytest.mark.slow
def test_a_ray_of_its_own_and_features(molmp, tmp_path: Path) -> None:
    """`molmp featurize --engine ray` starts Ray, writes what `molmp featurize` writes, and ends Ray."""
    ray = pytest.importorskip("ray")
    pq.write_table(pa.table({"id": range(10), "smiles": [*SMILES, "C1CC", ""]}), tmp_path / "in.parquet")
    common = ["featurize", tmp_path / "in.parquet", "--kind", "morgan", "--size", "64", "--radius", "1"]
    assert molmp(*common, "-o", tmp_path / "whole.parquet").exit_code == 0
    result = molmp(*common, "-o", tmp_path / "out", "--engine", "ray", "--workers", "1")
    assert result.exit_code == 0, result.output
    assert "1 files; 10 rows: 8 featurized, 2 cannot be read" in result.stderr
    assert not ray.is_initialized()
    assert pq.read_table(tmp_path / "out" / "in-00000.parquet").equals(pq.read_table(tmp_path / "whole.parquet"))


@pytest.mark.slow
@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "auto", "nonsense"])
def test_no_cluster_there(source: Path, tmp_path: Path, address: str) -> None:
    pytest.importorskip("ray.data")
    with pytest.raises(EngineError, match=f"Ray cannot be reached at {address}: "):
        ray_engine.predict_with_ray(tiny_bundle(), source, tmp_path / "out", address=address)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_somebody_is_there_who_never_answers(source: Path, model: Path, tmp_path: Path) -> None:
    """In a process of its own: Ray reads how long to wait when it is imported."""
    pytest.importorskip("ray.data")
    with socket.create_server(("", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        command = [sys.executable, "-m", "molmp_cli", "predict", source, "--model", model, "-o", tmp_path / "out"]
        run = subprocess.run(
            [*command, "--engine", "ray", "--address", address], capture_output=True, text=True, timeout=1000
        )
    assert (run.returncode, run.stdout) == (1, "")
    assert f"molmp: Ray cannot be reached at {address}: " in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "out").exists()


def test_ray_is_not_installed(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(MissingExtraError, match=r"--engine ray needs ray: pip install 'molmp\[ray\]'"):
        ray_engine.predict_with_ray(tiny_bundle(), source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["in.parquet"], 2, "--engine ray writes a folder of Parquet files; name it with -o"),
        (["in.csv", "-o", "out"], 2, "in.csv is not Parquet"),
        (["none.parquet", "-o", "out"], 1, "no such file: none.parquet"),
        (["in.parquet", "-o", "out", "--shard", "1/2"], 2, "--shard does not go with --engine ray"),
        (["in.parquet", "-o", "out", "--device", "cpu"], 2, "--device does not go with --engine ray"),
        (["in.parquet", "-o", "out", "--n-jobs", "2"], 2, "--n-jobs does not go with --engine ray"),
        (["in.parquet", "-o", "out", "--smiles-column", "x"], 1, "has no column 'x'; it has smiles"),
        (["in.parquet", "-o", "out", "--columns", "x"], 1, "has no column 'x'; it has smiles"),
        (["--smiles", "C", "-o", "out"], 2, "are for a file IN, not for --smiles"),
    ],
)
def test_wrong_input(molmp, model, tmp_path, monkeypatch, arguments, code, message):
    pytest.importorskip("ray.data")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text("smiles\nC\n")
    pq.write_table(pa.table({"smiles": ["C"]}), tmp_path / "in.parquet")
    result = molmp("predict", "--engine", "ray", "--model", model, *arguments)
    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
    assert sorted(os.listdir(tmp_path)) == ["in.csv", "in.parquet"]


@pytest.mark.parametrize("option", [["--address", "auto"], ["--workers", "2"], ["--gpus", "0.5"]])
def test_options_of_the_engine_alone(molmp, model, option):
    result = molmp("predict", "in.parquet", "--model", model, *option)
    assert (result.exit_code, f"{option[0]} goes with --engine ray" in result.stderr) == (2, True), result.stderr


@pytest.mark.parametrize(
    ("there", "workers", "gpus", "expected"),
    [
        ({"CPU": 8.0}, -1, 0.0, 8),
        ({"CPU": 8.0}, 3, 0.0, 3),
        ({"CPU": 64.0, "GPU": 2.0}, -1, 0.25, 8),
        ({"CPU": 4.0, "GPU": 2.0}, -1, 0.25, 4),
        ({"CPU": 4.0, "GPU": 2.0}, -1, 0.0, 4),
        ({"CPU": 4.0, "GPU": 1.0}, -1, 1.0, 1),
    ],
)
def test_number_of_workers(there, workers, gpus, expected):
    assert ray_engine._count_workers(SimpleNamespace(cluster_resources=lambda: there), workers, gpus) == expected


def test_shares_of_gpus_that_cannot_be():
    cluster = SimpleNamespace(cluster_resources=lambda: {"CPU": 2.0})
    with pytest.raises(DeviceError, match=r"a worker is to have 0.5 of a GPU; the Ray cluster has 0 GPUs"):
        ray_engine._count_workers(cluster, -1, 0.5)
    with pytest.raises(ConfigError, match="the share of a GPU must be 0 or more, got -1"):
        ray_engine._count_workers(cluster, -1, -1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kind", "graph"], "--kind graph does not go with --engine ray"),
        (["--kind", "maccs", "--size", "64"], "--size does not go with --kind maccs"),
        (["--kind", "embedding"], "--kind embedding needs a trained model"),
    ],
)
def test_features_that_cannot_be(molmp, source, tmp_path, arguments, message):
    pytest.importorskip("ray.data")
    result = molmp("featurize", source, "-o", tmp_path / "out", "--engine", "ray", *arguments)
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
    assert not (tmp_path / "out").exists()
