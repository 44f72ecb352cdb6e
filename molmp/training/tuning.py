"""A search for better options: trial after trial, each over whole folds, in a study that can be resumed.

The study is Optuna's (T. Akiba, S. Sano, T. Yanase, T. Ohta and M. Koyama, Optuna: A next-generation hyperparameter
optimization framework, 2019, doi 10.1145/3292500.3330701) with its tree-structured Parzen estimator. Molecules are
featurized once for all trials, and all folds of a trial are trained in one pass. Test rows take no part.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import numpy as np

from molmp.chem.options import GraphOptions
from molmp.errors import ConfigError, DataError, DeviceError, listed
from molmp.nn.config import ModelConfig
from molmp.training.config import TrainConfig
from molmp.training.loop import Epoch, Step
from molmp.training.metrics import LOWER_IS_BETTER, MAIN_METRIC
from molmp.training.pretrained import own_start
from molmp.training.problem import Problem
from molmp.training.run import train
from molmp.training.space import SPACE, with_default
from molmp.training.start import of_the_encoder
from molmp.training.study import PRUNERS, Study, Trial, Tuned

__all__ = ["TrialEpoch", "searched", "tune"]


class TrialEpoch(NamedTuple):
    """All folds of a trial have seen their molecules once more."""

    trial: int
    epoch: int
    score: float
    """Mean over the folds of the main metric in the epochs they keep so far."""


def searched(options: GraphOptions, network: ModelConfig, config: TrainConfig) -> tuple[str, ...]:
    """Names of :data:`~molmp.training.space.SPACE` that are worth a search where this is the default.

    Networks whose encoders have learned before keep their make: those of another would begin with random weights.

    >>> searched(GraphOptions(), ModelConfig(), TrainConfig())
    ('dropout', 'batch_size', 'lr', 'freeze')
    >>> searched(GraphOptions(), ModelConfig(), TrainConfig(pretrained=False))
    ('hidden', 'steps', 'readout', 'dropout', 'batch_size', 'lr')
    """
    have_learned = config.pretrained and own_start(options, network) is not None
    senseless = of_the_encoder(network) if have_learned else ("freeze",)
    return tuple(name for name in SPACE if name not in senseless)


def tune(
    problem: Problem, folder: str | Path, network: ModelConfig | None = None, config: TrainConfig | None = None, *,
    trials: int | None = None, minutes: float | None = None, search: tuple[str, ...] | None = None,
    pruner: str = "median", device: str = "auto",
) -> Iterator[TrialEpoch | Trial | Tuned]:  # fmt: skip
    """Search for options with a better validation score. Yields each epoch, each trial, and last a :class:`Tuned`.

    Parameters
    ----------
    problem
        With folds, or else with one validation part.
    folder
        Of ``study.db``. A study that is there is resumed.
    network, config
        The default, which is trial 0; what is not searched stays as it is there.
    trials, minutes
        When to stop: after so many trials in all, after so many minutes from now; 30 trials where neither is given.
        The default is tried in any case. A trial that the end of the time interrupts does not count.
    search
        Names of :data:`~molmp.training.space.SPACE`; None: those that :func:`searched` gives.
    pruner
        ``median`` stops trials that are worse than the median of others at that epoch, ``hyperband`` by successive
        halving.

    Raises
    ------
    MissingExtraError
        Optuna is not installed.
    ConfigError
        Options that make no sense, or ``folder`` holds a study of other data or options.
    FileFormatError
        ``folder`` holds a file that is no study.
    DataError
        There is nothing to learn from, or the main metric is undefined in every fold.
    """
    network = network or ModelConfig()
    config = replace(config or TrainConfig(), refit=False).settled(problem.num_training)
    search = searched(problem.options, network, config) if search is None else search
    _check(trials, minutes, search, pruner)
    trials = 30 if trials is None and minutes is None else trials
    deadline = math.inf if minutes is None else monotonic() + 60 * minutes
    metric = MAIN_METRIC[problem.targets.task]
    default = {name: value for name, value in _plain(network, config).items() if name in search}
    study = Study.open(folder, problem, _plain(network, config), search, minimize=metric in LOWER_IS_BETTER)
    study.prune(pruner, config.num_epochs)
    space = {name: with_default(SPACE[name], default[name]) for name in search}
    while study.needs_default(default) or (monotonic() < deadline and (trials is None or study.num_finished < trials)):
        with study.trial(space) as trial:
            try:
                chosen = _with(network, trial.options), _with(config, trial.options)
                for epoch in _epochs(problem, *chosen, device):
                    mean = float(np.mean(epoch.scores))
                    yield TrialEpoch(trial.number, epoch.number, mean)
                    if trial.is_default:
                        continue
                    if trial.is_hopeless(epoch.number, mean):
                        trial.prune(epoch.scores)
                        break
                    if monotonic() > deadline:
                        trial.stop()
                        break
                else:
                    trial.finish(epoch.scores)
            except (ConfigError, DataError, DeviceError) as error:
                trial.fail(str(error))
                if trial.is_default:  # what stops the default stops all
                    raise
        yield trial.record()
    yield study.tuned(metric, default)


class _Scores(NamedTuple):
    number: int
    """Of the epoch, from 1."""
    scores: list[float]
    """Of each fold in the epoch it keeps so far, where the metric is defined."""


def _epochs(problem: Problem, network: ModelConfig, config: TrainConfig, device: str) -> Iterator[_Scores]:
    """Train, and tell the score of each fold after each epoch."""
    best: dict[int, float] = {}
    epoch = 0
    for record in train(problem, network, config, device=device):
        if isinstance(record, Epoch):
            epoch = record.epoch
            if record.best:
                best[record.member] = record.val_score
        elif epoch and (not isinstance(record, Step) or record.epoch > epoch):
            defined = [score for score in best.values() if not math.isnan(score)]
            if not defined:
                metric = MAIN_METRIC[problem.targets.task]
                raise DataError(f"{metric} is undefined on the validation molecules; there is nothing to compare")
            yield _Scores(epoch, defined)
            epoch = 0
            if not isinstance(record, Step):  # the networks are trained; what they predict is not asked here
                return


def _plain(network: ModelConfig, config: TrainConfig) -> dict[str, Any]:
    return {**network.to_dict(), **config.to_dict()}


def _with(config: Any, options: Mapping[str, Any]) -> Any:
    names = {field.name for field in fields(config)}
    return replace(config, **{name: value for name, value in options.items() if name in names})


def _check(trials: int | None, minutes: float | None, search: tuple[str, ...], pruner: str) -> None:
    if trials is not None and trials < 1:
        raise ConfigError(f"the number of trials must be at least 1, got {trials}")
    if minutes is not None and not minutes > 0:
        raise ConfigError(f"the number of minutes must be above 0, got {minutes:g}")
    if unknown := [name for name in search if name not in SPACE]:
        raise ConfigError(f"no search over {unknown[0]!r}; there are {listed(SPACE)}")
    if not search:
        raise ConfigError(f"every option is fixed, nothing is left to search; there are {listed(SPACE)}")
    if pruner not in PRUNERS:
        raise ConfigError(f"no pruner {pruner!r}; there are {listed(PRUNERS)}")
