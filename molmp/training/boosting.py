"""Boosted trees beside the networks, for targets of two or more classes.

Where labels are classes, trees on descriptors and counts of environments err in other ways than networks do, and their
mean with the networks ranks molecules better than either; numbers the networks learn better alone
(``docs/accuracy.md`` has the figures).

J. H. Friedman, Greedy function approximation: a gradient boosting machine, 2001, doi:10.1214/aos/1013203451, as
scikit-learn's histograms compute it. What is kept are the trees themselves, as :class:`molmp.nn.trees.Trees`:
predicting needs no scikit-learn.

Shapes: n molecules, t targets, F features, K nodes, O outputs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from molmp.nn.trees import Trees
from molmp.tables.groups import stable_rng
from molmp.training.examples import Examples
from molmp.training.targets import Targets

__all__ = ["BOOSTING", "MOST_LABELS", "MOST_ROWS", "MOST_TARGETS", "boost", "has_trees"]

BOOSTING: dict[str, Any] = {
    "max_iter": 200, "learning_rate": 0.05, "max_leaf_nodes": 15, "max_depth": 6, "min_samples_leaf": 5,
    "l2_regularization": 1.0, "max_features": 0.2, "early_stopping": False,
}  # fmt: skip
"""Options of scikit-learn's boosting."""

FEWEST = 5
"""Training molecules in which a feature must differ from its median for trees to look at it."""

MOST_ROWS, MOST_LABELS = 20_000, 60_000
"""Molecules that the trees of a target learn from, and labels of all targets together; of more, so many are drawn."""

MOST_TARGETS = 20
"""Targets beyond which there are no trees: each has trees of its own, networks share what they learn."""


def has_trees(targets: Targets, num_features: int) -> bool:
    """Whether targets and features are such that trees learn beside the networks."""
    return targets.loss in ("bce", "cross-entropy") and num_features > 0 and len(targets.items) <= MOST_TARGETS


def boost(examples: Examples, features_nF: np.ndarray, rows: np.ndarray, seed: int) -> Trees:
    """Grow trees for all targets.

    Parameters
    ----------
    examples
        Targets of classes, their labels and weights.
    features_nF
        Of all molecules.
    rows
        The molecules to learn from.
    seed
        Decides which features each split may look at.

    Returns
    -------
    Trees that say what a network says: a logit of class 1, or a number for each class, for each target.
    """
    parts, bases, first = [], [], 0
    most = min(MOST_ROWS, MOST_LABELS // len(examples.targets.items))
    for column, width in enumerate(examples.targets.widths):
        y, weights = examples.labels[:, column], examples.weights[:, column]
        known = rows[~np.isnan(y[rows]) & (weights[rows] > 0)]
        known = known if len(known) <= most else np.sort(stable_rng(seed).permutation(known)[:most])
        base, grown = _of_target(features_nF, known, y, weights, width, seed)
        bases.append(base)
        parts += [(nodes, first + output) for nodes, output in grown]
        first += width
    return Trees(_joined(parts) | {"base": torch.from_numpy(np.concatenate(bases))})


def _of_target(
    features_nF: np.ndarray, rows: np.ndarray, y: np.ndarray, weights: np.ndarray, width: int, seed: int
) -> tuple[np.ndarray, list[tuple[dict[str, np.ndarray], int]]]:
    """The outputs of a target before any tree, and its trees, each with the output it speaks for."""
    counts = np.bincount(y[rows].astype(int), weights[rows], max(width, 2))
    prior = np.log((counts + 1) / (counts.sum() + len(counts)))
    base = prior[1:] - prior[:1] if width == 1 else prior
    X = np.nan_to_num(features_nF[rows], nan=0.0)
    columns = np.flatnonzero((np.median(X, axis=0) != X).sum(axis=0) >= FEWEST) if len(X) else np.zeros(0, int)
    classes = np.flatnonzero(counts)
    if len(classes) < 2 or not len(columns):
        return base, []
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(**BOOSTING, random_state=seed % 2**32)
    with threadpool_limits(torch.get_num_threads(), "openmp"):
        model.fit(X[:, columns], y[rows], weights[rows])
    # scikit-learn's own raw predictions begin here; it has no public name for that or for the nodes.
    start = model._baseline_prediction.ravel()
    outputs = [0] if width == 1 else classes[-len(start) :].tolist()  # of two classes the second has trees
    if width > 1:  # a class without a label is as unlikely as its prior says, on the scale of the others
        of_classes = np.concatenate([np.zeros(len(classes) - len(start)), start])
        base += (of_classes - prior[classes]).mean()
        base[classes] = of_classes
    base[outputs] = start
    grown = [
        (nodes, output) for step in model._predictors for nodes, output in zip(map(_nodes, step), outputs, strict=True)
    ]
    return base, [({**nodes, "feature": columns[nodes["feature"]]}, output) for nodes, output in grown]


def _nodes(predictor: Any) -> dict[str, np.ndarray]:
    """Nodes of one tree of scikit-learn's, children side by side and behind their parents."""
    nodes = predictor.nodes
    order = [0]  # the old number of each new node
    left: list[int] = []
    for old in order:
        node = nodes[old]
        left.append(len(left) if node["is_leaf"] else len(order))
        if not node["is_leaf"]:
            order += [int(node["left"]), int(node["right"])]
    sorted_nodes = nodes[order]
    leaf = sorted_nodes["is_leaf"].astype(bool)
    return {
        "feature": np.where(leaf, 0, sorted_nodes["feature_idx"]),
        "threshold": np.where(leaf, np.inf, sorted_nodes["num_threshold"]),
        "left": np.array(left),
        "value": np.where(leaf, sorted_nodes["value"], 0.0),
    }


def _joined(parts: Sequence[tuple[Mapping[str, np.ndarray], int]]) -> dict[str, Tensor]:
    """All trees as one set of nodes."""
    sizes = [len(nodes["left"]) for nodes, _ in parts]
    root = np.concatenate([[0], np.cumsum(sizes)])[:-1] if sizes else np.zeros(0)
    columns: dict[str, np.ndarray] = {"root": root, "output": np.array([output for _, output in parts])}
    for name in ("feature", "threshold", "left", "value"):
        shifts = root if name == "left" else np.zeros(len(parts))
        columns[name] = np.concatenate([np.zeros(0), *(n[name] + s for (n, _), s in zip(parts, shifts, strict=True))])
    whole = ("feature", "left", "root", "output")
    return {n: torch.from_numpy(c.astype(np.int64 if n in whole else np.float64)) for n, c in columns.items()}
