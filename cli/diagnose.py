"""`molmp diagnose`: the limits of message passing, measured."""

from pathlib import Path
from typing import Any

import click

from molmp.errors import ConfigError
from molmp.nn.config import ModelConfig

from . import network, options


@click.command()
@click.argument("model", metavar="[RUN]", required=False, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, metavar="FOLDER", type=click.Path(path_type=Path), help="Folder to write."
)
@network.options
@click.option("--seed", default=0, help="Decides initial weights.")
@click.pass_context
def diagnose(ctx: click.Context, model: Path | None, output: Path, seed: int, **settings: Any) -> None:
    """Measure over-smoothing, over-squashing and expressiveness.

    With RUN those of a trained model and of its operator, else those of the operator and stack that the options name,
    with weights that have learned nothing. FOLDER gets diagnosis.json, smoothing.csv, squashing.csv,
    expressiveness.csv and the picture diagnosis.png.
    """
    given = [name for name in settings if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE]
    if model is not None and given:
        raise ConfigError(f"{model} knows what it is made of: --{given[0].replace('_', '-')} is not for it")
    config = ModelConfig(**settings)

    from molmp.diagnose.pictures import plot_diagnosis
    from molmp.diagnose.report import diagnose as measure
    from molmp.diagnose.report import diagnose_model, write_diagnosis
    from molmp.errors import MissingExtraError
    from molmp.inference.model_file import load_bundle

    found = measure(config, seed=seed) if model is None else diagnose_model(load_bundle(model), seed=seed)
    write_diagnosis(found, output)
    try:
        plot_diagnosis(found, output / "diagnosis.png")
    except MissingExtraError as error:
        options.tell(f"no plot: {error}")
    click.echo(f"numbers and plot in {output}")
