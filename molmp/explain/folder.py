"""Explanations of a table as a folder: numbers, pictures, and a page that shows them and how far to believe them."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from molmp.chem.featurize import GraphOptions, featurize
from molmp.chem.graphs import MolGraphs
from molmp.errors import DataError
from molmp.explain.explanation import COLUMNS, Explanation, Explanations, explain
from molmp.explain.faithfulness import Deletion, atom_scores, deletion_curve
from molmp.explain.scorer import Scorer
from molmp.page.charts import lines
from molmp.page.render import render_page
from molmp.tables.read import open_table
from molmp.tables.write import open_writer

__all__ = ["Outcome", "explain_table", "faithfulness", "table_smiles", "write_explanations"]

BATCH = 256
"""Molecules explained together."""

MOST_JUDGED = 200
"""Molecules whose explanations are tried by deletion."""

TYPES = (int, str, str, str, float, float, str, int, str, float)


class Outcome(NamedTuple):
    """What became of the rows.

    >>> print(Outcome(3, 1, 0.75))
    3 rows: 2 explained, 1 cannot be read; agreement with deletion 75%
    """

    rows: int
    failed: int
    agreement: float

    def __str__(self) -> str:
        failed = f", {self.failed:,} cannot be read" if self.failed else ""
        agreement = "" if np.isnan(self.agreement) else f"; agreement with deletion {self.agreement:.0%}"
        return f"{self.rows:,} rows: {self.rows - self.failed:,} explained{failed}{agreement}"


def explain_table(
    scorer: Scorer, options: GraphOptions, source: str | Path, folder: Path, *, smiles_column: str | None = None,
    tell: Callable[[str], None] = lambda sentence: None, **settings: Any,
) -> Outcome:  # fmt: skip
    """Explain every molecule of a table; ``settings`` are those of :func:`write_explanations`."""
    with open_table(source, smiles_column=smiles_column) as table:
        assert table.smiles_index >= 0  # found now, and noted
        for note in table.notes:
            tell(note)
        return write_explanations(scorer, options, table_smiles(table), folder, **settings)


def table_smiles(table: Any) -> Iterator[str]:
    """SMILES of the rows of an open table; empty for malformed ones."""
    for row in table:
        yield "" if row.problem else row.cells[table.smiles_index]


def write_explanations(
    scorer: Scorer, options: GraphOptions, smiles: Iterator[str], folder: Path, *, method: str = "gradients",
    substructures: Sequence[str] = (), kind: str = "svg", most_drawings: int = 200, n_jobs: int | None = 1,
) -> Outcome:  # fmt: skip
    """Write ``contributions.csv``, ``drawings/row1.svg`` (or ``.png``) and so on, and ``index.html`` into a folder.

    ``method`` and ``substructures``: see :func:`~molmp.explain.explanation.explain`. ``most_drawings``: how many of the
    first molecules are drawn; all are in the table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shown, total, failed = Explanations(), 0, 0
    rows = iter(smiles)
    with open_writer(folder / "contributions.csv", dict(zip(COLUMNS, TYPES, strict=True))) as writer:
        while batch := list(islice(rows, BATCH)):
            part = explain(scorer, batch, options, method=method, substructures=substructures, n_jobs=n_jobs)
            part = Explanations(one.at_row(total + one.row) for one in part)
            for one in part:
                writer.write([_rounded(line) for line in one.table()])
            failed += sum(one.error is not None for one in part)
            shown += part[: max(0, max(most_drawings, MOST_JUDGED) - len(shown))]
            total += len(batch)
    if total == failed:
        raise DataError(
            f"none of the {total} molecules can be read ({shown[0].error})" if shown else "there are no molecules"
        )
    judged = faithfulness(scorer, options, shown)
    drawn = Explanations(shown[:most_drawings])
    _write_drawings(folder / "drawings", drawn, kind)
    page = _page(scorer.name, method, drawn, judged, total, failed)
    (folder / "index.html").write_text(page, encoding="utf-8", errors="surrogateescape")
    return Outcome(total, failed, judged.agreement)


def faithfulness(scorer: Scorer, options: GraphOptions, explanations: Sequence[Explanation]) -> Deletion:
    """Try explanations by deletion, up to :data:`MOST_JUDGED` of them."""
    readable = [one for one in explanations if one.error is None][:MOST_JUDGED]
    graphs = featurize([one.smiles for one in readable], options).graphs if readable else MolGraphs.empty()
    atoms = np.concatenate([np.zeros(0), *(one.atoms for one in readable)])
    bonds = np.concatenate([np.zeros(0), *(one.bonds for one in readable)])
    return deletion_curve(scorer, graphs, atom_scores(atoms, bonds, graphs))


def _rounded(line: tuple[Any, ...]) -> list[Any]:
    return [float(f"{value:.7g}") if isinstance(value, float) else value for value in line]


def _write_drawings(folder: Path, explanations: Explanations, kind: str) -> None:
    folder.mkdir(exist_ok=True)
    limit = explanations.limit
    for one in explanations:
        if one.error is None:
            path, picture = folder / f"row{one.row + 1}.{kind}", one.draw(kind, limit=limit)
            path.write_bytes(picture if kind == "png" else picture.encode())


def _page(target: str, method: str, explanations: Explanations, judged: Deletion, total: int, failed: int) -> str:
    limit = explanations.limit
    cards = [
        {
            "row": one.row + 1,
            "smiles": one.smiles,
            "groups": one.groups,
            "drawing": Markup(_inline(one.draw(limit=limit))) if one.error is None else one.error.reason,
        }
        for one in explanations
    ]
    shares = [0.0, *judged.shares.tolist()]
    series = {"raising first": judged.raising, "any": judged.random, "lowering first": judged.lowering}
    curves = {name: (shares, [0.0, *values.tolist()]) for name, values in series.items()}
    curve = lines(curves, "share of the atoms taken out", "change of the prediction")
    return render_page(
        "explain.html", target=target, method=method, total=total, failed=failed, agreement=judged.agreement,
        curve=curve, cards=cards,
    )  # fmt: skip


def _inline(svg: str) -> str:
    return svg[svg.index("<svg") :]
