"""A trained model as plain data: what the model file holds and the predictor runs."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any, Self

import numpy as np
import rdkit
import torch
from torch import nn

from molmp import __version__
from molmp.chem import molecule_features
from molmp.chem.features import ATOM_FIELDS, BOND_FIELDS, column_names
from molmp.chem.featurize import GraphOptions
from molmp.errors import DataError, FileFormatError
from molmp.nn.model import ModelConfig, MoleculeModel
from molmp.nn.operators import OPERATORS
from molmp.nn.trees import Trees
from molmp.training.config import TrainConfig
from molmp.training.targets import Targets
from molmp.trust.domain import Domain
from molmp.trust.trusted import Trust

__all__ = ["FORMAT", "Bundle", "feature_columns", "versions"]

FORMAT = 1
"""Number of the model file's format; newer ones are refused."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Bundle:
    """Everything that prediction needs, and where it came from."""

    targets: Targets
    options: GraphOptions
    network: ModelConfig
    training: TrainConfig
    members: tuple[Mapping[str, torch.Tensor], ...]
    """Weights of each network of the ensemble, on the CPU."""
    trees: tuple[Trees, ...] = ()
    """Boosted trees beside the networks, on the CPU: none, or one for the networks of each fold."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """The training file: name, sha256, rows, sizes of the split, and which of its parts were learned from; and what
    weights the networks began with, in words."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """As in ``metrics.json``."""
    trust: Trust | None = None
    """How far to believe it; None for a model of molmp 0.1."""
    versions: Mapping[str, str] = field(default_factory=lambda: versions())
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def learned_from(self) -> tuple[str, ...]:
        """The parts of the data that the networks have learned from: ``train``, with refit also ``val``."""
        return tuple(self.data.get("learned_from", ("train",)))

    def models(self, device: torch.device | str = "cpu") -> list[MoleculeModel]:
        """Build the networks on ``device``, in evaluation mode."""
        models = []
        for weights in self.members:
            model = MoleculeModel(self.network, self.targets.num_outputs)
            model.load_state_dict(dict(weights))
            models.append(model.to(device).eval())
        return models

    def voices(self, device: torch.device | str = "cpu") -> list[nn.Module]:
        """Build all that has a share in an answer, in that order: the networks of each fold, then its trees."""
        models: list[nn.Module] = [*self.models(device)]
        if not self.trees:
            return models
        number = len(models) // len(self.trees)
        place = "cpu" if torch.device(device).type == "mps" else device  # which has no float64
        beside = [Trees(dict(trees.named_buffers())).to(place) for trees in self.trees]
        return [voice for i, trees in enumerate(beside) for voice in (*models[i * number :][:number], trees)]

    def to_dict(self) -> dict[str, Any]:
        """All but the weights, as plain data for ``model.json``."""
        return {
            "format": FORMAT,
            **self.targets.to_dict(),
            "features": feature_columns(self.options) | {"options": self.options.to_dict()},
            "network": self.network.to_dict(),
            "training": self.training.to_dict(),
            "num_members": len(self.members),
            **({"num_trees": len(self.trees)} if self.trees else {}),
            "data": dict(self.data),
            "metrics": dict(self.metrics),
            "versions": dict(self.versions),
            "created": self.created,
            **({} if self.trust is None else {"trust": self.trust.to_dict()}),
        }

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], members: tuple[Mapping[str, torch.Tensor], ...], layer: type | None = None,
        domain: Domain | None = None, trees: tuple[Trees, ...] = (),
    ) -> Self:  # fmt: skip
        """Inverse of :meth:`to_dict`; ``layer`` is the class of an operator that is none of molmp's.

        Raises
        ------
        FileFormatError
            Where this molmp describes atoms or bonds in another way than the one that trained the model.
        """
        features = dict(data["features"])
        options = GraphOptions.from_dict(features.pop("options"))
        if {"molecule": [], **features} != {"molecule": [], **feature_columns(options)}:
            trained = data["versions"].get("molmp", "unknown")
            raise FileFormatError(
                f"the model was trained on other atom or bond features (by molmp {trained}; this is {__version__}): "
                f"{_difference(features, feature_columns(options))}"
            )
        name = data["network"].get("layer")
        if layer is None and isinstance(name, str) and name not in OPERATORS:
            raise FileFormatError(
                f"its messages are passed by {name!r}, which is none of molmp's operators; a file holds no code: "
                f"where that is a class of your own, give it to molmp.load(..., layer={name})"
            )
        network = ModelConfig.from_dict(data["network"], layer)
        if network.num_features != len(features.get("molecule", [])):
            raise FileFormatError(
                f"the network reads {network.num_features} features of a molecule, but the file names "
                f"{len(features.get('molecule', []))}"
            )
        targets = Targets.from_dict(data)
        return cls(
            targets=targets,
            options=options,
            network=network,
            training=TrainConfig.from_dict(
                {"views": "all", "trees": False, **data["training"]}
            ),  # before there was a choice
            members=members,
            trees=trees,
            data=data["data"],
            metrics=data["metrics"],
            versions=data["versions"],
            created=data["created"],
            trust=_trust(data, targets, domain),
        )


def _trust(data: Mapping[str, Any], targets: Targets, domain: Domain | None) -> Trust | None:
    if "trust" not in data:
        return None
    widths = {"regression": [0], "binary": [1]}.get(targets.task, [])
    each = widths * len(targets.items) or [len(target.classes) for target in targets.items]
    if domain is not None and domain.labels is not None and domain.labels.shape[1] != len(targets.items):
        raise FileFormatError(f"its domain has labels of {domain.labels.shape[1]} targets, not {len(targets.items)}")
    try:
        return Trust.from_dict(data["trust"], each, domain)
    except DataError as error:
        raise FileFormatError(f"what it says of trust is damaged: {error}") from None


def feature_columns(options: GraphOptions | None = None) -> dict[str, Any]:
    """Names of all codes of this version's atom and bond features, and of what these options put beside the graphs."""
    names = {"atom": column_names(ATOM_FIELDS), "bond": column_names(BOND_FIELDS)}
    beside = molecule_features.feature_columns("none" if options is None else options.features)
    return names | ({"molecule": beside} if beside else {})


def _difference(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """Name the first column that differs."""
    for table in (*ours, *theirs):
        pairs = zip_longest(theirs.get(table, ()), ours.get(table, ()), fillvalue="none")
        for place, (there, here) in enumerate(pairs):
            if there != here:
                return f"column {place + 1} of {table} is {there!r} there and {here!r} here"
    return "tables of other names"


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    return {
        "molmp": __version__,
        "python": platform.python_version(),
        "rdkit": rdkit.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
