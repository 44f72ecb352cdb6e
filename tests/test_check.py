"""`check_model` finds what it is there to find: each law is broken by a model made for it, and by no sound one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from awkward import MOLECULES
from tiny import tiny_bundle
from torch import Tensor, nn

import molmp
from molmp.errors import ConfigError, DataError
from molmp.inference import trial
from molmp.inference.predictor import Predictor
from molmp.nn.batch import GraphBatch
from molmp.nn.model import MoleculeModel

SMILES = [smiles for smiles in MOLECULES if len(smiles) < 100]
FEW = ["C", "OCC", "CC(=O)Oc1ccccc1C(=O)O", "C[C@H](N)C(=O)O", "[Na+].[Cl-]", "C#N"]


class Faulty(nn.Module):
    """A network with something done to what it gives."""

    def __init__(self, model: MoleculeModel, change: Callable[[Tensor, GraphBatch], Tensor]) -> None:
        super().__init__()
        self.model, self.change = model, change

    def forward(self, batch: GraphBatch) -> Tensor:
        return self.change(self.model(batch), batch)


def first_atom(outputs: Tensor, batch: GraphBatch) -> Tensor:
    first = batch.molecules.rows.index[batch.molecules.offsets[:-1]]
    return outputs + 0.01 * first[:, None]


def batch_mean(outputs: Tensor, batch: GraphBatch) -> Tensor:
    return outputs - outputs.mean(dim=0)


def no_number_for_large(outputs: Tensor, batch: GraphBatch) -> Tensor:
    sizes = batch.molecules.offsets.diff()
    return torch.where(sizes[:, None] > 10, torch.nan, outputs)


def root_of_nothing(outputs: Tensor, batch: GraphBatch) -> Tensor:
    alone = batch.molecules.offsets.diff() == 1  # sqrt has no derivative at 0
    return outputs + (outputs * ~alone[:, None]).abs().sqrt() * 0


def dropout_left_on(outputs: Tensor, batch: GraphBatch) -> Tensor:
    return nn.functional.dropout(outputs, 0.5, training=True)


def broken(change: Callable[[Tensor, GraphBatch], Tensor]) -> Predictor:
    predictor = Predictor(tiny_bundle(members=2), "cpu")
    predictor.models = [Faulty(model, change) for model in predictor.models]  # type: ignore[misc]
    return predictor


def test_a_sound_model() -> None:
    report = molmp.check_model(tiny_bundle(members=2), [*SMILES, "C1CC"], n_jobs=[2])
    assert report.ok, report
    assert report.num_molecules == len(SMILES)
    assert [error.smiles for error in report.unreadable] == ["C1CC"]
    assert report["spelling"].num_checked > len(SMILES)
    assert 0 < report.num_chiral < len(SMILES)
    assert report.num_told_apart > 0.8 * report.num_chiral
    assert "all laws hold" in str(report)


@pytest.mark.parametrize(
    ("change", "laws", "guilty"),
    [
        (first_atom, {"spelling", "atom order", "company"}, "CC(=O)Oc1ccccc1C(=O)O"),
        (batch_mean, {"company"}, "C#N"),
        (no_number_for_large, {"finite"}, "CC(=O)Oc1ccccc1C(=O)O"),
        (root_of_nothing, {"gradients"}, "C"),
        (dropout_left_on, {"again"}, "C"),
    ],
)
def test_planted_faults(change: Callable[[Tensor, GraphBatch], Tensor], laws: set[str], guilty: str) -> None:
    torch.manual_seed(0)
    report = molmp.check_model(broken(change), FEW, n_jobs=[])
    assert not report.ok
    found = {law.name for law in report.laws if not law.holds}
    assert laws <= found
    if change is not dropout_left_on:
        assert found <= laws | ({"spelling"} if change is batch_mean else set())
    for name in laws:
        assert guilty in {breach.smiles for breach in report[name].breaches}
    assert "BROKEN" in str(report)


def test_processes_that_read_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = trial.featurize

    def featurize(smiles: list[str], options: Any, n_jobs: int = 1) -> Any:
        return honest(smiles if n_jobs == 1 else smiles[::-1], options)

    monkeypatch.setattr(trial, "featurize", featurize)
    report = molmp.check_model(tiny_bundle(), FEW, n_jobs=[1, 2])
    assert [breach.what for breach in report["processes"].breaches] == ["2 processes read other graphs"]
    assert [law.name for law in report.laws if not law.holds] == ["processes"]


def test_a_reader_that_depends_on_the_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = trial.featurize

    def featurize(smiles: list[str], options: Any, n_jobs: int = 1) -> Any:
        return honest([text.replace("=O", "-O") if text not in FEW else text for text in smiles], options)

    monkeypatch.setattr(trial, "featurize", featurize)
    report = molmp.check_model(tiny_bundle(), FEW, n_jobs=[])
    assert [law.name for law in report.laws if not law.holds] == ["spelling"]
    assert {b.smiles for b in report["spelling"].breaches} == {text for text in FEW if "=O" in text}


def test_kinds_of_models(tiny_model: Any) -> None:
    estimator = molmp.MPNNRegressor.load(tiny_model)
    for model in (tiny_model, str(tiny_model), estimator, estimator.predictor_, estimator.predictor_.bundle):
        assert molmp.check_model(model, FEW, n_jobs=[]).ok


def test_wrong_input(tmp_path: Any) -> None:
    with pytest.raises(DataError, match="none of the 2 molecules can be read"):
        molmp.check_model(tiny_bundle(), ["C1CC", ""])
    with pytest.raises(ConfigError, match="the tolerance must be at least 0, got nan"):
        molmp.check_model(tiny_bundle(), FEW, tolerance=np.nan)
    with pytest.raises(molmp.MolmpError, match="is not a molmp model"):
        molmp.check_model(tmp_path, FEW)
