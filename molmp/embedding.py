"""Learned fingerprints as a scikit-learn transformer."""

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from molmp.chem.featurize import featurize
from molmp.chem.molecules import as_smiles, raise_for_errors
from molmp.errors import ConfigError
from molmp.inference.predictor import Predictor

__all__ = ["MPNNEmbedding"]


class MPNNEmbedding(TransformerMixin, BaseEstimator):
    """Learned fingerprints: what the readout of a trained model gives, as features for any estimator.

    Parameters
    ----------
    model
        Folder of a trained model, or a :class:`~molmp.inference.predictor.Predictor` such as ``estimator.predictor_``
        (not the estimator itself: scikit-learn's ``clone`` would make it forget).
    on_error
        ``"raise"`` names every unreadable SMILES; ``"nan"`` gives rows of NaN.
    """

    def __init__(self, model: Any, on_error: str = "raise", n_jobs: int = 1) -> None:
        self.model = model
        self.on_error = on_error
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: object = None) -> Self:
        """Load the model; nothing is learned from ``X``."""
        if self.on_error not in ("raise", "nan"):
            raise ConfigError(f"on_error must be 'raise' or 'nan', got {self.on_error!r}")
        self.predictor_ = self.model if isinstance(self.model, Predictor) else Predictor.load(self.model)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Fingerprints of SMILES ``X``, shape ``(n, width)``, float32."""
        check_is_fitted(self, "predictor_")
        featurized = featurize(as_smiles(X), self.predictor_.bundle.options, n_jobs=self.n_jobs)
        if self.on_error == "raise":
            raise_for_errors(featurized.errors)
        return self.predictor_.embed_featurized(featurized)

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Names of the columns: ``mpnn_0``, ``mpnn_1``, ..."""
        check_is_fitted(self, "predictor_")
        return np.array([f"mpnn_{i}" for i in range(self.predictor_.embedding_width)], dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.one_d_array, tags.input_tags.two_d_array = True, True, False
        return tags
