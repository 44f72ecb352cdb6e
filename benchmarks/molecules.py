"""The molecules that are measured: samples of HIV and MUV, drawn with a fixed seed."""

import csv
import gzip
import random
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

__all__ = ["MARKS", "column", "sample"]

MARKS = frozenset("@/\\")
"""Characters that mark stereo in a SMILES: where there are any, RDKit must look for stereocentres."""


def sample(data: Path, count: int, *, sets: Sequence[str] = ("hiv", "muv"), stereo: bool = False) -> list[str]:
    """``count`` distinct SMILES that RDKit reads, as many from each set, shuffled; with ``stereo`` all have marks."""
    shuffler = random.Random(0)
    chosen = [s for name in sets for s in _readable(data / f"{name}.csv.gz", count // len(sets), shuffler, stereo)]
    shuffler.shuffle(chosen)
    return chosen


def _readable(path: Path, count: int, shuffler: random.Random, stereo: bool) -> list[str]:
    from rdkit import Chem, RDLogger

    RDLogger.DisableLog("rdApp.*")
    texts = [text for text in column(path) if not stereo or MARKS & set(text)]
    shuffler.shuffle(texts)
    found = (s for s in texts if (mol := Chem.MolFromSmiles(s)) is not None and mol.GetNumAtoms())
    return list(islice(found, count))


def column(path: Path) -> list[str]:
    """The distinct SMILES of a compressed CSV, sorted."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return sorted({row["smiles"] for row in csv.DictReader(file)})
