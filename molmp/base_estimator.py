"""What the scikit-learn estimators share: parameters, training, files."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from molmp.chem.featurize import Featurized, GraphOptions, featurize
from molmp.chem.molecule_features import DEFAULT_FEATURES
from molmp.chem.molecules import as_smiles, raise_for_errors
from molmp.errors import DataError, FileFormatError
from molmp.inference.predictor import Predictor
from molmp.nn.model import ModelConfig
from molmp.nn.process import fewer_threads
from molmp.tables.splits import Split, draw_validation
from molmp.training.config import TrainConfig
from molmp.training.problem import KEEP, Problem, name_molecules
from molmp.training.run import Trained, train
from molmp.training.start import Start
from molmp.training.targets import Answered, Targets

__all__ = ["MPNNBase"]


class MPNNBase(BaseEstimator):
    """What regressor and classifier share: parameters, fitting, files."""

    predictor_: Predictor

    def __init__(
        self,
        *,
        layer: Any = ModelConfig.layer,
        hidden: int = ModelConfig.hidden,
        steps: int = ModelConfig.steps,
        aggregation: str | None = ModelConfig.aggregation,
        edge_hidden: int | None = ModelConfig.edge_hidden,
        heads: int | None = ModelConfig.heads,
        weights: str | None = ModelConfig.weights,
        residual: bool | None = ModelConfig.residual,
        norm: str | None = ModelConfig.norm,
        step_dropout: float = ModelConfig.step_dropout,
        jumping: str = ModelConfig.jumping,
        virtual_node: bool = ModelConfig.virtual_node,
        positions: str = ModelConfig.positions,
        readout: str = ModelConfig.readout,
        dropout: float = ModelConfig.dropout,
        epochs: int | None = TrainConfig.epochs,
        batch_size: int = TrainConfig.batch_size,
        lr: float = TrainConfig.lr,
        patience: int = TrainConfig.patience,
        refit: bool = TrainConfig.refit,
        ensemble: int = TrainConfig.ensemble,
        trees: bool = TrainConfig.trees,
        pretrained: bool = TrainConfig.pretrained,
        loss: str = TrainConfig.loss,
        quantiles: tuple[float, ...] = TrainConfig.quantiles,
        class_weight: str = TrainConfig.class_weight,
        task_weights: Mapping[str, float] | None = TrainConfig.task_weights,
        threshold: str = TrainConfig.threshold,
        freeze: str = TrainConfig.freeze,
        init_from: Any = None,
        explicit_hydrogens: bool = GraphOptions.explicit_hydrogens,
        standardize: str = GraphOptions.standardize,
        features: str = DEFAULT_FEATURES,
        keep_molecules: str = KEEP[0],
        validation_fraction: float = 0.1,
        random_state: int = TrainConfig.seed,
        device: str = "auto",
        n_jobs: int = 1,
    ) -> None:
        self.layer = layer
        self.hidden = hidden
        self.steps = steps
        self.aggregation = aggregation
        self.edge_hidden = edge_hidden
        self.heads = heads
        self.weights = weights
        self.residual = residual
        self.norm = norm
        self.step_dropout = step_dropout
        self.jumping = jumping
        self.virtual_node = virtual_node
        self.positions = positions
        self.readout = readout
        self.dropout = dropout
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.patience = patience
        self.refit = refit
        self.ensemble = ensemble
        self.trees = trees
        self.pretrained = pretrained
        self.loss = loss
        self.quantiles = quantiles
        self.class_weight = class_weight
        self.task_weights = task_weights
        self.threshold = threshold
        self.freeze = freeze
        self.init_from = init_from
        self.explicit_hydrogens = explicit_hydrogens
        self.standardize = standardize
        self.features = features
        self.keep_molecules = keep_molecules
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device
        self.n_jobs = n_jobs

    def _train(
        self, X: Any, labels: np.ndarray, targets: Targets, sample_weight: Any, sides: np.ndarray | None = None
    ) -> None:
        params = self.get_params()
        network = ModelConfig(**{f.name: params[f.name] for f in fields(ModelConfig) if f.name in params})
        config = TrainConfig(
            epochs=self.epochs, batch_size=self.batch_size, lr=self.lr, patience=self.patience,
            refit=self.refit, ensemble=self.ensemble, trees=self.trees, pretrained=self.pretrained,
            seed=self.random_state, loss=self.loss, quantiles=tuple(self.quantiles),
            class_weight=self.class_weight, task_weights=self.task_weights, threshold=self.threshold,
            freeze=self.freeze,
        )  # fmt: skip
        smiles = as_smiles(X)
        names = name_molecules(smiles, self.keep_molecules)
        options = GraphOptions(
            explicit_hydrogens=self.explicit_hydrogens, standardize=self.standardize, features=self.features,
            bits=names is not None,
        )  # fmt: skip
        featurized = self._featurize(smiles, options)
        rows = np.arange(len(featurized.graphs))
        if len(rows) != len(labels):
            raise DataError(f"X has {len(rows)} molecules but y has {len(labels)} rows")
        kept, val = draw_validation(rows, self.validation_fraction, self.random_state)
        weights = None if sample_weight is None else _checked_weights(sample_weight, len(rows))
        problem = Problem(
            featurized=featurized, options=options, targets=targets, labels=labels, sides=sides, weights=weights,
            split=Split(kept, val, rows[:0]), names=names,
        )  # fmt: skip
        start = self._start(problem, network, config)
        with fewer_threads():
            *_, trained = train(problem, network, config, device=self.device, start=start)
        assert isinstance(trained, Trained)
        self.predictor_ = Predictor(trained.bundle, self.device)
        self.history_ = trained.history

    def _start(self, problem: Problem, network: ModelConfig, config: TrainConfig) -> Start | None:
        if self.init_from is None:
            return None
        origin = self.init_from if isinstance(self.init_from, Predictor) else Predictor.load(self.init_from, "cpu")
        return Start.of(origin.bundle, problem.options, network, problem.targets, config, "the model of init_from")

    def _featurize(self, X: Any, options: GraphOptions) -> Featurized:
        featurized = featurize(as_smiles(X), options, n_jobs=self.n_jobs)
        raise_for_errors(featurized.errors)
        return featurized

    def _answers(self, X: Any) -> list[Answered]:
        check_is_fitted(self, "predictor_")
        featurized = self._featurize(X, self.predictor_.bundle.options)
        return self.predictor_.answer(featurized).targets

    def save(self, folder: str | Path) -> None:
        """Write the trained model as a folder that ``molmp predict --model`` and :meth:`load` read."""
        check_is_fitted(self, "predictor_")
        self.predictor_.save(folder)

    @classmethod
    def load(cls, folder: str | Path, *, layer: type | None = None) -> Self:
        """Read a model that was saved here or trained by ``molmp train``; ``layer`` as for :func:`molmp.load`.

        Raises
        ------
        FileFormatError
            No model, a damaged one, or one of another task.
        """
        predictor = Predictor.load(folder, layer=layer)
        bundle = predictor.bundle
        if bundle.targets.task not in cls._tasks:
            raise FileFormatError(
                f"{folder} is a {bundle.targets.task} model; {cls.__name__} loads {' or '.join(cls._tasks)}"
            )
        here = cls().get_params()
        stored: dict[str, Any] = {**bundle.network.said(), **bundle.training.to_dict(), **bundle.options.to_dict()}
        stored["quantiles"] = bundle.training.quantiles
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


def _checked_weights(sample_weight: Any, num_rows: int) -> np.ndarray:
    weights = np.asarray(sample_weight, dtype=float)
    if weights.shape != (num_rows,):
        raise DataError(f"sample_weight has shape {weights.shape}, X has {num_rows} molecules")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise DataError("sample_weight must be finite and not negative")
    return weights
