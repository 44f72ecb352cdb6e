"""Many SMILES to packed graphs: in order, every row accounted for, over as many processes as wanted."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from molmp.chem.graphs import MolGraphs
from molmp.chem.reader import read_chunk
from molmp.chem.smiles import STANDARDIZE
from molmp.errors import ConfigError, InvalidSmilesError

__all__ = ["Featurized", "GraphOptions", "featurize", "iter_featurize"]


@dataclass(frozen=True, kw_only=True)
class GraphOptions:
    """What is done to a molecule before it becomes a graph; a model remembers it."""

    explicit_hydrogens: bool = False
    """Hydrogens become atoms of the graph."""
    standardize: str = "none"
    """``none``, ``clean`` or ``tautomer``, see :func:`molmp.chem.smiles.standardize`."""

    def __post_init__(self) -> None:
        if self.standardize not in STANDARDIZE:
            raise ConfigError(f"standardize must be one of {', '.join(STANDARDIZE)}, not {self.standardize!r}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a model file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Undo :meth:`to_dict`.

        >>> GraphOptions.from_dict(GraphOptions(standardize="clean").to_dict())
        GraphOptions(explicit_hydrogens=False, standardize='clean')
        """
        unknown = set(values) - set(cls.__dataclass_fields__)
        if unknown:
            raise ConfigError(f"unknown graph options: {', '.join(sorted(unknown))}")
        return cls(**values)


class Featurized(NamedTuple):
    """What became of a list of SMILES: each row is either a graph or an error."""

    graphs: MolGraphs
    """The molecules that can be read, in order; ``B`` of them."""
    rows: np.ndarray
    """Input row of each graph, ascending, shape ``(B,)``, int64."""
    errors: dict[int, InvalidSmilesError]
    """Why each other input row cannot be read."""


def featurize(
    smiles: Sequence[str], options: GraphOptions = GraphOptions(), *, n_jobs: int = 1, progress: bool = False
) -> Featurized:
    """Read SMILES into packed graphs.

    Examples
    --------
    >>> graphs, rows, errors = featurize(["CCO", "C1CC", "c1ccccc1"])
    >>> graphs, rows, errors[1].reason
    (MolGraphs(2 molecules, 9 atoms, 8 bonds), array([0, 2]), 'ring 1 is not closed')
    """
    return Featurized(*read_chunk(list(smiles), **options.to_dict()))


def iter_featurize(
    batches: Iterable[Sequence[str]], options: GraphOptions = GraphOptions(), *, n_jobs: int = 1
) -> Iterator[Featurized]:
    """Featurize batch after batch, in order, rows counted within each batch."""
    for batch in batches:
        yield featurize(batch, options, n_jobs=n_jobs)
