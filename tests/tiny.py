"""Models that are small and made at once: random weights, but everything that a model file needs."""

from typing import Any

from molmp.chem.featurize import GraphOptions
from molmp.nn.config import ModelConfig
from molmp.training.bundle import Bundle
from molmp.training.config import TrainConfig
from molmp.training.run import new_model
from molmp.training.targets import Target, Targets

SMILES = ("C", "[Na+].[Cl-]", "OCC", "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O", "C#N", "C[C@H](N)C(=O)O", "C/C=C/C")

TARGETS = {
    "regression": (Target(name="logS", unit="log10(mol/L)", center=-2.0, scale=3.0), Target(name="mp", center=100.0)),
    "binary": (Target(name="toxic", classes=("no", "yes")),),
    "multiclass": (
        Target(name="colour", classes=("red", "green", "blue")),
        Target(name="taste", classes=("sour", "sweet")),
    ),
}


def tiny_bundle(
    task: str = "regression", members: int = 1, *, hydrogens: bool = False, loss: str = "auto", **network: Any
) -> Bundle:
    """A model of that task with ``members`` networks that learned nothing."""
    targets = Targets(task, TARGETS[task], loss)
    edge = {"edge_hidden": 8} if network.get("layer", "edge") == "edge" else {}
    config = ModelConfig(**{"hidden": 8, "head_hidden": 8, **edge, **network})
    weights = [new_model(config, targets.num_outputs, seed).state_dict() for seed in range(members)]
    return Bundle(
        targets=targets, options=GraphOptions(explicit_hydrogens=hydrogens), network=config,
        training=TrainConfig(ensemble=members, loss=loss), members=tuple(weights), created="2026-11-21T00:00:00+00:00",
    )  # fmt: skip
