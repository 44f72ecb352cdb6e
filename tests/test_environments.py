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
    environments = Environments.of(store.atom_types, Bonds.of(store), RADIUS)
    for radius, want in enumerate(by_definition(store, RADIUS)):
        assert_same_division(colours(environments, radius), want)


def test_radius_0_is_the_atom_types() -> None:
    store = graphs()
    environments = Environments.of(store.atom_types, Bonds.of(store), RADIUS)
    np.testing.assert_array_equal(colours(environments, 0), store.atom_types)


def test_numbers_are_dense_and_coarser_ones_ascend() -> None:
    store = graphs()
    environments = Environments.of(store.atom_types, Bonds.of(store), RADIUS)
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
    environments = Environments.of(store.atom_types, Bonds.of(store), RADIUS)
    assert len(drawn) > RADIUS
    for radius, want in enumerate(by_definition(store, RADIUS)):
        assert_same_division(colours(environments, radius), want)


@pytest.mark.parametrize("smiles", [None, [], ["[Xe]"], ["[Na+].[Cl-]", "C"]])
def test_no_hash_is_good_enough(smiles: list[str] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(
        module, "_hash", lambda part, *_: drawn.append(1) or np.zeros(part.stop - part.start, np.uint64)
    )
    store = graphs() if smiles is None else graphs(tuple(smiles))
    environments = Environments.of(store.atom_types, Bonds.of(store), RADIUS)
    assert len(drawn) <= module.HASHES * RADIUS
    for radius, want in enumerate(by_definition(store, RADIUS)):
        found = colours(environments, radius)
        assert_same_division(found, want)
        if radius < RADIUS:  # coarser numbers ascend with finer ones
            assert (np.diff(environments.parents[radius]) >= 0).all()


def alike_atoms(bonds: list[tuple[int, int, int]]) -> MolGraphs:
    """One molecule of atoms of one type, with these bonds: two atoms and a type each."""
    begins, ends, types = np.array(bonds).T
    codes = np.zeros((len(bonds), 4))
    codes[:, 0] = types
    num_atoms = max(begins.max(), ends.max()) + 1
    counts = np.array([num_atoms]), np.array([len(bonds)])
    return MolGraphs.pack(np.zeros((num_atoms, 12)), codes, begins, ends, *counts)


@pytest.mark.parametrize("blind_to", ["types", "everything"])
@pytest.mark.parametrize(
    ("bonds", "want"),
    [
        ([(0, 1, 0), (1, 2, 0)], [0, 1, 0]),  # ends and middle differ by nothing but their number of neighbours
        ([(0, 1, 0), (2, 3, 1)], [0, 0, 1, 1]),  # two pairs that differ by nothing but their bond
        ([(0, 1, 0), (0, 2, 1), (3, 4, 0), (3, 5, 0)], [0, 1, 2, 3, 1, 1]),
    ],
)
def test_comparison_sees_what_a_hash_may_miss(
    bonds: list[tuple[int, int, int]], want: list[int], blind_to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, drawn = module._hash, []

    def blind_at_first(part: slice, keys: np.ndarray, bonds: Bonds, factors: np.ndarray) -> np.ndarray:
        drawn.append(1)
        if len(drawn) > 1:
            return honest(part, keys, bonds, factors)
        offsets = bonds.offsets.astype(np.uint64)
        return np.diff(offsets) if blind_to == "types" else 0 * offsets[1:]

    monkeypatch.setattr(module, "_hash", blind_at_first)
    store = alike_atoms(bonds)
    found = Environments.of(store.atom_types, Bonds.of(store), 1).colours
    assert_same_division(found, list(want))


@pytest.mark.parametrize("part", [1, 2, 7, 70])
def test_parts_are_put_together(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    store = graphs()
    bonds = Bonds.of(store)
    want = Environments.of(store.atom_types, bonds, RADIUS)
    monkeypatch.setattr(module, "PART", part)
    for name in ("offsets", "steps", "types"):
        np.testing.assert_array_equal(getattr(Bonds.of(store), name), getattr(bonds, name))
    np.testing.assert_array_equal(Environments.of(store.atom_types, bonds, RADIUS).colours, want.colours)


def test_bonds_are_grouped_by_target() -> None:
    store = graphs(("OCC", "[Xe]", "C#N"))
    bonds = Bonds.of(store)
    assert bonds.offsets.tolist() == [0, 1, 3, 4, 4, 5, 6]
    targets = np.repeat(np.arange(6), np.diff(bonds.offsets))
    assert (targets + bonds.steps).tolist() == [1, 2, 0, 1, 5, 4]


@pytest.mark.parametrize("smiles", [[], ["[Xe]"], ["[Na+].[Cl-]", "C"]])
def test_without_bonds(smiles: list[str]) -> None:
    store = graphs(tuple(smiles))
    environments = Environments.of(store.atom_types, Bonds.of(store), RADIUS)
    np.testing.assert_array_equal(environments.colours, store.atom_types)


def test_same_molecules_same_numbers() -> None:
    store = graphs()
    first, second = (Environments.of(store.atom_types, Bonds.of(store), RADIUS) for _ in range(2))
    np.testing.assert_array_equal(first.colours, second.colours)


def test_spans_of_nothing() -> None:
    assert spans(np.array([], int), np.array([], int)).tolist() == []
    assert spans(np.array([5, 9, 1]), np.array([0, 2, 0])).tolist() == [9, 10]
    assert len(SMILES) == len(graphs())
