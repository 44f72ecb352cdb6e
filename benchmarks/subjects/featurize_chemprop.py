"""Chemprop: its Python featurizer and its C++ one (cuik-molmaker), through the data sets that its trainer uses."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from chemprop import data
from chemprop.featurizers import CuikmolmakerMolGraphFeaturizer, SimpleMoleculeMolGraphFeaturizer
from rdkit import Chem, RDLogger

from benchmarks.subjects.census import LISTED, census
from benchmarks.subjects.featurize_rdkit import parse

__all__ = ["setup"]

RDLogger.DisableLog("rdApp.*")

ELEMENTS = [*sorted(LISTED), 0]
"""Columns of the first block of Chemprop's atom features."""


def setup(batch_size: int) -> dict[str, Callable[[list[str]], Any]]:
    """Tasks by name; batches hold ``batch_size`` molecules."""
    torch.set_num_threads(1)
    python, cuik = SimpleMoleculeMolGraphFeaturizer(), CuikmolmakerMolGraphFeaturizer()

    def graphs(smiles: list[str]) -> list[Any]:
        return [python(Chem.MolFromSmiles(text)) for text in smiles]

    def batches(smiles: list[str]) -> list[Any]:
        points = [data.MoleculeDatapoint.from_smi(text) for text in smiles]
        dataset = data.MoleculeDataset(points, python)
        return [data.collate_batch([dataset[i] for i in rows]) for rows in _split(len(points), batch_size)]

    def cuik_batches(smiles: list[str]) -> list[Any]:
        dataset = data.CuikmolmakerDataset([data.LazyMoleculeDatapoint(text) for text in smiles], cuik)
        rows = _split(len(smiles), batch_size)
        return [data.collate.collate_cuik_batch(dataset.__getitems__(list(r))) for r in rows]

    return {
        "parse": parse,
        "graphs": graphs,
        "batches": batches,
        "cuik": cuik_batches,
        "census": lambda smiles: [census(_elements(g.V), g.edge_index[0].tolist()) for g in graphs(smiles)],
        "census of batches": lambda smiles: _census_of(batches(smiles)),
        "census of cuik": lambda smiles: _census_of(cuik_batches(smiles)),
    }


def _split(count: int, size: int) -> Iterator[range]:
    return (range(i, min(i + size, count)) for i in range(0, count, size))


def _elements(atoms: Any) -> list[int]:
    return [ELEMENTS[i] for i in atoms[:, : len(ELEMENTS)].argmax(1).tolist()]


def _census_of(batches: list[Any]) -> list[list[int]]:
    found = []
    for batch in batches:
        graph = batch.bmg
        begins, owner = graph.edge_index[0], graph.batch
        for molecule in range(len(graph)):
            atoms = (owner == molecule).nonzero().ravel()
            edges = begins[owner[begins] == molecule] - atoms[0]
            found.append(census(_elements(graph.V[atoms]), edges.tolist()))
    return found
