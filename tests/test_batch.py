"""Batches: what the index arithmetic must add up to."""

from collections import Counter

import numpy as np
import pytest
import torch
from networks import COMPACT, SMILES, batch_of, graphs

from molmp.chem.graphs import MolGraphs
from molmp.nn.batch import DeviceGraphs, GraphBatch


def edges_by_hand(store: MolGraphs, ids: list[int]) -> Counter:
    """(target, source, bond row) of each directed bond; atoms are counted over the molecules of the batch."""
    found: Counter = Counter()
    start = 0
    for i in ids:
        for k in range(store.bond_offsets[i], store.bond_offsets[i + 1]):
            v, w = start + int(store.begins[k]), start + int(store.ends[k])
            bond = tuple(store.bond_table[store.bond_types[k]].tolist())
            found.update([(v, w, bond), (w, v, bond)])
        start += int(store.num_atoms[i])
    return found


def edges_of(batch: GraphBatch, level: int = 0) -> Counter:
    edges = batch.levels[level].edges
    bonds = [tuple(batch.bond_codes[t].tolist()) for t in edges.bond_type]
    return Counter(zip(edges.inbox.owner.tolist(), edges.source.index.tolist(), bonds, strict=True))


def codes_by_hand(store: MolGraphs, ids: list[int]) -> torch.Tensor:
    parts = [store.atom_types[store.atom_offsets[i] : store.atom_offsets[i + 1]] for i in ids]
    return torch.from_numpy(store.atom_table[np.concatenate(parts)]).long()


@pytest.mark.parametrize("ids", [[3], [0, 1, 2], [12, 4, 4, 0, 4], list(range(len(SMILES)))])
def test_flat_batch_is_the_molecules(ids: list[int]) -> None:
    store = graphs()
    batch = DeviceGraphs(store, steps=2, compact=False).batch(ids)
    assert batch.num_graphs == len(ids)
    assert batch.molecules.sizes.tolist() == store.num_atoms[ids].tolist()
    assert batch.molecules.rows.index.tolist() == list(range(batch.num_atoms))
    assert batch.start is not None
    assert torch.equal(batch.atom_codes[batch.start.index], codes_by_hand(store, ids))
    assert edges_of(batch) == edges_by_hand(store, ids)
    assert batch.levels[0] is batch.levels[1]
    assert batch.levels[0].previous is None


@pytest.mark.parametrize("ids", [[3], [4, 4, 4], list(range(len(SMILES)))])
def test_compact_batch_unfolds_to_the_molecules(ids: list[int]) -> None:
    """Follow each atom back through the levels: its codes, and the environments of its neighbours, must be its own."""
    store, steps = graphs(), 3
    flat = DeviceGraphs(store, steps=steps, compact=False).batch(ids)
    batch = DeviceGraphs(store, steps=steps, compact=True).batch(ids)
    assert torch.equal(batch.molecules.offsets, flat.molecules.offsets)
    rows = [batch.molecules.rows.index]
    for level in reversed(batch.levels):
        assert level.previous is not None
        rows.insert(0, level.previous.index[rows[0]])
    assert torch.equal(batch.atom_codes[rows[0]], codes_by_hand(store, ids))
    for r, level in enumerate(batch.levels):
        before, now = rows[r].tolist(), rows[r + 1].tolist()
        bags: dict[int, Counter] = {}
        for target, source, bond in edges_of(batch, r).elements():
            bags.setdefault(target, Counter()).update([(source, bond)])
        wanted: dict[int, Counter] = {}
        for v, w, bond in edges_of(flat).elements():
            wanted.setdefault(v, Counter()).update([(before[w], bond)])
        assert all(bags.get(now[v], Counter()) == wanted.get(v, Counter()) for v in range(batch.num_atoms))
        assert set(now) == set(range(level.num_rows))


def test_compact_batch_is_smaller() -> None:
    batch = batch_of(["c1ccccc1", "c1ccccc1", "C", "C"], compact=True)
    assert batch.num_atoms == 14
    assert [level.num_rows for level in batch.levels] == [2, 2, 2]
    assert batch.atom_codes.shape[0] == 2


@pytest.mark.parametrize("compact", COMPACT)
def test_pairs_are_distinct_and_sorted_by_type(compact: bool) -> None:
    for level in batch_of(compact=compact).levels:
        pairs = level.pairs
        keys = list(zip(pairs.bond_type.tolist(), pairs.source.index.tolist(), strict=True))
        assert keys == sorted(set(keys))
        assert pairs.counts is not None
        assert torch.bincount(pairs.bond_type, minlength=len(pairs.counts)).tolist() == list(pairs.counts)
        assert level.edges.counts is None


@pytest.mark.parametrize("compact", COMPACT)
def test_targets_are_the_rows_that_edges_continue(compact: bool) -> None:
    for level in batch_of(compact=compact).levels:
        owner = level.edges.inbox.owner
        want = owner if level.previous is None else level.previous.index[owner]
        assert torch.equal(level.targets.index, want)
        assert level.targets.num_rows == level.pairs.source.num_rows


@pytest.mark.parametrize("compact", COMPACT)
def test_only_bond_types_of_the_batch(compact: bool) -> None:
    store = DeviceGraphs(graphs(), steps=2, compact=compact)
    assert store.batch([3]).bond_codes.shape == (1, 4)
    assert store.batch([0]).bond_codes.shape == (0, 4)
    assert store.batch([0]).levels[0].pairs.counts == ()


@pytest.mark.parametrize("compact", COMPACT)
@pytest.mark.parametrize("smiles", [[], ["[Xe]"], ["[Na+].[Cl-]", "C", "C"]])
def test_without_bonds_or_molecules(compact: bool, smiles: list[str]) -> None:
    batch = batch_of(smiles, compact=compact)
    assert batch.num_graphs == len(smiles)
    assert [level.edges.inbox.owner.tolist() for level in batch.levels] == [[]] * 3


@pytest.mark.parametrize("compact", COMPACT)
def test_ids_of_any_kind(compact: bool) -> None:
    store = DeviceGraphs(graphs(), steps=2, compact=compact)
    want = store.batch([5, 2]).molecules
    for ids in (torch.tensor([5, 2]), np.array([5, 2], np.uint8), (5, 2), iter([5, 2])):
        assert torch.equal(store.batch(ids).molecules.rows.index, want.rows.index)
    assert store.batch().num_graphs == len(store) == len(SMILES)
    with pytest.raises(IndexError):
        store.batch([len(SMILES)])


def test_a_stored_file_serves_as_well(tmp_path: object) -> None:
    path = f"{tmp_path}/graphs"
    graphs().save(path)
    mapped = DeviceGraphs(MolGraphs.load(path), steps=2).batch([5, 2])
    assert torch.equal(mapped.molecules.rows.index, DeviceGraphs(graphs(), steps=2).batch([5, 2]).molecules.rows.index)


def test_moving_keeps_everything_and_what_is_shared() -> None:
    flat = batch_of(steps=2)
    assert flat.to("cpu") is flat
    moved = flat.to("meta")
    assert moved.levels[0] is moved.levels[1]
    assert moved.levels[0].pairs.source.index.device.type == "meta"
    assert moved.levels[0].pairs.counts == flat.levels[0].pairs.counts
    assert moved.bond_codes.shape == flat.bond_codes.shape
    assert moved.num_graphs == flat.num_graphs


def test_same_ids_same_batch() -> None:
    store = DeviceGraphs(graphs(), steps=3)
    first, second = store.batch([1, 5, 7]), store.batch([1, 5, 7])
    for a, b in zip(first.levels, second.levels, strict=True):
        assert torch.equal(a.pairs.source.index, b.pairs.source.index)
        assert torch.equal(a.pairs.inbox.rows.index, b.pairs.inbox.rows.index)
