"""What every featurizer must agree on before it is timed: for each molecule its atoms, bonds and who has how many.

An atom counts as (number of neighbours in the graph, atomic number); elements that Chemprop's table lumps together
count as 0 everywhere.
"""

from collections.abc import Iterable, Sequence

__all__ = ["LISTED", "census"]

LISTED = frozenset({*range(1, 37), 53})
"""Atomic numbers that Chemprop's default atom features tell apart."""


def census(elements: Sequence[int], edge_begins: Iterable[int]) -> list[int]:
    """Sorted (degree, element) pairs of a molecule as numbers, and the number of directed edges last.

    ``edge_begins`` holds the first atom of each directed edge; both directions of a bond are there.

    >>> census([6, 6, 8], [0, 1, 1, 2])
    [1006, 1008, 2006, 4]
    """
    degrees = [0] * len(elements)
    edges = 0
    for atom in edge_begins:
        degrees[atom] += 1
        edges += 1
    atoms = [1000 * d + (z if z in LISTED else 0) for d, z in zip(degrees, elements, strict=True)]
    return [*sorted(atoms), edges]
