"""`molmp train`: read a table, fit a model, write a run folder."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from molmp.chem.featurize import GraphOptions
from molmp.chem.molecule_features import DEFAULT_FEATURES, FEATURES
from molmp.chem.smiles import STANDARDIZE
from molmp.nn.config import ModelConfig
from molmp.tables.labels import TASKS
from molmp.tables.splits import SIZES, SPLITS
from molmp.training.config import PRECISIONS, TrainConfig

from . import network, options
from .folds import check_folds, render_spread
from .objective import objective_options
from .problem import fields_of, read_problem, read_start
from .progress import follow


def _number(name: str, config: Any, help: str, **extra: Any) -> Any:
    return click.option(f"--{name.replace('_', '-')}", default=getattr(config, name), help=help, **extra)


@click.command()
@click.argument("table", metavar="CSV", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, metavar="RUN", type=click.Path(path_type=Path), help="Folder to write.")
@options.smiles_column
@options.dialect
@click.option(
    "--target-columns",
    multiple=True,
    metavar="NAMES",
    callback=options.names,
    help="What to predict, separated by commas.  [default: the other numeric columns]",
)
@click.option(
    "--unit",
    "units",
    multiple=True,
    metavar="TARGET=UNIT",
    callback=options.pairs,
    help="Unit of a target, kept with the model.",
)
@click.option("--task", type=click.Choice(TASKS), help="Kind of targets.  [default: told from the labels]")
@click.option("--on-error", type=click.Choice(["drop", "fail"]), default="drop",
              help="A row that cannot be used: leave it out, or stop.")  # fmt: skip
@click.option("--weight-column", metavar="NAME", help="Column with the weight of each row in the loss.")
@click.option("--split", type=click.Choice(SPLITS), default="random", help="How test molecules are chosen.")
@click.option("--time-column", metavar="NAME", help="Orders the rows of --split time.  [default: order of the file]")
@click.option("--split-column", metavar="NAME", help="Column that says train, val or test.")
@click.option("--splits-file", type=click.Path(path_type=Path), help="JSON with the rows of each part.")
@click.option("--split-sizes", nargs=3, type=float, default=SIZES, metavar="TRAIN VAL TEST", help="Share of each part.")
@click.option("--folds", type=click.IntRange(min=2), metavar="K", help="Cross-validate: a network for each of K folds.")
@click.option("--repeats", default=1, metavar="R", help="Deal the folds so often, each time otherwise.")
@click.option("--rolling-test", is_flag=True, help="Each fold is the test of one network.  [default: the split's test]")
@click.option("--explicit-hydrogens", is_flag=True, help="Hydrogens become atoms of the graph.")
@click.option(
    "--standardize",
    type=click.Choice(STANDARDIZE),
    default=GraphOptions.standardize,
    help="What is done to molecules before anything else, here and when predicting.",
)
@options.limits
@click.option(
    "--features",
    type=click.Choice(FEATURES),
    default=DEFAULT_FEATURES,
    help="What the network reads of a molecule beside its graph.",
)
@click.option(
    "--keep-molecules",
    type=click.Choice(("smiles", "rows", "none")),
    default="smiles",
    help="How the model remembers the training molecules that predictions are compared with.",
)
@network.options
@_number("dropout", ModelConfig, "Share of the head's units that are dropped in training.")
@click.option(
    "--epochs",
    type=int,
    metavar="N",
    help="Passes over the training molecules, at most.  [default: as many as make 800 steps, from 15 to 30]",
)
@_number("batch_size", TrainConfig, "Molecules of one step, over all processes.")
@_number("lr", TrainConfig, "Highest learning rate.")
@_number(
    "patience",
    TrainConfig,
    "Epochs without a better validation score before training stops, the best epoch kept; 0: never, the last kept.",
)
@click.option(
    "--refit/--no-refit",
    default=TrainConfig.refit,
    show_default=True,
    help="Networks of the model learn from validation molecules too, once others have told how good they are; not with "
    "--patience or --folds.",
)
@_number("ensemble", TrainConfig, "Networks to train; their mean is the prediction.")
@click.option(
    "--trees/--no-trees",
    default=TrainConfig.trees,
    show_default=True,
    help="Where targets are classes, boosted trees on --features give half of the answer.",
)
@click.option(
    "--pretrained/--no-pretrained",
    default=TrainConfig.pretrained,
    show_default=True,
    help="Networks of the default width and layers start from encoders that have learned descriptors, not from random "
    "weights; --init-from has others.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default=TrainConfig.precision,
    help="Factors of matrix products while training; tf32 needs a CUDA device.",
)
@_number("seed", TrainConfig, "Decides split, initial weights and batches.")
@objective_options
@options.device
@click.option("--deterministic", is_flag=True, help="The same bits each time on a GPU too, or refuse.")
@options.workers
@click.option(
    "--cache",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Where graphs are kept for the next run.  [default: the user's cache folder]",
)
@click.option("--no-cache", is_flag=True, help="Neither read nor keep graphs.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    is_eager=True,
    callback=options.config_file,
    expose_value=False,
    help="TOML file of these options, as a run's config.toml.",
)
@click.option("--resume", is_flag=True, help="Go on where the same command was stopped.")
@click.option("--force", is_flag=True, help="Replace RUN where it exists.")
def train(table: Path, output: Path, resume: bool, force: bool, **settings: Any) -> None:
    """Train a model on a CSV of molecules and write it into RUN.

    The table may be CSV, TSV, SMI, SDF or Parquet, compressed or not. RUN gets the model, metrics.json, history.csv,
    predictions.csv (the test molecules), unreadable.csv (rows that are not used), config.toml, plots, and
    report.html, a page about all that.

    A training that was stopped, in whatever way, goes on with --resume from its last checkpoint, which is some seconds
    old; the result is the same. Checkpoints stand in RUN.resume until RUN is done.

    torchrun --nproc-per-node N -m molmp_cli train ... trains in N processes, each on its own GPU or all on the CPU.
    """
    model = ModelConfig(**fields_of(ModelConfig, settings))
    config = TrainConfig(**fields_of(TrainConfig, settings))
    check_folds(settings)

    from molmp.inference.describe import recipe
    from molmp.nn.process import deterministic, keep_memory, set_threads
    from molmp.run_folder import is_finished, new_folder, write_report, write_run
    from molmp.training.baselines import compare, with_background
    from molmp.training.checkpoints import Checkpoints, checkpoint_folder
    from molmp.training.distributed import join
    from molmp.training.metrics import MAIN_METRIC
    from molmp.training.problem import unreadable_rows
    from molmp.training.run import train

    set_threads()
    keep_memory()
    if resume and is_finished(output, options.render_config(settings)):
        options.tell(f"{output} is finished; nothing is left to resume")
        return
    with join(settings["device"]) as ranks, ExitStack() as stack:
        checkpoints = stack.enter_context(
            Checkpoints(checkpoint_folder(output), resume=resume, is_writer=ranks.is_main, tell=options.tell)
        )
        sources = [table, *([settings["splits_file"]] if settings["splits_file"] else [])]
        made = new_folder(output, holds="model.json", replace=force, sources=sources)
        folder = stack.enter_context(made) if ranks.is_main else None
        problem, dataset = read_problem(table, settings)
        start = read_start(settings["init_from"], problem, model, config)
        metric = MAIN_METRIC[problem.targets.task]
        records = train(
            problem, model, config, device=settings["device"], ranks=ranks, checkpoints=checkpoints, start=start
        )
        with deterministic(settings["deterministic"]):
            learned = [problem.split.train, *([problem.split.val] if config.refits(len(problem.folds)) else [])]
            trained = follow(records, sum(map(len, learned)), config.settled(problem.num_training).num_epochs, metric)
        if folder is None:  # the main process writes what all have found
            return
        trained = with_background(trained, problem, dataset.smiles)
        reasons = unreadable_rows(dataset, problem.featurized)
        for note in write_run(folder, trained, dataset.smiles, dataset.targets, reasons, dataset.sides, dataset.lines):
            options.tell(note)
        (folder / "config.toml").write_text(options.render_config(settings))
        for note in write_report(folder, output.resolve().name, settings["device"]):
            options.tell(note)
        options.tell(f"recipe: {recipe(trained.bundle)}")
    _print_summary(output, trained.bundle.metrics, compare(trained.bundle.metrics, problem.targets.task))


def _print_summary(run: Path, metrics: Mapping[str, Any], comparisons: list[str]) -> None:
    test = metrics["test"].items()
    click.echo("test " + "  ".join(f"{k} {v:.4f}" if v is not None else f"{k} undefined" for k, v in test))
    for part, name in (("test", "test"), ("val", "validation")) if "spread" in metrics else ():
        click.echo(f"{name} over {len(metrics['folds'])} folds: {render_spread(metrics['spread'][part])}")
    for sentence in comparisons:
        click.echo(sentence)
    click.echo(f"model and results in {run}")
