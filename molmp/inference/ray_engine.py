"""The engine Ray Data: parts of Parquet tables over the workers of a cluster, or of this machine.

Every worker loads the model once and takes one part after the other. A worker that dies is replaced, and its part
begun anew; what is finished stays, so that a job that was stopped goes on where it was.
"""

import importlib
import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from molmp.chem.pool import count_jobs
from molmp.errors import ConfigError, DataError, DeviceError, EngineError, MissingExtraError
from molmp.inference import tables
from molmp.inference.batch_features import BatchFeaturizer
from molmp.inference.batch_predictor import BatchPredictor
from molmp.inference.columns import Columns, check_on_error
from molmp.inference.folders import FolderOutcome, claim_folder
from molmp.inference.model_file import bundle_digest
from molmp.inference.parts import (
    ROWS,
    ColumnMaker,
    Done,
    Part,
    PartWorker,
    attempts_file,
    check_columns,
    parquet_files,
    plan_parts,
)  # fmt: skip
from molmp.tables import features
from molmp.tables.features import Features
from molmp.tables.read import open_table
from molmp.training.bundle import Bundle
from molmp.trust.trusted import COVERAGE

__all__ = ["Work", "featurize_with_ray", "predict_with_ray", "run_with_ray"]


def predict_with_ray(bundle: Bundle, source: str | Path, output: str | Path, *, on_error: str = "keep",
                     trust: bool = True, coverage: float = COVERAGE, **where: Any) -> FolderOutcome:  # fmt: skip
    """Predict Parquet tables on the workers of a Ray cluster; options and errors are those of :func:`run_with_ray`.

    ``bundle`` is the model, ``on_error``, ``trust`` and ``coverage`` as for
    :func:`~molmp.inference.tables.predict_table`. The content of the files is the same as without an engine, too.
    """
    check_on_error(on_error)
    work = Work(
        partial(BatchPredictor, bundle, on_error=on_error, trust=trust, coverage=coverage, isolate=True),
        list(Columns.of(bundle, trust, coverage).types),
        {"model": bundle_digest(bundle), "on_error": on_error, "trust": trust, "coverage": coverage},
    )
    files, before, rows, failed = run_with_ray(work, source, output, **where)
    return FolderOutcome(files, before, tables.Outcome(rows, failed))


def featurize_with_ray(make: Callable[[], Features], facts: Mapping[str, Any], source: str | Path, output: str | Path,
                       *, on_error: str = "keep", **where: Any) -> FolderOutcome:  # fmt: skip
    """Compute features of Parquet tables on the workers of a Ray cluster; see :func:`run_with_ray`.

    ``make`` is called once on each worker; ``facts`` are what the features depend on.
    """
    check_on_error(on_error)
    columns = [*make().names, "error"]
    work = Work(partial(BatchFeaturizer, make, on_error=on_error), columns, {**facts, "on_error": on_error})
    files, before, rows, failed = run_with_ray(work, source, output, **where)
    return FolderOutcome(files, before, features.Outcome(rows, failed))


class Work(NamedTuple):
    """What is done with SMILES, and how to tell it from other work."""

    make: Callable[[], ColumnMaker]
    columns: Sequence[str]
    """Names of the columns that it makes."""
    made_with: Mapping[str, Any]


def run_with_ray(
    work: Work, source: str | Path, output: str | Path, *, smiles_column: str | None = None,
    columns: Sequence[str] | None = None, address: str | None = None, workers: int = -1, gpus: float = 0.0,
    rows: int = ROWS, progress: bool = False, tell: Callable[[str], None] = lambda note: None,
) -> tuple[int, int, int, int]:  # fmt: skip
    """Work on Parquet tables; return how many files there are, and were before, and of how many rows, how many failed.

    Parameters
    ----------
    source, output
        A Parquet file or a folder of such, and the folder for the results: for ``a.parquet`` the files
        ``a-00000.parquet``, ``a-00001.parquet`` and so on, of ``rows`` rows each. All workers must see both, under the
        same names. Files that are there already are not made again.
    smiles_column, columns
        As for :func:`~molmp.inference.tables.predict_table`.
    address
        Of the cluster: ``auto``, ``host:port`` or ``ray://host:port``. Without it the environment variable
        ``RAY_ADDRESS`` decides; if it is not set, Ray is started on this machine for as long as the job takes.
    workers
        How many; -1 for as many as there are processors or, with ``gpus``, as share the GPUs.
    gpus
        Share of a GPU that each worker takes, such as 0.25; 0 computes on the processors.

    Raises
    ------
    MissingExtraError, EngineError
        Ray is not installed; it cannot be reached, or gave up.
    DataError, ConfigError
        Something is wrong with the tables, or ``output`` holds what was made with another model or other options.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    ray = _import_ray(elsewhere=address is not None)
    files = parquet_files(source)
    if smiles_column is None:
        with open_table(files[0]) as table:
            smiles_column = table.columns[table.smiles_index]
            for note in table.notes:
                tell(note)
    for note in check_columns(files, [smiles_column], columns, work.columns):
        tell(note)
    parts = plan_parts(files, output, rows)
    made_with = {**work.made_with, "smiles_column": smiles_column, "columns": columns, "rows": rows}
    total, failed, problems = 0, 0, []
    with _connection(ray, address, workers):
        number = _count_workers(ray, workers, gpus)
        claim_folder(output, made_with, [Path(part.output) for part in parts])
        waiting = [part for part in parts if not Path(part.output).exists()]
        for done in _watched(_run(ray, waiting, (work.make, smiles_column, columns), number, gpus), waiting, progress):
            total, failed = total + done.rows, failed + done.failed
            problems += [done.problem] if done.problem else []
    if problems:
        raise DataError(f"{len(problems)} of {len(parts)} parts were not finished: {problems[0]}")
    return len(parts), len(parts) - len(waiting), total, failed


def _run(ray: Any, parts: Sequence[Part], how: tuple[Any, ...], workers: int, gpus: float) -> Iterator[Done]:
    """Work on parts in any order; ``how`` are the arguments of :class:`PartWorker`."""
    if not parts:
        return
    for part in parts:  # what an earlier job that was stopped has left
        attempts_file(part).unlink(missing_ok=True)
    dataset = ray.data.from_items([part._asdict() for part in parts], override_num_blocks=len(parts))
    pool = ray.data.ActorPoolStrategy(size=min(workers, len(parts)))
    made = dataset.map(_Task, fn_constructor_args=how, num_cpus=1, num_gpus=gpus, compute=pool)
    try:
        for row in made.iter_rows():
            yield Done(**row)
    except ray.exceptions.RayTaskError:  # a bug of ours, with its traceback
        raise
    except ray.exceptions.RayError as error:
        raise EngineError(f"Ray gave up: {_first_line(error)}; what is finished stays, run it again") from error


def _watched(work: Iterable[Done], parts: Sequence[Part], progress: bool) -> Iterator[Done]:
    total = sum(part.stop - part.start for part in parts)
    with tqdm(total=total, unit="mol", unit_scale=True, desc="predict", disable=None if progress else True) as bar:
        for done in work:
            yield done
            bar.update(done.rows)


class _Task:
    """A worker as Ray Data wants it: dicts in and out."""

    def __init__(self, *how: Any) -> None:
        self.worker = PartWorker(*how)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return self.worker(Part(**row))._asdict()


@contextmanager
def _connection(ray: Any, address: str | None, workers: int) -> Iterator[None]:
    """Be connected to the cluster; leave a connection that was there before as it was."""
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address is None:
            ray.init(num_cpus=count_jobs(workers), include_dashboard=False, **quiet)
        else:
            _knock(address)
            ray.init(address=address, **quiet)
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        where = f" at {address}" if address else ""
        raise EngineError(f"Ray cannot be reached{where}: {_first_line(error)}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """See that somebody is there: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _count_workers(ray: Any, workers: int, gpus: float) -> int:
    there = ray.cluster_resources()
    if gpus < 0:
        raise ConfigError(f"the share of a GPU must be 0 or more, got {gpus:g}")
    if gpus > there.get("GPU", 0):
        raise DeviceError(f"a worker is to have {gpus:g} of a GPU; the Ray cluster has {there.get('GPU', 0):g} GPUs")
    if workers > 0:
        return workers
    room = there.get("CPU", 1)
    return max(1, int(min(room, there["GPU"] / gpus) if gpus else room))


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0].rstrip(".")


def _import_ray(*, elsewhere: bool) -> Any:
    if elsewhere:
        # Of 40 seconds each: Ray's own 20 tries would wait a quarter of an hour for a machine that does not answer.
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")
    try:
        importlib.import_module("ray.data")
    except ImportError:
        raise MissingExtraError("ray", "ray", "--engine ray") from None
    return importlib.import_module("ray")
