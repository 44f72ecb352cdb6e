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
from rdkit.Chem import rdFingerprintGenerator, rdMolDescriptors

from molmp.chem.contributions import SURFACE, surface_of, surfaces
from molmp.chem.graphs import MolGraphs
from molmp.errors import ConfigError

__all__ = ["DEFAULT_FEATURES", "FEATURES", "Describer", "feature_columns", "feature_reader", "least_deviations"]

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

MORGAN_SIZE, MORGAN_RADIUS = 1024, 2

Reader = Callable[[Chem.Mol], np.ndarray]


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
        names += [*PROPERTIES, *SURFACE, *(f"MQN{i}" for i in range(1, 43))]
    if "morgan" in kind:
        names += [f"morgan_{i}" for i in range(MORGAN_SIZE)]
    return names


def least_deviations(kind: str) -> np.ndarray:
    """Deviation that each feature is taken to have at least: one bit in a thousand molecules is no giant.

    >>> least_deviations("descriptors+morgan")[[0, -1]]
    array([0., 1.])
    """
    return np.array([float(name.startswith("morgan_")) for name in feature_columns(kind)])


def feature_reader(kind: str, surface: bool = True) -> Reader | None:
    """A function from a molecule to its features, float32, NaN where one is undefined; None where there are none.

    ``surface``: whether to compute :data:`molmp.chem.contributions.SURFACE`; they are NaN otherwise, for a caller to
    whom :func:`molmp.chem.contributions.surfaces` gives them for many molecules at once.

    >>> read = feature_reader("descriptors")
    >>> columns = feature_columns("descriptors")
    >>> ethanol = dict(zip(columns, read(Chem.MolFromSmiles("OCC")).tolist()))
    >>> round(ethanol["tpsa"], 2), ethanol["lipinskiHBD"], ethanol["NumAtoms"]
    (20.23, 1.0, 9.0)
    """
    feature_columns(kind)
    readers = [_descriptors(surface)] if "descriptors" in kind else []
    readers += [_morgan()] if "morgan" in kind else []
    if not readers:
        return None
    return readers[0] if len(readers) == 1 else lambda mol: np.concatenate([read(mol) for read in readers])


class Describer:
    """Features of the molecules of a chunk: of each while it is read, and of all of them from their graphs."""

    def __init__(self, kind: str, from_graphs: bool) -> None:
        """``from_graphs``: whether the graphs will be those of the molecules seen, without more hydrogens."""
        self.columns = feature_columns(kind)
        self.from_graphs = from_graphs and SURFACE[0] in self.columns
        self.read = feature_reader(kind, not self.from_graphs)
        self.rows: list[np.ndarray] = []

    def see(self, mol: Chem.Mol) -> None:
        """Describe the next molecule."""
        if self.read is not None:
            self.rows.append(self.read(mol))

    def beside(self, graphs: MolGraphs, again: Callable[[int], Chem.Mol]) -> MolGraphs:
        """Put the features beside the graphs of the molecules seen; ``again(i)`` reads molecule ``i`` once more."""
        if self.read is None:
            return graphs
        features = np.array(self.rows, np.float32).reshape(len(graphs), len(self.columns))
        if self.from_graphs:
            start = self.columns.index(SURFACE[0])
            features[:, start : start + len(SURFACE)] = surfaces(graphs, again)
        return replace(graphs, features=features)


def _descriptors(surface: bool) -> Reader:
    properties = rdMolDescriptors.Properties(list(PROPERTIES))
    blank = [np.nan] * len(SURFACE)

    def read(mol: Chem.Mol) -> np.ndarray:
        values = [
            *properties.ComputeProperties(mol),
            *(surface_of(mol) if surface else blank),
            *rdMolDescriptors.MQNs_(mol),
        ]
        row = np.array(values, np.float32)
        row[~np.isfinite(row)] = np.nan
        return row

    return read


def _morgan() -> Reader:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=MORGAN_RADIUS, fpSize=MORGAN_SIZE)
    return lambda mol: np.log1p(generator.GetCountFingerprintAsNumPy(mol)).astype(np.float32)
