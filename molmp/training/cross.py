"""What the networks of a model say of each part of the rows, how good that is, and how much folds differ in it.

A network speaks only for rows that play the part for it: in cross-validation a row of a fold is predicted by the
networks whose validation, or test, is that fold, and by no other.

Shapes: E networks, n rows, O outputs of a network.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from molmp.training.loop import Examples
from molmp.training.problem import Problem
from molmp.training.targets import Answered, Targets

__all__ = ["PARTS", "answer_of_some", "network_parts", "score", "spread", "union"]

PARTS = ("train", "val", "test")


def network_parts(problem: Problem, ensemble: int, refit: bool = False) -> list[dict[str, np.ndarray]]:
    """For each network the places, in the graphs, of the rows of its parts: ``ensemble`` networks for each fold.

    ``learns`` are the rows that a network learns from, the other parts those that it speaks for. With ``refit`` the
    networks of the model come last: they learn from training and validation rows and speak for the test, the others for
    all else.
    """
    splits = problem.folds or (problem.split,)
    readable = problem.featurized.rows
    of_folds = [{part: np.flatnonzero(np.isin(readable, getattr(split, part))) for part in PARTS} for split in splits]
    each = [{"learns": places["train"], **places} for places in of_folds]
    if refit:
        (first,) = each
        none, both = first["test"][:0], np.union1d(first["train"], first["val"])
        each = [first | {"test": none}, {"learns": both, "train": none, "val": none, "test": first["test"]}]
    return [places for places in each for _ in range(ensemble)]


def union(each: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The rows of each part for any of the networks, ascending."""
    return {part: np.unique(np.concatenate([places[part] for places in each])) for part in PARTS}


def score(
    examples: Examples, outputs: Mapping[str, np.ndarray], each: Sequence[Mapping[str, np.ndarray]], num_folds: int = 0
) -> tuple[dict[str, list[Answered]], dict[str, Any]]:  # fmt: skip
    """What the networks say of the rows of each part, and the metrics of that.

    Parameters
    ----------
    outputs
        Of all networks for the rows of :func:`union`, shape ``(E, n, O)``, by part.
    each
        The parts of each network.
    num_folds
        With folds the metrics have two more entries: ``folds``, a record for each with its ``val`` and ``test``, and
        ``spread``, see :func:`spread`.
    """
    targets, parts = examples.targets, union(each)
    speaks = {part: np.stack([np.isin(rows, places[part]) for places in each]) for part, rows in parts.items()}
    answers = {part: answer_of_some(targets, outputs[part], speaks[part]) for part in parts}
    scores = {
        part: examples.score(rows, [answered.value for answered in answers[part]]) for part, rows in parts.items()
    }
    per_target = {name: {part: s.per_target[name] for part, s in scores.items()} for name in targets.names}
    metrics: dict[str, Any] = {part: s.mean for part, s in scores.items()} | {"per_target": per_target}
    if num_folds:
        folds = np.repeat(np.arange(num_folds), len(each) // num_folds)
        by_part = {p: _by_fold(examples, outputs[p], speaks[p], parts[p], folds) for p in ("val", "test")}
        metrics["folds"] = [{p: by_part[p][fold] for p in by_part} for fold in range(num_folds)]
        metrics["spread"] = {p: spread(scores) for p, scores in by_part.items()}
    return answers, metrics


def answer_of_some(targets: Targets, outputs_EnO: np.ndarray, speaks_En: np.ndarray) -> list[Answered]:
    """As :meth:`Targets.answer`, but for each row only of the networks that speak for it, at least one.

    >>> from molmp.training.targets import Target
    >>> targets = Targets("regression", (Target(name="logS"),))
    >>> outputs = np.array([[[1.0], [2.0]], [[5.0], [6.0]]])
    >>> answer_of_some(targets, outputs, np.array([[True, False], [True, True]]))[0].value
    array([3., 6.])
    """
    order = np.argsort(~speaks_En, axis=0, kind="stable")  # of each row, those that speak first
    numbers = speaks_En.sum(axis=0)
    parts = []
    for number in np.unique(numbers):
        rows = np.flatnonzero(numbers == number)
        parts.append((rows, targets.answer(outputs_EnO[order[:number, rows], rows])))
    if not parts:
        return targets.answer(outputs_EnO)
    return [_joined([(rows, answers[t]) for rows, answers in parts]) for t in range(len(targets.items))]


def spread(scores: Sequence[Mapping[str, float | None]]) -> dict[str, dict[str, Any]]:
    """Mean and standard deviation of each metric over the folds in which it is defined, and their number.

    >>> spread([{"rmse": 1.0}, {"rmse": 3.0}, {"rmse": None}])
    {'rmse': {'mean': 2.0, 'std': 1.4142135623730951, 'folds': 2}}
    """
    summary = {}
    for name in scores[0]:
        values = [value for score in scores if (value := score[name]) is not None]
        summary[name] = {
            "mean": float(np.mean(values)) if values else None,
            "std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
            "folds": len(values),
        }
    return summary


def _by_fold(
    examples: Examples, outputs_EnO: np.ndarray, speaks_En: np.ndarray, part: np.ndarray, folds_E: np.ndarray
) -> list[dict[str, float | None]]:
    scores = []
    for fold in np.unique(folds_E):
        networks = np.flatnonzero(folds_E == fold)
        rows = np.flatnonzero(speaks_En[networks[0]])
        values = [answered.value for answered in examples.targets.answer(outputs_EnO[np.ix_(networks, rows)])]
        scores.append(examples.score(part[rows], values).mean)
    return scores


def _joined(parts: Sequence[tuple[np.ndarray, Answered]]) -> Answered:
    """Put answers for parts of the rows together; NaN where a part has no such number."""
    total = sum(len(rows) for rows, _ in parts)
    full: list[np.ndarray | None] = []
    for field in Answered._fields:
        arrays = [(rows, array) for rows, answered in parts if (array := getattr(answered, field)) is not None]
        if not arrays:
            full.append(None)
            continue
        joined = np.full((total, *arrays[0][1].shape[1:]), np.nan)
        for rows, array in arrays:
            joined[rows] = array
        full.append(joined)
    return Answered(*full)  # type: ignore[arg-type]
