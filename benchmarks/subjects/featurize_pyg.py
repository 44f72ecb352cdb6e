"""PyTorch Geometric: ``from_smiles``, one molecule at a time."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from rdkit import RDLogger
from torch_geometric.utils import from_smiles

from benchmarks.subjects.census import census

__all__ = ["setup"]

RDLogger.DisableLog("rdApp.*")
warnings.filterwarnings("ignore")


def setup() -> dict[str, Callable[[list[str]], Any]]:
    """Tasks by name."""
    torch.set_num_threads(1)
    return {"graphs": graphs, "census": lambda smiles: [_census(text) for text in smiles]}


def graphs(smiles: list[str]) -> list[Any]:
    """One data object for each molecule."""
    return [from_smiles(text) for text in smiles]


def _census(text: str) -> list[int] | None:
    try:
        graph = from_smiles(text)
    except ValueError:  # a value that is not in PyG's tables
        return None
    return census(graph.x[:, 0].tolist(), graph.edge_index[0].tolist())
