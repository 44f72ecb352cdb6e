"""What the tests of the network share: awkward molecules, and small networks in float64 with weights that matter."""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from molmp.chem.featurize import featurize
from molmp.chem.graphs import MolGraphs
from molmp.nn.batch import DeviceGraphs, GraphBatch
from molmp.nn.config import ModelConfig
from molmp.nn.model import MoleculeModel

# One atom; ions without a bond; hydrogen; rings of alike atoms; a triple bond; stereo; a dative bond; four alike arms.
SMILES = [
    "C", "[Na+].[Cl-]", "[H][H]", "OCC", "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O", "C#N", "N[C@@H](C)C(=O)O", "F/C=C/F",
    "N->[Fe]<-N", "CC(C)(C)C", "c1ccc2ccccc2c1", "[Xe]",
]  # fmt: skip

COMPACT = [False, True]


@functools.cache
def graphs(smiles: tuple[str, ...] = tuple(SMILES)) -> MolGraphs:
    featurized = featurize(smiles)
    assert not featurized.errors
    return featurized.graphs


def batch_of(smiles: Sequence[str] = SMILES, *, steps: int = 3, compact: bool = False) -> GraphBatch:
    return DeviceGraphs(graphs(tuple(smiles)), steps=steps, compact=compact).batch()


def new_model(num_outputs: int = 2, seed: int = 0, **config: object) -> MoleculeModel:
    """A small model in float64; no weight is zero, so that nothing can hide behind one."""
    settings = {
        "hidden": 8,
        "edge_hidden": 6 if config.get("layer", "edge") == "edge" else None,
        "head_hidden": 7,
        "readout": "set2set",
        "normalize": False,
        "dropout": 0.0,
    }
    settings |= config
    torch.manual_seed(seed)
    model = MoleculeModel(ModelConfig(**settings), num_outputs).double()
    shake(model)
    return model


def shake(module: nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn_like(parameter)


def outcome(module: nn.Module, output: Tensor) -> dict[str, Tensor]:
    """The output and, for one scalar that depends on all of it, the gradient of every parameter."""
    module.zero_grad()
    weights = torch.sin(torch.arange(output.numel(), dtype=output.dtype)).view_as(output).to(output.device)
    (output * weights + output.square()).sum().backward()
    gradients = {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
    return {"output": output.detach(), **gradients}


def assert_same(mine: dict[str, Tensor], theirs: dict[str, Tensor], tolerance: float = 1e-10) -> None:
    assert mine.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(mine[name], value, rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")
