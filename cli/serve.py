"""`molmp serve`: a trained model as a local web page and JSON API."""

from pathlib import Path

import click

from molmp.serve.limits import Limits
from molmp.serve.server import check_extra

from . import options


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", metavar="ADDRESS",
              help="Where to listen; 0.0.0.0: at all addresses of this machine.")  # fmt: skip
@click.option("--port", default=8000, type=click.IntRange(0, 65535), metavar="N", help="0: any that is free.")
@click.option("--open", "show", is_flag=True, help="Show the page in a browser.")
@click.option("--max-molecules", default=Limits.max_molecules, metavar="N", help="Molecules of one request.")
@click.option("--max-rows", default=Limits.max_rows, metavar="N", help="Rows of a table that is sent.")
@click.option("--max-upload", default=Limits.max_upload, metavar="MB", help="Size of a table that is sent.")
@click.option("--n-jobs", default=2, metavar="N", help="Processes that read SMILES; -1: one for each core.")
@options.device
def serve(
    run: Path, host: str, port: int, show: bool, max_molecules: int, max_rows: int, max_upload: int, n_jobs: int,
    device: str,
) -> None:  # fmt: skip
    """Open a trained model as a local web page and JSON API, until Ctrl-C.

    The page takes SMILES, drawings and tables; /docs tells of the JSON API. Nothing is fetched from anywhere, and
    nothing is kept.
    """
    limits = Limits(max_molecules=max_molecules, max_rows=max_rows, max_upload=max_upload)
    check_extra()

    from molmp.inference.predictor import load
    from molmp.nn.process import keep_memory, set_threads
    from molmp.serve.app import make_app
    from molmp.serve.guard import LOOPBACK
    from molmp.serve.server import run_server

    set_threads()
    keep_memory()
    hosts = LOOPBACK if host in LOOPBACK else None
    app = make_app(load(run, device), name=run.resolve().name, limits=limits, n_jobs=n_jobs, hosts=hosts)

    def started(url: str) -> None:
        options.tell(f"{run} at {url} (Ctrl-C ends)")
        if show:
            click.launch(url)

    run_server(app, host, port, started)
