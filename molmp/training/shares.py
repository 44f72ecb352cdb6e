"""What each network of an ensemble counts in its answer: more where it is less wrong on molecules it did not see.

Shapes: V networks of one fold, E networks of all folds, n molecules, t targets, O outputs of a network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from molmp.training.examples import Examples
from molmp.training.targets import Targets

__all__ = ["shares_of", "with_shares"]

PRIOR = 50
"""Labels that are imagined beside the known ones, on which all networks are equally wrong: few labels tell little."""

POWER = 3
"""Shares go as the loss to the power of minus this."""

TREES = 0.5
"""What boosted trees count beside the networks, whatever the validation molecules say: they have learned from the same
molecules in another way, and few labels tell little of who is right."""

SURE = 1e-4
"""Least probability of a class that is counted: one label shall not decide."""


def with_shares(
    examples: Examples, outputs_EnO: np.ndarray, each: Sequence[Mapping[str, np.ndarray]], ensemble: int,
    trees: bool = False,
) -> Targets:  # fmt: skip
    """Return targets with the :func:`shares_of` each, by the losses on validation molecules; none for one network.

    The loss is the squared error of the scaled target, or minus the logarithm of the probability of the true class.
    With folds a share is that of the networks at the same place in each, by the validation molecules of all folds.

    Parameters
    ----------
    outputs_EnO
        What the networks say of all validation molecules, ascending.
    each
        The parts of each network, ``ensemble`` networks a fold.
    trees
        Whether behind the networks of each fold stand trees, whose share is :data:`TREES`.
    """
    if ensemble == 1 and not trees:
        return examples.targets
    voices = ensemble + trees
    rows = np.unique(np.concatenate([places["val"] for places in each]))
    losses = [
        _losses(examples, places["val"], outputs_nO[np.searchsorted(rows, places["val"])])
        for places, outputs_nO in zip(each, outputs_EnO, strict=True)
    ]
    losses_Vnt = np.stack([np.concatenate(losses[place::voices]) for place in range(ensemble)])
    weights_nt = np.concatenate([examples.weights[places["val"]] for places in each[::voices]])
    items = []
    for column, target in enumerate(examples.targets.items):
        shares = shares_of(losses_Vnt[..., column], weights_nt[:, column])
        if trees:
            shares = (*((1 - TREES) * share for share in shares or [1 / ensemble] * ensemble), TREES)
        items.append(replace(target, shares=shares))
    return replace(examples.targets, items=tuple(items))


def shares_of(losses_Vn: np.ndarray, weights_n: np.ndarray) -> tuple[float, ...]:
    """Shares that add up to 1, from what each network has lost on the same labels; NaN where there is no label.

    Nothing, which is equal shares, where there is no label or nobody has lost anything.

    >>> [round(share, 2) for share in shares_of(np.array([[1.0] * 100, [2.0] * 100]), np.ones(100))]
    [0.8, 0.2]
    >>> [round(share, 2) for share in shares_of(np.array([[1.0], [2.0]]), np.ones(1))]
    [0.51, 0.49]
    """
    known = ~np.isnan(losses_Vn).any(axis=0) & (weights_n > 0)
    count = np.count_nonzero(known)
    if not count:
        return ()
    loss_V = np.average(losses_Vn[:, known], axis=1, weights=weights_n[known])
    if not 0 < loss_V.mean() < np.inf:
        return ()
    share_V = ((count * loss_V / loss_V.mean() + PRIOR) / (count + PRIOR)) ** -POWER
    return tuple((share_V / share_V.sum()).tolist())


def _losses(examples: Examples, rows: np.ndarray, outputs_nO: np.ndarray) -> np.ndarray:
    """Of one network for each label that is a value, shape ``(n, t)``."""
    targets, labels_nt = examples.targets, examples.values(rows)
    answers = targets.decode(outputs_nO)
    if targets.task == "regression":
        wrong: np.ndarray = targets.encode(np.stack(answers, axis=1)) - targets.encode(labels_nt)
        return wrong.astype(np.float64) ** 2
    columns = [_of_truth(answer, truth) for answer, truth in zip(answers, labels_nt.T, strict=True)]
    return -np.log(np.stack(columns, axis=1).clip(SURE))


def _of_truth(answer: np.ndarray, truth_n: np.ndarray) -> np.ndarray:
    """The probability of the true class, shape ``(n,)``; NaN where it is not known."""
    p_nC = np.stack([1 - answer, answer], axis=1) if answer.ndim == 1 else answer
    known = ~np.isnan(truth_n)
    p_n = np.full(len(truth_n), np.nan)
    p_n[known] = p_nC[known, truth_n[known].astype(int)]
    return p_n
