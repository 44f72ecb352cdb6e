"""Training steps of Chemprop's default network: directed message passing of width 300, three steps."""

from collections.abc import Callable
from typing import Any

import torch
from chemprop import data, models, nn

from benchmarks.subjects.step_nets import stepper

__all__ = ["setup"]


def setup(smiles: list[str]) -> dict[str, Callable[[Any], Any]]:
    """The task ``step``, on a batch that is made before."""
    torch.set_num_threads(1)
    labels = torch.linspace(-1, 1, len(smiles)).unsqueeze(1)
    dataset = data.MoleculeDataset([data.MoleculeDatapoint.from_smi(text) for text in smiles])
    graph = data.collate_batch([dataset[i] for i in range(len(smiles))]).bmg
    torch.manual_seed(0)
    model = models.MPNN(nn.BondMessagePassing(), nn.MeanAggregation(), nn.RegressionFFN())
    step = stepper(model, graph, labels)
    return {"step": lambda _: step()}
