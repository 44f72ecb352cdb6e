"""Optuna's study of a search, in a file: what was tried, how it went, and what to try next."""

import importlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from molmp.errors import ConfigError, FileFormatError, MissingExtraError
from molmp.training.problem import Problem
from molmp.training.space import OneOf, Range
from molmp.training.state import digest

__all__ = ["PRUNERS", "Study", "Trial", "Tuned"]

PRUNERS = ("median", "hyperband")

FILE = "study.db"

STATES = ("finished", "pruned", "stopped", "failed")

INTERRUPTED, OVER = "interrupted", "the time was over"


class Trial(NamedTuple):
    """One set of options was tried."""

    number: int
    options: dict[str, Any]
    state: str
    """``finished``, ``pruned``, ``stopped`` by the end of the time or an interruption, or ``failed``."""
    scores: list[float]
    """The main metric on the validation molecules of each fold, where it is defined."""
    seconds: float
    note: str = ""
    """Why it failed."""

    @property
    def score(self) -> float:
        """Mean over the folds."""
        return float(np.mean(self.scores))


class Tuned(NamedTuple):
    """The end of a search."""

    metric: str
    minimize: bool
    default: Trial
    best: Trial
    """The default itself where nothing was better."""
    trials: list[Trial]

    @property
    def is_beaten(self) -> bool:
        """Whether something was better than the default."""
        return self.best.number != self.default.number

    def __str__(self) -> str:
        counts = {state: sum(t.state == state for t in self.trials) for state in STATES}
        tried = f"{len(self.trials)} trials ({', '.join(f'{n} {state}' for state, n in counts.items() if n)})"
        default = f"{self.metric} {self.default.score:.4f} over {len(self.default.scores)} folds"
        if counts["finished"] + counts["pruned"] == 1:
            return f"nothing but the default was tried to its end, in {tried}: validation {default}"
        if not self.is_beaten:
            return f"the default was not beaten in {tried}: validation {default}"
        options = ", ".join(f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
                            for name, value in self.best.options.items())  # fmt: skip
        return (
            f"the default was beaten in {tried}: validation {self.metric} {self.best.score:.4f} against {default}\n"
            f"trial {self.best.number}: {options}\n{self._doubt()}"
        )

    def _doubt(self) -> str:
        gains = np.subtract(self.default.scores, self.best.scores) * (1 if self.minimize else -1)
        if len(gains) < 2:
            return "one fold tells little: it may be chance"
        error = float(gains.std(ddof=1) / np.sqrt(len(gains)))
        better = f"better in {(gains > 0).sum()} of {len(gains)} folds, by {gains.mean():.4f} +- {error:.4f}"
        chance = "; it may be chance" if gains.mean() < 2 * error else ""
        return f"{better}{chance}. The best of many trials looks better than it is; the test tells"


class Study:
    """The trials in a folder; see :meth:`open`."""

    def __init__(self, optuna: Any, study: Any, minimize: bool) -> None:
        self._optuna, self._study, self.minimize = optuna, study, minimize

    @classmethod
    def open(
        cls, folder: str | Path, problem: Problem, options: Mapping[str, Any], search: Sequence[str], *, minimize: bool
    ) -> Self:
        """Make a study, or go on with the one that is in ``folder``; trials that were interrupted count as failed."""
        optuna = _import_optuna()
        path = Path(folder) / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Its own words and warnings would tear the progress bar.
            optuna.logging.set_verbosity(optuna.logging.ERROR)
            study = optuna.create_study(
                storage=f"sqlite:///{path.resolve()}", study_name="molmp", load_if_exists=True,
                direction="minimize" if minimize else "maximize",
            )  # fmt: skip
        except importlib.import_module("sqlalchemy.exc").DatabaseError as error:
            raise FileFormatError(f"{path} is no study: {error.orig or error!s}") from None
        of = {"data": digest(problem), "searched options": ", ".join(search)}
        of |= {name: json.dumps(value) for name, value in options.items() if name not in search}
        there = study.user_attrs.get("of", of)
        if other := [name for name in [*of, *there] if of.get(name) != there.get(name)]:
            raise ConfigError(f"{folder} holds a search with other {other[0].replace('_', '-')}; take another folder")
        study.set_user_attr("of", of)
        for trial in study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        # Drawn anew after an interruption: the same numbers again would try the same options again.
        study.sampler = optuna.samplers.TPESampler(seed=int(options["seed"]) + len(study.trials))
        return cls(optuna, study, minimize)

    def prune(self, pruner: str, epochs: int) -> None:
        """Say how trials without hope are found: one of :data:`PRUNERS`."""
        pruners = self._optuna.pruners
        if pruner == "median":
            self._study.pruner = pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=epochs // 5)
        else:
            self._study.pruner = pruners.HyperbandPruner(min_resource=max(1, epochs // 9), max_resource=epochs)

    @property
    def num_finished(self) -> int:
        """Trials that came to an end, pruned ones included."""
        states = self._optuna.trial.TrialState
        return len(self._study.get_trials(deepcopy=False, states=[states.COMPLETE, states.PRUNED]))

    def needs_default(self, default: Mapping[str, Any]) -> bool:
        """Whether the default was not tried to the end; then it is the next trial."""
        trials = self._study.get_trials(deepcopy=False)
        states = self._optuna.trial.TrialState
        if any(_is_default(trial) and trial.state == states.COMPLETE for trial in trials):
            return False
        if not any(trial.state == states.WAITING for trial in trials):
            self._study.enqueue_trial(dict(default), user_attrs={"default": True})
        return True

    @contextmanager
    def trial(self, space: Mapping[str, OneOf | Range]) -> Iterator["Asked"]:
        """Draw options and let them be tried in the block; a trial whose block is left in any other way has failed."""
        asked = Asked(self._optuna, self._study, space)
        try:
            yield asked
        finally:
            if not asked.is_told:
                asked.fail(INTERRUPTED)

    def tuned(self, metric: str, default: Mapping[str, Any]) -> Tuned:
        """What was found, over all sessions."""
        trials = self._study.get_trials(deepcopy=False)
        records = [_record(trial) for trial in trials]
        first = next(_record(t) for t in trials if _is_default(t) and t.state.name == "COMPLETE")
        finished = [record for record in records if record.state == "finished"]
        sign = 1 if self.minimize else -1
        best = min(finished, key=lambda record: (sign * record.score, record.number != first.number))
        return Tuned(metric, self.minimize, first, best, records)


class Asked:
    """Options that are being tried."""

    def __init__(self, optuna: Any, study: Any, space: Mapping[str, OneOf | Range]) -> None:
        self._states, self._study, self._trial = optuna.trial.TrialState, study, study.ask()
        self.options = {name: _suggest(self._trial, name, part) for name, part in space.items()}
        self.number: int = self._trial.number
        self.is_default = _is_default(self._trial)
        self.is_told = False
        self._started = time.perf_counter()

    def is_hopeless(self, epoch: int, score: float) -> bool:
        """Note a score, and tell whether the pruner gives it up."""
        self._trial.report(score, epoch)
        return bool(self._trial.should_prune())

    def finish(self, scores: Sequence[float]) -> None:
        """The trial came to its end."""
        self._tell(self._states.COMPLETE, scores, "")

    def prune(self, scores: Sequence[float]) -> None:
        """The trial is given up."""
        self._tell(self._states.PRUNED, scores, "")

    def stop(self) -> None:
        """There is no time to end the trial."""
        self.fail(OVER)

    def fail(self, note: str) -> None:
        """The trial tells nothing."""
        self._tell(self._states.FAIL, [], note)

    def record(self) -> Trial:
        """What became of it."""
        return _record(self._study.get_trials(deepcopy=False)[self.number])

    def _tell(self, state: Any, scores: Sequence[float], note: str) -> None:
        seconds = time.perf_counter() - self._started
        self._trial.set_user_attr("scores", list(scores))
        self._trial.set_user_attr("note", note)
        self._trial.set_user_attr("seconds", seconds)
        value = float(np.mean(scores)) if state == self._states.COMPLETE else None
        self._study.tell(self._trial, value, state=state)
        self.is_told = True


def _suggest(trial: Any, name: str, space: OneOf | Range) -> Any:
    if isinstance(space, OneOf):
        return trial.suggest_categorical(name, space.values)
    suggest = trial.suggest_int if isinstance(space.low, int) else trial.suggest_float
    return suggest(name, space.low, space.high, log=space.log)


def _is_default(trial: Any) -> bool:
    return bool(trial.user_attrs.get("default"))


def _record(trial: Any) -> Trial:
    told = trial.user_attrs
    failed = "stopped" if told.get("note", INTERRUPTED) in (INTERRUPTED, OVER) else "failed"
    state = {"COMPLETE": "finished", "PRUNED": "pruned"}.get(trial.state.name, failed)
    return Trial(
        trial.number, dict(trial.params), state, told.get("scores", []), told.get("seconds", 0.0),
        told.get("note", INTERRUPTED),
    )  # fmt: skip


def _import_optuna() -> Any:
    try:
        return importlib.import_module("optuna")
    except ImportError:
        raise MissingExtraError("optuna", "hpo", "molmp tune") from None
