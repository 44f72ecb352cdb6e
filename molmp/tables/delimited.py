"""CSV, TSV and their kin: records out of lines, one outcome for each."""

import csv
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from molmp.errors import ConfigError, DataError
from molmp.tables.lines import Lines
from molmp.tables.rows import Layout, Parsed, Problem, Row, fit

__all__ = ["DELIMITERS", "first_delimiter", "named", "read_delimited", "records_of", "sniff_delimiter"]

DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar", " ": "space"}
_SNIFFED = ",\t;|"
_SAMPLE = 100
_UNCLOSED = Problem("ragged", "a quote is not closed, or is closed before the end of its cell")


def named(delimiter: str) -> str:
    """Return a delimiter's name: a tab is hard to see in a message."""
    return DELIMITERS.get(delimiter, repr(delimiter))


def records_of(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """Cut a sample of lines into records; a broken one has no cells, a blank line is none."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    records = []
    while True:
        try:
            if cells := next(reader):
                records.append(cells)
        except StopIteration:
            return records
        except csv.Error:
            records.append([])


def sniff_delimiter(lines: Sequence[str], where: str, has_smiles: Callable[[str], bool]) -> str | None:
    """Tell which delimiter cuts the sampled lines into a table, or ``None`` for a single column.

    A delimiter fits where the first record has several cells and nine records in ten have as many. Of several
    that fit, the one that leaves a column of SMILES (``has_smiles``) is meant; else the file is ambiguous.
    """
    fitting = []
    for delimiter in _SNIFFED:
        widths = [len(cells) for cells in records_of(lines, delimiter)]
        if widths and widths[0] > 1 and widths.count(widths[0]) >= 0.9 * len(widths):
            fitting.append(delimiter)
    if len(fitting) > 1:
        fitting = [d for d in fitting if has_smiles(d)] or fitting
    if len(fitting) > 1:
        names = " and by ".join(named(d) for d in fitting)
        raise DataError(f"{where} can be cut into columns by {names}; say which is meant (--delimiter)")
    return fitting[0] if fitting else None


def first_delimiter(lines: Sequence[str]) -> str | None:
    """Return the first delimiter that cuts the first record, for tables too ragged to tell otherwise."""
    return next((d for d in _SNIFFED if any(len(cells) > 1 for cells in records_of(lines, d)[:1])), None)


def read_delimited(
    lines: Lines,
    delimiter: str,
    *,
    header: bool | None,
    smiles_cell: Callable[[list[str], list[list[str]]], int | None],
) -> Parsed:
    """Read a delimited table.

    ``header`` says whether the first record names the columns. ``None`` lets ``smiles_cell(first, others)`` judge
    from a sample: it returns which cell of the first record is a molecule, or ``None`` where they are names.
    """
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise ConfigError(f"a delimiter is one character, such as ',' or ';', not {delimiter!r}")
    newline = "\r\n" if (lines.peek(1) or [""])[0].endswith("\r\n") else "\n"
    records = _records(lines, delimiter)
    sample = list(islice(records, _SAMPLE))
    if not sample:
        raise DataError(f"{lines.where} is empty: it has only blank lines")
    _, first, raw, problem = sample[0]
    if first[0].startswith("#") and len(sample) > 1 and len(first) != len(sample[1][1]):
        raise DataError(f"{lines.where}, line {sample[0][0]}: {raw[:60]!r} is a comment, which only SMI files may have")
    if problem is not None:
        raise DataError(f"{lines.where}, line {sample[0][0]}: {problem.reason}")
    header_line: str | None = raw
    others = [cells for _, cells, _, broken in sample[1:] if broken is None]
    molecule = None if header else smiles_cell(first, others)
    notes = []
    if header or (header is None and molecule is None):
        columns, sample = tuple(first), sample[1:]
        _refuse_nameless(columns, others, lines.where)
    else:
        header_line = None
        columns = tuple("smiles" if i == molecule else f"column{i + 1}" for i in range(len(first)))
        notes.append("no line of column names: the first line is a molecule")
    layout = Layout(
        format="csv",
        columns=columns,
        delimiter=delimiter,
        newline=newline,
        header=header_line,
    )
    return Parsed(layout=layout, rows=_rows(sample, records, layout), notes=notes)


def _refuse_nameless(columns: tuple[str, ...], others: list[list[str]], where: str) -> None:
    """Refuse a header that is too short for every row: which cell has no name is anybody's guess."""
    widths = {len(cells) for cells in others}
    if len(widths) == 1 and widths.pop() > len(columns) and any(any(cells[len(columns) :]) for cells in others):
        raise DataError(
            f"{where}: every row has {len(others[0])} cells but the first line names {len(columns)}; "
            "name the other column too, or drop the row names"
        )


_Record = tuple[int, list[str], str, Problem | None]


def _records(lines: Lines, delimiter: str) -> Iterator[_Record]:
    """Yield (line, cells, text, problem) for every record that is not a blank line."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.taken.clear()
        start = lines.number + 1
        try:
            cells, problem = next(reader), None
        except StopIteration:
            return
        except csv.Error:
            # A stray quote may have swallowed many lines: give all but the first their own chance.
            lines.put_back(lines.taken[1:])
            del lines.taken[1:]
            cells, problem = lines.taken[0].rstrip("\r\n").split(delimiter), _UNCLOSED
        text = "".join(lines.taken).rstrip("\r\n")
        if text.strip(" "):
            yield start, cells, text, problem


def _rows(sample: list[_Record], records: Iterator[_Record], layout: Layout) -> Iterator[Row]:
    width, delimiter = len(layout.columns), layout.delimiter
    for source in (sample, records):
        for line, cells, text, problem in source:
            if len(cells) == width and problem is None:
                yield Row(line, tuple(cells), None, text)
            elif problem is None and len(cells) > width and not any(cells[width:]):
                yield Row(line, tuple(cells[:width]))  # only delimiters too many: nothing is lost
            else:
                ragged = Problem("ragged", f"the row has {len(cells)} cells, the table {width} columns")
                yield Row(line, fit(cells, width, delimiter), problem or ragged)
