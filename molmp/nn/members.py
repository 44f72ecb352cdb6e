"""Several networks of one make, run in one pass: the members of an ensemble.

Shapes: E members, B molecules, O outputs of a network.

Their weights are stacked along a leading axis, and a batch is laid out as if its molecules came E times, once for each
member: rows of one member stand together. Gathers, sums over neighbours and everything that goes number by number then
works on all members at once, as it is; only where weights come in does a layer ask for the leading axis. A layer that
does says so by a class attribute ``stacks = True``; where one with weights does not, the members run one by one on the
same batch, with equal results.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from molmp.nn.batch import GraphBatch, Level, Messages
from molmp.nn.dropout import dropout_of

__all__ = ["Members", "lay_out"]


class Members(nn.Module):
    """The members of an ensemble as one network.

    Parameters
    ----------
    models
        Networks of one make, at least one; they are copied.

    Examples
    --------
    >>> models = [nn.Linear(2, 1), nn.Linear(2, 1)]
    >>> members = Members(models)
    >>> members.num_members, members.network.weight.shape
    (2, torch.Size([2, 1, 2]))
    >>> torch.equal(members.weights(1)["weight"], models[1].weight)
    True
    """

    network: Any
    """A copy of the first model, with the weights of all."""

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.num_members = len(models)
        self.network = copy.deepcopy(models[0])
        if len(models) > 1:
            states = [model.state_dict() for model in models]
            _fill(self.network, {name: torch.stack([state[name] for state in states]) for name in states[0]})
        self.in_one_pass = all(getattr(m, "stacks", False) for m in self.network.modules() if _has_weights(m))

    def forward(self, batch: GraphBatch) -> Tensor:
        """Predict with each member, shape ``(E, B, O)``."""
        if self.num_members == 1:
            output: Tensor = self.network(batch)
            return output.unsqueeze(0)
        if self.in_one_pass:
            return self.network(lay_out(batch, self.num_members)).unflatten(0, (self.num_members, -1))
        states = {name: t.unbind(0) for name, t in (*self.network.named_parameters(), *self._buffers_of_members())}
        return torch.stack([self._alone(e, states, batch) for e in range(self.num_members)])

    def weights(self, member: int) -> dict[str, Tensor]:
        """Return a copy of the weights of one member, named as in its ``state_dict``."""
        return {name: t.detach().clone() for name, t in self._views(member).items()}

    def set_weights(self, member: int, weights: Mapping[str, Tensor]) -> None:
        """Overwrite the weights of one member."""
        with torch.no_grad():
            for name, view in self._views(member).items():
                view.copy_(weights[name])

    def clip_gradients(self, longest: float) -> Tensor:
        """Shorten each member's gradient to that norm, as training it alone would; return the norms, shape ``(E,)``."""
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        norms = [torch.linalg.vector_norm(g.reshape(self.num_members, -1), dim=1) for g in gradients]
        norms_E = torch.linalg.vector_norm(torch.stack(norms), dim=0)
        factors_E = (longest / (norms_E + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(factors_E.view(-1, *[1] * (gradient.dim() - 1)) if self.num_members > 1 else factors_E)
        return norms_E

    def _alone(self, member: int, states: Mapping[str, Sequence[Tensor]], batch: GraphBatch) -> Tensor:
        with dropout_of(member):
            output: Tensor = functional_call(self.network, {n: t[member] for n, t in states.items()}, (batch,))
        return output

    def _views(self, member: int) -> dict[str, Tensor]:
        state = self.network.state_dict()
        return state if self.num_members == 1 else {name: t[member] for name, t in state.items()}

    def _buffers_of_members(self) -> list[tuple[str, Tensor]]:
        """Buffers that are part of a network's state; others, such as tables of positions, are common to all."""
        kept = self.network.state_dict().keys()
        return [(name, buffer) for name, buffer in self.network.named_buffers() if name in kept]


def lay_out(batch: GraphBatch, members: int) -> GraphBatch:
    """Repeat a batch for each member, with rows, atoms and bond types of its own."""
    levels: dict[int, Level] = {}  # flat batches have one record for all levels, which keeps what it worked out
    for level in batch.levels:
        if id(level) not in levels:
            levels[id(level)] = _repeat_level(level, len(batch.bond_codes), members)
    return GraphBatch(
        atom_codes=batch.atom_codes.repeat(members, 1),
        bond_codes=batch.bond_codes.repeat(members, 1),
        start=None if batch.start is None else batch.start.repeat(members),
        levels=tuple(levels[id(level)] for level in batch.levels),
        molecules=batch.molecules.repeat(members),
        features=None if batch.features is None else batch.features.repeat(members, 1),
        positions=None if batch.positions is None else batch.positions.repeat(members, 1),
    )


def _repeat_level(level: Level, num_types: int, members: int) -> Level:
    pairs = level.pairs
    first_E = torch.arange(members, device=pairs.bond_type.device) * num_types
    messages = Messages(
        source=pairs.source.repeat(members),
        bond_type=(pairs.bond_type + first_E.unsqueeze(1)).flatten(),
        inbox=pairs.inbox.repeat(members),
        counts=pairs.counts,
        members=members,
    )
    previous = None if level.previous is None else level.previous.repeat(members)
    molecules = None if level.molecules is None else level.molecules.repeat(members)
    return Level(messages, previous, molecules)


def _has_weights(module: nn.Module) -> bool:
    kept = [b for name, b in module.named_buffers(recurse=False) if name not in module._non_persistent_buffers_set]
    return bool(kept) or next(module.parameters(recurse=False), None) is not None


def _fill(network: nn.Module, states: Mapping[str, Any]) -> None:
    """Put tensors of other shapes in the place of a network's weights."""
    for path, tensor in states.items():
        place, _, name = path.rpartition(".")
        module = network.get_submodule(place)
        old = getattr(module, name)
        setattr(module, name, nn.Parameter(tensor, old.requires_grad) if isinstance(old, nn.Parameter) else tensor)
