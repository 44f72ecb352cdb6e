"""What a run's page says in words: how the rows were split, and what the results amount to."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from molmp.training.baselines import compare

__all__ = ["Finding", "findings", "split_words"]

FEW = 50
"""Test molecules below which a page warns of chance."""

MOSTLY = 0.7
"""Share of the test molecules in the domain below which a page warns: the model was not made for such molecules."""

SPLITS = {
    "random": "at random",
    "scaffold": "by Bemis-Murcko scaffold: molecules of one scaffold are in one part",
    "scaffold-fixed": "by Bemis-Murcko scaffold, the largest groups for training",
    "butina": "by clusters of similar molecules (Butina): those of one cluster are in one part",
    "time": "by time: the oldest train, the newest test",
}


class Finding(NamedTuple):
    """One sentence, and how it is meant."""

    level: str
    """``good``, ``warning`` or ``problem``."""
    text: str


def split_words(settings: Mapping[str, Any]) -> str:
    """How the parts were made, from the options of training; nothing where these are unknown.

    >>> split_words({"split": "random", "split-sizes": [0.8, 0.1, 0.1], "seed": 3})
    'Split at random, shares 0.8, 0.1, 0.1, seed 3.'
    """
    if not settings:
        return ""
    if "splits-file" in settings:
        how = f"by the file {settings['splits-file']}"
    elif "split-column" in settings:
        how = f"by the column {settings['split-column']}"
    else:
        shares = ", ".join(f"{share:g}" for share in settings.get("split-sizes", []))
        how = f"{SPLITS.get(settings.get('split', ''), '')}{f', shares {shares}' if shares else ''}"
    words = f"Split {how}, seed {settings.get('seed', 0)}."
    if "folds" in settings:
        repeats = settings.get("repeats", 1)
        times = f", dealt {repeats} times" if repeats > 1 else ""
        test = "each fold is tested once" if settings.get("rolling-test") else "the test molecules are the same for all"
        words += f" Cross-validation over {settings['folds']} folds{times}; {test}."
    return words


def findings(metrics: Mapping[str, Any], task: str, count: int) -> list[Finding]:
    """Say what the results amount to; ``count``: test molecules with a label."""
    found = []
    for sentence in compare(metrics, task):
        level = "good" if sentence.startswith("better") else "problem" if sentence.startswith("WORSE") else "warning"
        found.append(Finding(level, sentence[0].upper() + sentence[1:] + "."))
    if 0 < count < FEW:
        found.append(Finding("warning", f"Only {count} test molecules have a label: all figures are rough."))
    found += _of_trust(metrics.get("trust") or {})
    return found


def _of_trust(trust: Mapping[str, Any]) -> list[Finding]:
    targets = [figures for figures in trust.get("targets", {}).values() if figures.get("count")]
    if not targets:
        return [Finding("warning", "Nothing is stored that tells how far to believe a prediction.")]
    found, asked = [], trust.get("coverage", 0.9)
    for key, what in (("coverage", "intervals"), ("set_coverage", "sets of classes")):
        held = [figures[key] for figures in targets if figures.get(key) is not None]
        if held:
            share = float(np.mean(held))
            level = "good" if abs(share - asked) <= 0.05 else "warning"
            found.append(Finding(level, f"The {asked:.0%} {what} hold {share:.0%} of the measured values."))
    if trust.get("in_domain") is not None:
        level = "good" if trust["in_domain"] >= MOSTLY else "warning"
        found.append(Finding(level, f"{trust['in_domain']:.0%} of the test molecules are in the model's domain."))
    return found
