"""Training steps of molmp's network, flat and compact, and of the same network made of PyG's parts."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.subjects.step_pyg import PygBatch, PygNet, pairs
from molmp.chem.graphs import MolGraphs
from molmp.nn.batch import DeviceGraphs
from molmp.nn.model import ModelConfig, MoleculeModel

__all__ = ["config", "new_model", "setup", "stepper", "worst"]

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-3}
"""Largest relative difference of outputs and of the gradients of all weights, per kind of number."""


def setup(smiles: list[str], hidden: int) -> dict[str, Callable[[Any], Any]]:
    """Tasks ``flat``, ``compact``, ``compact, batch`` and ``pyg``: one step each; ``compare`` comes first."""
    torch.set_num_threads(1)
    from molmp.chem.featurize import featurize  # needs RDKit; the rest of this file does not

    graphs = featurize(smiles).graphs
    labels = torch.linspace(-1, 1, len(graphs)).unsqueeze(1)
    settings = config(hidden)
    stores = {
        name: DeviceGraphs(graphs, steps=settings.steps, compact=name == "compact") for name in ("flat", "compact")
    }
    everything = torch.arange(len(graphs))
    batches = {name: store.batch(everything) for name, store in stores.items()}
    steps = {name: stepper(new_model(settings), batch, labels) for name, batch in batches.items()}
    pyg = stepper(PygNet(new_model(settings)), PygBatch.of(graphs, torch.float32), labels)
    whole = stepper(new_model(settings), lambda: stores["compact"].batch(everything), labels)
    return {
        "flat": lambda _: steps["flat"](),
        "compact": lambda _: steps["compact"](),
        "compact, batch": lambda _: whole(),
        "pyg": lambda _: pyg(),
        "compare": lambda dtype: worst(graphs, settings, getattr(torch, dtype)),
        "sizes": lambda _: {
            "atoms": batches["flat"].num_atoms,
            "rows": [level.num_rows for level in batches["compact"].levels],
        },
    }


def config(hidden: int) -> ModelConfig:
    """Gilmer's network as PyG's parts can build it, whatever molmp's defaults are."""
    return ModelConfig(
        hidden=hidden, steps=3, edge_hidden=128, aggregation="sum", readout="set2set", readout_steps=6,
        normalize=False, head_hidden=hidden, head_layers=1, dropout=0.0,
    )  # fmt: skip


def new_model(settings: ModelConfig) -> MoleculeModel:
    """A network with one output; always with the same weights."""
    torch.manual_seed(0)
    return MoleculeModel(settings, 1)


def stepper(model: nn.Module, batch: Any, labels: Tensor) -> Callable[[], None]:
    """One training step of ``model``: forward, loss, backward, AdamW. A batch that can be called is made each time."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True, capturable=labels.is_cuda)

    def step() -> None:
        F.mse_loss(model(batch() if callable(batch) else batch), labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)  # last: gradients count as memory that the step needs

    return step


def worst(graphs: MolGraphs, settings: ModelConfig, dtype: torch.dtype, device: torch.device | str = "cpu") -> float:
    """Compare molmp, flat and compact, with PyG: the largest relative difference; stop where it is too large."""
    labels = torch.linspace(-1, 1, len(graphs), dtype=dtype, device=device).unsqueeze(1)
    net = PygNet(new_model(settings)).to(device, dtype)
    outputs = net(PygBatch.of(graphs, dtype, device))
    F.mse_loss(outputs, labels).backward()
    largest = 0.0
    for compact in (False, True):
        model = new_model(settings).to(device, dtype)
        mine = model(DeviceGraphs(graphs, device, steps=settings.steps, compact=compact).batch())
        F.mse_loss(mine, labels).backward()
        both = [(outputs, mine), *pairs(net, model, grad=True)]
        largest = max(largest, *(float((a - b).detach().norm() / a.detach().norm().clamp_min(1e-30)) for a, b in both))
    if largest > TOLERANCE[dtype]:
        raise SystemExit(f"molmp and PyG differ by {largest:.1e} in {dtype}")
    return largest
