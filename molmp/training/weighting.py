"""What each label weighs in the loss: its row's weight, its target's, and its class's."""

from collections.abc import Mapping

import numpy as np

from molmp.errors import ConfigError, listed
from molmp.training.targets import Targets

__all__ = ["label_weights"]


def label_weights(
    targets: Targets, labels: np.ndarray, rows: np.ndarray, *, task_weights: Mapping[str, float] | None = None,
    class_weight: str = "none", train: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Work out the weights of labels, shape ``(n, t)``.

    Parameters
    ----------
    labels
        Indices of classes, or numbers; NaN where missing; shape ``(n, t)``.
    rows
        Weights of the rows, shape ``(n,)``.
    task_weights
        Weights of targets by name; 1 for the others.
    class_weight
        ``balanced``: all classes of a target weigh the same together, and all its labels as much as before;
        ``none``: every label counts alike.
    train
        The rows in which classes are counted.

    Raises
    ------
    ConfigError
        A weight for a target that there is not; balanced classes of numbers.

    >>> from molmp.training.targets import Target
    >>> targets = Targets("binary", (Target(name="a", classes=("0", "1")),))
    >>> labels = np.array([[0.0], [0.0], [0.0], [1.0]])
    >>> label_weights(targets, labels, np.ones(4), class_weight="balanced", train=np.arange(4)).ravel()
    array([0.66666667, 0.66666667, 0.66666667, 2.        ])
    """
    names, task_weights = targets.names, task_weights or {}
    if unknown := [name for name in task_weights if name not in names]:
        raise ConfigError(f"a weight is given for {listed(map(repr, unknown))}, no target; targets are {listed(names)}")
    if class_weight == "balanced" and targets.task == "regression":
        raise ConfigError("class_weight balanced is for classes; the task is regression")
    weights = rows[:, None] * [task_weights.get(name, 1.0) for name in names]
    if class_weight == "balanced":
        for column, y in zip(weights.T, labels.T, strict=True):
            column *= _balanced(y, rows, train)
    return weights


def _balanced(y: np.ndarray, rows: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Factors of the labels of one target; 1 for classes that ``train`` does not know."""
    factors = np.ones(len(y))
    known = train[~np.isnan(y[train])]
    classes, places = np.unique(y[known], return_inverse=True)
    totals = np.bincount(places, rows[known], minlength=len(classes))
    for index, total in zip(classes, totals, strict=True):
        if total:
            factors[y == index] = totals.sum() / (np.count_nonzero(totals) * total)
    return factors
