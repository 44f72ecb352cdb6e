"""`molmp featurize`: a table of molecules to graphs, fingerprints, descriptors or learned fingerprints."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from molmp.chem.featurize import GraphOptions
from molmp.chem.smiles import STANDARDIZE
from molmp.errors import ConfigError

from . import options
from .engine import engine_options, ray_settings

if TYPE_CHECKING:
    from molmp.tables.features import Features

CLASSES = {
    "morgan": "MorganFingerprint",
    "atompair": "AtomPairFingerprint",
    "torsion": "TopologicalTorsionFingerprint",
    "rdkit": "RDKitFingerprint",
    "maccs": "MACCSKeys",
    "descriptors": "RDKitDescriptors",
}
"""Kinds that are transformers of molmp's."""

MOLECULE = {"standardize", "max_atoms", "max_characters", "time_limit"}
"""Options that all kinds have but the model's own."""

BATCH = 2_000
"""Rows at a time."""


@click.command()
@click.argument("table", metavar="IN")
@click.option("-o", "--output", required=True, metavar="OUT", help="File to write.")
@click.option("--kind", type=click.Choice(["graph", *CLASSES, "embedding"]), required=True, help="What to compute.")
@click.option(
    "-m", "--model", metavar="RUN", type=click.Path(path_type=Path), help="Trained model of --kind embedding."
)
@click.option(
    "--radius", type=click.IntRange(0, 20), metavar="N", help="Bonds from the central atom, for morgan.  [default: 2]"
)
@click.option("--size", type=click.IntRange(1, 2**20), metavar="N", help="Columns of a fingerprint.  [default: 2048]")
@click.option("--counts", is_flag=True, default=None, help="A fingerprint counts instead of 0 or 1.")
@options.smiles_column
@options.dialect
@click.option("--standardize", type=click.Choice(STANDARDIZE), help="What is done to molecules first.  [default: none]")
@click.option("--explicit-hydrogens", is_flag=True, default=None, help="Hydrogens become atoms of the graph.")
@options.given_limits
@options.on_error
@options.workers
@engine_options
def featurize(
    table: str, output: str, kind: str, model: Path | None, smiles_column: str | None, delimiter: str | None,
    header: bool | None, on_error: str, n_jobs: int, **settings: Any,
) -> None:  # fmt: skip
    """Turn a file of SMILES into graphs, fingerprints or descriptors.

    IN may be CSV, TSV, SMI, SDF or Parquet, compressed or not; - reads standard input. OUT is a graph store (.graphs)
    for --kind graph; otherwise a table (.csv, .tsv, .csv.gz, .parquet; -: stdout) with the columns of IN, the features
    and the reason why a row has none as error, or arrays (.npz). A file that exists is replaced when all is done.

    With --engine ray IN is a Parquet file or a folder of such, and OUT a folder; all workers must see both.
    """
    dialect: dict[str, Any] = {"delimiter": delimiter, "header": header}
    unfit = {f"--{name}": value is not None for name, value in dialect.items()}
    ray = ray_settings(settings, output, unfit | {"--n-jobs": n_jobs != 1, "--kind graph": kind == "graph"})
    given = {name: value for name, value in settings.items() if value is not None}
    if ray is not None:
        ray |= {"smiles_column": smiles_column, "on_error": on_error}
        _featurize_with_ray(table, output, kind, model, given, ray)
        return

    from molmp.tables.features import check_output, write_features, write_graphs

    check_output(output, graphs=kind == "graph")
    if kind == "graph":
        _refuse(kind, given, MOLECULE | {"explicit_hydrogens"})
        outcome = write_graphs(
            table, output, GraphOptions(**given), smiles_column=smiles_column, on_error=on_error, n_jobs=n_jobs,
            batch=BATCH, tell=options.tell, **dialect,
        )  # fmt: skip
    else:
        features = _embedding(model, given, n_jobs) if kind == "embedding" else _transformer(kind, given, n_jobs)
        outcome = write_features(
            table, output, features, smiles_column=smiles_column, on_error=on_error, batch=BATCH, tell=options.tell,
            **dialect,
        )  # fmt: skip
    options.tell(str(outcome))


def _featurize_with_ray(
    table: str, output: str, kind: str, model: Path | None, given: dict[str, Any], ray: dict[str, Any]
) -> None:
    from molmp.inference.ray_engine import featurize_with_ray

    if kind == "embedding":
        make = partial(_embedding, None if model is None else model.absolute(), given, 1)
    else:
        make = partial(_transformer, kind, given, 1)
    facts = {"kind": kind, "model": str(model), "options": given}
    options.tell(str(featurize_with_ray(make, facts, table, output, progress=True, tell=options.tell, **ray)))


def _refuse(kind: str, given: dict[str, Any], known: set[str]) -> None:
    for name in given:
        if name not in known:
            raise ConfigError(f"--{name.replace('_', '-')} does not go with --kind {kind}")


def _transformer(kind: str, given: dict[str, Any], n_jobs: int) -> "Features":
    import molmp
    from molmp.tables.features import Features

    make = getattr(molmp, CLASSES[kind])
    known = set(make().get_params()) & {"radius", "size", "counts"}
    _refuse(kind, given, known | MOLECULE)
    graphs = GraphOptions(**{name: value for name, value in given.items() if name in MOLECULE})
    transformer = make(**{name: value for name, value in given.items() if name in known}, n_jobs=n_jobs)
    names = list(transformer.get_feature_names_out())
    return Features(names, kind != "descriptors", lambda batches: transformer.iter_rows(batches, graphs))


def _embedding(model: Path | None, given: dict[str, Any], n_jobs: int) -> "Features":
    _refuse("embedding", given, set())
    if model is None:
        raise ConfigError("--kind embedding needs a trained model: --model RUN")
    from molmp.chem.featurize import iter_featurize
    from molmp.inference.predictor import load
    from molmp.tables.features import Features

    predictor = load(model)

    def read(batches: Any) -> Any:
        for featurized in iter_featurize(batches, predictor.bundle.options, n_jobs=n_jobs):
            yield predictor.embed_featurized(featurized), featurized.errors

    return Features([f"mpnn_{i}" for i in range(predictor.embedding_width)], False, read)
