"""`molmp explain`: what each atom and bond contributes to predictions."""

from pathlib import Path
from typing import Any

import click

from molmp.errors import ConfigError

from . import options


@click.command()
@click.argument("table", metavar="[IN]", required=False)
@click.option("-m", "--model", required=True, metavar="RUN", type=click.Path(path_type=Path), help="Trained model.")
@click.option("-o", "--output", required=True, metavar="FOLDER", type=click.Path(path_type=Path),
              help="Folder to write: index.html, contributions.csv, drawings.")  # fmt: skip
@click.option("--smiles", multiple=True, metavar="SMILES", help="A molecule, instead of IN; may be repeated.")
@options.smiles_column
@click.option("--target", metavar="NAME", help="What to explain.  [default: the first target]")
@click.option("--class", "of_class", metavar="NAME", help="Class whose probability is explained, of several classes.  "
              "[default: the last]")  # fmt: skip
@click.option("--method", type=click.Choice(["gradients", "occlusion"]), default="gradients",
              help="Integrated gradients, which add up, or taking out each atom and bond.")  # fmt: skip
@click.option("--substructure", "substructures", multiple=True, metavar="SMARTS|fragments",
              help="Take these out as a whole too; fragments: what BRICS cuts apart; may be repeated.")  # fmt: skip
@click.option("--format", "kind", type=click.Choice(["svg", "png"]), default="svg", help="Kind of drawings.")
@click.option("--most-drawings", type=click.IntRange(0), default=200, metavar="N", help="Molecules drawn, at most.")
@click.option("--force", is_flag=True, help="Replace FOLDER where it exists.")
@options.device
@options.workers
def explain(
    table: str | None, model: Path, output: Path, smiles: tuple[str, ...], smiles_column: str | None,
    target: str | None, of_class: str | None, device: str, force: bool, **settings: Any,
) -> None:  # fmt: skip
    """Show what each atom and bond contributes to predictions, and whether to believe it.

    Writes a page with drawings in colour, a table with all numbers, and a deletion curve: do predictions move as the
    explanations say when the atoms they point at are taken out?
    """
    if (table is None) == (not smiles):
        raise ConfigError("give either a file IN (- for standard input) or --smiles")

    from molmp.explain.folder import explain_table, write_explanations
    from molmp.inference.predictor import load
    from molmp.nn.process import set_threads
    from molmp.run_folder import new_folder

    set_threads()
    predictor = load(model, device)
    scorer = predictor.scorer(target, of_class)
    with new_folder(output, holds="index.html", replace=force, sources=[] if table is None else [table]) as folder:
        if table is None:
            outcome = write_explanations(scorer, predictor.bundle.options, iter(smiles), folder, **settings)
        else:
            outcome = explain_table(
                scorer, predictor.bundle.options, table, folder, smiles_column=smiles_column, tell=options.tell,
                **settings,
            )  # fmt: skip
    options.tell(f"{outcome}; open {output / 'index.html'}")
