"""What the scikit-learn transformers of molecules share: their input, their checks, rows made in chunks."""

from collections.abc import Iterable, Iterator, Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions

from molmp.chem.molecules import as_list, raise_for_errors
from molmp.chem.options import GraphOptions
from molmp.chem.pool import count_jobs
from molmp.chem.smiles import STANDARDIZE
from molmp.chem.vectors import Recipe, Vectors, iter_vectors, join_vectors
from molmp.errors import ConfigError, DataError, InvalidSmilesError

__all__ = ["MoleculeTransformer", "RowTransformer"]

SMALLEST_CHUNK, LARGEST_CHUNK = 1_000, 5_000
"""Rows computed at a time, and sent to another process where there are several."""

CONSTRAINTS: dict[str, list[Any]] = {
    "chirality": ["boolean"],
    "counts": ["boolean"],
    "explicit_hydrogens": ["boolean"],
    "max_distance": [Interval(Integral, 1, None, closed="left")],
    "max_path": [Interval(Integral, 1, None, closed="left")],
    "n_jobs": [Integral, None],
    "names": [str, "array-like"],
    "on_error": [StrOptions({"raise", "nan"})],
    "radius": [Interval(Integral, 0, None, closed="left")],
    "size": [Interval(Integral, 1, None, closed="left")],
    "sparse": ["boolean"],
    "standardize": [StrOptions(set(STANDARDIZE))],
}
"""What each parameter may be, in scikit-learn's terms."""


class MoleculeTransformer(TransformerMixin, BaseEstimator):
    """What all share: parameters checked when used, tags, no state."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._parameter_constraints = {name: CONSTRAINTS[name] for name in cls._get_param_names()}

    def fit(self, X: Any, y: object = None) -> Self:
        """Check the parameters; nothing is learned from ``X``."""
        self._validate_params()
        self._check(as_list(X))
        return self

    def _check(self, items: list[Any]) -> None:
        if not items:
            raise DataError("X holds no molecules; at least 1 is needed")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.one_d_array, tags.input_tags.two_d_array = True, True, False
        tags.requires_fit = False
        return tags


class RowTransformer(MoleculeTransformer):
    """One row of float32 for each molecule: a subclass says what the columns are and how a molecule fills them."""

    on_error: str
    n_jobs: int | None
    sparse: bool = False

    def _names(self) -> list[str]:
        """Names of the columns."""
        raise NotImplementedError

    def _recipe(self) -> Recipe:
        """How a molecule fills them; its options are those of whoever asks."""
        raise NotImplementedError

    def _check(self, items: list[Any]) -> None:
        super()._check(items)
        self._names()
        if self.sparse and self.on_error == "nan":
            raise ConfigError("on_error='nan' fills whole rows, which a sparse matrix is not for: use sparse=False")

    def transform(self, X: Any) -> Any:
        """Rows of numbers, shape ``(n, number of columns)``, float32; a CSR matrix where ``sparse``.

        Raises
        ------
        DataError
            Naming every molecule that cannot be read, where ``on_error`` is ``"raise"``.
        """
        rows, errors = self.rows_and_errors(X)
        if self.on_error == "raise":
            raise_for_errors(errors)
        return rows

    def rows_and_errors(
        self, X: Any, options: GraphOptions = GraphOptions()
    ) -> tuple[Any, dict[int, InvalidSmilesError]]:
        """Rows, NaN (where sparse: empty) for what cannot be read, and the reasons by row; never raises for a molecule.

        ``options``: what is done to the molecules first, and what one may cost.
        """
        items = as_list(X)
        self._validate_params()
        self._check(items)
        size = min(max(SMALLEST_CHUNK, len(items) // 64), LARGEST_CHUNK)
        chunks = (items[start : start + size] for start in range(0, len(items), size))
        return join_vectors(list(self.iter_rows(chunks, options)))

    def iter_rows(self, batches: Iterable[Sequence[Any]], options: GraphOptions = GraphOptions()) -> Iterator[Vectors]:
        """As :meth:`rows_and_errors` for batch after batch, in order; few are held at a time."""
        self._validate_params()
        return iter_vectors(batches, self._recipe()._replace(options=options), count_jobs(self.n_jobs))

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Names of the columns, whatever the input's column is called."""
        return np.array(self._names(), dtype=object)
