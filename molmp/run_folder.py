"""The folder that training leaves behind: it appears whole or not at all."""

import csv
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from molmp.errors import ConfigError, MissingExtraError, MolmpError
from molmp.inference.answer import Answer
from molmp.inference.columns import Columns
from molmp.inference.model_file import save_bundle
from molmp.plots import plot_curves, plot_parity, plot_roc
from molmp.report.page import report_page
from molmp.tables.numbers import bound_text
from molmp.tables.ours import harmless
from molmp.tables.write import remove_orphans, scratch_path
from molmp.training.metrics import MAIN_METRIC
from molmp.training.run import Trained

__all__ = ["is_finished", "new_folder", "write_report", "write_run"]


def is_finished(path: str | Path, config: str) -> bool:
    """Whether a run is complete there that was made with that ``config.toml``."""
    stored = Path(path) / "config.toml"
    return stored.is_file() and stored.read_text() == config


@contextmanager
def new_folder(
    path: str | Path, *, holds: str, replace: bool = False, sources: Sequence[str | Path] = ()
) -> Iterator[Path]:
    """Give a temporary folder that becomes ``path`` when the block ends well, and vanishes when it does not.

    Parameters
    ----------
    holds
        A file that such a folder has: what has other files and not this one is never replaced.
    replace
        Whether ``path`` may exist already.
    sources
        Files that are read meanwhile: a folder with one of them in it is not replaced.

    Raises
    ------
    ConfigError
        ``path`` exists already, and ``replace`` is not set or would take more away than an earlier result.
    """
    path = Path(path)
    if path.exists() and not replace:
        raise ConfigError(f"{path} exists already; --force replaces it")
    if path.exists():
        _check_replaceable(path, holds, sources)
        path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_orphans(path)
    temporary = scratch_path(path)
    temporary.mkdir()
    try:
        yield temporary
        old = scratch_path(path)
        if path.exists():
            path.rename(old)
        temporary.replace(path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_replaceable(path: Path, holds: str, sources: Sequence[str | Path]) -> None:
    if not path.is_dir():
        raise ConfigError(f"{path} is a file, not a folder that could be replaced")
    if any(path.iterdir()) and not (path / holds).exists():
        raise ConfigError(f"{path} is not replaced: it has files, and no {holds} among them, so it is none of ours")
    for source in sources:
        if path.resolve() in Path(source).resolve().parents:
            raise ConfigError(f"{path} is not replaced: {source} is in it, and would be lost")


def write_run(
    folder: Path, trained: Trained, smiles: Sequence[str], labels: np.ndarray, unreadable: Mapping[int, str],
    sides: np.ndarray | None = None, lines: Sequence[int] | np.ndarray | None = None,
) -> list[str]:  # fmt: skip
    """Write a run's files into ``folder``; returns notes on what could not be written.

    ``model.json`` and ``model.safetensors`` (the model), ``metrics.json``, ``history.csv``, ``predictions.csv`` (the
    test molecules), ``unreadable.csv`` where there are such rows, and as pictures ``curves.png`` and ``parity.png`` or
    ``roc.png``. ``smiles`` and ``labels`` of shape ``(n, t)`` are those of all input rows, ``unreadable`` the reasons
    by row, ``lines`` where rows begin in the file; ``sides`` as in :class:`~molmp.training.problem.Problem`.
    """
    bundle = trained.bundle
    save_bundle(bundle, folder)
    (folder / "metrics.json").write_text(json.dumps(bundle.metrics, indent=1) + "\n")
    _write_history(folder / "history.csv", trained.history)
    if unreadable:
        with (folder / "unreadable.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["row", "line", "smiles", "reason"])
            for row, reason in sorted(unreadable.items()):
                line = "" if lines is None else int(lines[row])
                writer.writerow([row + 1, line, harmless(smiles[row]), harmless(reason)])
    rows = trained.parts["test"]
    sides = np.zeros(labels.shape, np.int8) if sides is None else sides
    _write_predictions(folder / "predictions.csv", trained, [smiles[row] for row in rows], labels[rows], sides[rows])
    try:
        _draw(folder, trained, labels[rows], sides[rows])
    except MissingExtraError as error:
        return [f"no plots: {error}"]
    return []


def write_report(folder: Path, name: str, device: str = "auto") -> list[str]:
    """Write ``report.html`` into the folder of a run that is to be called ``name``; a note where that is not possible.

    It is written last: it is about all the other files.
    """
    try:
        page = report_page(folder, device, name=name)
    except MolmpError as error:
        return [f"no report: {error}"]
    (folder / "report.html").write_text(page, encoding="utf-8", errors="surrogateescape")
    return []


def _write_history(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(history[0]))
        writer.writeheader()
        writer.writerows({k: _cell(v) if isinstance(v, float) else v for k, v in record.items()} for record in history)


def _write_predictions(
    path: Path, trained: Trained, smiles: Sequence[str], labels: np.ndarray, sides: np.ndarray
) -> None:
    targets = trained.bundle.targets
    truth: list[Any] = [
        _class_names(y, t.classes) if targets.task == "multiclass" else list(map(bound_text, map(_cell, y), side))
        for y, side, t in zip(labels.T, sides.T, targets.items, strict=True)
    ]
    ours = Columns.of(trained.bundle).arrays(Answer(trained.answers["test"], {}, trained.verdicts["test"]))
    ours.pop("error")
    columns = [*truth, *ours.values()]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "smiles", *map(harmless, [*targets.names, *ours])])
        for i, row in enumerate(trained.parts["test"]):
            writer.writerow([int(row) + 1, smiles[i], *(_cell(column[i]) for column in columns)])


def _draw(folder: Path, trained: Trained, labels: np.ndarray, sides: np.ndarray) -> None:
    bundle = trained.bundle
    plot_curves(trained.history, MAIN_METRIC[bundle.targets.task], folder / "curves.png")
    names, predictions = bundle.targets.names, trained.predictions["test"]
    if not len(labels):
        return
    if bundle.targets.task == "regression":
        scores = {name: bundle.metrics["per_target"][name]["test"] for name in names}
        plot_parity(names, labels, predictions, scores, folder / "parity.png", sides)
    elif bundle.targets.task == "binary":
        plot_roc(names, labels, predictions, folder / "roc.png")
    else:
        one_against_rest = [(f"{t.name} {c}", labels[:, i] == k, predictions[i][:, k])
                            for i, t in enumerate(bundle.targets.items) for k, c in enumerate(t.classes)]  # fmt: skip
        labelled, truths, probabilities = zip(*one_against_rest, strict=True)
        plot_roc(labelled, np.stack(truths, axis=1).astype(float), probabilities, folder / "roc.png")


def _class_names(indices: np.ndarray, classes: Sequence[str]) -> list[str]:
    return ["" if np.isnan(index) else classes[int(index)] for index in indices]


def _cell(value: Any) -> Any:
    """Text of a number for a table: seven significant digits, nothing where it is missing."""
    if isinstance(value, str):
        return harmless(value)
    return "" if np.isnan(value) else f"{value:.7g}"
