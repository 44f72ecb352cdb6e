"""Columns of ours beside those of a user: under names that are free, with cells that no spreadsheet computes."""

from collections.abc import Mapping, Sequence

from molmp.tables.labels import is_number

__all__ = ["free_names", "harmless", "unharmed"]


def free_names(columns: Mapping[str, type], taken: Sequence[str]) -> tuple[dict[str, type], list[str]]:
    """Return columns of ours under names that are not taken, and a sentence for each that is another.

    >>> names, notes = free_names({"y_pred": float, "error": str}, ["smiles", "error"])
    >>> list(names), notes
    (['y_pred', 'error_2'], ["the input has a column 'error'; ours is called 'error_2'"])
    """
    names: dict[str, type] = {}
    notes = []
    for name, kind in columns.items():
        free, number = name, 1
        while free in taken or free in names:
            number += 1
            free = f"{name}_{number}"
        if free != name:
            notes.append(f"the input has a column {name!r}; ours is called {free!r}")
        names[free] = kind
    return names, notes


def harmless(text: str) -> str:
    """Put an apostrophe before a text of ours that a spreadsheet would take for a formula.

    Names of targets and classes come from a model file, which may be anybody's. Cells of the input are never changed.

    >>> [harmless(text) for text in ("=A1", "-1.5", "-NH2", "red")]
    ["'=A1", '-1.5', "'-NH2", 'red']
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) and not is_number(text) else text


def unharmed(text: str) -> str:
    """Undo :func:`harmless`.

    >>> [unharmed(harmless(text)) for text in ("=A1", "-1.5", "'quoted'", "red")]
    ['=A1', '-1.5', "'quoted'", 'red']
    """
    return text[1:] if text.startswith("'") and harmless(text[1:]) == text else text
