"""molmp's packed store: made by this process or by several, saved, mapped again, kept for the next run."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from molmp.chem.cache import cached_featurize
from molmp.chem.featurize import GraphOptions, featurize
from molmp.chem.graphs import MolGraphs

__all__ = ["setup"]


def setup(folder: str, smiles: list[str]) -> dict[str, Callable[[Any], Any]]:
    """Tasks by name: ``save`` a store of so many molecules, ``load`` it, and ``graphs`` with a cache in a folder."""
    store = Path(folder) / "store.graphs"

    def save(count: int) -> dict[str, Any]:
        graphs = featurize(smiles).graphs
        graphs.select(np.arange(count) % len(graphs)).save(store)
        return {"molecules": count, "bytes_per_molecule": store.stat().st_size / count}

    def load(times: int) -> list[float]:
        """Seconds on the clock of each loading; a reader waits for the disk, not for a processor."""
        spent = []
        for _ in range(times):
            started = time.perf_counter()
            MolGraphs.load(store)
            spent.append(time.perf_counter() - started)
        return spent

    def graphs(cache: str) -> None:
        cached_featurize(smiles, GraphOptions(), cache=Path(folder) / cache)

    return {"save": save, "load": load, "graphs": graphs}
