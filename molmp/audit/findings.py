"""An audit in words: the sentences that a reader should see first, and plain data for a program."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from molmp.audit.cliffs import CLIFF_SIMILARITY
from molmp.audit.duplicates import LEVELS, Noise
from molmp.audit.labels import TargetAudit
from molmp.audit.overlap import Overlap, Part
from molmp.audit.table import Audit

__all__ = ["Finding", "audit_dict", "findings"]

MOST_ROWS = 1_000
"""Rows, groups and pairs listed in JSON, at most; their full number is always given."""

RARE = 0.05
"""Share of a class below which it is called rare."""

NEAR = 0.9
"""Similarity from which a test molecule has all but a twin in the training part."""


class Finding(NamedTuple):
    """One sentence."""

    weight: str
    """``problem``: training or its result suffers; ``warning``: look at it; ``good``: nothing to do."""
    text: str


def findings(audit: Audit) -> list[Finding]:
    """All sentences, problems first."""
    found = [*_molecules(audit), *_repeated(audit), *_labels(audit), *_cliffs(audit)]
    if audit.overlap is not None:
        found += _overlap(audit.overlap)
    order = ["problem", "warning", "good"]
    return sorted(found, key=lambda finding: order.index(finding.weight))


def _molecules(audit: Audit) -> Iterator[Finding]:
    if audit.bad:
        why = ", ".join(f"{code} {count:,}" for code, count in audit.reasons.items())
        yield Finding("problem", f"{_count(len(audit.bad), 'row')} of {len(audit):,} cannot be used ({why})")
    else:
        yield Finding("good", f"all {len(audit):,} rows can be read")
    kinds = np.array(audit.molecules.kind)
    salts, mixtures = int((kinds == "salt").sum()), int((kinds == "mixture").sum())
    if salts:
        yield Finding(
            "warning", f"{_count(salts, 'row')} with a salt or a solvate: --standardize clean keeps the parent"
        )
    if mixtures:
        yield Finding("warning", f"{_count(mixtures, 'row')} with a mixture of several compounds")


def _repeated(audit: Audit) -> Iterator[Finding]:
    for level in audit.levels:
        if not level.groups:
            continue
        rows = sum(map(len, level.groups))
        yield Finding(
            "warning", f"{len(level.groups):,} molecules stand in {rows:,} rows that are {LEVELS[level.name]}"
        )
        for target in audit.targets:
            repeats = audit.repeats.get(target.name, {}).get(level.name)
            if repeats and repeats.conflicts:
                measured = level.name in ("exact", "salt form")  # labels of stereoisomers may well differ
                noise = _noise_in_words(repeats.noise, bool(target.classes)) if measured else ""
                groups = _count(len(repeats.conflicts), "molecule")
                text = f"{target.name}: labels differ within {groups} ({level.name}){noise}"
                yield Finding("problem" if measured else "warning", text)
    if not any(level.groups for level in audit.levels):
        yield Finding("good", "no molecule occurs twice, in whatever stereo, salt or tautomeric form")


def _noise_in_words(noise: Noise | None, classes: bool) -> str:
    if noise is None:
        return ""
    if classes:
        best = f"{1 - noise.floor:.1%}"
        return f"; were they typical, {noise.floor:.1%} of all labels would be wrong, no accuracy above {best} possible"
    best = "" if noise.best is None else f" and no R2 above {noise.best:.3f}"
    return f"; were they typical, a label would be off by {noise.floor:.3g}, no RMSE below that{best} possible"


def _labels(audit: Audit) -> Iterator[Finding]:
    if not audit.targets:
        yield Finding("problem", "no column of numbers or classes to learn was found")
    for target in audit.targets:
        yield from _label(target, len(audit))


def _label(target: TargetAudit, num_rows: int) -> Iterator[Finding]:
    name, known = target.name, len(target.known)
    if target.trouble:
        yield Finding("problem", target.trouble)
    if target.bounds:
        signs = ", ".join(f"{sign} {count:,}" for sign, count in target.bounds.items())
        share = sum(target.bounds.values()) / max(known + sum(target.bounds.values()), 1)
        yield Finding("warning", f"{name}: {share:.1%} of the labels are only bounds ({signs})")
    if target.missing:
        yield Finding("warning", f"{name}: {target.missing / num_rows:.1%} of the rows have no label")
    for class_name, count in target.balance.items():
        if known and count / known < RARE:
            yield Finding("warning", f"{name}: class {class_name!r} is rare, {count:,} of {known:,} labels")
    if target.log_helps:
        skew = target.summary["skew"]
        yield Finding("warning", f"{name}: values are skewed ({skew:.1f}) and all above 0: learn their logarithm")
    if outliers := target.outliers:
        rows, row = _count(len(outliers), "row"), outliers[0][0]
        far = f"the farthest {target.values[row]:g} in row {row + 1}"
        yield Finding("warning", f"{name}: {rows} with outlying values, {far}")


def _cliffs(audit: Audit) -> Iterator[Finding]:
    for name, cliffs in audit.cliffs.items():
        if cliffs.pairs:
            found, alike = _count(len(cliffs.pairs), "activity cliff"), _count(cliffs.alike, "pair")
            of = f"of molecules alike (similarity from {CLIFF_SIMILARITY})"
            yield Finding("warning", f"{name}: {found} among {alike} {of}")


def _overlap(overlap: Overlap) -> Iterator[Finding]:
    for part in overlap.parts:
        if len(part.exact):
            yield Finding("problem", f"split by {overlap.how}: {len(part.exact):,} of {part.size:,} {part.name} "
                                     "molecules are in the training part too")  # fmt: skip
        if len(part.stereo):
            yield Finding("warning", f"split by {overlap.how}: of {len(part.stereo):,} {part.name} molecules another "
                                     "stereoisomer or salt form is in the training part")  # fmt: skip
        yield Finding("good", f"split by {overlap.how}: {_likeness(part)}")


def _likeness(part: Part) -> str:
    ringed = f", {part.scaffolds / part.ringed:.0%} share a scaffold" if part.ringed else ""
    return (f"{part.name} molecules have a median similarity of {np.median(part.nearest):.2f} to the nearest training "
            f"molecule, {np.mean(part.nearest >= NEAR):.0%} of them {NEAR} or more{ringed}")  # fmt: skip


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' if number != 1 else ''}"


def audit_dict(audit: Audit) -> dict[str, Any]:
    """Plain data for JSON. Rows count from 1 as in messages; lists are cut after :data:`MOST_ROWS`."""
    kinds = dict(zip(*np.unique(audit.molecules.kind, return_counts=True), strict=True))
    return {
        "file": audit.where,
        "rows": len(audit),
        "standardize": audit.standardize,
        "notes": audit.notes,
        "findings": [finding._asdict() for finding in findings(audit)],
        "unreadable": {
            "count": len(audit.bad),
            "reasons": audit.reasons,
            "rows": [bad._asdict() | {"row": bad.row + 1} for bad in audit.bad[:MOST_ROWS]],
        },
        "fragments": {str(kind): int(count) for kind, count in kinds.items()},
        "duplicates": {
            level.name: {"count": len(level.groups), "groups": _groups(level.groups)} for level in audit.levels
        },
        "targets": {target.name: _target_dict(audit, target) for target in audit.targets},
        "split": None if audit.overlap is None else _overlap_dict(audit.overlap),
    }


def _groups(groups: Sequence[np.ndarray]) -> list[list[int]]:
    return [(group + 1).tolist() for group in groups[:MOST_ROWS]]


def _target_dict(audit: Audit, target: TargetAudit) -> dict[str, Any]:
    repeats = {
        level: {
            "conflicts": len(found.conflicts),
            "groups": _groups(found.conflicts),
            "noise": None if found.noise is None else {k: _plain(v) for k, v in found.noise._asdict().items()},
        }
        for level, found in audit.repeats.get(target.name, {}).items()
    }
    cliffs = audit.cliffs.get(target.name)
    return {
        "kind": target.kind,
        "labels": len(target.known),
        "missing": target.missing,
        "unusable": {"count": len(target.unusable), "rows": [row + 1 for row in target.unusable[:MOST_ROWS]]},
        "bounds": target.bounds,
        "trouble": target.trouble,
        "balance": target.balance,
        **target.summary,
        "outliers": [{"row": row + 1, "score": round(score, 2)} for row, score in target.outliers[:MOST_ROWS]],
        "repeats": repeats,
        "cliffs": None
        if cliffs is None
        else {
            "alike": cliffs.alike,
            "count": len(cliffs.pairs),
            "molecules": cliffs.molecules,
            "pairs": [
                {"rows": [pair.first + 1, pair.second + 1], "similarity": round(pair.similarity, 3)}
                for pair in cliffs.pairs[:MOST_ROWS]
            ],
        },
    }


def _overlap_dict(overlap: Overlap) -> dict[str, Any]:
    parts = {
        part.name: {
            "count": part.size,
            "exact": (part.exact[:MOST_ROWS] + 1).tolist(),
            "stereo_or_salt": (part.stereo[:MOST_ROWS] + 1).tolist(),
            "scaffolds_shared": part.scaffolds,
            "with_rings": part.ringed,
            "nearest": {f"q{int(100 * q)}": round(float(np.quantile(part.nearest, q)), 3) for q in (0.1, 0.5, 0.9)},
        }
        for part in overlap.parts
    }
    return {"how": overlap.how, "train": overlap.train, **parts}


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
