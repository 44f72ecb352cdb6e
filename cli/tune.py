"""`molmp tune`: search for options with a better validation score, and write them as a file for `molmp train`."""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from molmp.nn.config import ModelConfig
from molmp.training.config import TrainConfig

from . import options
from .problem import fields_of, read_problem
from .train import train

__all__ = ["tune"]

NOT_HERE = {
    "output", "folds", "repeats", "rolling_test", "config", "resume", "force", "deterministic", "ensemble", "init_from",
    "freeze", "refit", "trees",
}  # fmt: skip
"""Options of `molmp train` that make no sense here, or another one."""

_OPTIONS = [
    click.Option(["-o", "--output"], required=True, metavar="FOLDER", type=click.Path(path_type=Path),
                 help="Folder of the search; one that is there is resumed."),
    click.Option(["--trials"], type=int, metavar="N", help="Stop after so many trials in all.  [default: 30]"),
    click.Option(["--minutes"], type=float, metavar="M", help="Stop after so many minutes from now."),
    click.Option(["--pruner"], type=click.Choice(["median", "hyperband"]), default="median", show_default=True,
                 help="How trials without hope are found and stopped."),
    click.Option(["--folds"], type=click.IntRange(min=2), metavar="K", default=3, show_default=True,
                 help="Each trial trains a network for each of K folds."),
    click.Option(["--config"], type=click.Path(path_type=Path), is_eager=True, callback=options.config_file,
                 expose_value=False, help="TOML file of these options: the default that is to be beaten."),
]  # fmt: skip


def tune_table(table: Path, output: Path, trials: int | None, minutes: float | None, pruner: str, **settings: Any
               ) -> None:  # fmt: skip
    """Search for options with a better validation score on the molecules of CSV.

    Searched are dropout, batch-size, lr and freeze, and with --no-pretrained, or a network that has no pretrained
    encoder, hidden, steps and readout in place of freeze; but nothing that is given here. The default is tried first.
    All options of a trial are judged on whole folds of the training and validation molecules; the test molecules take
    no part. FOLDER gets the study, which the same command resumes, and best.toml:

    molmp train CSV -o RUN --config FOLDER/best.toml
    """
    from molmp.nn.process import keep_memory, set_threads
    from molmp.training.tuning import searched, tune

    set_threads()
    keep_memory()
    ctx = click.get_current_context()
    given = {name for name in settings if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE}
    default = ModelConfig(**fields_of(ModelConfig, settings)), TrainConfig(**fields_of(TrainConfig, settings))
    problem, _ = read_problem(table, settings | {"repeats": 1, "rolling_test": False})
    found = _follow(
        tune(
            problem, output, *default, trials=trials, minutes=minutes, pruner=pruner, device=settings["device"],
            search=tuple(name for name in searched(problem.options, *default) if name not in given),
        ),
        trials,
    )  # fmt: skip
    written = {p.name: settings[p.name] for p in _train_options() if settings[p.name] != p.get_default(ctx, call=True)}
    (output / "best.toml").write_text(options.render_config(written | dict(found.best.options)))
    click.echo(str(found))
    click.echo(f"molmp train {table} -o RUN --config {output / 'best.toml'}")


def _follow(records: Iterable[Any], trials: int | None) -> Any:
    """Show a bar over the trials and a line for each on stderr; return the last record."""
    from tqdm import tqdm

    from molmp.training.study import Trial
    from molmp.training.tuning import TrialEpoch

    record = None
    with tqdm(total=trials, unit="trial", disable=None, file=sys.stderr, leave=False) as bar:
        for record in records:
            if isinstance(record, TrialEpoch):
                bar.set_postfix(trial=record.trial, epoch=record.epoch, score=f"{record.score:.4f}")
            elif isinstance(record, Trial):
                bar.update()
                bar.clear()
                click.echo(_line(record), err=True)
    return record


def _line(trial: Any) -> str:
    result = f"{trial.score:.4f}" if trial.scores else trial.note
    return f"trial {trial.number}: {trial.state}, {result}, {trial.seconds:.0f} s: {_words(trial.options)}"


def _words(chosen: Mapping[str, Any]) -> str:
    return " ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in chosen.items())


def _train_options() -> list[click.Option]:
    return [p for p in train.params if isinstance(p, click.Option) and p.name not in NOT_HERE]


tune = click.Command(
    "tune",
    params=[*(p for p in train.params if isinstance(p, click.Argument)), *_OPTIONS, *_train_options()],
    callback=tune_table,
    help=tune_table.__doc__,
)
