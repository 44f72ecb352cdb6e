"""What each network of an ensemble sees beside the graph: what is hidden from it plays no part, ever."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from molmp import MPNNRegressor
from molmp.chem.featurize import GraphOptions, featurize
from molmp.errors import ConfigError
from molmp.inference.describe import recipe
from molmp.inference.model_file import load_bundle
from molmp.inference.predictor import Predictor
from molmp.nn.config import ModelConfig
from molmp.tables.splits import Split
from molmp.training.bundle import Bundle
from molmp.training.config import TrainConfig
from molmp.training.problem import Problem
from molmp.training.run import Trained, train
from molmp.training.targets import Target, Targets
from molmp.training.views import seen

SMILES = ["C" * n + end for n in range(1, 9) for end in ("", "O", "N", "Cl")]
KIND = "descriptors+morgan"
OPTIONS = GraphOptions(features=KIND)
QUICK = TrainConfig(epochs=2, batch_size=16)
DESCRIPTORS = slice(0, 91)


def problem(kind: str = KIND, noise: float = 0.0, columns: slice = slice(None), folds: int = 0) -> Problem:
    """Chains; ``noise`` changes these columns of their features."""
    made = featurize(SMILES, GraphOptions(features=kind))
    features = made.graphs.features.copy()
    features[:, columns] += noise * np.random.default_rng(0).normal(size=features[:, columns].shape)
    made = made._replace(graphs=replace(made.graphs, features=features))
    rows = np.arange(len(SMILES))
    split = Split(rows[:-8], rows[-8:-4], rows[-4:])
    targets = Targets("regression", (Target(name="length"),))
    labels = np.array([[float(len(s))] for s in SMILES])
    parts = tuple(Split(rows[4 * i + 4 : -4], rows[4 * i : 4 * i + 4], rows[-4:]) for i in range(folds))
    return Problem(featurized=made, options=GraphOptions(features=kind), targets=targets, labels=labels, weights=None,
                   split=split, folds=parts)  # fmt: skip


def finish(p: Problem, config: TrainConfig = QUICK) -> Bundle:
    network = ModelConfig(hidden=8, steps=2, edge_hidden=4, head_hidden=8)
    *_, last = train(p, network, config, device="cpu")
    assert isinstance(last, Trained)
    return last.bundle


def numbers_seen(bundle: Bundle) -> list[int]:
    return [int((weights["beside.factor"] != 0).sum()) for weights in bundle.members]


@pytest.fixture(scope="module")
def trained() -> Bundle:
    return finish(problem(noise=1.0))  # that no column is constant


@pytest.mark.parametrize(("kind", "numbers"), [(KIND, [1115, 0, 91]), ("descriptors", [91, 0, 91]),
                                               ("morgan", [1024, 0, 1024]), ("none", [0, 0, 0])])  # fmt: skip
def test_which_columns_each_sees(kind: str, numbers: list[int]) -> None:
    assert [int(seen(kind, "mixed", member).sum()) for member in range(6)] == numbers * 2
    assert [seen(kind, "all", member).all() for member in range(3)] == [True] * 3


def test_the_default_recipe_trains_three_views(trained: Bundle) -> None:
    assert numbers_seen(trained) == [1115, 0, 91]
    assert "features descriptors+morgan, seen by some of the networks" in recipe(trained)
    assert numbers_seen(finish(problem(noise=1.0), replace(QUICK, views="all"))) == [1115] * 3


def test_each_fold_has_all_views() -> None:
    bundle = finish(problem(noise=1.0, folds=2), replace(QUICK, ensemble=2))
    assert numbers_seen(bundle) == [1115, 0, 1115, 0]


@pytest.mark.parametrize(("columns", "moved"), [(slice(None), [0, 2]), (slice(91, None), [0])])
def test_hidden_features_move_no_weight_and_no_prediction(trained: Bundle, columns: slice, moved: list[int]) -> None:
    other = finish(problem(noise=1.0), QUICK)
    for mine, theirs in zip(trained.members, other.members, strict=True):
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    p = problem(noise=1.0)
    features = p.featurized.graphs.features.copy()
    features[:, columns] *= 3.0
    other = finish(replace(p, featurized=p.featurized._replace(graphs=replace(p.featurized.graphs, features=features))))
    for member, (mine, theirs) in enumerate(zip(trained.members, other.members, strict=True)):
        assert torch.equal(mine["embedding.codes.weight"], theirs["embedding.codes.weight"]) == (member not in moved)
    made = featurize(["CCO"], OPTIONS)
    changed = made.graphs.features.copy()
    changed[:, columns] += 1.0
    outputs = [Predictor(trained, "cpu").outputs(m)[:, 0, 0]
               for m in (made, made._replace(graphs=replace(made.graphs, features=changed)))]  # fmt: skip
    assert np.flatnonzero(outputs[0] != outputs[1]).tolist() == moved


def test_models_from_before_are_read_as_what_they_were() -> None:
    golden = load_bundle(Path(__file__).parent / "golden")
    assert golden.training.views == "all"


def test_other_words_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"views must be one of mixed, all, got 'some'"):
        TrainConfig(views="some")


def test_estimators_have_the_default() -> None:
    model = MPNNRegressor(hidden=8, epochs=1, device="cpu").fit(SMILES, np.arange(32.0))
    assert model.predictor_.bundle.training.views == "mixed"
