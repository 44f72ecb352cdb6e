"""`molmp predict`: stream a table through a model."""

from pathlib import Path

import click

from molmp.errors import ConfigError

from . import options


@click.command()
@click.argument("table", metavar="[IN]", required=False)
@click.option("-m", "--model", required=True, metavar="RUN", type=click.Path(path_type=Path), help="Trained model.")
@click.option(
    "-o", "--output", default="-", metavar="OUT", help="File to write: .csv, .tsv, .parquet, .csv.gz; -: stdout."
)
@click.option("--smiles", multiple=True, metavar="SMILES", help="A molecule, instead of IN; may be repeated.")
@options.smiles_column
@options.on_error
@options.device
@options.workers
def predict(
    table: str | None, model: Path, output: str, smiles: tuple[str, ...], smiles_column: str | None,
    on_error: str, device: str, n_jobs: int,
) -> None:  # fmt: skip
    """Predict properties of the molecules in a file.

    IN may be CSV, TSV, SMI, SDF or Parquet, compressed or not; - reads standard input. Every row comes out once and
    in its place: the columns of IN as they were, predictions in real units as TARGET_pred, and the reason why a row
    has none as error.
    """
    if (table is None) == (not smiles):
        raise ConfigError("give either a file IN (- for standard input) or --smiles")

    from molmp.inference.predictor import load
    from molmp.inference.tables import predict_smiles, predict_table

    predictor = load(model, device)
    if table is None:
        outcome = predict_smiles(predictor, smiles, output, on_error=on_error)
    else:
        outcome = predict_table(
            predictor,
            table,
            output,
            smiles_column=smiles_column,
            on_error=on_error,
            n_jobs=n_jobs,
            progress=True,
            tell=options.tell,
        )
    options.tell(str(outcome))
