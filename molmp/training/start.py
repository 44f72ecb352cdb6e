"""Training that starts from a trained model instead of from random weights."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from torch import Tensor

from molmp.chem.options import GraphOptions
from molmp.errors import ConfigError, listed
from molmp.nn.model import ENCODER, ModelConfig, MoleculeModel
from molmp.training.bundle import Bundle
from molmp.training.config import TrainConfig
from molmp.training.state import digest
from molmp.training.targets import Target, Targets

__all__ = ["Start", "check_freeze", "of_the_encoder"]

OF_THE_HEAD = ("head_hidden", "head_layers", "dropout", "num_features", "feature_dropout")
"""Fields of a :class:`~molmp.nn.config.ModelConfig` that the encoder does not depend on."""

OF_THE_GRAPHS = ("explicit_hydrogens", "standardize")
"""Fields of :class:`~molmp.chem.options.GraphOptions` that decide what the encoder sees."""


@dataclass(frozen=True, eq=False)
class Start:
    """The weights that training starts from: those of the encoder, and of the head where the targets are the same."""

    members: tuple[Mapping[str, Tensor], ...]
    """Weights of trained networks."""
    scaling: Targets | None
    """Of the labels that the weights of the head belong to; None where the head begins anew."""
    note: str
    """What is taken, and why the rest is not, in a sentence."""

    @classmethod
    def of(
        cls, bundle: Bundle, options: GraphOptions, network: ModelConfig, targets: Targets, config: TrainConfig,
        name: str = "the trained model",
    ) -> Self:  # fmt: skip
        """Compare a trained model with what shall be trained.

        Parameters
        ----------
        bundle
            The trained model.
        options, network, targets, config
            Of the training that begins.
        name
            What messages call the trained model.

        Raises
        ------
        ConfigError
            It reads molecules in another way, or its encoder is made in another way; the message names the difference.
        """
        theirs = {**bundle.options.to_dict(), **bundle.network.to_dict()}
        ours = {**options.to_dict(), **network.to_dict()}
        encoder = (*OF_THE_GRAPHS, *of_the_encoder(bundle.network))
        if different := _differences({f: theirs[f] for f in encoder}, {f: ours.get(f) for f in encoder}):
            raise ConfigError(f"{name} cannot be started from: it has {different[0]}, but this training {different[1]}")
        targets = replace(targets, loss=config.loss, quantiles=config.quantiles)
        why = _other_targets(bundle.targets, targets)
        head = {f: theirs[f] for f in ("head_hidden", "head_layers", "features")}
        if not why and (different := _differences(head, {f: ours[f] for f in head})):
            why = f"it has {different[0]}, this training {different[1]}"
        if why:
            return cls(bundle.members, None, f"starting from the encoder of {name}; the head begins anew: {why}")
        note = f"starting from the encoder and the head of {name}, and its scaling of the targets"
        return cls(bundle.members, bundle.targets, note)

    def digest(self) -> str:
        """Name the weights by their content."""
        return digest([{name: t.numpy() for name, t in member.items()} for member in self.members])

    def targets(self, targets: Targets) -> Targets:
        """Return targets with the scaling that the weights of the head belong to, where they are taken."""
        if self.scaling is None:
            return targets
        items = (
            replace(theirs, unit=ours.unit or theirs.unit, threshold=None, shares=())
            for ours, theirs in zip(targets.items, self.scaling.items, strict=True)
        )
        return replace(targets, items=tuple(items))

    def load(self, model: MoleculeModel, member: int) -> None:
        """Put the weights in, in place; network ``member`` of an ensemble starts from that of the trained one."""
        weights = self.members[member % len(self.members)]
        kept = {name: t for name, t in weights.items() if self.scaling or name.split(".")[0] in ENCODER}
        model.load_state_dict({**model.state_dict(), **kept})


def of_the_encoder(network: ModelConfig) -> dict[str, object]:
    """The fields of a network's config that its encoder depends on."""
    return {field: value for field, value in network.to_dict().items() if field not in OF_THE_HEAD}


def check_freeze(config: TrainConfig, network: ModelConfig, start: Start | None) -> None:
    """Refuse to freeze weights that were not trained, or all there are.

    Raises
    ------
    ConfigError
        Why, in a sentence.
    """
    parts, most = config.frozen_parts, 3 + network.head_layers
    if parts and start is None:
        raise ConfigError("freeze keeps trained weights as they are, but there are none: start from a trained model")
    if parts > most:
        raise ConfigError(f"freeze must be at most {most}, that the last layer of the head can learn; got {parts}")
    if parts > 3 and start is not None and start.scaling is None:
        raise ConfigError(f"freeze {parts} keeps layers of the head, but {start.note}")


def _differences(theirs: Mapping[str, object], ours: Mapping[str, object]) -> tuple[str, str] | None:
    names = [name for name in theirs if theirs[name] != ours[name]]
    said = [listed(f"{name.replace('_', '-')} {side[name]}" for name in names) for side in (theirs, ours)]
    return (said[0], said[1]) if names else None


def _other_targets(theirs: Targets, ours: Targets) -> str:
    """Say in what the targets differ; nothing where they are the same."""
    for what in ("task", "loss", "names"):
        there, here = getattr(theirs, what), getattr(ours, what)
        if there != here:
            there, here = (listed(x) if isinstance(x, list) else x for x in (there, here))
            return f"{'targets are' if what == 'names' else what + ' is'} {here}, there {there}"
    if theirs.loss == "quantile" and theirs.quantiles != ours.quantiles:
        return f"quantiles are {listed(map(str, ours.quantiles))}, there {listed(map(str, theirs.quantiles))}"
    pairs = zip(theirs.items, ours.items, strict=True)
    return next((why for there, here in pairs if (why := _other_target(there, here))), "")


def _other_target(there: Target, here: Target) -> str:
    if there.classes != here.classes:
        return f"classes of {here.name!r} are {listed(here.classes)}, there {listed(there.classes)}"
    if here.unit and there.unit and here.unit != there.unit:
        return f"the unit of {here.name!r} is {here.unit}, there {there.unit}"
    return ""
