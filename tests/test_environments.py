"""Atom environments against the definition, spelt out with nested tuples."""

from collections import Counter
from collections.abc import Hashable

import numpy as np
import pytest
from networks import SMILES, graphs

from molmp.chem.graphs import MolGraphs
from molmp.nn import environments as module
from molmp.nn.environments import Bonds, Environments, spans

RADIUS = 3


def bonds_of(store: MolGraphs) -> Bonds:
    first = np.repeat(store.atom_offsets[:-1], store.num_bonds)
    return Bonds.of(store.begins, store.ends, store.bond_types, first, len(store.atom_types))


def by_definition(store: MolGraphs, radius: int) -> list[list[Hashable]]:
    """For each radius the environment of every atom."""
    neighbours: list[list[tuple[int, int]]] = [[] for _ in store.atom_types]
    for k, first in enumerate(np.repeat(store.atom_offsets[:-1], store.num_bonds)):
        v, w, bond = int(first + store.begins[k]), int(first + store.ends[k]), int(store.bond_types[k])
        neighbours[v].append((bond, w))
        neighbours[w].append((bond, v))
    levels: list[list[Hashable]] = [[int(t) for t in store.atom_types]]
    for _ in range(radius):
        old = levels[-1]
        levels.append(
            [
                (old[v], frozenset(Counter((bond, old[w]) for bond, w in around).items()))
                for v, around in enumerate(neighbours)
            ]
        )
    return levels


def assert_same_division(mine: np.ndarray, want: list[Hashable]) -> None:
    pairs = set(zip(mine.tolist(), want, strict=True))
    assert len(pairs) == len(set(mine.tolist())) == len(set(want))


def colours(environments: Environments, radius: int) -> np.ndarray:
    found = environments.colours
    for parents in reversed(environments.parents[radius:]):
        found = parents[found]
    return found


def test_every_radius_is_the_definition() -> None:
    store = graphs()
    environments = Environments.of(store.atom_types, bonds_of(store), RADIUS)
    for radius, want in enumerate(by_definition(store, RADIUS)):
        assert_same_division(colours(environments, radius), want)


def test_radius_0_is_the_atom_types() -> None:
    store = graphs()
    environments = Environments.of(store.atom_types, bonds_of(store), RADIUS)
    np.testing.assert_array_equal(colours(environments, 0), store.atom_types)


def test_numbers_are_dense_and_coarser_ones_ascend() -> None:
    store = graphs()
    environments = Environments.of(store.atom_types, bonds_of(store), RADIUS)
    sizes = [len(parents) for parents in environments.parents]
    assert set(environments.colours) == set(range(sizes[-1]))
    assert all(np.all(np.diff(parents) >= 0) for parents in environments.parents)
    for coarse, fine in zip(sizes, environments.parents[1:], strict=False):
        assert set(fine) == set(range(coarse))


def test_a_bad_hash_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest, drawn = module._hash, []

    def careless(*args: object) -> np.ndarray:
        drawn.append(1)
        hashes = honest(*args)  # type: ignore[arg-type]
        return hashes * np.uint64(len(drawn) % 3 == 0)  # twice in three draws everything collides

    monkeypatch.setattr(module, "_hash", careless)
    store = graphs()
    environments = Environments.of(store.atom_types, bonds_of(store), RADIUS)
    assert len(drawn) > RADIUS
    for radius, want in enumerate(by_definition(store, RADIUS)):
        assert_same_division(colours(environments, radius), want)


def test_degrees_are_compared_too() -> None:
    # A path of three alike atoms: the ends and the middle differ by nothing but their number of neighbours.
    store = MolGraphs.pack(
        np.zeros((3, 12)), np.zeros((2, 4)), np.array([0, 1]), np.array([1, 2]), np.array([3]), np.array([2])
    )
    environments = Environments.of(store.atom_types, bonds_of(store), 1)
    ends_and_middle = environments.colours
    assert ends_and_middle[0] == ends_and_middle[2] != ends_and_middle[1]


def test_bonds_are_grouped_by_target() -> None:
    store = graphs(("OCC", "[Xe]", "C#N"))
    bonds = bonds_of(store)
    assert bonds.offsets.tolist() == [0, 1, 3, 4, 4, 5, 6]
    targets = np.repeat(np.arange(6), np.diff(bonds.offsets))
    assert (targets + bonds.steps).tolist() == [1, 2, 0, 1, 5, 4]


@pytest.mark.parametrize("smiles", [[], ["[Xe]"], ["[Na+].[Cl-]", "C"]])
def test_without_bonds(smiles: list[str]) -> None:
    store = graphs(tuple(smiles))
    environments = Environments.of(store.atom_types, bonds_of(store), RADIUS)
    np.testing.assert_array_equal(environments.colours, store.atom_types)


def test_same_molecules_same_numbers() -> None:
    store = graphs()
    first, second = (Environments.of(store.atom_types, bonds_of(store), RADIUS) for _ in range(2))
    np.testing.assert_array_equal(first.colours, second.colours)


def test_spans_of_nothing() -> None:
    assert spans(np.array([], int), np.array([], int)).tolist() == []
    assert spans(np.array([5, 9, 1]), np.array([0, 2, 0])).tolist() == [9, 10]
    assert len(SMILES) == len(graphs())
