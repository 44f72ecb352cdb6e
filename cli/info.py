"""`molmp info`: what a trained model is."""

import json
from pathlib import Path

import click


@click.command()
@click.argument("model", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def info(model: Path, as_json: bool) -> None:
    """Print what a trained model is: task, targets and units, features, data, metrics, versions."""
    from molmp.inference.describe import describe, describe_in_words
    from molmp.inference.model_file import load_bundle

    bundle = load_bundle(model)
    click.echo(json.dumps(describe(bundle), indent=1) if as_json else describe_in_words(bundle))
