"""Who is compared: each method learns the training rows of a split and predicts its test rows.

What a method returns is what :func:`molmp.training.metrics.evaluate` takes: for each target the values in real units,
or the probability of class 1, shape ``(test rows,)``.
"""

import csv
import functools
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.accuracy_sets import Task
from benchmarks.peers import python_of, versions_of
from benchmarks.process import run_process
from molmp.chem.molecule_features import DEFAULT_FEATURES
from molmp.nn.config import ModelConfig
from molmp.tables.splits import Split
from molmp.training.config import TrainConfig

if TYPE_CHECKING:
    from molmp.training.problem import Problem
    from molmp.training.run import Trained

__all__ = ["METHODS", "Learn", "Method", "learn", "molmp"]

Learned = list[np.ndarray]


@dataclass(frozen=True)
class Method:
    """A way to predict."""

    run: Callable[[Task, Split, int], Learned]
    settings: Callable[[], Mapping[str, Any]]
    """What decides its results, for the results file: a row with other settings is measured again."""
    env: str = "molmp"


RECIPE = {False: 3, True: 4}
"""Raised with every change of what the same options do, so that its lines are measured again: 1 had no shares, 2 no
second set of networks; by whether networks start from pretrained encoders, which none did before 4."""

Learn = Callable[["Problem", ModelConfig, TrainConfig], "Trained"]


def learn(problem: "Problem", network: ModelConfig, config: TrainConfig) -> "Trained":
    """Train on the CPU."""
    from molmp.training.run import Trained, train

    *_, trained = train(problem, network, config, device="cpu")
    assert isinstance(trained, Trained)
    return trained


def molmp(
    network: Mapping[str, Any], training: Mapping[str, Any], features: str = DEFAULT_FEATURES, how: Learn = learn
) -> Method:
    """What `molmp train` does with these options, defaults for all others; ``how`` to do it in another way."""

    def configs(seed: int) -> tuple[ModelConfig, TrainConfig]:
        return ModelConfig(**network), TrainConfig(**training, seed=seed)

    def run(task: Task, split: Split, seed: int) -> Learned:
        from molmp.chem.featurize import GraphOptions, featurize
        from molmp.training.problem import dataset_problem

        options = GraphOptions(features=features)
        problem = dataset_problem(task.dataset, featurize(task.dataset.smiles, options), options, split, {})
        trained = how(problem, *configs(seed))
        assert np.array_equal(trained.parts["test"], split.test)
        return trained.predictions["test"]

    def settings() -> dict[str, Any]:
        config, training = configs(0)
        return {"network": asdict(config), "training": asdict(training) | {"seed": None}, "features": features,
                "recipe": RECIPE[training.pretrained]} | ({} if how is learn else {"how": how.__name__})  # fmt: skip

    return Method(run, settings)


TREES: dict[str, Any] = {"n_estimators": 300, "max_features": 0.2, "min_samples_leaf": 1}

BOOSTS: dict[str, Any] = {"max_iter": 300, "learning_rate": 0.05, "max_features": 0.2, "early_stopping": False}


def trees(kind: str, settings: Mapping[str, Any]) -> Method:
    """A forest or boosted trees of scikit-learn on Morgan counts (radius 2, 2,048) beside all RDKit descriptors.

    Training and validation rows are all learned from: trees need no rows to stop by.
    """

    def run(task: Task, split: Split, seed: int) -> Learned:
        X = _tree_features(task)
        rows = np.concatenate([split.train, split.val])
        predictions = []
        for y in task.dataset.targets.T:
            known = rows[~np.isnan(y[rows])]
            model = _tree_model(kind, task.dataset.task, settings, seed).fit(X[known], y[known])
            of_test = model.predict(X[split.test])
            if task.dataset.task == "binary":
                of_test = model.predict_proba(X[split.test])[:, -1] if len(model.classes_) > 1 else of_test
            predictions.append(of_test)
        return predictions

    return Method(run, lambda: {"features": "morgan counts 2048 + all RDKit descriptors", **settings})


def _tree_model(kind: str, task: str, settings: Mapping[str, Any], seed: int) -> Any:
    from sklearn import ensemble

    name = {"forest": "RandomForest", "boosting": "HistGradientBoosting"}[kind]
    return getattr(ensemble, name + ("Regressor" if task == "regression" else "Classifier"))(
        **settings, random_state=seed
    )


@functools.lru_cache(maxsize=1)
def _tree_features(task: Task) -> np.ndarray:
    from molmp.chem.fingerprints import MorganFingerprint, RDKitDescriptors

    smiles = [task.dataset.smiles[row] for row in task.rows]
    parts = [MorganFingerprint(counts=True).transform(smiles), RDKitDescriptors().transform(smiles)]
    X = np.zeros((len(task.dataset), sum(part.shape[1] for part in parts)), np.float32)
    X[task.rows] = np.nan_to_num(np.concatenate(parts, axis=1)).clip(-1e6, 1e6)
    return X


def mean(task: Task, split: Split, seed: int) -> Learned:
    """The mean of the training labels, whatever the molecule."""
    return [np.full(len(split.test), np.nanmean(y[split.train])) for y in task.dataset.targets.T]


def chemprop(task: Task, split: Split, seed: int) -> Learned:
    """Chemprop's command line with its defaults, in the environment ``peers``."""
    kind = {"regression": "regression", "binary": "classification"}[task.dataset.task]
    targets = list(task.dataset.target_names)
    program = python_of("peers").with_name("chemprop")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder / "data.csv", task, split)
        command = [program, "train", "-i", "data.csv", "-s", "smiles", "--target-columns", *targets, "-t", kind]
        run_process([*command, "--splits-column", "split", "--pytorch-seed", str(seed), "-o", "run"], folder)
        _write(folder / "test.csv", task, Split(split.train[:0], split.val[:0], split.test))
        command = [program, "predict", "-i", "test.csv", "-s", "smiles", "--model-paths", "run", "-o", "out.csv"]
        run_process(command, folder)
        with open(folder / "out.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    found = [next(c for c in (target, f"pred_{target}") if c in rows[0]) for target in targets]
    return [np.array([float(row[column]) for row in rows]) for column in found]


def _write(path: Path, task: Task, split: Split) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["smiles", *task.dataset.target_names, "split"])
        for part, rows in split._asdict().items():
            for row in rows:
                cells = ["" if np.isnan(value) else f"{value:.10g}" for value in task.dataset.targets[row]]
                writer.writerow([task.dataset.smiles[row], *cells, part])


def versions(method: Method) -> dict[str, str]:
    """Versions of what the method runs on."""
    return versions_of(python_of(method.env))


METHODS: dict[str, Method] = {
    "molmp": molmp({}, {}),
    "molmp-single": molmp({}, {"ensemble": 1}),
    "molmp-graph": molmp({}, {}, features="none"),
    "molmp-all": molmp({}, {"views": "all"}),
    "molmp-best": molmp({}, {"patience": 30}),
    "mean": Method(mean, dict),
    "forest": trees("forest", TREES),
    "boosting": trees("boosting", BOOSTS),
    "chemprop": Method(chemprop, dict, "peers"),
}
