"""Some columns of a table, in the order asked for."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import replace

from molmp.errors import ConfigError
from molmp.tables.columns import column_index
from molmp.tables.rows import Layout, Row

__all__ = ["keep_columns"]


def keep_columns(where: str, layout: Layout, names: Sequence[str]) -> tuple[Layout, Callable[[Row], Row]]:
    """Return the layout of a table with only the columns ``names``, and a function that makes its rows.

    Raises
    ------
    ColumnError
        A name that the table ``where`` does not have; the message lists those it has.

    >>> layout, kept = keep_columns("t.csv", Layout(format="csv", columns=("id", "smiles", "y")), ["y", "id"])
    >>> layout.columns, kept(Row(2, ("007", "CCO", "1"))).cells
    (('y', 'id'), ('1', '007'))
    """
    if len(set(names)) < len(names):
        raise ConfigError(f"a column is asked for twice: {', '.join(names)}")
    places = [column_index(where, layout.columns, name) for name in names]
    schema = layout.schema
    if schema is not None:
        schema = importlib.import_module("pyarrow").schema([schema.field(place) for place in places])

    def kept(row: Row) -> Row:
        cells = tuple(row.cells[place] for place in places)
        typed = None if schema is None else tuple(row.raw[place] for place in places)
        return row._replace(cells=cells, raw=typed)

    return replace(layout, columns=tuple(names), smiles=None, header=None, schema=schema), kept
