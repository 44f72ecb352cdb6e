"""Molecules to rows of numbers, as scikit-learn transformers: graphs, fingerprints, descriptors.

All take SMILES or RDKit molecules as a list, an array, a pandas or polars column, or a frame of that one column.
Nothing is learned from data, so ``transform`` works without ``fit``.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from molmp.chem.descriptors import descriptor_names, descriptor_reader
from molmp.chem.featurize import TRUSTED, GraphOptions, featurize
from molmp.chem.graphs import MolGraphs
from molmp.chem.molecules import as_smiles, raise_for_errors
from molmp.chem.transformers import MoleculeTransformer, RowTransformer
from molmp.chem.vectors import Recipe, fingerprint_reader, maccs_reader

__all__ = [
    "AtomPairFingerprint", "GraphFeaturizer", "MACCSKeys", "MorganFingerprint", "RDKitDescriptors", "RDKitFingerprint",
    "TopologicalTorsionFingerprint",
]  # fmt: skip


class GraphFeaturizer(MoleculeTransformer, auto_wrap_output_keys=None):
    """Molecules to :class:`~molmp.chem.graphs.MolGraphs`, the packed graphs that networks read.

    Parameters
    ----------
    explicit_hydrogens
        Hydrogens become atoms of the graph.
    standardize
        ``none``, ``clean`` or ``tautomer``, see :func:`molmp.chem.smiles.standardize`.
    n_jobs
        Processes, -1 for all processors.

    Examples
    --------
    >>> GraphFeaturizer().fit_transform(["CCO", "C"])
    MolGraphs(2 molecules, 4 atoms, 2 bonds)
    """

    def __init__(self, explicit_hydrogens: bool = False, standardize: str = "none", n_jobs: int | None = None) -> None:
        self.explicit_hydrogens = explicit_hydrogens
        self.standardize = standardize
        self.n_jobs = n_jobs

    def transform(self, X: Any) -> MolGraphs:
        """Graphs of molecules ``X``; every one that cannot be read is named in the error."""
        self._validate_params()
        smiles = as_smiles(X)
        self._check(smiles)
        options = GraphOptions(explicit_hydrogens=self.explicit_hydrogens, standardize=self.standardize)
        graphs, _, errors = featurize(smiles, options, n_jobs=self.n_jobs)
        raise_for_errors(errors)
        return graphs


class _HashedFingerprint(RowTransformer):
    """Counts or bits of what one of RDKit's generators finds, folded to ``size`` columns."""

    size: int
    counts: bool
    stem: str
    """What the names of the columns begin with."""

    trusted = TRUSTED

    def _generator(self) -> tuple[str, dict[str, Any]]:
        """Which of RDKit's generators, and its settings."""
        raise NotImplementedError

    def _names(self) -> list[str]:
        return [f"{self.stem}_{column}" for column in range(self.size)]

    def _recipe(self) -> Recipe:
        generator, settings = self._generator()
        make = partial(fingerprint_reader, generator, self.counts, fpSize=self.size, **settings)
        return Recipe(make, self.size, self.sparse, trusted=self.trusted)


class MorganFingerprint(_HashedFingerprint):
    """Circular environments of atoms up to ``radius`` bonds: ECFP4 at radius 2, as bits or counts.

    Rogers, Hahn: "Extended-connectivity fingerprints", 2010, doi:10.1021/ci100050t.

    Parameters
    ----------
    radius
        Bonds from the central atom.
    size
        Number of columns.
    counts
        How often each environment occurs; otherwise 0 or 1.
    chirality
        Environments that differ in stereo are different.
    sparse
        Give a CSR matrix.
    on_error
        ``"raise"`` names every unreadable molecule; ``"nan"`` gives rows of NaN.
    n_jobs
        Processes, -1 for all processors.

    Examples
    --------
    >>> MorganFingerprint(size=8, counts=True).fit_transform(["CCO"])
    array([[...]], dtype=float32)
    """

    def __init__(
        self, radius: int = 2, size: int = 2048, counts: bool = False, chirality: bool = False, sparse: bool = False,
        on_error: str = "raise", n_jobs: int | None = None,
    ) -> None:  # fmt: skip
        self.radius = radius
        self.size = size
        self.counts = counts
        self.chirality = chirality
        self.sparse = sparse
        self.on_error = on_error
        self.n_jobs = n_jobs

    @property
    def stem(self) -> str:  # type: ignore[override]
        return f"morgan{self.radius}"

    def _generator(self) -> tuple[str, dict[str, Any]]:
        return "GetMorganGenerator", {"radius": self.radius, "includeChirality": self.chirality}


class AtomPairFingerprint(_HashedFingerprint):
    """Pairs of atoms and the number of bonds between them; parameters as in :class:`MorganFingerprint`.

    Carhart, Smith, Venkataraghavan: "Atom pairs as molecular features in structure-activity studies", 1985,
    doi:10.1021/ci00046a002. As in RDKit, four columns tell how often a pair occurs unless ``counts``.
    """

    stem = "atompair"

    def __init__(
        self, max_distance: int = 30, size: int = 2048, counts: bool = False, chirality: bool = False,
        sparse: bool = False, on_error: str = "raise", n_jobs: int | None = None,
    ) -> None:  # fmt: skip
        self.max_distance = max_distance
        self.size = size
        self.counts = counts
        self.chirality = chirality
        self.sparse = sparse
        self.on_error = on_error
        self.n_jobs = n_jobs

    def _generator(self) -> tuple[str, dict[str, Any]]:
        return "GetAtomPairGenerator", {"maxDistance": self.max_distance, "includeChirality": self.chirality}


class TopologicalTorsionFingerprint(_HashedFingerprint):
    """Paths of four atoms; parameters as in :class:`MorganFingerprint`.

    Nilakantan, Bauman, Dixon, Venkataraghavan: "Topological torsion: a new molecular descriptor for SAR
    applications", 1987, doi:10.1021/ci00054a008.
    """

    stem = "torsion"

    def __init__(
        self, size: int = 2048, counts: bool = False, chirality: bool = False, sparse: bool = False,
        on_error: str = "raise", n_jobs: int | None = None,
    ) -> None:  # fmt: skip
        self.size = size
        self.counts = counts
        self.chirality = chirality
        self.sparse = sparse
        self.on_error = on_error
        self.n_jobs = n_jobs

    def _generator(self) -> tuple[str, dict[str, Any]]:
        return "GetTopologicalTorsionGenerator", {"includeChirality": self.chirality}


class RDKitFingerprint(_HashedFingerprint):
    """RDKit's own: subgraphs of 1 to ``max_path`` bonds; parameters as in :class:`MorganFingerprint`."""

    stem = "rdkit"
    trusted = 0  # a hub has more paths through it than can be counted

    def __init__(
        self, max_path: int = 7, size: int = 2048, counts: bool = False, sparse: bool = False,
        on_error: str = "raise", n_jobs: int | None = None,
    ) -> None:  # fmt: skip
        self.max_path = max_path
        self.size = size
        self.counts = counts
        self.sparse = sparse
        self.on_error = on_error
        self.n_jobs = n_jobs

    def _generator(self) -> tuple[str, dict[str, Any]]:
        return "GetRDKitFPGenerator", {"maxPath": self.max_path}


class MACCSKeys(RowTransformer):
    """166 questions about substructures, the public MACCS keys: ``maccs_1`` to ``maccs_166``.

    Durant, Leland, Henry, Nourse: "Reoptimization of MDL keys for use in drug discovery", 2002, doi:10.1021/ci010132r.
    """

    def __init__(self, sparse: bool = False, on_error: str = "raise", n_jobs: int | None = None) -> None:
        self.sparse = sparse
        self.on_error = on_error
        self.n_jobs = n_jobs

    def _names(self) -> list[str]:
        return [f"maccs_{key}" for key in range(1, 167)]

    def _recipe(self) -> Recipe:
        return Recipe(maccs_reader, 166, self.sparse, trusted=TRUSTED)


class RDKitDescriptors(RowTransformer):
    """RDKit's descriptors of a molecule without coordinates: all of them, or those named.

    A value that cannot be computed or is infinite is NaN; one that float32 cannot hold becomes the largest it can.

    Examples
    --------
    >>> RDKitDescriptors(["MolWt", "TPSA"]).fit_transform(["CCO"]).round(2)
    array([[46.07, 20.23]], dtype=float32)
    """

    def __init__(self, names: str | Sequence[str] = "all", on_error: str = "raise", n_jobs: int | None = None) -> None:
        self.names = names
        self.on_error = on_error
        self.n_jobs = n_jobs

    def _names(self) -> list[str]:
        return descriptor_names(self.names)

    def _recipe(self) -> Recipe:
        names = self._names()
        return Recipe(partial(descriptor_reader, names), len(names))
