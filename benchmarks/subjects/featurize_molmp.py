"""molmp: the packed store, batches as a network takes them, and flat ones, in which atoms do not share their states."""

from collections.abc import Callable
from typing import Any

import torch
from rdkit import RDLogger

from benchmarks.subjects.census import census
from molmp.chem.features import ATOM_FIELDS
from molmp.chem.featurize import featurize
from molmp.nn.batch import DeviceGraphs

__all__ = ["setup"]

RDLogger.DisableLog("rdApp.*")

ELEMENTS = [*ATOM_FIELDS[0].choices, 0]


def setup(batch_size: int, steps: int) -> dict[str, Callable[[list[str]], Any]]:
    """Tasks by name; batches hold ``batch_size`` molecules, planned for ``steps`` message passing steps."""
    torch.set_num_threads(1)

    def packed(smiles: list[str]) -> Any:
        return featurize(smiles).graphs

    def batches(smiles: list[str], compact: bool = True) -> list[Any]:
        graphs = DeviceGraphs(packed(smiles), "cpu", steps=steps, compact=compact)
        return [graphs.batch(rows) for rows in torch.arange(len(smiles)).split(batch_size)]

    def flat(smiles: list[str]) -> list[Any]:
        return batches(smiles, compact=False)

    def count(smiles: list[str]) -> list[list[int]]:
        graphs = packed(smiles)
        parts = [graphs.select([i]) for i in range(len(graphs))]
        elements = [[ELEMENTS[z] for z in p.atom_table[p.atom_types, 0]] for p in parts]
        return [census(z, [*p.begins.tolist(), *p.ends.tolist()]) for z, p in zip(elements, parts, strict=True)]

    def store_bytes(smiles: list[str]) -> float:
        return packed(smiles).nbytes / len(smiles)

    return {"packed": packed, "flat": flat, "batches": batches, "census": count, "store bytes": store_bytes}
