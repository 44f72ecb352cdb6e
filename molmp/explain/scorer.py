"""One number for each molecule, the one to be explained: a target's prediction, or the probability of a class.

Shapes: E networks, B molecules, O outputs of a network.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from molmp.chem.graphs import MolGraphs
from molmp.errors import ConfigError, listed
from molmp.nn.model import ModelConfig, graphs_for
from molmp.training.bundle import Bundle
from molmp.training.targets import Targets

__all__ = ["Scorer", "portions"]

BATCH_ATOMS = 50_000
"""Atoms of one batch."""


@dataclass(frozen=True, eq=False)
class Scorer:
    """The networks of a model and what of them is looked at."""

    models: Sequence[nn.Module]
    """All voices: the networks, and trees beside them."""
    targets: Targets
    network: ModelConfig
    device: torch.device
    target: int
    """Which target, from 0."""
    of_class: int | None = None
    """Which class of a multiclass target, from 0; None otherwise."""

    @classmethod
    def of(
        cls, bundle: Bundle, models: Sequence[nn.Module], device: torch.device, target: str | None = None,
        of_class: str | None = None,
    ) -> Self:  # fmt: skip
        """Look at a target, by default the first; of a multiclass one at a class, by default the last.

        Raises :class:`ConfigError` that lists the targets or classes there are.
        """
        targets = bundle.targets
        if target is not None and target not in targets.names:
            raise ConfigError(f"the model has no target {target!r}; it has {listed(targets.names)}")
        place = 0 if target is None else targets.names.index(target)
        classes = targets.items[place].classes if targets.task == "multiclass" else ()
        if of_class is not None and of_class not in classes:
            name, there = targets.names[place], listed(classes)
            raise ConfigError(f"target {name!r} has no class {of_class!r} to choose; there are {there}")
        number = None
        if classes:
            number = len(classes) - 1 if of_class is None else classes.index(of_class)
        return cls(models, targets, bundle.network, device, place, number)

    @property
    def name(self) -> str:
        """What the number is, for people."""
        item = self.targets.items[self.target]
        match self.targets.task:
            case "regression":
                return f"{item.name} [{item.unit}]" if item.unit else item.name
            case "binary":
                return f"probability of {item.name} {item.classes[1]}"
        assert self.of_class is not None
        return f"probability of {item.name} {item.classes[self.of_class]}"

    def value(self, outputs: Tensor) -> Tensor:
        """What the networks say together, ``(E, B, O)`` to ``(B,)``; differentiable."""
        value = self.targets.believe(outputs)[self.target].value
        return value if self.of_class is None else value[:, self.of_class]

    @torch.inference_mode()
    def scores(self, graphs: MolGraphs) -> np.ndarray:
        """The number of each molecule, shape ``(B,)``, float64."""
        found = [np.zeros(0)]
        for part in portions(graphs, BATCH_ATOMS):
            batch = graphs_for(self.network, part, self.device).batch()
            outputs = torch.stack([model(batch) for model in self.models])
            found.append(self.value(outputs.double()).cpu().numpy())
        return np.concatenate(found)


def portions(graphs: MolGraphs, most: int) -> Iterator[MolGraphs]:
    """Cut molecules into runs of ``most`` atoms at most, but for a molecule that has more."""
    start = 0
    while start < len(graphs):
        end = int(np.searchsorted(graphs.atom_offsets, graphs.atom_offsets[start] + most, "right")) - 1
        stop = max(start + 1, end)
        yield graphs.select(slice(start, stop))
        start = stop
