"""Models that are small and made at once: random weights, but everything that a model file needs."""

from dataclasses import replace
from typing import Any

import numpy as np

from molmp.chem.featurize import GraphOptions, featurize
from molmp.inference.predictor import Predictor
from molmp.nn.config import ModelConfig
from molmp.training.bundle import Bundle
from molmp.training.config import TrainConfig
from molmp.training.run import new_model
from molmp.training.targets import Target, Targets
from molmp.training.told import told_of
from molmp.trust.classes import ClassTrust
from molmp.trust.domain import Domain
from molmp.trust.numbers import NumberTrust
from molmp.trust.trusted import TargetTrust, Trust

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
    task: str = "regression", members: int = 1, *, hydrogens: bool = False, loss: str = "auto",
    shares: tuple[float, ...] = (), **network: Any,
) -> Bundle:  # fmt: skip
    """A model of that task with ``members`` networks that learned nothing."""
    targets = Targets(task, tuple(replace(target, shares=shares) for target in TARGETS[task]), loss)
    edge = {"edge_hidden": 8} if network.get("layer", "edge") == "edge" else {}
    config = ModelConfig(**{"hidden": 8, "head_hidden": 8, **edge, **network})
    weights = [new_model(config, targets.num_outputs, seed).state_dict() for seed in range(members)]
    return Bundle(
        targets=targets, options=GraphOptions(explicit_hydrogens=hydrogens), network=config,
        training=TrainConfig(ensemble=members, loss=loss), members=tuple(weights), created="2026-11-21T00:00:00+00:00",
    )  # fmt: skip


def with_trust(bundle: Bundle, rows: int = 40, names: bool = True) -> Bundle:
    """The same model, as if it had been calibrated on chains of carbon; its truths are its own values and noise."""
    smiles = ["C" * (n + 1) + end for n in range(rows // 4) for end in ("C", "O", "N", "Cl")]
    options = replace(bundle.options, bits=names)
    read = featurize(smiles, options)
    predictor = Predictor(bundle, "cpu")
    learned = predictor.embed_featurized(read)[:, : predictor.models[0].fingerprint_width]
    domain, labels = None, np.sin(np.arange(2.0 * len(smiles))).reshape(-1, 2)
    labels[len(smiles) // 2] = np.nan
    if bundle.targets.task != "regression":
        labels = None
    if names:
        domain = Domain.fit(
            smiles, bits=read.graphs.bits, graphs=read.graphs, learned=learned, options=bundle.options, labels=labels
        )
    answer = Predictor(replace(bundle, trust=Trust((), domain)), "cpu").answer(read)
    found: list[TargetTrust | None] = []
    for place, answered in enumerate(answer.targets):
        told, rng = told_of(answered, answer.verdict, bundle.targets, place), np.random.default_rng(place)
        if bundle.targets.task == "regression":
            found.append(NumberTrust.fit(answered.value + rng.normal(size=len(smiles)), told))
        else:
            count = len(bundle.targets.items[place].classes)
            found.append(ClassTrust.fit(rng.permutation(np.arange(len(smiles)) % count).astype(float), told))
    return replace(bundle, trust=Trust(tuple(found), domain))
