"""An audit as one page of HTML."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
from markupsafe import Markup

from molmp.audit.cliffs import CLIFF_SIMILARITY, CLIFF_STEP
from molmp.audit.duplicates import LEVELS
from molmp.audit.findings import findings
from molmp.audit.labels import TargetAudit
from molmp.audit.table import Audit
from molmp.page.charts import bars, histogram
from molmp.page.drawing import draw_smiles
from molmp.page.render import render_page

__all__ = ["audit_page"]

MOST_ROWS = 200
"""Unusable rows that are listed."""

MOST_CARDS = 12
"""Groups, pairs or molecules that are drawn of each kind."""

MOST_TARGETS = 30
"""Targets that are shown one by one."""


def audit_page(audit: Audit) -> str:
    """Write HTML that needs nothing else to be looked at."""
    shown = audit.targets[:MOST_TARGETS]
    names = [target.name for target in shown if target.name in audit.repeats]
    sections = [("molecules", "Molecules"), ("repeats", "Repeated molecules"), ("targets", "Targets"),
                ("cliffs", "Activity cliffs")]  # fmt: skip
    parts = audit.overlap.parts if audit.overlap else []
    return render_page(
        "audit.html",
        audit=audit,
        name=PurePath(audit.where).name,
        distinct=len(set(audit.molecules.exact)),
        sections=[*sections, *([("split", "Split")] if parts else [])],
        findings=findings(audit),
        most=MOST_ROWS,
        sizes=histogram(audit.molecules.atoms.astype(float), "heavy atoms"),
        fragments=bars(_counts(audit.molecules.kind), "fragments"),
        meanings=LEVELS,
        repeats=names,
        classes={target.name: bool(target.classes) for target in shown},
        conflicts=[card for target in shown if target.name in names for card in _conflicts(audit, target)],
        targets=[_target(audit, target) for target in shown],
        cliff_similarity=CLIFF_SIMILARITY,
        cliff_step=CLIFF_STEP,
        cliffs=[_cliffs(audit, target) for target in shown if _has_cliffs(audit, target)],
        medians={part.name: float(np.median(part.nearest)) for part in parts},
        similarities={
            part.name: histogram(part.nearest, "Tanimoto similarity", limits=(0.0, 1.0), bins=25) for part in parts
        },
    )


def _counts(names: Sequence[str]) -> dict[str, int]:
    kinds, counts = np.unique(np.array(names, str), return_counts=True)
    return dict(zip(kinds.tolist(), counts.tolist(), strict=True))


def _label(target: TargetAudit, row: int) -> str:
    value = target.values[row]
    if np.isnan(value):
        return "no label"
    return target.classes[int(value)] if target.classes else f"{value:.6g}"


def _molecule(audit: Audit, target: TargetAudit, row: int) -> dict[str, Any]:
    return {"row": row, "drawing": draw_smiles(audit.smiles[row]), "label": _label(target, row)}


def _conflicts(audit: Audit, target: TargetAudit) -> list[dict[str, Any]]:
    found = []
    for level in ("exact", "salt form"):
        groups = audit.repeats[target.name][level].conflicts[:MOST_CARDS]
        cards = [
            {
                "drawing": draw_smiles(audit.smiles[group[0]]),
                "labels": [(row, _label(target, row)) for row in group[:8]],
            }
            for group in groups
        ]
        if cards:
            found.append({"target": target.name, "meaning": LEVELS[level], "cards": cards})
    return found


def _target(audit: Audit, target: TargetAudit) -> dict[str, Any]:
    facts: list[tuple[str, str]] = [("labels", f"{len(target.known):,}"), ("missing", f"{target.missing:,}")]
    facts += [(f"bounds ({sign})", f"{count:,}") for sign, count in target.bounds.items()]
    if target.unusable:
        facts.append(("unusable", f"{len(target.unusable):,}"))
    facts += [(name, "none" if value is None else f"{value:.4g}") for name, value in target.summary.items()]
    outliers = target.outliers
    if target.summary:
        facts.append(("outliers", f"{len(outliers):,}"))
    return {
        "audit": target,
        "facts": facts,
        "chart": _chart(target),
        "caption": target.trouble or target.kind,
        "outliers": [_molecule(audit, target, row) | {"score": score} for row, score in outliers[:MOST_CARDS]],
    }


def _chart(target: TargetAudit) -> Markup:
    if target.classes:
        return bars(target.balance, target.name)
    return histogram(target.known, target.name, unit="labels")


def _has_cliffs(audit: Audit, target: TargetAudit) -> bool:
    return target.name in audit.cliffs and bool(audit.cliffs[target.name].pairs)


def _cliffs(audit: Audit, target: TargetAudit) -> dict[str, Any]:
    cliffs = audit.cliffs[target.name]
    cards = [
        {
            "first": _molecule(audit, target, pair.first),
            "second": _molecule(audit, target, pair.second),
            "similarity": pair.similarity,
        }
        for pair in cliffs.pairs[:MOST_CARDS]
    ]
    return {"target": target.name, "count": len(cliffs.pairs), "alike": cliffs.alike, "molecules": cliffs.molecules,
            "cards": cards}  # fmt: skip
