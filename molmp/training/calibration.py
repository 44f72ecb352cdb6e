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
from molmp.training.targets import Answered, Targets
from molmp.trust.classes import ClassTrust
from molmp.trust.domain import Domain, Verdict
from molmp.trust.figures import target_figures
from molmp.trust.learned import POINTS
from molmp.trust.numbers import NumberTrust
from molmp.trust.told import Told
from molmp.trust.trusted import COVERAGE, TargetTrust, Trust

__all__ = ["Calibrated", "calibrate", "fingerprints", "told_of"]

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
    """Calibrate on the validation part; with folds on all molecules, each answered by networks that did not see it.

    Parameters
    ----------
    each
        The parts of each network, as places in the graphs; ``parts`` those of all together, ``answers`` for them.
    model
        The first network, whose fingerprints tell distances.

    Labels that are bounds, and those without weight, calibrate nothing.
    """
    verdicts: dict[str, Verdict | None] = {"val": None, "test": None}
    domain = None
    if problem.names is not None:
        domain, verdicts = _domain(problem, examples, each, parts, model)
    kind = NumberTrust if examples.targets.task == "regression" else ClassTrust
    found: list[TargetTrust | None] = [
        kind.fit(truth, told_of(answered, verdicts["val"], examples.targets))
        for truth, answered in zip(_values(examples, parts["val"]).T, answers["val"], strict=True)
    ]
    verdict, figures = verdicts["test"], {}
    inside = None if verdict is None else verdict.inside
    for name, truth, answered, trust in zip(
        examples.targets.names, _values(examples, parts["test"]).T, answers["test"], found, strict=True
    ):
        if trust is not None:
            told = told_of(answered, verdict, examples.targets)
            figures[name] = target_figures(trust, truth, told, inside, COVERAGE)
    share = None if inside is None or not len(inside) else float(inside.mean())
    return Calibrated(
        Trust(tuple(found), domain), verdicts, {"coverage": COVERAGE, "in_domain": share, "targets": figures}
    )


def told_of(answered: Answered, verdict: Verdict | None, targets: Targets) -> Told:
    """What is known of molecules from the answers for one target, and how they compare with those of training."""
    noise, quantiles = None, answered.quantiles
    if targets.task == "regression":
        noise = answered.aleatoric if quantiles is None else (quantiles[:, -1] - quantiles[:, 0]) / 2
    similarity = None if verdict is None else verdict.similarity
    return Told(answered.value, answered.epistemic, noise, quantiles, similarity)


def _values(examples: Examples, rows: np.ndarray) -> np.ndarray:
    """Labels of those rows that are values and count, NaN in the place of others, shape ``(n, t)``."""
    counts = examples.weights[rows] > 0
    if examples.sides is not None:
        counts &= examples.sides[rows] == 0
    return np.where(counts, examples.labels[rows], np.nan)


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
    """The domain of the model, and what it says of the other parts: with folds, that of each fold of its own."""
    useful = (~np.isnan(examples.labels) & (examples.weights > 0)).any(axis=1)

    def learned(rows: np.ndarray) -> np.ndarray:
        return fingerprints(model, examples.graphs.batch, rows)

    train = parts["train"][useful[parts["train"]]]
    points = np.sort(stable_rng(0).permutation(len(train))[:POINTS])
    whole = _fit(problem, train, learned(train[points]) if len(train) > 1 else None)
    if not problem.folds:
        return whole, {part: _judge(problem, whole, parts[part], learned) for part in ("val", "test")}
    verdicts: dict[str, Verdict | None] = {"val": None, "test": None}
    place = {int(row): i for i, row in enumerate(train)}
    for part in verdicts:
        if part == "test" and all(np.array_equal(own["test"], parts["test"]) for own in each):
            verdicts[part] = _judge(problem, whole, parts[part], learned)
            continue
        found = [np.zeros(len(parts[part]), kind) for kind in (np.int64, float)]
        reasons = [""] * len(parts[part])
        for own in each:
            rows = own["train"][useful[own["train"]]]
            verdict = _judge(problem, _fit(problem, rows, None), own[part], None)
            here = np.searchsorted(parts[part], own[part])
            found[0][here] = [place[int(rows[nearest])] for nearest in verdict.nearest]
            found[1][here] = verdict.similarity
            for at, reason in zip(here.tolist(), verdict.reasons, strict=True):
                reasons[at] = reason
        verdicts[part] = Verdict(found[0], found[1], None, reasons)
    return whole, verdicts


def _fit(problem: Problem, rows: np.ndarray, learned: np.ndarray | None) -> Domain:
    assert problem.names is not None
    graphs = problem.featurized.graphs.select(rows)
    if graphs.bits is None:
        raise DataError("molecules are to be kept by name, but have no bits: featurize with GraphOptions(bits=True)")
    names = [problem.names[row] for row in problem.featurized.rows[rows].tolist()]
    options = replace(problem.options, bits=False)
    return Domain.fit(names, bits=graphs.bits, graphs=graphs, learned=learned, options=options)


def _judge(
    problem: Problem, domain: Domain, rows: np.ndarray, learned: Callable[[np.ndarray], np.ndarray] | None
) -> Verdict:
    graphs = problem.featurized.graphs.select(rows)
    vectors = None if learned is None or domain.learned is None else learned(rows)
    return domain.judge((), bits=graphs.bits, graphs=graphs, learned=vectors)
