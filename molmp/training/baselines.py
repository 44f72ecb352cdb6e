"""What a model must beat: the mean of the training labels, and a forest on fingerprints that takes seconds to train.

Shapes: n molecules, t targets, S columns of a fingerprint.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from rdkit.Chem import rdFingerprintGenerator

from molmp.chem.options import GraphOptions
from molmp.chem.reader import read_mol
from molmp.chem.similarity import RADIUS, SIZE
from molmp.chem.smiles import check_text, quiet_rdkit
from molmp.tables.groups import stable_rng
from molmp.training.cross import network_parts
from molmp.training.label_summary import summarize_labels
from molmp.training.metrics import LOWER_IS_BETTER, MAIN_METRIC, evaluate
from molmp.training.problem import Problem
from molmp.training.run import Trained
from molmp.training.targets import Target

__all__ = ["MOST_LABELS", "MOST_ROWS", "TREES", "compare", "morgan_counts", "score_baselines", "with_background"]

TREES = 100

MOST_ROWS = 10_000
"""Training molecules that forests learn from; of more, so many are drawn."""

MOST_LABELS = {"regression": 20_000, "binary": 60_000, "multiclass": 60_000}
"""Labels that all forests together learn from, by task: what bounds their time whatever the number of targets."""

FEWEST_LABELS = 500
"""Labels of a target that its forest learns from however many targets there are."""

CHUNK = 4_096

PLAIN = GraphOptions()


def score_baselines(problem: Problem, smiles: Sequence[str], seed: int = 0, refit: bool = False) -> dict[str, Any]:
    """Score the mean and a random forest on the test molecules, as :func:`molmp.training.run.train` scores networks.

    Both learn from the rows that the networks learn from, in cross-validation those of each fold; a bound such as
    ``>5`` counts as its value when they learn and as a bound when they are scored. The forest is that of L. Breiman,
    Random forests, 2001, doi:10.1023/A:1010933404324, on how often each circular environment occurs (Morgan counts).

    Parameters
    ----------
    smiles
        Of all input rows.
    seed
        Decides the trees, and which rows they learn from where there are too many.
    refit
        Whether validation rows are learned from too.

    Returns
    -------
    ``mean`` and ``forest``, each with ``test`` (metrics, mean over the targets) and ``per_target``; ``forest`` has as
    ``about`` what it was, in words. Nothing where no test molecule has a label.
    """
    folds = [own for own in network_parts(problem, 1, refit) if len(own["test"])]
    tested = np.unique(np.concatenate([fold["test"] for fold in folds]))
    labels = problem.labels[problem.featurized.rows]
    if np.isnan(labels[tested]).all():
        return {}
    weights = np.ones(len(labels)) if problem.weights is None else problem.weights[problem.featurized.rows]
    trains = [fold["learns"][weights[fold["learns"]] > 0] for fold in folds]
    learned = [_drawn(rows, MOST_ROWS, seed) for rows in trains]
    used = np.unique(np.concatenate([tested, *learned]))
    counts = morgan_counts([smiles[row] for row in problem.featurized.rows[used]], problem.options)
    limit = max(FEWEST_LABELS, MOST_LABELS[problem.targets.task] // (labels.shape[1] * len(folds)))
    answers: dict[str, list[np.ndarray]] = {"mean": [], "forest": []}
    most = 0
    for item, y in zip(problem.targets.items, labels.T, strict=True):
        total = {name: np.zeros((len(tested), max(len(item.classes), 1))) for name in answers}
        asked = np.zeros((len(tested), 1))  # how often, in cross-validation
        for fold, train, rows in zip(folds, trains, learned, strict=True):
            places = np.flatnonzero(np.isin(tested, fold["test"]))
            own = _drawn(rows[~np.isnan(y[rows])], limit, seed)
            known, new = np.searchsorted(used, own), np.searchsorted(used, tested[places])
            total["mean"][places] += _prior(y[train], item)
            total["forest"][places] += _forest_answers(counts, known, y[own], new, item, seed)
            asked[places] += 1
            most = max(most, len(own))
        for name, sums in total.items():
            answers[name].append(_as_scored(sums / asked, problem.targets.task))
    up_to, of_each = "up to " if len(problem.targets.items) > 1 else "", " of each fold" if problem.folds else ""
    about = (
        f"random forest of {TREES} trees on Morgan counts (radius {RADIUS}, {SIZE:,} columns) of {up_to}{most:,} "
        f"training molecules{of_each}"
    )
    sides = None if problem.sides is None else problem.sides[problem.featurized.rows][tested]
    found: dict[str, Any] = {}
    for name, predictions in answers.items():
        scores = evaluate(problem.targets.task, problem.targets.names, labels[tested], predictions, sides)
        found[name] = {"test": scores.mean, "per_target": scores.per_target}
    found["forest"]["about"] = about
    return found


def with_background(trained: Trained, problem: Problem, smiles: Sequence[str]) -> Trained:
    """Add to the metrics what they are judged by.

    ``baselines``: what :func:`score_baselines` gives; ``labels``: what
    :func:`~molmp.training.label_summary.summarize_labels` does.
    """
    training = trained.bundle.training
    baselines = score_baselines(problem, smiles, training.seed, training.refits(len(problem.folds)))
    labels = summarize_labels(problem, trained.parts)
    metrics = {**trained.bundle.metrics, "baselines": baselines, "labels": labels}
    return trained._replace(bundle=replace(trained.bundle, metrics=metrics))


def compare(metrics: Mapping[str, Any], task: str) -> list[str]:
    """Say in sentences how a model did against its baselines; none where there are no numbers to compare.

    >>> metrics = {"test": {"rmse": 0.7}, "baselines": {"mean": {"test": {"rmse": 1.1}},
    ...     "forest": {"test": {"rmse": 0.6}}}}
    >>> compare(metrics, "regression")
    ['better than the mean: test rmse 0.7 against 1.1', 'WORSE than a random forest: test rmse 0.7 against 0.6']
    """
    metric = MAIN_METRIC[task]
    mine = metrics.get("test", {}).get(metric)
    sentences = []
    for name, words in (("mean", "the mean"), ("forest", "a random forest")):
        theirs = metrics.get("baselines", {}).get(name, {}).get("test", {}).get(metric)
        if mine is None or theirs is None:
            continue
        gain = (theirs - mine) if metric in LOWER_IS_BETTER else (mine - theirs)
        verdict = "better than" if gain > 0 else "no better than" if gain == 0 else "WORSE than"
        sentences.append(f"{verdict} {words}: test {metric} {mine:.4g} against {theirs:.4g}")
    return sentences


def morgan_counts(smiles: Sequence[str], options: GraphOptions = PLAIN) -> np.ndarray:
    """How often each circular environment occurs in molecules as they are written; shape ``(n, S)``, uint8.

    All are readable within the limits of ``options``; what occurs more than 255 times is counted 255 times.

    >>> morgan_counts(["CCCCCC"]).max()
    np.uint8(4)
    """
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=SIZE)
    counts = np.zeros((len(smiles), SIZE), np.uint8)
    options = replace(options, standardize="none")  # of tautomers it takes longer than all the trees
    with quiet_rdkit():
        for row, text in enumerate(smiles):
            mol = read_mol(check_text(text, row, options.max_atoms, options.max_characters), row, options)
            counts[row] = generator.GetCountFingerprintAsNumPy(mol).clip(max=255)
    return counts


def _drawn(rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    return rows if len(rows) <= most else np.sort(stable_rng(seed).permutation(rows)[:most])


def _prior(y: np.ndarray, item: Target) -> np.ndarray:
    """What is said without a look at the molecule: the mean, or how frequent each class is."""
    known = y[~np.isnan(y)]
    if not item.classes:
        return np.array([known.mean() if len(known) else 0.0])
    if not len(known):
        return np.full(len(item.classes), 1 / len(item.classes))
    return np.bincount(known.astype(int), minlength=len(item.classes)) / len(known)


def _forest_answers(
    counts: np.ndarray, rows: np.ndarray, y: np.ndarray, asked: np.ndarray, item: Target, seed: int
) -> np.ndarray:
    """Grow trees on ``rows`` of ``counts``; their mean answer for the rows ``asked``, shape ``(asked, classes)``."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    answers = np.tile(_prior(y, item), (len(asked), 1))
    columns = np.flatnonzero((counts[rows] != counts[rows[:1]]).any(axis=0))
    if len(np.unique(y)) < 2 or not len(columns):
        return answers
    kind, share = (RandomForestClassifier, "sqrt") if item.classes else (RandomForestRegressor, 0.2)
    forest = kind(TREES, max_features=share, random_state=seed)
    forest.fit(counts[np.ix_(rows, columns)].astype(np.float32), y)
    for start in range(0, len(asked), CHUNK):
        part = slice(start, start + CHUNK)
        features = counts[np.ix_(asked[part], columns)].astype(np.float32)
        if not item.classes:
            answers[part, 0] = forest.predict(features)
            continue
        votes = np.zeros((len(features), len(item.classes)))
        votes[:, forest.classes_.astype(int)] = forest.predict_proba(features)
        # One vote more, for how frequent the classes are: nothing is impossible because no tree has seen it.
        answers[part] = (TREES * votes + answers[part]) / (TREES + 1)
    return answers


def _as_scored(answers: np.ndarray, task: str) -> np.ndarray:
    """As :func:`~molmp.training.metrics.evaluate` takes predictions."""
    return {"regression": answers[:, 0], "binary": answers[:, -1], "multiclass": answers}[task]
