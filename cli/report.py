"""`molmp report`: a run as one page of HTML."""

from pathlib import Path

import click

from . import options


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="File to write.  "
              "[default: report.html in RUN]")  # fmt: skip
@options.device
def report(run: Path, output: Path | None, device: str) -> None:
    """Write a page about a trained model: data, learning curves, results, drawn predictions, how to reproduce.

    The page is one file and needs no network.
    """
    from molmp.nn.process import set_threads
    from molmp.report.page import report_page
    from molmp.tables.write import atomic_path

    set_threads()
    page = report_page(run, device)
    output = output or run / "report.html"
    with atomic_path(output) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="surrogateescape")
    options.tell(f"report in {output}")
