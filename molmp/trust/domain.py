"""Where a model may be asked: how like the training molecules a molecule is, and in what it is unlike them all.

Shapes: R training molecules, Q queries, S bits, D width of a learned fingerprint, L reference points.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np

from molmp.chem.featurize import GraphOptions, featurize
from molmp.chem.graphs import MolGraphs
from molmp.chem.molecules import raise_for_errors, read_molecules
from molmp.chem.similarity import Nearest, TanimotoIndex, morgan_bits
from molmp.chem.smiles import quiet_rdkit
from molmp.errors import DataError
from molmp.tables.groups import stable_rng
from molmp.trust.known import Known
from molmp.trust.learned import Learned

__all__ = ["STRANGE", "Domain", "Verdict", "read_bits"]

STRANGE = 0.05
"""Share of the training molecules that would be called strange among the others; it sets the thresholds."""

SAMPLE = 2_000
"""Training molecules, at most, that are compared with all others to set a threshold."""

MOST_REASONS = 3

NEIGHBOURS, LEAST_WEIGHT = 5, 1e-3
"""Training molecules whose labels are compared with a prediction, and what one weighs that is not similar at all."""

PLAIN = GraphOptions()


class Verdict(NamedTuple):
    """What the domain says of each query."""

    nearest: np.ndarray
    """The most similar training molecule, a position in ``Domain.names``, shape ``(Q,)``."""
    similarity: np.ndarray
    """Its Tanimoto similarity, shape ``(Q,)``."""
    distance: np.ndarray | None
    """Distance in the learned space, shape ``(Q,)``; None where the domain or the queries have no fingerprints."""
    reasons: list[str]
    """Why each query is outside, shape ``(Q,)``; empty for what is inside."""
    usual: np.ndarray | None = None
    """What the nearest training molecules are labelled with, their mean weighted by similarity, shape ``(Q, t)``; NaN
    where none of them has a label; None where the domain has no labels."""

    def spread(self, rows: np.ndarray, total: int) -> Self:
        """Put each query into its row of ``total``; in the others nothing is nearest, and nothing known."""
        reasons = [""] * total
        for row, reason in zip(rows.tolist(), self.reasons, strict=True):
            reasons[row] = reason
        distance, usual = (None if a is None else _spread(a, rows, total) for a in (self.distance, self.usual))
        nearest = _spread(self.nearest, rows, total, -1)
        return type(self)(nearest, _spread(self.similarity, rows, total), distance, reasons, usual)

    @property
    def inside(self) -> np.ndarray:
        """Whether each query is in the domain, shape ``(Q,)``, bool."""
        return np.array([not reason for reason in self.reasons], bool)


@dataclass(frozen=True, eq=False)
class Domain:
    """The applicability domain of a model: its training molecules, packed.

    A query is outside where an element or another feature of its atoms or bonds occurs in no training molecule, where
    it is larger or more charged than all of them, where its nearest training molecule is less similar, or its learned
    fingerprint farther away, than is usual among the training molecules themselves. Similarity to the nearest training
    molecule: R. P. Sheridan, B. P. Feuston, V. N. Maiorov and S. K. Kearsley, Similarity to molecules in the training
    set is a good discriminator for prediction accuracy in QSAR, 2004, doi:10.1021/ci049782w.

    Examples
    --------
    >>> domain = Domain.fit(["CCO", "CCCO", "CCCCO", "CCCCCO"])
    >>> verdict = domain.judge(["CCCCCCO", "C[Fe]C"])
    >>> [domain.names[i] for i in verdict.nearest], verdict.inside
    (['CCCCCO', 'CCO'], array([ True, False]))
    >>> verdict.reasons[1].split(";")[0]
    'element Fe occurs in no training molecule'
    """

    names: tuple[str, ...]
    """SMILES or identifier of each training molecule, ``R`` of them."""
    bits: np.ndarray
    """Morgan bits, packed, shape ``(R, S / 8)``."""
    known: Known
    least: float
    """Similarity below which a query is outside."""
    learned: Learned | None = None
    options: GraphOptions = field(default_factory=GraphOptions)
    labels: np.ndarray | None = None
    """Of the training molecules, shape ``(R, t)``, float32, NaN where there is none; None where they are no numbers."""

    @classmethod
    def fit(
        cls, smiles: Sequence[str], *, names: Sequence[str] | None = None, bits: np.ndarray | None = None,
        graphs: MolGraphs | None = None, learned: np.ndarray | None = None, options: GraphOptions = PLAIN,
        labels: np.ndarray | None = None,
    ) -> Self:  # fmt: skip
        """Remember training molecules.

        Parameters
        ----------
        smiles
            All readable; shape ``(R,)``.
        names
            What to call them, by default their SMILES.
        bits, graphs
            What :func:`read_bits` and :func:`~molmp.chem.featurize.featurize` give for them, where it is there already.
        learned
            Learned fingerprints, shape ``(R, D)``, or those of a part of them.
        options
            How molecules become graphs.
        labels
            Numbers that they are labelled with, shape ``(R, t)``.

        Raises
        ------
        DataError
            No molecule, one that cannot be read, or arrays of another length.
        """
        bits, graphs = _read(smiles, options, bits, graphs)
        names = tuple(smiles if names is None else names)
        lengths = {"names": len(names), "bits": len(bits), "graphs": len(graphs)}
        if labels is not None:
            lengths["labels"], labels = len(labels), labels.astype(np.float32)
        if wrong := [name for name, length in lengths.items() if length != len(smiles)]:
            raise DataError(f"there are {len(smiles)} molecules but {lengths[wrong[0]]} {wrong[0]}")
        least = _usual_similarity(bits)
        points = None if learned is None else Learned.fit(learned)
        return cls(names, bits, Known.of(graphs), least, points, options, labels)

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def index(self) -> TanimotoIndex:
        """The search among the training molecules, made when it is first needed."""
        return TanimotoIndex(self.bits)

    def judge(
        self, smiles: Sequence[str], *, bits: np.ndarray | None = None, graphs: MolGraphs | None = None,
        learned: np.ndarray | None = None,
    ) -> Verdict:  # fmt: skip
        """Compare molecules, all readable, with the training molecules; arguments as of :meth:`fit`."""
        bits, graphs = _read(smiles, self.options, bits, graphs)
        found = self.index.nearest(bits, 1 if self.labels is None else NEIGHBOURS)
        similarity = found.similarity[:, 0]
        reasons = self.known.strangers(graphs)
        for row in np.flatnonzero(similarity < self.least):
            value, first = f"{similarity[row]:.2f}", sum(reason.startswith("element ") for reason in reasons[row])
            why = f"similarity {value} to the nearest training molecule, below {self.least:.2f}"
            reasons[row].insert(first, why)  # says more than most features
        distance = None
        if self.learned is not None and learned is not None:
            distance = self.learned.distance(learned)
            for row in np.flatnonzero(distance > self.learned.most):
                value = f"{distance[row]:.3g}"
                reasons[row].append(
                    f"learned fingerprint {value} from those of training, above {self.learned.most:.3g}"
                )
        usual = None if self.labels is None else _usual_labels(found, self.labels)
        return Verdict(found.rows[:, 0], similarity, distance, [_joined(some) for some in reasons], usual)


def _usual_labels(found: Nearest, labels: np.ndarray) -> np.ndarray:
    """Mean of the labels of neighbours, weighted by similarity, shape ``(Q, t)``."""
    near = labels[found.rows].astype(float)
    weights = np.where(np.isnan(near), 0.0, (found.similarity + LEAST_WEIGHT)[:, :, None])
    total = weights.sum(axis=1)
    return np.where(total > 0, np.nansum(near * weights, axis=1) / np.maximum(total, LEAST_WEIGHT), np.nan)


def _spread(values: np.ndarray, rows: np.ndarray, total: int, empty: float = np.nan) -> np.ndarray:
    full = np.full((total, *values.shape[1:]), empty, values.dtype if empty == -1 else np.float64)
    full[rows] = values
    return full


def _joined(reasons: list[str]) -> str:
    more = f" and {len(reasons) - MOST_REASONS} more" if len(reasons) > MOST_REASONS else ""
    return "; ".join(reasons[:MOST_REASONS]) + more


def read_bits(smiles: Sequence[str], standardize: str = "none") -> np.ndarray:
    """Morgan bits of molecules, all readable, packed as :func:`molmp.chem.similarity.morgan_bits` has it."""
    mols, errors = read_molecules(smiles, standardize)
    raise_for_errors(errors)
    with quiet_rdkit():
        return morgan_bits([mol for mol in mols if mol is not None])


def _read(
    smiles: Sequence[str], options: GraphOptions, bits: np.ndarray | None, graphs: MolGraphs | None
) -> tuple[np.ndarray, MolGraphs]:
    if graphs is None:
        featurized = featurize(smiles, options)
        raise_for_errors(featurized.errors)
        graphs = featurized.graphs
    return read_bits(smiles, options.standardize) if bits is None else bits, graphs


def _usual_similarity(bits: np.ndarray) -> float:
    """The similarity to their nearest others that all but :data:`STRANGE` of the training molecules reach."""
    index = TanimotoIndex(bits)
    if len(bits) < 2:
        return 0.0
    chosen = np.sort(stable_rng(0).permutation(len(bits))[:SAMPLE])
    found = index.nearest(bits[chosen], 2)
    others = np.where(found.rows[:, 0] == chosen, found.similarity[:, 1], found.similarity[:, 0])
    return float(np.quantile(others, STRANGE))
