"""`molmp predict`: stream a table, or a folder of tables, through a model."""

from pathlib import Path
from typing import Any

import click

from molmp.errors import ConfigError
from molmp.tables.shard import Shard

from . import options
from .engine import engine_options, ray_settings


@click.command()
@click.argument("table", metavar="[IN]", required=False)
@click.option("-m", "--model", required=True, metavar="RUN", type=click.Path(path_type=Path), help="Trained model.")
@click.option(
    "-o", "--output", default="-", metavar="OUT", help="File to write: .csv, .tsv, .parquet, .csv.gz; -: stdout."
)
@click.option("--smiles", multiple=True, metavar="SMILES", help="A molecule, instead of IN; may be repeated.")
@options.smiles_column
@options.dialect
@click.option(
    "--columns",
    multiple=True,
    metavar="NAMES",
    callback=options.names,
    help="Columns of IN to write, separated by commas.  [default: all]",
)
@click.option(
    "--coverage",
    type=float,
    default=0.9,
    metavar="SHARE",
    help="Share of molecules whose interval, or set of classes, holds the truth.",
)
@click.option("--no-trust", is_flag=True, help="Write predictions alone.")
@click.option("--shard", metavar="I/N", help="Predict every N-th row from the I-th on; of a folder, every N-th file.")
@click.option("--resume", is_flag=True, help="Go on where an earlier run for OUT was stopped.")
@options.on_error
@options.device
@options.workers
@engine_options
def predict(
    table: str | None, model: Path, output: str, smiles: tuple[str, ...], smiles_column: str | None,
    delimiter: str | None, header: bool | None, columns: tuple[str, ...], coverage: float,
    no_trust: bool, shard: str | None, resume: bool, on_error: str, device: str, n_jobs: int, **engine: Any,
) -> None:  # fmt: skip
    """Predict properties of the molecules in a file.

    IN may be CSV, TSV, SMI, SDF or Parquet, compressed or not; - reads standard input. Every row comes out once and
    in its place: the columns of IN as they were, predictions in real units as TARGET_pred, and the reason why a row
    has none as error.

    Beside a prediction stands how far to believe it: an interval (TARGET_low, TARGET_high) or a calibrated probability
    (TARGET_calibrated) and the set of classes that it may be of (TARGET_set); in what the networks, and trees beside
    them, differ (TARGET_spread); the training molecule nearest to it and how similar that is; whether it is in the
    model's domain, and if not why. --no-trust writes none of it.

    IN may be a folder of such files; then OUT is a folder, which gets a file for each. Those that are there already
    are not predicted again.

    A run that was stopped, in whatever way, goes on with --resume: OUT becomes what it would have been.

    With --engine ray IN is a Parquet file or a folder of such, and OUT a folder; all workers must see both.
    """
    if (table is None) == (not smiles):
        raise ConfigError("give either a file IN (- for standard input) or --smiles")
    if table is None and (columns or shard or resume or engine["engine"] != "local"):
        raise ConfigError("--columns, --shard, --resume and --engine are for a file IN, not for --smiles")
    dialect: dict[str, Any] = {"delimiter": delimiter, "header": header}
    unfit = {f"--{name}": value is not None for name, value in dialect.items()}
    unfit |= {"--resume": resume, "--shard": shard is not None, "--device": device != "auto", "--n-jobs": n_jobs != 1}
    ray = ray_settings(engine, output, unfit)
    trust: dict[str, Any] = {"trust": not no_trust, "coverage": coverage}
    settings: dict[str, Any] = {"smiles_column": smiles_column, "columns": columns or None, "on_error": on_error}
    settings |= trust
    if ray is not None:
        _predict_with_ray(str(table), model, output, settings | ray)
        return
    settings |= dialect | {"shard": None if shard is None else Shard.parse(shard), "n_jobs": n_jobs, "resume": resume}
    if table is not None and Path(table).is_dir() and output == "-":
        raise ConfigError(f"{table} is a folder; name a folder for its predictions with -o")

    from molmp.inference.folders import predict_folder
    from molmp.inference.predictor import load
    from molmp.inference.tables import predict_smiles, predict_table
    from molmp.nn.process import keep_memory, set_threads

    set_threads()
    keep_memory()
    predictor = load(model, device)
    if table is None:
        options.tell(str(predict_smiles(predictor, smiles, output, on_error=on_error, tell=options.tell, **trust)))
    else:
        run = predict_folder if Path(table).is_dir() else predict_table
        options.tell(str(run(predictor, table, output, progress=True, tell=options.tell, **settings)))


def _predict_with_ray(table: str, model: Path, output: str, settings: dict[str, Any]) -> None:
    from molmp.inference.model_file import load_bundle
    from molmp.inference.ray_engine import predict_with_ray

    outcome = predict_with_ray(load_bundle(model), table, output, progress=True, tell=options.tell, **settings)
    options.tell(str(outcome))
