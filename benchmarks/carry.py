"""Packed graphs in a file of tensors, for a machine without RDKit, which molmp's own store asks for feature names."""

from pathlib import Path

import torch

from molmp.chem.graphs import ARRAYS, MolGraphs

__all__ = ["read", "write"]


def write(graphs: MolGraphs, path: Path) -> None:
    """Put graphs into a file as tensors."""
    torch.save({name: torch.from_numpy(getattr(graphs, name).copy()) for name in ARRAYS}, path)


def read(path: Path) -> MolGraphs:
    """Undo :func:`write`."""
    tensors = torch.load(path, weights_only=True)
    return MolGraphs(**{name: tensors[name].numpy() for name in ARRAYS})
