"""From the options of `molmp train` to what is to be learned."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molmp.chem.featurize import GraphOptions
from molmp.chem.options import LIMITS
from molmp.nn.config import ModelConfig
from molmp.tables.splits import Split
from molmp.training.config import TrainConfig

from . import options

if TYPE_CHECKING:
    from molmp.chem.featurize import Featurized
    from molmp.tables.dataset import Dataset
    from molmp.training.problem import Problem
    from molmp.training.start import Start

__all__ = ["fields_of", "read_problem", "read_start"]

MOST_ERRORS = 5
"""Unreadable rows that are shown one by one."""


def fields_of(kind: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """Pick the settings that a config has."""
    return {name: settings[name] for name in kind.__dataclass_fields__ if name in settings}


def read_problem(table: Path, settings: dict[str, Any]) -> "tuple[Problem, Dataset]":
    """Read a table and its molecules, and split them as the options of `molmp train` say."""
    from molmp.chem.cache import cache_folder, cached_featurize, writable
    from molmp.tables.dataset import load_dataset
    from molmp.training.checks import problem_notes
    from molmp.training.problem import dataset_problem, file_facts, name_molecules, refuse_bad_rows, unreadable_rows

    names = ("smiles_column", "task", "weight_column", "split_column", "time_column", "units", "delimiter",
             "header")  # fmt: skip
    columns = settings["target_columns"] or None
    dataset = load_dataset(table, target_columns=columns, **{name: settings[name] for name in names})
    for note in dataset.notes:
        options.tell(note)
    kept = settings.get("keep_molecules", "none")
    graphs = GraphOptions(**fields_of(GraphOptions, settings), bits=kept != "none")
    named = settings["cache"]
    cache = None if settings["no_cache"] else cache_folder() if named is None else writable(named)
    featurized = cached_featurize(dataset.smiles, graphs, cache=cache, n_jobs=settings["n_jobs"], progress=True)
    unreadable = unreadable_rows(dataset, featurized)
    if settings["on_error"] == "fail":
        refuse_bad_rows(dataset, unreadable)
    _tell_unreadable(dataset, unreadable)
    split, folds = _split(dataset, featurized, settings)
    problem = dataset_problem(dataset, featurized, graphs, split, file_facts(table, dataset))
    problem = replace(problem, names=name_molecules(dataset.smiles, kept))
    for note in problem_notes(problem):
        options.tell(note)
    return replace(problem, folds=folds), dataset


def read_start(run: Path | None, problem: "Problem", network: ModelConfig, config: TrainConfig) -> "Start | None":
    """Read the trained model that `--init-from` names, and say what is taken of it."""
    if run is None:
        return None
    from molmp.inference.model_file import load_bundle
    from molmp.training.start import Start

    start = Start.of(load_bundle(run), problem.options, network, problem.targets, config, str(run))
    options.tell(start.note)
    return start


def _split(dataset: "Dataset", featurized: "Featurized", settings: dict[str, Any]) -> "tuple[Split, tuple[Split, ...]]":
    from molmp.training.problem import fold_rows, readable_rows, split_rows

    rows, how = readable_rows(dataset, featurized), settings["split"]
    limits = GraphOptions(**{name: settings[name] for name in LIMITS})
    dealing = {"sizes": settings["split_sizes"], "seed": settings["seed"], "options": limits}
    if settings["rolling_test"]:
        split = Split(rows, rows[:0], rows[:0])
    else:
        split = split_rows(dataset, rows, how, file=settings["splits_file"], **dealing)
    if not settings["folds"]:
        options.tell("molecules: " + ", ".join(f"{name} {len(part)}" for name, part in split._asdict().items()))
        return split, ()
    asked = {name: settings[name] for name in ("folds", "repeats")}
    split, folds = fold_rows(dataset, rows, split, how=how, rolling=settings["rolling_test"], **asked, **dealing)
    first = ", ".join(f"{name} {len(part)}" for name, part in folds[0]._asdict().items())
    options.tell(f"molecules of the first of {len(folds)} folds: {first}")
    return split, folds


def _tell_unreadable(dataset: "Dataset", reasons: dict[int, str]) -> None:
    for row, reason in list(reasons.items())[:MOST_ERRORS]:
        options.tell(f"row {row + 1} (line {dataset.lines[row]}) is not used: {dataset.smiles[row]!r}: {reason}")
    if len(reasons) > MOST_ERRORS:
        options.tell(f"and {len(reasons) - MOST_ERRORS} more rows; all stand in unreadable.csv")
