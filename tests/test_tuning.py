"""The search for options: the default first, pruned trials, budgets, interruptions, and an honest end."""

import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from molmp.chem.featurize import GraphOptions, featurize
from molmp.errors import ConfigError, DataError, FileFormatError, MissingExtraError
from molmp.nn.config import ModelConfig
from molmp.tables.folds import make_folds
from molmp.tables.splits import Split
from molmp.training import tuning
from molmp.training.config import TrainConfig
from molmp.training.loop import Epoch, Step
from molmp.training.problem import Problem
from molmp.training.run import MemberDone
from molmp.training.space import SPACE, OneOf
from molmp.training.study import Trial, Tuned
from molmp.training.targets import Target, Targets
from molmp.training.tuning import TrialEpoch, tune

SMILES = ["C" * n + end for n in range(1, 8) for end in ("", "O", "N")]
CONFIG = TrainConfig(epochs=4)


def problem(smiles: list[str] = SMILES) -> Problem:
    rows = np.arange(len(smiles))
    folds = make_folds("random", smiles, 3, rows=rows[3:], test=rows[:3])
    return Problem(
        featurized=featurize(smiles), options=GraphOptions(),
        targets=Targets("regression", (Target(name="carbons"),)),
        labels=np.array([[float(s.count("C"))] for s in smiles]), weights=None,
        split=Split(rows[3:], rows[3:], rows[:3]), folds=tuple(folds),
    )  # fmt: skip


class Trainer:
    """Stands in for training: the score of fold ``k`` in epoch ``e`` is ``goodness(config) + k / 10 + 1 / e``."""

    def __init__(self, goodness: Callable[[TrainConfig], float]) -> None:
        self.goodness = goodness
        self.epochs: list[int] = []
        self.configs: list[TrainConfig] = []

    def __call__(self, problem: Problem, network: ModelConfig, config: TrainConfig, **where: Any) -> Iterator[Any]:
        self.configs.append(config)
        self.epochs.append(0)
        for epoch in range(1, config.epochs + 1):
            self.epochs[-1] = epoch
            yield Step(epoch, 8)
            for fold in range(3):
                score = self.goodness(config) + fold / 10 + 1 / epoch
                yield Epoch(fold, epoch, 1.0, 1.0, score, score, True, config.lr, 1.0, 1.0)
        yield MemberDone(0, config.epochs, config.epochs, 0.0, 1.0)
        raise AssertionError("the search asks for nothing behind this")


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[TrainConfig], float]], Trainer]:
    pytest.importorskip("optuna")

    def make(goodness: Callable[[TrainConfig], float]) -> Trainer:
        fake = Trainer(goodness)
        monkeypatch.setattr(tuning, "train", fake)
        return fake

    return make


def finish(folder: Path, **options: Any) -> tuple[list[Trial], Tuned]:
    *records, last = tune(problem(), folder, config=CONFIG, **options)
    assert isinstance(last, Tuned)
    return [record for record in records if isinstance(record, Trial)], last


def best_at(lr: float) -> Callable[[TrainConfig], float]:
    return lambda config: 1.0 + abs(np.log(config.lr / lr))


def test_the_default_is_tried_first_and_beaten(trainer: Callable, tmp_path: Path) -> None:
    fake = trainer(best_at(5e-3))
    trials, tuned = finish(tmp_path, trials=12)
    assert trials[0].options["lr"] == CONFIG.lr == fake.configs[0].lr
    assert trials[0].state == "finished"
    assert tuned.is_beaten
    assert tuned.best.score == min(t.score for t in trials if t.state == "finished")
    assert tuned.best.score < tuned.default.score == pytest.approx(best_at(5e-3)(CONFIG) + 0.1 + 1 / 4)
    assert str(tuned).startswith("the default was beaten in 12 trials (")
    assert "better in 3 of 3 folds" in str(tuned)


def test_a_default_that_is_not_beaten_is_said_so(trainer: Callable, tmp_path: Path) -> None:
    trainer(best_at(CONFIG.lr))
    _, tuned = finish(tmp_path, trials=5)
    assert not tuned.is_beaten
    assert tuned.best == tuned.default
    assert str(tuned).startswith("the default was not beaten in 5 trials")


def test_equal_is_not_better(trainer: Callable, tmp_path: Path) -> None:
    trainer(lambda config: 1.0)
    assert not finish(tmp_path, trials=3)[1].is_beaten


def test_what_may_be_chance_is_said_so() -> None:
    first = Trial(0, {}, "finished", [1.0, 2.0, 3.0], 1.0)
    second = Trial(1, {"lr": 0.1}, "finished", [1.4, 1.7, 2.8], 1.0)
    text = str(Tuned("rmse", True, first, second, [first, second]))
    assert "better in 2 of 3 folds, by 0.0333 +- 0.2186; it may be chance" in text


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_hopeless_trials_are_stopped_early(trainer: Callable, tmp_path: Path, pruner: str) -> None:
    fake = trainer(lambda config: 0.0 if config.lr == CONFIG.lr or len(fake.configs) < 5 else 10.0 + len(fake.configs))
    trials, tuned = finish(tmp_path, trials=16, pruner=pruner)
    assert any(trial.state == "pruned" for trial in trials)
    assert min(fake.epochs) < CONFIG.epochs
    assert fake.epochs[0] == CONFIG.epochs, "the default is tried to the end"
    assert tuned.best.state == "finished"


def test_a_study_goes_on_where_it_was(trainer: Callable, tmp_path: Path) -> None:
    trainer(best_at(5e-3))
    first, _ = finish(tmp_path, trials=3)
    again, tuned = finish(tmp_path, trials=5)
    assert [t.number for t in first + again] == [0, 1, 2, 3, 4]
    assert len({t.options["lr"] for t in first + again}) == 5, "nothing is tried again"
    assert len(tuned.trials) == 5
    assert finish(tmp_path, trials=5)[0] == []


def test_an_interrupted_study_can_be_resumed(trainer: Callable, tmp_path: Path) -> None:
    def interrupted(config: TrainConfig) -> float:
        if len(fake.configs) in (1, 4):
            raise KeyboardInterrupt
        return 1.0

    fake = trainer(interrupted)
    with pytest.raises(KeyboardInterrupt):
        finish(tmp_path, trials=4)
    with pytest.raises(KeyboardInterrupt):
        finish(tmp_path, trials=4)
    _, tuned = finish(tmp_path, trials=4)
    assert fake.configs[1].lr == CONFIG.lr, "the default is tried again"
    states = [trial.state for trial in tuned.trials]
    assert states.count("stopped") == 2
    assert states.count("finished") == 4
    assert all(trial.note == "interrupted" for trial in tuned.trials if trial.state == "stopped")


def test_a_killed_process_leaves_a_study_that_goes_on(trainer: Callable, tmp_path: Path) -> None:
    import optuna

    trainer(lambda config: 1.0)
    finish(tmp_path, trials=1)
    study = optuna.load_study(study_name="molmp", storage=f"sqlite:///{tmp_path / 'study.db'}")
    study.ask()  # and never heard of again
    _, tuned = finish(tmp_path, trials=2)
    assert [trial.state for trial in tuned.trials] == ["finished", "stopped", "finished"]


def test_a_trial_that_fails_ends_only_itself(trainer: Callable, tmp_path: Path) -> None:
    def fails(config: TrainConfig) -> float:
        if len(fake.configs) == 2:
            raise DataError("training diverged")
        return 1.0

    fake = trainer(fails)
    _, tuned = finish(tmp_path, trials=3)
    assert [(t.state, t.note) for t in tuned.trials][1] == ("failed", "training diverged")
    fake = trainer(lambda config: fails(replace(config)) if len(fake.configs) > 1 else float("nan"))
    with pytest.raises(DataError, match="rmse is undefined on the validation molecules"):
        finish(tmp_path / "other", trials=3)


def test_time_is_a_budget_too(trainer: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 45))
    monkeypatch.setattr(tuning, "monotonic", lambda: float(next(clock)))
    fake = trainer(lambda config: 1.0)
    _, tuned = finish(tmp_path, minutes=2)
    assert fake.epochs[0] == CONFIG.epochs
    assert fake.epochs[-1] < CONFIG.epochs
    assert tuned.trials[-1].note == "the time was over"
    assert tuned.trials[-1].state == "stopped"
    assert str(tuned).startswith("nothing but the default was tried to its end, in 2 trials (1 finished, 1 stopped)")


def test_fixed_options_stay(trainer: Callable, tmp_path: Path) -> None:
    fake = trainer(lambda config: 1.0)
    finish(tmp_path, trials=4, search=("dropout",))
    assert {config.lr for config in fake.configs} == {CONFIG.lr}


def test_another_search_in_the_same_folder(trainer: Callable, tmp_path: Path) -> None:
    trainer(lambda config: 1.0)
    finish(tmp_path, trials=1)
    with pytest.raises(ConfigError, match="holds a search with other searched options"):
        finish(tmp_path, trials=1, search=("lr",))
    with pytest.raises(ConfigError, match="holds a search with other epochs"):
        list(tune(problem(), tmp_path, config=replace(CONFIG, epochs=7), trials=1))
    with pytest.raises(ConfigError, match="holds a search with other data"):
        list(tune(problem([*SMILES, "CCCF"]), tmp_path, config=CONFIG, trials=1))


def test_a_file_that_is_no_study(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    (tmp_path / "study.db").write_text("a diary, rather, and much longer than a header of a database would be\n" * 9)
    with pytest.raises(FileFormatError, match=r"study\.db is no study"):
        list(tune(problem(), tmp_path, trials=1))


def test_without_optuna(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"molmp tune needs optuna: pip install 'molmp\[hpo\]'"):
        list(tune(problem(), tmp_path, trials=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": 0}, "trials must be at least 1, got 0"),
        ({"minutes": 0.0}, "minutes must be above 0, got 0"),
        ({"minutes": float("nan")}, "minutes must be above 0, got nan"),
        ({"search": ("speed",)}, "no search over 'speed'; there are hidden"),
        ({"search": ()}, "every option is fixed"),
        ({"pruner": "shears"}, "no pruner 'shears'; there are median, hyperband"),
    ],
)
def test_senseless_searches(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        list(tune(problem(), tmp_path / "search", **options))
    assert not (tmp_path / "search").exists()


def test_every_option_of_the_space_makes_a_config() -> None:
    for name, part in SPACE.items():
        values = part.values if isinstance(part, OneOf) else (part.low, part.high)
        for value in values:
            kind = ModelConfig if name in ModelConfig.__dataclass_fields__ else TrainConfig
            assert getattr(kind(**{name: value}), name) == value


def test_from_the_command_line(molmp: Callable, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    table, search = tmp_path / "table.csv", tmp_path / "search"
    table.write_text("smiles,carbons\n" + "".join(f"{s},{s.count('C')}\n" for s in SMILES))
    fixed = ["--epochs", "2", "--steps", "2", "--no-cache", "--device", "cpu"]
    result = molmp("tune", table, "-o", search, "--trials", "2", *fixed)
    assert result.exit_code == 0, result.output
    assert "the default was" in result.output
    assert "trial 1: finished" in result.output
    best = tomllib.loads((search / "best.toml").read_text())
    assert (best["epochs"], best["steps"]) == (2, 2)
    assert {"hidden", "lr", "readout", "dropout", "batch-size"} <= set(best), "two steps have no pretrained encoder"
    trained = molmp("train", table, "-o", tmp_path / "run", "--config", search / "best.toml")
    assert trained.exit_code == 0, trained.output
    again = molmp("tune", table, "-o", search, "--trials", "2", *fixed)
    assert again.exit_code == 0, again.output
    assert "trial 1:" not in again.output.split("the default was")[0]


def test_pretrained_encoders_keep_their_make(molmp: Callable, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    table, search = tmp_path / "table.csv", tmp_path / "search"
    table.write_text("smiles,carbons\n" + "".join(f"{s},{s.count('C')}\n" for s in SMILES))
    fixed = ["--epochs", "1", "--lr", "0.001", "--no-cache", "--device", "cpu", "--trials", "2"]
    result = molmp("tune", table, "-o", search, *fixed)
    assert result.exit_code == 0, result.output
    best = tomllib.loads((search / "best.toml").read_text())
    assert set(best) == {"epochs", "lr", "no-cache", "device", "dropout", "batch-size", "freeze"}
    trained = molmp("train", table, "-o", tmp_path / "run", "--config", search / "best.toml")
    assert trained.exit_code == 0, trained.output
    anew = molmp("tune", table, "-o", tmp_path / "anew", "--no-pretrained", *fixed)
    assert anew.exit_code == 0, anew.output
    assert {"hidden", "steps", "readout"} < set(tomllib.loads((tmp_path / "anew" / "best.toml").read_text()))


def test_an_epoch_is_told_of_all_folds(trainer: Callable, tmp_path: Path) -> None:
    trainer(lambda config: 1.0)
    epochs = [record for record in tune(problem(), tmp_path, config=CONFIG, trials=1) if isinstance(record, TrialEpoch)]
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3, 4]
    assert epochs[1].score == pytest.approx(1.0 + 0.1 + 0.5)
