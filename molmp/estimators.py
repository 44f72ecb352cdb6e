"""scikit-learn estimators on SMILES, with the engine of the command line.

``MPNNRegressor().fit(smiles, y)`` and ``molmp train`` with the same options, rows and seed give the same numbers.
"""

from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from molmp.chem.featurize import Featurized, GraphOptions, featurize
from molmp.chem.molecules import as_smiles, raise_for_errors
from molmp.errors import DataError, FileFormatError, listed
from molmp.inference.predictor import Predictor
from molmp.nn.model import ModelConfig
from molmp.tables.splits import Split, draw_validation
from molmp.training.config import TrainConfig
from molmp.training.problem import Problem
from molmp.training.run import Trained, train
from molmp.training.targets import Target, Targets

__all__ = ["MPNNClassifier", "MPNNRegressor"]


class _MPNN(BaseEstimator):
    """What regressor and classifier share: parameters, fitting, files."""

    predictor_: Predictor

    def __init__(
        self,
        *,
        layer: str = ModelConfig.layer,
        hidden: int = ModelConfig.hidden,
        steps: int = ModelConfig.steps,
        readout: str = ModelConfig.readout,
        dropout: float = ModelConfig.dropout,
        epochs: int = TrainConfig.epochs,
        batch_size: int = TrainConfig.batch_size,
        lr: float = TrainConfig.lr,
        patience: int = TrainConfig.patience,
        ensemble: int = TrainConfig.ensemble,
        explicit_hydrogens: bool = GraphOptions.explicit_hydrogens,
        standardize: str = GraphOptions.standardize,
        validation_fraction: float = 0.1,
        random_state: int = TrainConfig.seed,
        device: str = "auto",
        n_jobs: int = 1,
    ) -> None:
        self.layer = layer
        self.hidden = hidden
        self.steps = steps
        self.readout = readout
        self.dropout = dropout
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.patience = patience
        self.ensemble = ensemble
        self.explicit_hydrogens = explicit_hydrogens
        self.standardize = standardize
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device
        self.n_jobs = n_jobs

    def _train(self, X: Any, labels: np.ndarray, targets: Targets, sample_weight: Any) -> None:
        network = ModelConfig(
            layer=self.layer, hidden=self.hidden, steps=self.steps, readout=self.readout, dropout=self.dropout
        )
        config = TrainConfig(
            epochs=self.epochs, batch_size=self.batch_size, lr=self.lr, patience=self.patience,
            ensemble=self.ensemble, seed=self.random_state,
        )  # fmt: skip
        options = GraphOptions(explicit_hydrogens=self.explicit_hydrogens, standardize=self.standardize)
        featurized = self._featurize(X, options)
        rows = np.arange(len(featurized.graphs))
        if len(rows) != len(labels):
            raise DataError(f"X has {len(rows)} molecules but y has {len(labels)} rows")
        kept, val = draw_validation(rows, self.validation_fraction, self.random_state)
        weights = None if sample_weight is None else _checked_weights(sample_weight, len(rows))
        problem = Problem(
            featurized=featurized, options=options, targets=targets, labels=labels, weights=weights,
            split=Split(kept, val, rows[:0]),
        )  # fmt: skip
        *_, trained = train(problem, network, config, device=self.device)
        assert isinstance(trained, Trained)
        self.predictor_ = Predictor(trained.bundle, self.device)
        self.history_ = trained.history

    def _featurize(self, X: Any, options: GraphOptions) -> Featurized:
        featurized = featurize(as_smiles(X), options, n_jobs=self.n_jobs)
        raise_for_errors(featurized.errors)
        return featurized

    def _values(self, X: Any) -> list[np.ndarray]:
        check_is_fitted(self, "predictor_")
        featurized = self._featurize(X, self.predictor_.bundle.options)
        return self.predictor_.answer(featurized).values

    def save(self, folder: str | Path) -> None:
        """Write the trained model as a folder that ``molmp predict --model`` and :meth:`load` read."""
        check_is_fitted(self, "predictor_")
        self.predictor_.save(folder)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a model that was saved here or trained by ``molmp train``.

        Raises
        ------
        FileFormatError
            No model, a damaged one, or one of another task.
        """
        predictor = Predictor.load(folder)
        bundle = predictor.bundle
        if bundle.targets.task not in cls._tasks:
            raise FileFormatError(
                f"{folder} is a {bundle.targets.task} model; {cls.__name__} loads {' or '.join(cls._tasks)}"
            )
        here = cls().get_params()
        stored = {**bundle.network.to_dict(), **bundle.training.to_dict(), **bundle.options.to_dict()}
        estimator = cls(**{name: stored[name] for name in here if name in stored}, random_state=bundle.training.seed)
        estimator.predictor_ = predictor
        estimator._restore(bundle.targets)
        return estimator

    _tasks: tuple[str, ...] = ()

    def _restore(self, targets: Targets) -> None:
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.one_d_array, tags.input_tags.two_d_array = True, True, False
        tags.target_tags.multi_output = True
        return tags


class MPNNRegressor(RegressorMixin, _MPNN):
    """Message passing regression from SMILES.

    Parameters are those of :class:`~molmp.nn.model.ModelConfig`, :class:`~molmp.training.config.TrainConfig` and
    :class:`~molmp.chem.featurize.GraphOptions`, and ``validation_fraction``: the share of the molecules, drawn with
    ``random_state``, that chooses the best epoch and takes no part in fitting.

    Attributes
    ----------
    predictor_
        The trained model; ``predictor_.predict`` marks unreadable SMILES instead of raising.
    history_
        One record an epoch.

    References
    ----------
    J. Gilmer, S. S. Schoenholz, P. F. Riley, O. Vinyals, G. E. Dahl. Neural Message Passing for Quantum Chemistry.
    2017. arXiv:1704.01212.

    Examples
    --------
    >>> from molmp import MPNNRegressor
    >>> smiles = ["C" * n for n in range(1, 21)]
    >>> model = MPNNRegressor(hidden=16, epochs=2).fit(smiles, range(20))
    >>> model.predict(["CCO", "c1ccccc1"]).shape
    (2,)
    """

    _tasks = ("regression",)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on SMILES ``X`` (list, array, series or one-column frame) and ``y``, shape ``(n,)`` or ``(n, t)``.

        ``y`` may hold NaN for labels that are missing. Raises ``InvalidSmilesError`` naming every unreadable SMILES.
        """
        labels = np.asarray(y, dtype=float)
        if np.isinf(labels).any():
            raise DataError(f"y has {int(np.isinf(labels).sum())} infinite values")
        self.single_output_ = labels.ndim == 1
        labels = labels.reshape(len(labels), -1)
        names = getattr(
            y, "columns", [getattr(y, "name", None) or "y"] if self.single_output_ else range(labels.shape[1])
        )
        targets = Targets("regression", tuple(Target(name=str(name)) for name in names))
        self._train(X, labels, targets, sample_weight)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Values in the unit of ``y``, shape ``(n,)`` or ``(n, t)``."""
        values = np.stack(self._values(X), axis=1)
        return values[:, 0] if self.single_output_ else values

    def _restore(self, targets: Targets) -> None:
        self.single_output_ = len(targets.items) == 1


class MPNNClassifier(ClassifierMixin, _MPNN):
    """Message passing classification from SMILES: two classes, several, or several two-class targets with gaps.

    Parameters and ``predictor_`` as for :class:`MPNNRegressor`.

    Attributes
    ----------
    classes_
        Class labels in the order of ``predict_proba``'s columns; a list of such arrays for several targets.

    Examples
    --------
    >>> from molmp import MPNNClassifier
    >>> smiles = ["C" * n + end for n in range(1, 11) for end in "CO"]
    >>> model = MPNNClassifier(hidden=16, epochs=2).fit(smiles, ["alkane", "alcohol"] * 10)
    >>> model.predict_proba(["CCO"]).shape, model.classes_.tolist()
    ((1, 2), ['alcohol', 'alkane'])
    """

    classes_: np.ndarray | list[np.ndarray]
    _tasks = ("binary", "multiclass")

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on SMILES ``X`` and classes ``y``: shape ``(n,)``, or ``(n, t)`` of 0, 1 and NaN for missing."""
        labels = np.asarray(y)
        if labels.ndim == 2 and labels.shape[1] > 1:
            labels, targets = self._several(np.asarray(y, dtype=float), getattr(y, "columns", None))
        else:
            labels, targets = self._single(labels.reshape(len(labels)), getattr(y, "name", None) or "y")
        self._train(X, labels, targets, sample_weight)
        return self

    def _single(self, y: np.ndarray, name: str) -> tuple[np.ndarray, Targets]:
        classes, indices = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise DataError(f"y has one class only: {listed(map(repr, classes.tolist()))}")
        self.classes_ = classes
        task = "binary" if len(classes) == 2 else "multiclass"
        target = Target(name=str(name), classes=tuple(str(c) for c in classes))
        return indices.astype(float)[:, None], Targets(task, (target,))

    def _several(self, y: np.ndarray, columns: Any) -> tuple[np.ndarray, Targets]:
        if strange := set(np.unique(y[~np.isnan(y)])) - {0.0, 1.0}:
            raise DataError(f"several targets at once must be 0, 1 or NaN; y also has {sorted(strange)[0]:g}")
        self.classes_ = [np.array([0, 1])] * y.shape[1]
        names = range(y.shape[1]) if columns is None else columns
        return y, Targets("binary", tuple(Target(name=str(name), classes=("0", "1")) for name in names))

    def predict_proba(self, X: Any) -> Any:
        """Probabilities, shape ``(n, classes)``; for several targets a list of arrays of shape ``(n, 2)``."""
        full = [np.stack([1 - v, v], axis=1) if v.ndim == 1 else v for v in self._values(X)]
        return full if isinstance(self.classes_, list) else full[0]

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest classes, shape ``(n,)`` or ``(n, t)``."""
        proba = self.predict_proba(X)
        if isinstance(proba, list):
            return np.stack([p.argmax(axis=1) for p in proba], axis=1)
        return np.asarray(self.classes_)[proba.argmax(axis=1)]

    def _restore(self, targets: Targets) -> None:
        names = [np.array(_numbers(target.classes)) for target in targets.items]
        self.classes_ = names[0] if len(names) == 1 else names


def _checked_weights(sample_weight: Any, num_rows: int) -> np.ndarray:
    weights = np.asarray(sample_weight, dtype=float)
    if weights.shape != (num_rows,):
        raise DataError(f"sample_weight has shape {weights.shape}, X has {num_rows} molecules")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise DataError("sample_weight must be finite and not negative")
    return weights


def _numbers(names: tuple[str, ...]) -> list[Any]:
    """Class names as integers where all of them are; ``molmp train`` stores text."""
    return [int(name) for name in names] if all(name.lstrip("-").isdigit() for name in names) else list(names)
