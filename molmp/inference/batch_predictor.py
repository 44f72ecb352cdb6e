"""The predictor as a plain callable over dicts of arrays, the form in which engines hand out rows.

Ray Data, Daft, Spark's ``mapInPandas`` and others run such a class on many machines; see ``docs/scaling.md``.
"""

import functools
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from molmp.chem.featurize import Featurized, featurize
from molmp.chem.pool import WorkerPool
from molmp.errors import ColumnError
from molmp.inference.columns import Columns, check_on_error, rows_to_keep
from molmp.inference.model_file import load_bundle
from molmp.inference.predictor import Predictor
from molmp.tables.ours import free_names
from molmp.training.bundle import Bundle
from molmp.trust.trusted import COVERAGE

__all__ = ["BatchPredictor"]


class BatchPredictor:
    """Predict batches of rows; the model is loaded once.

    Parameters
    ----------
    model
        Folder of a trained model, or what was loaded from one.
    smiles_column
        Column of the SMILES.
    columns
        Columns of a batch that are handed on, in this order; all where ``None``.
    on_error
        What becomes of a row without a prediction: ``keep`` it with the reason, ``drop`` it, or ``fail``.
    trust, coverage
        Whether there are columns of trust, see :class:`~molmp.inference.columns.Columns`, and the share of the
        molecules whose interval, or set of classes, is to hold the truth.
    device
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    isolate
        Read the SMILES in a process of their own: a molecule that makes RDKit crash then costs its own row and not the
        engine's worker, which some engines would start again for ever.

    Examples
    --------
    ::

        predict = BatchPredictor("run")
        predict({"id": np.array([1, 2]), "smiles": np.array(["CCO", "C1CC"])})
        # {"id": [1, 2], "smiles": ["CCO", "C1CC"], "logS_pred": [1.07, nan], "error": ["", "ring 1 is not closed"]}
    """

    def __init__(
        self, model: str | Path | Bundle, smiles_column: str = "smiles", *, columns: Sequence[str] | None = None,
        on_error: str = "keep", trust: bool = True, coverage: float = COVERAGE, device: str = "auto",
        isolate: bool = False,
    ) -> None:  # fmt: skip
        check_on_error(on_error)
        bundle = model if isinstance(model, Bundle) else load_bundle(model)
        self.predictor = Predictor(bundle, device)
        self.ours = Columns.of(bundle, trust, coverage)
        self.types = self.ours.types
        self.smiles_column, self.columns, self.on_error = smiles_column, columns, on_error
        self._settings: dict[str, Any] = {
            "columns": columns,
            "on_error": on_error,
            "trust": trust,
            "coverage": coverage,
            "device": device,
            "isolate": isolate,
        }
        self._pool = WorkerPool(1) if isolate else None
        if self._pool is not None:
            weakref.finalize(self, self._pool.__exit__, None, None, None)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return the columns of ``batch`` with those of the predictions behind them, as ``molmp predict`` writes them.

        Where the batch has a column of our name, ours is called ``error_2``, and so on. Predictions are float64, NaN
        where there is none; names of classes and ``error`` are objects.

        Raises
        ------
        ColumnError, DataError
            The batch has no such column; with ``on_error="fail"`` a row without a prediction.
        """
        names = list(batch) if self.columns is None else self.columns
        if missing := [name for name in (self.smiles_column, *names) if name not in batch]:
            raise ColumnError("the batch", missing[0], batch)
        ours, _ = free_names(self.types, list(names))
        added, kept = self.columns_of(np.asarray(batch[self.smiles_column]).tolist())
        theirs = {name: np.asarray(batch[name])[kept] for name in names}
        return theirs | {
            free: _array(added[name], kept, kind) for free, (name, kind) in zip(ours, self.types.items(), strict=True)
        }

    def columns_of(self, smiles: Sequence[Any]) -> tuple[dict[str, list[Any]], list[int]]:
        """Return the columns of the predictions, and which rows to keep of them; what is not text is no SMILES."""
        texts = ["" if text is None or text != text else text for text in smiles]  # NaN differs from itself
        answer = self.predictor.answer(self._featurize(texts))
        kept = rows_to_keep(answer.errors, len(texts), self.on_error, lambda i: f"row {i} of the batch")
        return self.ours.values(answer), kept

    def _featurize(self, texts: list[Any]) -> Featurized:
        options = self.predictor.options(self.ours.trust is not None)
        if self._pool is None:
            return featurize(texts, options)
        (answer,) = self._pool.read([texts], options)
        return Featurized(*answer)

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(type(self), **self._settings), (self.predictor.bundle, self.smiles_column)


def _array(values: list[Any], rows: list[int], kind: type) -> np.ndarray:
    return np.array([values[row] for row in rows], object if kind is str else np.float64)  # where None becomes NaN
