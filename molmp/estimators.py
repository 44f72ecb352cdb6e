"""scikit-learn estimators on SMILES, with the engine of the command line.

``MPNNRegressor().fit(smiles, y)`` and ``molmp train`` with the same options, rows and seed give the same numbers.
"""

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from molmp.base_estimator import MPNNBase
from molmp.errors import ConfigError, DataError, listed
from molmp.inference.deviations import intervals
from molmp.tables.numbers import read_numbers
from molmp.training.metrics import evaluate
from molmp.training.targets import Target, Targets
from molmp.trust.trusted import COVERAGE

__all__ = ["MPNNClassifier", "MPNNRegressor"]


class MPNNRegressor(RegressorMixin, MPNNBase):
    """Message passing regression from SMILES.

    Parameters are those of :class:`~molmp.nn.model.ModelConfig`, :class:`~molmp.training.config.TrainConfig` and
    :class:`~molmp.chem.featurize.GraphOptions`, and ``validation_fraction``: the share of the molecules, drawn with
    ``random_state``, that tells how good the networks are; in the end they learn from it too, but for ``refit=False``
    and for ``patience``, where it chooses the best epoch. ``keep_molecules``: how the model remembers the molecules
    that others are compared with, by their ``smiles``, by ``rows`` (of ``X``, from 1) or not at all (``none``).

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

        ``y`` may hold NaN for labels that are missing, and text for bounds: ``["1.5", "<5", ">10"]``. Raises
        ``InvalidSmilesError`` naming every unreadable SMILES.
        """
        labels, sides = read_numbers(y)
        self.single_output_ = labels.ndim == 1
        labels, sides = labels.reshape(len(labels), -1), sides.reshape(len(labels), -1)
        names = getattr(
            y, "columns", [getattr(y, "name", None) or "y"] if self.single_output_ else range(labels.shape[1])
        )
        targets = Targets("regression", tuple(Target(name=str(name)) for name in names))
        self._train(X, labels, targets, sample_weight, sides if sides.any() else None)
        return self

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R2, mean over the targets; labels that are bounds or missing take no part."""
        labels, sides = read_numbers(y)
        if sample_weight is not None or not (sides.any() or np.isnan(labels).any()):
            return float(super().score(X, y, sample_weight))
        labels[sides != 0] = np.nan
        values = np.reshape(self.predict(X), (len(labels), -1))
        names = [str(target) for target in range(values.shape[1])]
        r2 = evaluate("regression", names, labels.reshape(values.shape), list(values.T)).mean["r2"]
        return np.nan if r2 is None else r2

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Values in the unit of ``y``, shape ``(n,)`` or ``(n, t)``.

        With ``return_std`` also the standard deviation of the truth around them, of that shape, as far as the model
        knows it: from a loss that learns it (``mve``, ``evidential``), and from the networks of an ensemble.

        Raises
        ------
        ConfigError
            ``return_std``, and the model knows nothing of it.
        """
        answers = self._answers(X)
        values = self._shaped([answered.value for answered in answers])
        if not return_std:
            return values
        stds = [answered.std for answered in answers if answered.std is not None]
        if not stds:
            loss = self.predictor_.bundle.targets.loss
            raise ConfigError(f"one network with loss {loss!r} knows no standard deviation; mve, evidential or an "
                              "ensemble do")  # fmt: skip
        return values, self._shaped(stds)

    def predict_quantiles(self, X: Any) -> np.ndarray:
        """Quantiles of the truth, shape ``(n, quantiles)`` or ``(n, t, quantiles)``, of a model with that loss.

        Their levels are ``predictor_.bundle.targets.quantiles``: those asked for, and the median.
        """
        quantiles = [answered.quantiles for answered in self._answers(X) if answered.quantiles is not None]
        if not quantiles:
            loss = self.predictor_.bundle.targets.loss
            raise ConfigError(f"a model with loss {loss!r} gives no quantiles; train with loss='quantile'")
        return self._shaped(quantiles)

    def predict_interval(self, X: Any, coverage: float = COVERAGE) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends of intervals that hold the truth with probability ``coverage``, as :meth:`predict`.

        They were calibrated on the validation molecules of :meth:`fit`, see :mod:`molmp.trust.numbers`; infinite where
        these are too few.
        """
        check_is_fitted(self, "predictor_")
        featurized = self._featurize(X, self.predictor_.options())
        ends = zip(*intervals(self.predictor_, featurized, coverage), strict=True)
        low, high = (self._shaped(list(columns)) for columns in ends)
        return low, high

    def _shaped(self, columns: list[np.ndarray]) -> np.ndarray:
        return columns[0] if self.single_output_ else np.stack(columns, axis=1)

    def _restore(self, targets: Targets) -> None:
        self.single_output_ = len(targets.items) == 1


class MPNNClassifier(ClassifierMixin, MPNNBase):
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
        full = [np.stack([1 - v, v], axis=1) if v.ndim == 1 else v for v in (a.value for a in self._answers(X))]
        return full if isinstance(self.classes_, list) else full[0]

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest classes, shape ``(n,)`` or ``(n, t)``; with ``threshold="tuned"`` those that it gives."""
        proba = self.predict_proba(X)
        items = self.predictor_.bundle.targets.items
        indices = [_indices(p, t) for p, t in zip(proba if isinstance(proba, list) else [proba], items, strict=True)]
        return np.stack(indices, axis=1) if isinstance(proba, list) else np.asarray(self.classes_)[indices[0]]

    def _restore(self, targets: Targets) -> None:
        names = [np.array(_numbers(target.classes)) for target in targets.items]
        self.classes_ = names[0] if len(names) == 1 else names


def _indices(proba: np.ndarray, target: Target) -> np.ndarray:
    if target.threshold is None:
        return proba.argmax(axis=1)
    return (proba[:, 1] >= target.threshold).astype(int)


def _numbers(names: tuple[str, ...]) -> list[Any]:
    """Class names as integers where all of them are; ``molmp train`` stores text."""
    return [int(name) for name in names] if all(name.lstrip("-").isdigit() for name in names) else list(names)
