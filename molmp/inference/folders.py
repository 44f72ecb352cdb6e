"""A folder of tables to a folder of predictions: a file for each, and those that are finished are left alone."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from molmp.errors import ConfigError, DataError, FileFormatError, MolmpError, listed
from molmp.inference import tables
from molmp.inference.columns import check_on_error
from molmp.inference.journal import journal_path
from molmp.inference.model_file import bundle_digest
from molmp.inference.predictor import Predictor
from molmp.tables import features
from molmp.tables.shard import Shard
from molmp.tables.write import atomic_path
from molmp.trust.trusted import COVERAGE

__all__ = ["FolderOutcome", "Task", "claim_folder", "plan_folder", "predict_folder"]

RECORD = ".molmp.json"
"""File that says what the others in a folder were made with."""

_TABLES = {
    ".csv": ".csv", ".tsv": ".tsv", ".tab": ".tsv", ".txt": ".csv", ".smi": ".csv", ".smiles": ".csv", ".ism": ".csv",
    ".can": ".csv", ".sdf": ".csv", ".sd": ".csv", ".parquet": ".parquet", ".pq": ".parquet",
}  # fmt: skip
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")


class Task(NamedTuple):
    """A table and the file for its predictions."""

    source: Path
    output: Path


class FolderOutcome(NamedTuple):
    """What became of a folder.

    >>> print(FolderOutcome(files=3, finished_before=2, rows=tables.Outcome(rows=10, failed=1)))
    3 files, 2 finished before; 10 rows: 9 predicted, 1 without a prediction (see the column error)
    """

    files: int
    finished_before: int
    rows: tables.Outcome | features.Outcome

    def __str__(self) -> str:
        before = f", {self.finished_before} finished before" if self.finished_before else ""
        return f"{self.files} files{before}; {self.rows}"


def predict_folder(
    predictor: Predictor, source: str | Path, output: str | Path, *, smiles_column: str | None = None,
    delimiter: str | None = None, header: bool | None = None,
    columns: Sequence[str] | None = None, shard: Shard | None = None, on_error: str = "keep", trust: bool = True,
    coverage: float = COVERAGE, n_jobs: int = 1, resume: bool = False, progress: bool = False,
    tell: Callable[[str], None] = lambda note: None,
) -> FolderOutcome:  # fmt: skip
    """Predict every table of the folder ``source`` into the folder ``output``; see :func:`predict_table`.

    A file appears when it is complete; one that is there is not predicted again, so that a job that was interrupted
    goes on where it stopped; with ``resume`` also within the table where it stopped. A table that cannot be used does
    not stop the others. ``shard`` takes files, not rows.

    Raises
    ------
    ConfigError
        ``output`` holds predictions of another model or with other options.
    DataError
        There is no table, or fewer than shards; at the end, where tables could not be used.
    """
    check_on_error(on_error)
    tasks = plan_folder(source, output, tell)
    if shard is not None and len(tasks) < shard.parts:
        raise DataError(f"{source} has {len(tasks)} tables, fewer than {shard.parts} shards")
    chosen = list(tasks if shard is None else shard.of(tasks))
    made_with: dict[str, Any] = {
        "model": bundle_digest(predictor.bundle),
        "smiles_column": smiles_column,
        "columns": columns,
        "trust": trust,
        "coverage": coverage,
    }
    made_with |= {name: value for name, value in (("delimiter", delimiter), ("header", header)) if value is not None}
    claim_folder(output, made_with | {"on_error": on_error}, [task.output for task in tasks])
    waiting = [task for task in chosen if not task.output.exists()]
    total, refused = tables.Outcome(0, 0), []
    for task in waiting:
        try:
            outcome = tables.predict_table(
                predictor, task.source, task.output, smiles_column=smiles_column, delimiter=delimiter, header=header,
                columns=columns, on_error=on_error, trust=trust, coverage=coverage,
                n_jobs=n_jobs, resume=resume and journal_path(task.output).exists(), progress=progress,
            )  # fmt: skip
        except (MolmpError, OSError) as error:
            refused.append(task.source.name)
            tell(f"{task.source.name}: not predicted: {error}")
        else:
            total = tables.Outcome(total.rows + outcome.rows, total.failed + outcome.failed)
            tell(f"{task.source.name}: {outcome}")
    if refused:
        raise DataError(f"{len(refused)} of {len(chosen)} tables were not predicted: {listed(refused)}")
    return FolderOutcome(len(chosen), len(chosen) - len(waiting), total)


def plan_folder(source: str | Path, output: str | Path, tell: Callable[[str], None] = lambda note: None) -> list[Task]:
    """Pair the tables of a folder, in the order of their names, with files of the folder ``output``.

    What the output is called follows the input: ``a.parquet`` and ``a.tsv`` as they are, other text as ``a.csv``, all
    text that was compressed with ``.gz``. Files whose names do not say that they are tables are passed over.
    """
    source, output = Path(source), Path(output)
    if output.resolve() == source.resolve():
        raise ConfigError(f"{output} is the folder of the input; name another one for the predictions")
    files = sorted(path for path in source.iterdir() if path.is_file() and not path.name.startswith("."))
    names = {path: _output_name(path) for path in files}
    if strange := [path.name for path, name in names.items() if name is None]:
        tell(f"not tables by their names: {listed(strange)}")
    tasks = [Task(path, output / name) for path, name in names.items() if name is not None]
    if not tasks:
        raise DataError(f"{source} has no tables; it has {listed(path.name for path in files)}")
    first: dict[Path, Path] = {}
    for task in tasks:
        if (other := first.setdefault(task.output, task.source)) != task.source:
            raise DataError(f"{other.name} and {task.source.name} would both be written to {task.output}; rename one")
    return tasks


def claim_folder(folder: str | Path, made_with: Mapping[str, Any], outputs: Iterable[Path]) -> None:
    """Make the folder for what is made with this model and these options, and say so in it.

    Raises
    ------
    ConfigError
        It is a file, or holds what was made with others, or one of ``outputs`` without a word about what made it.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; name a folder")
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / RECORD
    wanted = json.loads(json.dumps(made_with))
    if record.exists():
        found = _read_record(record)
        if different := [name for name, value in wanted.items() if found.get(name) != value]:
            raise ConfigError(
                f"{folder} holds files made with another {listed(different)}; name another folder, or remove it"
            )
    elif strange := [path.name for path in outputs if path.exists()]:
        raise ConfigError(f"{folder} holds {listed(strange)}, and nothing says how it was made; name another folder")
    else:
        with atomic_path(record) as temporary:
            temporary.write_text(json.dumps(wanted, indent=1) + "\n")


def _read_record(record: Path) -> dict[str, Any]:
    try:
        found = json.loads(record.read_text("utf-8"))
    except ValueError as error:
        raise FileFormatError(f"{record} is damaged: {error}") from None
    if not isinstance(found, dict):
        raise FileFormatError(f"{record} is damaged: it holds no options")
    return found


def _output_name(path: Path) -> str | None:
    zipped = path.suffix.lower() in _COMPRESSED
    plain = path.with_suffix("") if zipped else path
    kind = _TABLES.get(plain.suffix.lower())
    if kind is None:
        return None
    return plain.with_suffix(kind).name + (".gz" if zipped and kind != ".parquet" else "")
