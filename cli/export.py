"""`molmp export`: a trained model for other programs."""

from pathlib import Path

import click


@click.command()
@click.argument("model", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--format", "kind", type=click.Choice(["onnx"]), default="onnx", help="Kind of file.")
@click.option("-o", "--output", required=True, metavar="FILE", type=click.Path(path_type=Path), help="File to write.")
def export(model: Path, kind: str, output: Path) -> None:
    """Write a trained model as an ONNX file, which runs without torch.

    The file holds all networks of the ensemble, and trees beside them, and gives their mean in real units, for any
    number of molecules. Its inputs are made from SMILES by molmp.onnx_inputs.
    """
    from molmp.inference.export import export_onnx
    from molmp.inference.model_file import load_bundle

    export_onnx(load_bundle(model), output)
    click.echo(f"model in {output}")
