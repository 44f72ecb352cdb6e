"""Features of a whole molecule, which stand beside its graph: what takes a network many molecules to find out.

All come from RDKit's compiled code and together take about as long as to read the molecule. They are those whose values
depend neither on the order of the atoms nor on stereo: partial charges (RDKit's depend on the Kekule form) are not
among them.

Wildman, Crippen: "Prediction of physicochemical parameters by atomic contributions", 1999, doi:10.1021/ci990307l.
Nguyen, Blum, van Deursen, Reymond: "Classification of organic molecules by molecular quantum numbers", 2009,
doi:10.1002/cmdc.200900317. Labute: "A widely applicable set of descriptors", 2000, doi:10.1016/S1093-3263(00)00068-1.
Rogers, Hahn: "Extended-connectivity fingerprints", 2010, doi:10.1021/ci100050t.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from molmp.chem.contributions import SURFACE, surface_of, surfaces
from molmp.chem.graphs import MolGraphs
from molmp.chem.morgan import MorganCounts
from molmp.chem.quantum_numbers import QUANTUM_NUMBERS, quantum_numbers
from molmp.chem.similarity import SIZE
from molmp.errors import ConfigError

__all__ = ["DEFAULT_FEATURES", "FEATURES", "Describer", "feature_columns", "least_deviations"]

FEATURES = ("none", "descriptors", "morgan", "descriptors+morgan")
"""What there is to choose from."""

DEFAULT_FEATURES = "descriptors+morgan"
"""What training computes unless it is told otherwise."""

PROPERTIES = (
    "exactmw", "NumAtoms", "lipinskiHBA", "lipinskiHBD", "NumHeteroatoms", "NumAmideBonds", "FractionCSP3", "NumRings",
    "NumAromaticRings", "NumAliphaticRings", "NumSaturatedRings", "NumHeterocycles", "NumAromaticHeterocycles",
    "NumSaturatedHeterocycles", "NumAliphaticHeterocycles", "NumSpiroAtoms", "NumBridgeheadAtoms", "labuteASA", "tpsa",
    "chi0v", "chi1v", "chi0n", "chi1n", "hallKierAlpha", "kappa1",
)  # fmt: skip
"""Names that RDKit has for its properties."""

MORGAN_SIZE = SIZE // 2
"""Counts of environments, which are those of the similarity's bits folded once more."""

FROM_GRAPHS = [np.nan] * (len(SURFACE) + len(QUANTUM_NUMBERS))
"""In place of what is worked out for all molecules of a chunk together."""


def feature_columns(kind: str) -> list[str]:
    """Names of the features of a kind, in order.

    >>> columns = feature_columns("descriptors")
    >>> len(columns), columns[18], columns[-1]
    (91, 'tpsa', 'MQN42')
    """
    if kind not in FEATURES:
        raise ConfigError(f"features must be one of {', '.join(FEATURES)}, not {kind!r}")
    names: list[str] = []
    if "descriptors" in kind:
        names += [*PROPERTIES, *SURFACE, *QUANTUM_NUMBERS]
    if "morgan" in kind:
        names += [f"morgan_{i}" for i in range(MORGAN_SIZE)]
    return names


def least_deviations(kind: str) -> np.ndarray:
    """Deviation that each feature is taken to have at least: one bit in a thousand molecules is no giant.

    >>> least_deviations("descriptors+morgan")[[0, -1]]
    array([0., 1.])
    """
    return np.array([float(name.startswith("morgan_")) for name in feature_columns(kind)])


class Describer:
    """What stands beside the graphs of a chunk: collected from each molecule while it is read, made for all at once."""

    def __init__(self, kind: str, *, bits: bool, from_graphs: bool) -> None:
        """Read features of a kind, and Morgan ``bits`` for similarities.

        ``from_graphs``: whether the graphs will be those of the molecules seen, without more hydrogens.
        """
        self.columns, self.bits = feature_columns(kind), bits
        self.from_graphs = from_graphs and "descriptors" in kind
        self.values: list[list[float]] | None = [] if "descriptors" in kind else None
        self.counts = MorganCounts() if "morgan" in kind or bits else None
        self._properties = rdMolDescriptors.Properties(list(PROPERTIES))

    def see(self, mol: Chem.Mol) -> None:
        """Describe the next molecule."""
        if self.values is not None:
            rest = FROM_GRAPHS if self.from_graphs else [*surface_of(mol), *rdMolDescriptors.MQNs_(mol)]
            self.values.append([*self._properties.ComputeProperties(mol), *rest])
        if self.counts is not None:
            self.counts.see(mol)

    def beside(self, graphs: MolGraphs, again: Callable[[int], Chem.Mol]) -> MolGraphs:
        """Put it all beside the graphs of the molecules seen; ``again(i)`` reads molecule ``i`` once more.

        Where descriptors come from the graphs, what :func:`molmp.chem.rings.count_rings` says stands there.
        """
        parts = []
        if self.values is not None:
            width = sum(not name.startswith("morgan_") for name in self.columns)
            values = np.array(self.values, np.float64).reshape(len(graphs), width)
            if self.from_graphs:
                assert graphs.features is not None
                parts_of = surfaces(graphs, again), quantum_numbers(graphs, graphs.features, again)
                values[:, len(PROPERTIES) :] = np.concatenate(parts_of, axis=1)
            parts.append(np.where(np.isfinite(values), values, np.nan).astype(np.float32))
        if self.counts is not None and self.columns[-1:] == [f"morgan_{MORGAN_SIZE - 1}"]:
            folded = self.counts.folded(MORGAN_SIZE)
            parts.append(np.log1p(np.arange(folded.max(initial=0) + 1)).astype(np.float32)[folded])
        return replace(
            graphs,
            features=np.concatenate(parts, axis=1) if parts else None,
            bits=self.counts.bits() if self.bits and self.counts is not None else None,
        )
