"""`molmp check`: audit a table before training."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from molmp.chem.options import LIMITS, GraphOptions
from molmp.chem.smiles import STANDARDIZE
from molmp.errors import ConfigError
from molmp.tables.labels import TASKS
from molmp.tables.splits import SIZES, SPLITS

from . import options

if TYPE_CHECKING:
    from molmp.audit.table import Audit


@click.command()
@click.argument("table", metavar="CSV")
@click.option(
    "-o", "--output", "outputs", multiple=True, metavar="FILE", type=click.Path(path_type=Path),
    help="Write the audit: .html to read, .json for programs; may be repeated.",
)  # fmt: skip
@click.option("--fix", metavar="FILE", type=click.Path(path_type=Path), help="Write the table without bad rows and "
              "repeats, and beside it what was done.")  # fmt: skip
@options.smiles_column
@options.dialect
@click.option("--target-columns", multiple=True, metavar="NAMES", callback=options.names,
              help="Labels to look at, separated by commas.  [default: the other numeric columns]")  # fmt: skip
@click.option("--task", type=click.Choice(TASKS), help="Kind of targets.  [default: told from the labels]")
@click.option("--split", type=click.Choice(SPLITS), help="Ask how independent the parts of this split are.")
@click.option("--split-column", metavar="NAME", help="The same of the split that this column holds.")
@click.option("--time-column", metavar="NAME", help="Orders the rows of --split time.  [default: order of the file]")
@click.option("--split-sizes", nargs=3, type=float, default=SIZES, metavar="TRAIN VAL TEST", help="Share of each part.")
@click.option("--seed", default=0, help="Decides the split.")
@click.option(
    "--standardize", type=click.Choice(STANDARDIZE), default="none", help="What is done to molecules before they are "
    "compared; --fix writes them so."
)  # fmt: skip
@options.limits
@options.workers
def check(
    table: str, outputs: tuple[Path, ...], fix: Path | None, target_columns: tuple[str, ...], **settings: Any
) -> None:
    """Look at a table of molecules before training on it.

    Prints what a model would suffer from: unreadable SMILES, salts and mixtures, repeated molecules (exact, salt form,
    stereo, tautomer) and how their labels differ, labels that are no labels or only bounds, skew, outliers, rare
    classes, activity cliffs, and molecules that a split puts in two parts.
    """
    for output in outputs:
        if output.suffix not in (".html", ".json"):
            raise ConfigError(f"{output}: the name does not say what to write; end it in .html or .json")

    from molmp.audit.findings import findings
    from molmp.audit.fix import changes_path, fix_table
    from molmp.audit.table import audit_table

    limits = GraphOptions(**{name: settings.pop(name) for name in LIMITS})
    audit = audit_table(table, target_columns=target_columns or None, limits=limits, tell=options.tell, **settings)
    for note in audit.notes:
        options.tell(note)
    for finding in findings(audit):
        click.echo(f"{finding.weight:<8} {finding.text}")
    for output in outputs:
        _write(audit, output)
    if fix is not None:
        changes = fix_table(audit, table, fix)
        options.tell(f"{len(changes):,} changes, listed in {changes_path(fix)}; table in {fix}")


def _write(audit: "Audit", output: Path) -> None:
    from molmp.audit.findings import audit_dict
    from molmp.audit.page import audit_page
    from molmp.tables.write import atomic_path

    text = audit_page(audit) if output.suffix == ".html" else json.dumps(audit_dict(audit), indent=1) + "\n"
    with atomic_path(output) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")
    options.tell(f"audit in {output}")
