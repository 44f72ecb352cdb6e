"""Positional encodings: numbers that tell where in its molecule an atom is; they depend on the graph alone.

Shapes: N atoms, n atoms of a molecule, m molecules of one size, P numbers an atom. No torch here.
"""

from collections.abc import Sequence

import numpy as np

from molmp.chem.graphs import MolGraphs

__all__ = ["WIDTHS", "positions"]

WALKS = 16
"""Lengths of walks, from 1 up."""

WAVES = 8
"""Eigenvalues of the Laplacian, from the smallest up."""

WIDTHS = {"random-walk": WALKS, "laplacian": 2 * WAVES}
"""Numbers an atom gets of each kind."""

ALIKE = 1e-5
"""Eigenvalues closer than this are one."""


def positions(graphs: MolGraphs, kinds: Sequence[str]) -> np.ndarray:
    """Return the encodings side by side, shape ``(N, P)``, float32.

    ``random-walk``: the probabilities that a walk of 1 to 16 random steps from an atom ends where it began (V. P.
    Dwivedi, A. T. Luu, T. Laurent, Y. Bengio and X. Bresson, Graph neural networks with learnable structural and
    positional representations, 2022, arXiv 2110.07875).

    ``laplacian``: for the 8 smallest eigenvalues of the normalised Laplacian (V. P. Dwivedi and X. Bresson, A
    generalization of transformer networks to graphs, 2021, arXiv 2012.09699) the eigenvalue, and the atom's mean share
    in its eigenvectors, times the number of atoms. An eigenvector is known but for its sign, and those of one
    eigenvalue but for a rotation; shares of the whole eigenspace do not depend on either (D. Lim et al., Sign and basis
    invariant networks for spectral graph representation learning, 2023, arXiv 2202.13013). Small molecules are filled
    up with zeros.

    >>> from molmp.chem.featurize import featurize
    >>> ring, chain = (positions(featurize([s]).graphs, ["random-walk"])[0, :4] for s in ("C1CC1", "CCC"))
    >>> (ring.round(3) + 0).tolist(), (chain.round(3) + 0).tolist()
    ([0.0, 0.5, 0.25, 0.375], [0.0, 0.5, 0.0, 0.5])
    """
    out = np.zeros((len(graphs.atom_types), sum(WIDTHS[kind] for kind in kinds)), np.float32)
    for size in np.unique(graphs.num_atoms):
        rows = np.flatnonzero(graphs.num_atoms == size)
        for part in np.array_split(
            rows, -(-len(rows) * int(size) ** 2 // 1_000_000)
        ):  # what is made on the way is small
            values, vectors = np.linalg.eigh(_normalized(graphs, part, int(size)))
            places = (graphs.atom_offsets[part][:, None] + np.arange(size)).ravel()
            found = [_KINDS[kind](values, vectors).reshape(len(places), -1) for kind in kinds]
            out[places] = np.concatenate(found, 1)
    return out


def _normalized(graphs: MolGraphs, rows: np.ndarray, size: int) -> np.ndarray:
    """Adjacency matrices divided by the roots of both degrees, shape ``(m, n, n)``."""
    matrices = np.zeros((len(rows), size, size))
    for matrix, row in zip(matrices, rows, strict=True):
        bonds = slice(graphs.bond_offsets[row], graphs.bond_offsets[row + 1])
        begins, ends = graphs.begins[bonds], graphs.ends[bonds]
        matrix[begins, ends] = matrix[ends, begins] = 1
    scales = 1 / np.sqrt(np.maximum(matrices.sum(2), 1))
    scaled: np.ndarray = matrices * scales[:, :, None] * scales[:, None, :]
    return scaled


def _walks(values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Diagonals of powers of the step matrix, which has the eigenvalues of the normalised adjacency."""
    powers = values[:, None, :] ** np.arange(1, WALKS + 1)[None, :, None]
    return np.einsum("mvj,mkj->mvk", vectors**2, powers)


def _waves(values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    num, size = values.shape
    laplacian, shares = 1 - values[:, ::-1], vectors[:, :, ::-1] ** 2
    same = np.abs(laplacian[:, :, None] - laplacian[:, None, :]) < ALIKE
    shares = shares @ (same / same.sum(2, keepdims=True)) * size
    out = np.zeros((num, size, 2, WAVES))
    kept = min(size, WAVES)
    out[:, :, 0, :kept] = laplacian[:, None, :kept]
    out[:, :, 1, :kept] = shares[:, :, :kept]
    return out.reshape(num, size, 2 * WAVES)


_KINDS = {"random-walk": _walks, "laplacian": _waves}
