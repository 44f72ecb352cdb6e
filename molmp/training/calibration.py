"""The last act of training: what the networks got wrong on molecules that their weights did not see is remembered.

Shapes: R training molecules, n molecules of a part.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from molmp.errors import DataError
from molmp.nn.model import MoleculeModel
from molmp.tables.groups import stable_rng
from molmp.training.examples import Examples
from molmp.training.problem import Problem
from molmp.training.targets import Answered
from molmp.training.told import told_of
from molmp.trust.classes import ClassTrust
from molmp.trust.domain import Domain, Verdict
from molmp.trust.figures import target_figures
from molmp.trust.learned import POINTS
from molmp.trust.numbers import NumberTrust
from molmp.trust.trusted import COVERAGE, TargetTrust, Trust

__all__ = ["Calibrated", "calibrate", "fingerprints"]

BATCH = 1_024


class Calibrated(NamedTuple):
    """What comes of it."""

    trust: Trust
    verdicts: dict[str, Verdict | None]
    """How the molecules of the parts ``val`` and ``test`` compare with those that their networks learned from."""
    figures: dict[str, Any]
    """What ``metrics.json`` says of the trust: measured on the part ``test``, see :mod:`molmp.trust.figures`."""


def calibrate(
    problem: Problem, examples: Examples, each: Sequence[Mapping[str, np.ndarray]], parts: Mapping[str, np.ndarray],
    answers: Mapping[str, Sequence[Answered]], model: MoleculeModel,
) -> Calibrated:  # fmt: skip
    """Calibrate on the validation part, each molecule answered by networks that did not see it.

    Parameters
    ----------
    each
        The parts of each network, as places in the graphs; ``parts`` those of all together, ``answers`` for them.
    model
        The first network of the model, whose fingerprints tell distances.

    Labels that are bounds, and those without weight, calibrate nothing.
    """
    verdicts: dict[str, Verdict | None] = {"val": None, "test": None}
    domain = None
    if problem.names is not None:
        domain, verdicts = _domain(problem, examples, each, parts, model)
    kind = NumberTrust if examples.targets.task == "regression" else ClassTrust
    found: list[TargetTrust | None] = [
        kind.fit(truth, told_of(answers["val"][place], verdicts["val"], examples.targets, place))
        for place, truth in enumerate(examples.values(parts["val"]).T)
    ]
    verdict, figures = verdicts["test"], {}
    inside = None if verdict is None else verdict.inside
    for place, (name, truth, trust) in enumerate(
        zip(examples.targets.names, examples.values(parts["test"]).T, found, strict=True)
    ):
        if trust is not None:
            told = told_of(answers["test"][place], verdict, examples.targets, place)
            figures[name] = target_figures(trust, truth, told, inside, COVERAGE)
    share = None if inside is None or not len(inside) else float(inside.mean())
    return Calibrated(
        Trust(tuple(found), domain), verdicts, {"coverage": COVERAGE, "in_domain": share, "targets": figures}
    )


@torch.inference_mode()
def fingerprints(model: MoleculeModel, batch: Callable[[np.ndarray], Any], rows: np.ndarray) -> np.ndarray:
    """What a network's readout gives for molecules, which ``batch`` gathers; shape ``(len(rows), D)``, float32."""
    model.eval()
    parts = [np.zeros((0, model.fingerprint_width), np.float32)]
    for start in range(0, len(rows), BATCH):
        parts.append(model.fingerprint(batch(rows[start : start + BATCH])).float().cpu().numpy())
    return np.concatenate(parts)


def _domain(
    problem: Problem, examples: Examples, each: Sequence[Mapping[str, np.ndarray]], parts: Mapping[str, np.ndarray],
    model: MoleculeModel,
) -> tuple[Domain, dict[str, Verdict | None]]:  # fmt: skip
    """The domain of the model, and what it says of the other parts.

    Molecules that some networks learned from are compared with those alone that the networks speaking for them know.
    """
    useful = np.flatnonzero((~np.isnan(examples.labels) & (examples.weights > 0)).any(axis=1))

    def learned(rows: np.ndarray) -> np.ndarray:
        return fingerprints(model, examples.graphs.batch, rows)

    train = np.intersect1d(np.concatenate([own["learns"] for own in each]), useful)
    points = np.sort(stable_rng(0).permutation(len(train))[:POINTS])
    whole = _fit(problem, examples, train, learned(train[points]) if len(train) > 1 else None)
    verdicts: dict[str, Verdict | None] = {}
    for part in ("val", "test"):
        speakers = [own for own in each if len(own[part])]
        seen = any(np.isin(own[part], train).any() for own in speakers)
        if seen or not all(np.array_equal(own[part], parts[part]) for own in speakers):
            folds = [(np.intersect1d(own["learns"], useful), own[part]) for own in speakers]
            verdicts[part] = _judge_folds(problem, examples, train, parts[part], folds)
        else:
            verdicts[part] = _judge(problem, whole, parts[part], learned)
    return whole, verdicts


def _judge_folds(
    problem: Problem, examples: Examples, train: np.ndarray, rows: np.ndarray,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
) -> Verdict:  # fmt: skip
    """What the domains of folds, each its training rows, say of the other rows of theirs; all in the order of ``rows``.

    A row of several folds is judged by the last.
    """
    place = {int(row): i for i, row in enumerate(train)}
    joined = Verdict(np.zeros(0, np.int64), np.zeros(0), None, []).spread(np.zeros(0, np.int64), len(rows))
    usual = None if examples.targets.task != "regression" else np.full((len(rows), examples.labels.shape[1]), np.nan)
    for learned_from, judged in folds:
        verdict = _judge(problem, _fit(problem, examples, learned_from, None), judged, None)
        here = np.searchsorted(rows, judged)
        joined.nearest[here] = [place[int(learned_from[nearest])] for nearest in verdict.nearest]
        joined.similarity[here] = verdict.similarity
        if usual is not None:
            usual[here] = verdict.usual
        for at, reason in zip(here.tolist(), verdict.reasons, strict=True):
            joined.reasons[at] = reason
    return joined._replace(usual=usual)


def _fit(problem: Problem, examples: Examples, rows: np.ndarray, learned: np.ndarray | None) -> Domain:
    assert problem.names is not None
    graphs = problem.featurized.graphs.select(rows)
    if graphs.bits is None:
        raise DataError("molecules are to be kept by name, but have no bits: featurize with GraphOptions(bits=True)")
    names = [problem.names[row] for row in problem.featurized.rows[rows].tolist()]
    options = replace(problem.options, bits=False)
    labels = examples.labels[rows] if examples.targets.task == "regression" else None
    return Domain.fit(names, bits=graphs.bits, graphs=graphs, learned=learned, options=options, labels=labels)


def _judge(
    problem: Problem, domain: Domain, rows: np.ndarray, learned: Callable[[np.ndarray], np.ndarray] | None
) -> Verdict:
    graphs = problem.featurized.graphs.select(rows)
    vectors = None if learned is None or domain.learned is None else learned(rows)
    return domain.judge((), bits=graphs.bits, graphs=graphs, learned=vectors)
