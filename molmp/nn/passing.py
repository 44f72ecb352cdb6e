"""Passing: an operator, step by step, and what stands between the steps.

Shapes: R rows of a level, D hidden width.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from molmp.errors import ConfigError
from molmp.nn.batch import GraphBatch, Level
from molmp.nn.config import ModelConfig
from molmp.nn.directed import DirectedBonds, between_bonds
from molmp.nn.dropout import Dropout
from molmp.nn.layers.attentivefp import AttentiveFP
from molmp.nn.layers.dmpnn import DirectedMessages
from molmp.nn.layers.edge_conditioned import EdgeConditioned
from molmp.nn.layers.gat import GraphAttention
from molmp.nn.layers.gatv2 import DynamicAttention
from molmp.nn.layers.gcn import GraphConvolution
from molmp.nn.layers.gin import Isomorphism
from molmp.nn.layers.gine import IsomorphismWithBonds
from molmp.nn.layers.gps import GeneralPowerfulScalable
from molmp.nn.layers.pna import PrincipalNeighbourhood
from molmp.nn.layers.sage import SampleAndAggregate
from molmp.nn.layers.transformer import NeighbourTransformer
from molmp.nn.message_passing import MessagePassing, before
from molmp.nn.stack import BatchNorm, GraphNorm, Jumping, LayerNorm, VirtualNode

__all__ = ["LAYERS", "Passing", "layer_class", "shares_states"]

LAYERS: Mapping[str, type[MessagePassing]] = {
    "edge": EdgeConditioned,
    "gcn": GraphConvolution,
    "gat": GraphAttention,
    "gatv2": DynamicAttention,
    "sage": SampleAndAggregate,
    "gin": Isomorphism,
    "gine": IsomorphismWithBonds,
    "dmpnn": DirectedMessages,
    "attentivefp": AttentiveFP,
    "pna": PrincipalNeighbourhood,
    "transformer": NeighbourTransformer,
    "gps": GeneralPowerfulScalable,
}
"""The class of each of :data:`molmp.nn.operators.OPERATORS`."""

NORMS: Mapping[str, type[BatchNorm | GraphNorm | LayerNorm]] = {
    "batch": BatchNorm,
    "graph": GraphNorm,
    "layer": LayerNorm,
}


def layer_class(config: ModelConfig) -> type[MessagePassing]:
    """Return the class of the operator.

    Raises
    ------
    ConfigError
        A class of one's own that is no subclass of :class:`~molmp.nn.message_passing.MessagePassing`.
    """
    if not isinstance(config.layer, type):
        return LAYERS[config.layer]
    if not issubclass(config.layer, MessagePassing):
        raise ConfigError(f"layer must be a subclass of MessagePassing, but {config.layer.__name__} is none")
    return config.layer


def shares_states(config: ModelConfig) -> bool:
    """Whether atoms of equal environment have equal states, so that batches may be compact."""
    alike = config.norm not in ("batch", "graph") and not config.virtual_node and not config.encodings
    return alike and layer_class(config).shares_states


class Passing(nn.Module):
    """One operator, applied once a level::

        x = dropout(relu(norm(operator(h))))       no relu where the operator ends in gates
        h' = x + h                                 where there are residuals, else x

    with what ``virtual_node`` and ``jumping`` of the config add.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        kind, hidden = layer_class(config), config.hidden
        steps = config.steps - kind.directed
        new: Callable[[], MessagePassing] = partial(kind, hidden, **config.layer_options())  # type: ignore[arg-type]
        shared = config.weights == "shared"
        if shared:
            self.layer = new()
        else:
            self.layers = nn.ModuleList(new() for _ in range(steps))
        self.carrier = DirectedBonds(hidden) if kind.directed else None
        self.shared, self.rectified, self.residual = shared, kind.rectified, config.residual
        norm = NORMS.get(str(config.norm))
        self.norms = nn.ModuleList(norm(hidden) for _ in range(steps)) if norm else None
        self.dropout = Dropout(config.step_dropout)
        self.virtual = VirtualNode(hidden, steps, shared=shared) if config.virtual_node else None
        self.jumping = Jumping(config.jumping, hidden, steps) if config.jumping != "none" else None

    def forward(self, h: Tensor, batch: GraphBatch) -> Tensor:
        """Pass messages level by level; the result has the rows of the last, shape ``(R, D)``."""
        if self.carrier is None:
            return self._pass(h, batch.levels, batch.bond_codes)
        levels = (between_bonds(batch.levels[0]),) * (len(batch.levels) - 1)
        return self.carrier.leave(self._pass(self.carrier.enter(h, batch), levels, batch.bond_codes), h, batch)

    def trace(self, h: Tensor, batch: GraphBatch) -> list[Tensor]:
        """Return the states of all atoms after each step of a flat batch, shape ``(N, D)`` each."""
        if self.carrier is None:
            return [state for _, state in self._steps(h, batch.levels, batch.bond_codes)]
        levels = (between_bonds(batch.levels[0]),) * (len(batch.levels) - 1)
        carried = self._steps(self.carrier.enter(h, batch), levels, batch.bond_codes)
        return [self.carrier.leave(state, h, batch) for _, state in carried]

    def _pass(self, h: Tensor, levels: Sequence[Level], bond_codes: Tensor) -> Tensor:
        states: list[Tensor] = []
        for level, state in self._steps(h, levels, bond_codes):
            h = state
            if self.jumping is not None:
                states = [*(before(earlier, level) for earlier in states), h]
        joined: Tensor = h if self.jumping is None else self.jumping(states)
        return joined

    def _steps(self, h: Tensor, levels: Sequence[Level], bond_codes: Tensor) -> Iterator[tuple[Level, Tensor]]:
        first, whole = h, None
        bonds: Tensor | None = None
        for step, level in enumerate(levels):
            layer: Any = self.layer if self.shared else self.layers[step]
            if bonds is None or not self.shared:
                bonds = layer.bonds(bond_codes)
            if self.virtual is not None:
                h, whole = self.virtual.speak(h, whole, level)
            x = layer(h, level, bonds)
            h = self._between(x if self.carrier is None else first + x, h, level, step)
            yield level, h
            if self.virtual is not None and whole is not None and step + 1 < len(levels):
                whole = self.virtual.hear(h, whole, level, step)

    def _between(self, x_RD: Tensor, h_SD: Tensor, level: Level, step: int) -> Tensor:
        if self.norms is not None:
            x_RD = self.norms[step](x_RD, level)
        if self.rectified:
            x_RD = x_RD.relu()
        x_RD = self.dropout(x_RD)
        return x_RD + before(h_SD, level) if self.residual else x_RD
