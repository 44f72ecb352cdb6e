"""Cells of a target that are no labels: which, why, and whether they are few enough to be set aside."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from molmp.tables.numbers import is_missing, is_number, split_bound
from molmp.tables.rows import Problem

__all__ = ["Stray", "few_strays", "stray_notes", "why_no_label"]

FEW = 0.1
"""The share of the labels of a column of numbers that may be none."""

MOST = 0.5
"""The share where it was said that the task is regression."""

LARGEST = float(np.finfo(np.float32).max)
"""Networks compute in float32."""


class Stray(NamedTuple):
    """One such cell."""

    row: int
    line: int
    target: str
    cell: str
    why: str

    @property
    def problem(self) -> Problem:
        """What is wrong with a row that has no other label."""
        return Problem("label", f"{self.target!r} has {self.cell!r}, {self.why}")


def why_no_label(cell: str) -> str:
    """Why a cell of a column of numbers cannot be learned; empty where it can: numbers and bounds such as ``<5``.

    >>> why_no_label("n.d."), why_no_label("-inf"), why_no_label("1e300"), why_no_label(">=5")
    ('not a number', 'infinite', 'beyond what float32 holds, 3.4e+38', '')
    """
    number = split_bound(cell)[1].strip()
    if not is_number(number):
        if re.fullmatch(r"[<>=~]*\s*[+-]?(inf|infinity|\d[\d.]*e\+?\d{3,})", number.lower()):
            return "infinite"
        return "not a number"
    return f"beyond what float32 holds, {LARGEST:.1e}" if abs(float(number)) > LARGEST else ""


def few_strays(texts: Mapping[str, int], task: str | None = None) -> dict[str, str]:
    """Cells that are no labels in a column of numbers, and why, where they are few; ``texts`` are counted.

    >>> few_strays({"1.5": 6, ">3": 4, "n.d.": 1})
    {'n.d.': 'not a number'}
    >>> few_strays({"1.5": 6, "n.d.": 4}), few_strays({"1.5": 6, "n.d.": 4}, "regression")
    ({}, {'n.d.': 'not a number'})
    """
    found = {text: why for text in texts if not is_missing(text) and (why := why_no_label(text))}
    labels = sum(count for text, count in texts.items() if not is_missing(text))
    share = sum(texts[text] for text in found) / max(labels, 1)
    return found if share <= (MOST if task == "regression" else FEW) else {}


def stray_notes(strays: Sequence[Stray]) -> list[str]:
    """Say for each target how many cells were set aside, and which was the first."""
    notes = []
    for target, count in Counter(stray.target for stray in strays).items():
        first = next(stray for stray in strays if stray.target == target)
        verb = "label is none and is" if count == 1 else "labels are none and are"
        notes.append(f"{count:,} {verb} left out of {target!r}: line {first.line} has {first.cell!r}, {first.why}")
    return notes
