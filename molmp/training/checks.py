"""What a split leaves to learn from: errors where it is nothing, notes where it is little."""

from collections.abc import Mapping

import numpy as np

from molmp.errors import DataError, listed
from molmp.training.problem import Problem
from molmp.training.targets import Target, Targets

__all__ = ["check_parts", "problem_notes"]


def check_parts(parts: Mapping[str, np.ndarray], labels: np.ndarray, targets: Targets, where: str = "") -> None:
    """Refuse a split without labels to learn from, ``parts`` being rows of ``labels``; ``where`` names a fold.

    Raises
    ------
    DataError
        No labels in training or validation; none of a target in training; one class only in training, of all targets.
    """
    for name, meaning in (("train", "training"), ("val", "validation")):
        if np.isnan(labels[parts[name]]).all():
            raise DataError(f"no {meaning} molecule that can be read has a label{where}")
    columns = [column[~np.isnan(column)] for column in labels[parts["train"]].T]
    for target, known in zip(targets.names, columns, strict=True):
        if not len(known):
            raise DataError(f"target {target!r} has no label among the training molecules{where}")
    if targets.task != "regression" and all(len(np.unique(known)) == 1 for known in columns):
        found = [target.classes[int(known[0])] for target, known in zip(targets.items, columns, strict=True)]
        names = listed(map(repr, dict.fromkeys(found)))
        raise DataError(
            f"all training molecules{where} are of one class ({names}): there is nothing to learn; another --seed or "
            "--split may mix them"
        )


def problem_notes(problem: Problem) -> list[str]:
    """Say in sentences what the parts of the split lack: classes, or values that differ."""
    readable = problem.featurized.rows
    parts = [problem.labels[np.intersect1d(part, readable)] for part in (problem.split.train, problem.split.val)]
    notes = []
    for column, target in enumerate(problem.targets.items):
        train, val = (part[:, column][~np.isnan(part[:, column])] for part in parts)
        notes += _class_notes(target, train, val) if target.classes else _value_notes(target, train)
    return notes


def _value_notes(target: Target, train: np.ndarray) -> list[str]:
    if len(train) and np.ptp(train) == 0:
        return [f"all {len(train):,} training labels of {target.name!r} are {train[0]:g}: nothing else can be learned"]
    return []


def _class_notes(target: Target, train: np.ndarray, val: np.ndarray) -> list[str]:
    def missing(part: np.ndarray) -> str:
        return listed(repr(name) for i, name in enumerate(target.classes) if not (part == i).any())

    notes = []
    if (lacks := missing(train)) != "none":
        notes.append(f"no training molecule is of class {lacks} of {target.name!r}: it cannot be learned")
    if len(val) and len(target.classes) == 2 and (lacks := missing(val)) != "none":
        notes.append(
            f"no validation molecule is of class {lacks} of {target.name!r}: its validation metrics do without it"
        )
    return notes
