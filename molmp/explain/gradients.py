"""Integrated gradients over the embeddings of atoms and bonds.

Every molecule is led along a straight path from blank (all embeddings zero: a graph whose atoms and bonds have no
features) to itself; what each atom and bond adds on the way is its contribution. All contributions of a molecule add up
to its prediction minus that of the blank: M. Sundararajan, A. Taly and Q. Yan, Axiomatic attribution for deep networks,
2017, arXiv:1703.01365.

Shapes: B molecules, N atoms, M bonds, S points of the path, H width of an embedding.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from molmp.chem.features import ATOM_FIELDS
from molmp.chem.graphs import MolGraphs
from molmp.explain.scorer import Scorer, portions
from molmp.nn.batch import DeviceGraphs
from molmp.nn.embedding import CodeEmbedding

__all__ = ["Attributions", "completeness_gap", "integrated_gradients"]

INTERVALS, MOST_INTERVALS = 32, 512
"""Pieces of the path at first, and at most where gradients do not tell the course of the prediction yet."""

LACK = 0.05
"""Share of the way of a prediction, up and down, that gradients may fail to tell."""

BLANK = 1e-6
"""Where the path begins: at 0 itself rectified units have no gradient."""

BATCH_ATOMS = 4_000
"""Atoms of one batch, all points of the path counted: each bond has a matrix of its own here."""


class Attributions(NamedTuple):
    """Contributions to the number that a :class:`~molmp.explain.scorer.Scorer` looks at, in its unit."""

    prediction: np.ndarray
    """Shape ``(B,)``."""
    baseline: np.ndarray
    """What is predicted for the blank molecule, shape ``(B,)``."""
    atoms: np.ndarray
    """Of each atom, molecule after molecule, shape ``(N,)``."""
    bonds: np.ndarray
    """Of each bond, shape ``(M,)``."""


class Taken(NamedTuple):
    """What one run of an embedding gave."""

    kind: str
    """``atom`` or ``bond``."""
    leaf: Tensor
    """Scaled by the place on the path: what the rest of the network sees, shape ``(rows, H)``."""
    full: Tensor
    """Not scaled."""


def integrated_gradients(scorer: Scorer, graphs: MolGraphs, intervals: int = INTERVALS) -> Attributions:
    """Attribute predictions to atoms and bonds.

    On each of the ``intervals`` of the path, the mean of the gradients at its ends stands for the gradient. The change
    of the prediction is known there, too: what the contributions to it lack, a percent or so, is shared out among them
    by their size, so that they add up to the last digit. Where more than 5 % is lacking, the path is cut four times
    finer, up to 512 intervals.
    """
    if not len(graphs):
        return Attributions(*[np.zeros(0)] * 4)
    parts = [_along_path(scorer, part, intervals) for part in portions(graphs, max(BATCH_ATOMS // (intervals + 1), 1))]
    found = _joined([part for part, _ in parts])
    rough = np.flatnonzero(np.concatenate([lack for _, lack in parts]) > LACK)
    if not len(rough) or 4 * intervals > MOST_INTERVALS:
        return found
    finer = integrated_gradients(scorer, graphs.select(rough), 4 * intervals)
    atoms, bonds = found.atoms.copy(), found.bonds.copy()
    atoms[np.isin(np.repeat(np.arange(len(graphs)), graphs.num_atoms), rough)] = finer.atoms
    bonds[np.isin(np.repeat(np.arange(len(graphs)), graphs.num_bonds), rough)] = finer.bonds
    return found._replace(atoms=atoms, bonds=bonds)


def _joined(parts: Sequence[Attributions]) -> Attributions:
    return Attributions(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def completeness_gap(found: Attributions, graphs: MolGraphs) -> np.ndarray:
    """Sum of a molecule's contributions minus what it should be, shape ``(B,)``."""
    total = np.zeros(len(graphs))
    np.add.at(total, np.repeat(np.arange(len(graphs)), graphs.num_atoms), found.atoms)
    np.add.at(total, np.repeat(np.arange(len(graphs)), graphs.num_bonds), found.bonds)
    return total - (found.prediction - found.baseline)


def _along_path(scorer: Scorer, graphs: MolGraphs, intervals: int) -> tuple[Attributions, np.ndarray]:
    """Contributions, and which share of each prediction's way the gradients failed to tell."""
    places = np.linspace(0, 1, intervals + 1)
    places[0] = BLANK
    many = _own_rows(graphs.select(np.repeat(np.arange(len(graphs)), len(places))))
    network = scorer.network
    graphs_on_device = DeviceGraphs(
        many, scorer.device, steps=network.steps, compact=False, encodings=network.encodings
    )
    batch = graphs_on_device.batch()
    path = np.tile(places, len(graphs))
    atom_path, bond_path = np.repeat(path, many.num_atoms), np.repeat(path, many.num_bonds)
    slopes = {"atom": np.zeros(len(atom_path)), "bond": np.zeros(len(bond_path))}
    with torch.enable_grad(), _scaled(scorer.models, _tensor(atom_path, scorer), _tensor(bond_path, scorer)) as taken:
        value = scorer.value(torch.stack([model(batch) for model in scorer.models]))
        gradients = torch.autograd.grad(value.sum(), [part.leaf for part in taken], allow_unused=True)
    for part, gradient in zip(taken, gradients, strict=True):
        if gradient is not None:  # molecules without bonds do not look at them
            slopes[part.kind] += (gradient * part.full).sum(1).double().cpu().numpy()
    values = value.detach().double().cpu().numpy().reshape(len(graphs), -1)
    atoms, bonds = _split(slopes["atom"], many.num_atoms), _split(slopes["bond"], many.num_bonds)
    by_atom, by_bond, lacking = [], [], np.zeros(len(graphs))
    for i, along in enumerate(values):
        copies = slice(i * len(places), (i + 1) * len(places))
        slope = np.concatenate([np.stack(atoms[copies]), np.stack(bonds[copies])], axis=1)
        shared, lacking[i] = _shared(slope, along)
        by_atom.append(shared[: graphs.num_atoms[i]])
        by_bond.append(shared[graphs.num_atoms[i] :])
    return Attributions(values[:, -1], values[:, 0], np.concatenate(by_atom), np.concatenate(by_bond)), lacking


def _shared(slopes: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, float]:
    """Contributions of the parts of one molecule, from their slopes and the values along the path, and what lacked."""
    parts = (slopes[1:] + slopes[:-1]) / 2 / (len(values) - 1)
    lack = np.diff(values) - parts.sum(1)
    sizes = np.abs(parts)
    total = sizes.sum(1, keepdims=True)
    shares = np.divide(sizes, total, out=np.full_like(sizes, 1 / max(sizes.shape[1], 1)), where=total > 0)
    way = float(np.abs(np.diff(values)).sum())
    return (parts + lack[:, None] * shares).sum(0), float(np.abs(lack).sum()) / way if way else 0.0


def _split(values: np.ndarray, counts: np.ndarray) -> list[np.ndarray]:
    return np.split(values, np.cumsum(counts.astype(np.int64))[:-1])


def _own_rows(graphs: MolGraphs) -> MolGraphs:
    """Give every atom and every bond a row of its own in the tables, so that each has an embedding of its own."""
    return replace(
        graphs, atom_table=graphs.atom_table[graphs.atom_types], bond_table=graphs.bond_table[graphs.bond_types],
        atom_types=np.arange(len(graphs.atom_types)), bond_types=np.arange(len(graphs.bond_types)),
    )  # fmt: skip


def _tensor(path: np.ndarray, scorer: Scorer) -> Tensor:
    weight = next(scorer.models[0].parameters())
    return torch.from_numpy(path).to(scorer.device, weight.dtype)[:, None]


@contextmanager
def _scaled(models: Sequence[nn.Module], atom_path: Tensor, bond_path: Tensor) -> Iterator[list[Taken]]:
    """Scale what the embeddings give, row by row, and yield a list of what was scaled."""
    taken: list[Taken] = []

    def hook(module: CodeEmbedding, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        kind = "atom" if len(module.offsets) == len(ATOM_FIELDS) else "bond"
        full = output.detach()
        leaf = (full * (atom_path if kind == "atom" else bond_path)).requires_grad_()
        taken.append(Taken(kind, leaf, full))
        return leaf

    modules = [module for model in models for module in model.modules() if isinstance(module, CodeEmbedding)]
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield taken
    finally:
        for handle in handles:
            handle.remove()
