"""Features of batches of SMILES, in the form in which engines hand out rows."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from molmp.inference.columns import rows_to_keep
from molmp.tables.features import Features, feature_cells

__all__ = ["BatchFeaturizer"]


class BatchFeaturizer:
    """Columns of features, as ``molmp featurize`` writes them; see :class:`molmp.inference.parts.ColumnMaker`.

    Parameters
    ----------
    make
        Called once, where the worker is.
    on_error
        What becomes of a row that cannot be read: ``keep``, ``drop`` or ``fail``.
    """

    def __init__(self, make: Callable[[], Features], on_error: str = "keep") -> None:
        self.features, self.on_error = make(), on_error
        kind = int if self.features.whole else float
        self.types: dict[str, type] = {**dict.fromkeys(self.features.names, kind), "error": str}

    def columns_of(self, smiles: Sequence[Any]) -> tuple[dict[str, Any], list[int]]:
        """Return the columns, and which of the rows to write."""
        ((matrix, errors),) = self.features.read([["" if text is None else text for text in smiles]])
        kept = rows_to_keep(errors, len(smiles), self.on_error, lambda i: f"row {i} of the batch")
        cells = np.array(feature_cells(self.features, matrix))
        columns: dict[str, Any] = dict(zip(self.features.names, cells.T, strict=True))
        return columns | {"error": [errors[i].outcome if i in errors else "" for i in range(len(smiles))]}, kept
