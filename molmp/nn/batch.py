"""Batches of molecules, made by index arithmetic: no data loader, no Python object for a molecule.

Shapes: B molecules, N atoms, L levels; R_r rows of level r, E entries, Q messages, T bond types.

Message passing works on *levels*. The rows of level 0 are what the embedding yields; step r sends messages from the
rows of level r - 1 to the rows of level r. Flat batches have one row an atom on every level. Compact batches have one
row for each distinct environment of radius r among their atoms (see :mod:`molmp.nn.environments`), which is exact for
every operator without per-atom randomness; ``molecules`` leads from the rows of the last level back to all atoms.

The arithmetic runs on the host in NumPy, whose sorts of packed integers are ten times quicker than a device-neutral
version in torch, and a batch travels to another device in one copy: a step there waits for nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from molmp.chem.graphs import MolGraphs
from molmp.errors import ConfigError
from molmp.nn.autograd import kept
from molmp.nn.distinct import begins, distinct, sort
from molmp.nn.environments import Bonds, Environments, spans
from molmp.nn.positions import positions
from molmp.nn.segment import Bags, Rows
from molmp.nn.transfer import send_record

__all__ = ["DeviceGraphs", "GraphBatch", "Level", "Messages"]


@dataclass(frozen=True, eq=False)
class Messages:
    """Messages from the rows of one level to those of the next."""

    source: Rows
    """The row each message comes from, ``Q`` of ``R_(r-1)``."""
    bond_type: Tensor
    """The row of ``bond_codes`` each message travels on, shape ``(Q,)``."""
    inbox: Bags
    """For each of the ``R_r`` targets, the messages it receives."""
    counts: tuple[int, ...] | None = None
    """How many travel on each bond type, ``T`` numbers, where messages are in the order of their bond types."""
    members: int = 1
    """Networks whose messages stand one after the other; ``counts`` are those of one of them."""


@dataclass(frozen=True, eq=False)
class Level:
    """One step: a graph from the rows of the level before to the rows of this one."""

    pairs: Messages
    """One message for each distinct (bond type, source), in ascending order: enough where no target is looked at."""
    previous: Rows | None
    """The row of the level before that each row continues, ascending; None where they are the same."""
    molecules: Bags | None = None
    """For each molecule its rows, in flat batches; where states are shared, a row belongs to several."""

    @property
    def num_rows(self) -> int:
        """``R_r``."""
        return len(self.pairs.inbox)

    @kept
    def edges(self) -> Messages:
        """One message for each target and neighbour, ``E`` in all, grouped by target."""
        inbox = self.pairs.inbox
        entries = inbox.rows.index
        everyone = torch.arange(entries.shape[0], device=entries.device)
        return Messages(
            Rows(self.pairs.source.index.index_select(0, entries), self.pairs.source.num_rows),
            self.pairs.bond_type.index_select(0, entries),
            replace(inbox, rows=Rows(everyone, entries.shape[0])),
        )

    @kept
    def targets(self) -> Rows:
        """The row of the level before that the target of each edge continues, ``E`` entries."""
        owner = self.edges.inbox.owner
        before = owner if self.previous is None else self.previous.index.index_select(0, owner)
        return Rows(before, self.pairs.source.num_rows)

    @property
    def whole(self) -> Bags:
        """``molecules``, for what cannot do without.

        Raises
        ------
        ConfigError
            Atoms share their states: a row belongs to several molecules.
        """
        if self.molecules is None:
            raise ConfigError("what looks at whole molecules needs batches made with compact=False")
        return self.molecules

    @kept
    def companions(self) -> Bags:
        """For each row all rows of its molecule, itself included."""
        sizes = self.whole.sizes.index_select(0, self.whole.owner)
        offsets = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        first = self.whole.offsets.index_select(0, self.whole.owner) - offsets[:-1]
        entries = torch.repeat_interleave(first, sizes)
        return Bags(Rows(entries + torch.arange(len(entries), device=entries.device), len(sizes)), offsets)


@dataclass(frozen=True, eq=False)
class GraphBatch:
    """``B`` molecules, ready for a network."""

    atom_codes: Tensor
    """Codes of the distinct atoms, shape ``(U, len(ATOM_FIELDS))``, int64."""
    bond_codes: Tensor
    """Codes of the distinct bonds, shape ``(T, len(BOND_FIELDS))``, int64."""
    start: Rows | None
    """The row of ``atom_codes`` of each row of level 0; None where they are the same."""
    levels: tuple[Level, ...]
    """One for each step."""
    molecules: Bags
    """For each molecule, the rows of the last level that its atoms have."""
    features: Tensor | None = None
    """What stands beside each graph, shape ``(B, F)``."""
    positions: Tensor | None = None
    """Positional encodings of the atoms of a flat batch, shape ``(N, P)``, float32."""

    @property
    def num_graphs(self) -> int:
        """``B``."""
        return len(self.molecules)

    @property
    def num_atoms(self) -> int:
        """``N``."""
        return self.molecules.rows.index.shape[0]

    def to(self, device: torch.device | str) -> Self:
        """Return a copy on ``device``, sent in one piece."""
        device = torch.device(device)
        return self if device == self.atom_codes.device else send_record(self, device)


class DeviceGraphs:
    """Many molecules, from which batches are made for one device.

    Parameters
    ----------
    graphs
        The molecules; a memory-mapped store stays on disk until it is used.
    device
        Where the batches go.
    steps
        How many levels a batch has, at least 1.
    compact
        Share the state of atoms that have the same environment. Exact.
    encodings
        Positional encodings for flat batches: names of :data:`molmp.nn.positions.WIDTHS`.

    Examples
    --------
    >>> import numpy as np
    >>> atoms, bonds, one = np.zeros((2, 12)), np.zeros((1, 4)), np.array([1])
    >>> ethane = MolGraphs.pack(atoms, bonds, one - 1, one, one + 1, one)
    >>> batch = DeviceGraphs(ethane, steps=1).batch([0])
    >>> batch.num_atoms, batch.levels[0].num_rows
    (2, 1)
    """

    def __init__(
        self, graphs: MolGraphs, device: torch.device | str = "cpu", *, steps: int, compact: bool = True,
        encodings: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.graphs, self.device, self.steps = graphs, torch.device(device), steps
        self._bonds = Bonds.of(graphs)
        self._environments = Environments.of(graphs.atom_types, self._bonds, steps) if compact else None
        self._positions = positions(graphs, encodings) if encodings else None

    def __len__(self) -> int:
        return len(self.graphs)

    @property
    def num_features(self) -> int:
        """``F``, numbers that stand beside each graph."""
        return 0 if self.graphs.features is None else self.graphs.features.shape[1]

    def batch(self, ids: Tensor | np.ndarray | Iterable[int] | None = None) -> GraphBatch:
        """Put the molecules ``ids`` together, in that order; repeats are allowed. Without ``ids``, all of them."""
        if ids is None:
            rows = np.arange(len(self))
        else:
            rows = np.asarray(ids.cpu() if isinstance(ids, Tensor) else list(ids), np.int64)
        counts = self.graphs.num_atoms[rows]
        atoms = spans(self.graphs.atom_offsets[:-1][rows], counts)
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(counts, out=offsets[1:])
        make = self._flat if self._environments is None else self._compact
        batch = make(atoms, torch.from_numpy(offsets))
        if self.graphs.features is not None:
            batch = replace(batch, features=torch.from_numpy(self.graphs.features[rows]))
        return batch.to(self.device)

    def _flat(self, atoms: np.ndarray, offsets: Tensor) -> GraphBatch:
        everyone = np.arange(len(atoms))
        codes, start = distinct(self.graphs.atom_types[atoms], len(self.graphs.atom_table))
        edges, bonds = _edges(self._bonds, atoms, everyone, len(self.graphs.bond_table))
        molecules = Bags(_rows(everyone, len(atoms)), offsets)
        level = _level(edges, edges.sources, len(atoms), len(bonds), None, molecules)
        return GraphBatch(
            _codes(self.graphs.atom_table[codes]),
            _codes(self.graphs.bond_table[bonds]),
            _rows(start, len(codes)),
            (level,) * self.steps,
            molecules,
            positions=None if self._positions is None else torch.from_numpy(self._positions[atoms]),
        )

    def _compact(self, atoms: np.ndarray, offsets: Tensor) -> GraphBatch:
        assert self._environments is not None
        # One sort serves every radius: coarser environments ascend with finer ones.
        colours, order = sort(self._environments.colours[atoms])
        new = begins(colours)
        row_of_atom = np.empty(len(atoms), np.int64)
        row_of_atom[order] = np.cumsum(new) - 1
        colours, speakers = colours[new], order[new]  # each environment is spoken for by one of its atoms
        molecules = Bags(_rows(row_of_atom, len(speakers)), offsets)
        edges, bonds = _edges(self._bonds, atoms, speakers, len(self.graphs.bond_table))
        levels: list[Level] = []
        for parents in reversed(self._environments.parents):
            if levels:  # who speaks for a coarser environment speaks for a finer one
                edges = edges.into(new)
            colours = parents[colours]
            new = begins(colours)
            previous = np.cumsum(new) - 1
            row_of_atom = previous[row_of_atom]
            colours = colours[new]
            sources = row_of_atom[edges.sources]
            levels.insert(0, _level(edges, sources, len(colours), len(bonds), _rows(previous, len(colours))))
        return GraphBatch(
            _codes(self.graphs.atom_table[colours]),
            _codes(self.graphs.bond_table[bonds]),
            None,
            tuple(levels),
            molecules,
        )


class _Edges(NamedTuple):
    """The bonds into some atoms of a batch, grouped by these targets."""

    sources: np.ndarray
    """The atom of the batch that each comes from, shape ``(E,)``."""
    types: np.ndarray
    """Its type, counted among those of the batch."""
    degrees: np.ndarray
    """How many lead to each target, shape ``(R,)``."""

    def into(self, kept: np.ndarray) -> "_Edges":
        """Only those into some of the targets."""
        chosen = np.repeat(kept, self.degrees)
        return _Edges(self.sources[chosen], self.types[chosen], self.degrees[kept])


def _edges(bonds: Bonds, atoms: np.ndarray, targets: np.ndarray, num_types: int) -> tuple[_Edges, np.ndarray]:
    """Collect the bonds into ``targets``, and their distinct types, of ``num_types`` in the store; ``atoms`` tells the
    number in the store of each atom of the batch."""
    degrees, steps, of_store = bonds.into(atoms[targets])
    distinct_types, types = distinct(of_store, num_types)
    # A molecule's atoms lie next to each other in the store and in the batch: a source is as far away in both.
    return _Edges(np.repeat(targets, degrees) + steps, types, degrees), distinct_types


def _level(
    edges: _Edges, sources: np.ndarray, num_before: int, num_types: int, previous: Rows | None,
    molecules: Bags | None = None,
) -> Level:  # fmt: skip
    """Find the distinct pairs of bond type and source row."""
    pairs, pair_of_edge = distinct(edges.types * num_before + sources, num_types * num_before)
    ends = pairs.searchsorted(np.arange(num_types + 1) * num_before)
    counts = ends[1:] - ends[:-1]
    types = np.arange(num_types).repeat(counts)
    offsets = np.zeros(len(edges.degrees) + 1, np.int64)
    np.cumsum(edges.degrees, out=offsets[1:])
    messages = Messages(
        _rows(pairs - types * num_before, num_before),
        torch.from_numpy(types),
        Bags(_rows(pair_of_edge, len(pairs)), torch.from_numpy(offsets)),
        tuple(counts.tolist()),
    )
    return Level(messages, previous, molecules)


def _rows(index: np.ndarray, num_rows: int) -> Rows:
    return Rows(torch.from_numpy(index), num_rows)


def _codes(table: np.ndarray) -> Tensor:
    return torch.from_numpy(table.astype(np.int64))
