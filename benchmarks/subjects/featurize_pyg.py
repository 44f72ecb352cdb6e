"""PyTorch Geometric: ``from_smiles``, one molecule at a time, and batches of what it gives."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from rdkit import RDLogger
from torch_geometric.data import Batch
from torch_geometric.utils import from_smiles

from benchmarks.subjects.census import census

__all__ = ["setup"]

RDLogger.DisableLog("rdApp.*")
warnings.filterwarnings("ignore")


def setup(batch_size: int) -> dict[str, Callable[[list[str]], Any]]:
    """Tasks by name; batches hold ``batch_size`` molecules."""
    torch.set_num_threads(1)

    def graphs(smiles: list[str]) -> list[Any]:
        return [from_smiles(text) for text in smiles]

    def batches(smiles: list[str]) -> list[Any]:
        made = graphs(smiles)
        return [Batch.from_data_list(made[i : i + batch_size]) for i in range(0, len(made), batch_size)]

    def count(smiles: list[str]) -> list[list[int] | None]:
        return [_census(text) for text in smiles]

    return {"graphs": graphs, "batches": batches, "census": count}


def _census(text: str) -> list[int] | None:
    try:
        graph = from_smiles(text)
    except ValueError:  # a value that is not in PyG's tables
        return None
    return census(graph.x[:, 0].tolist(), graph.edge_index[0].tolist())
