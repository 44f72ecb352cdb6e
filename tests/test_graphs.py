"""Packed graphs: one form to the byte, nothing lost by selecting, joining and saving; damaged files are refused."""

import errno
import json
import os
import pickle
from itertools import pairwise

import numpy as np
import pytest
from awkward import MOLECULES
from hypothesis import given
from hypothesis import strategies as st

from molmp.chem import code_tables, graph_stream
from molmp.chem import graphs as module
from molmp.chem.features import ATOM_FIELDS, BOND_FIELDS
from molmp.chem.featurize import featurize
from molmp.chem.graphs import ARRAYS, MolGraphs
from molmp.errors import FileFormatError

SMILES = ["CCO", "[Na+].[Cl-]", "C", "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O", "C#N", "C" * 300, "[999U]", "C/C=C/C"]


@pytest.fixture(scope="module")
def graphs() -> MolGraphs:
    return featurize(SMILES).graphs


def same_bytes(one: MolGraphs, other: MolGraphs) -> bool:
    pairs = [(getattr(one, name), getattr(other, name)) for name in ARRAYS]
    return all(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in pairs)


def unpacked(graphs: MolGraphs) -> list[tuple[list, list, list, list]]:
    """Each molecule as plain lists: rows of atoms, rows of bonds, their atoms."""
    out = []
    for a, n, b, m in zip(graphs.atom_offsets, graphs.num_atoms, graphs.bond_offsets, graphs.num_bonds, strict=False):
        atoms, bonds = slice(a, a + int(n)), slice(b, b + int(m))
        out.append((
            graphs.atom_table[graphs.atom_types[atoms]].tolist(), graphs.bond_table[graphs.bond_types[bonds]].tolist(),
            graphs.begins[bonds].tolist(), graphs.ends[bonds].tolist(),
        ))  # fmt: skip
    return out


def test_golden_ethanol():
    one = featurize(["CCO"]).graphs
    assert one.atom_table.tolist() == [
        [5, 4, 4, 2, 4, 0, 0, 0, 0, 0, 0, 0],
        [5, 4, 4, 3, 4, 0, 0, 0, 0, 0, 0, 0],
        [7, 2, 4, 1, 4, 0, 0, 0, 0, 0, 0, 0],
    ]
    assert one.atom_types.tolist() == [1, 0, 2]
    assert (one.begins.tolist(), one.ends.tolist()) == ([0, 1], [1, 2])
    assert repr(one) == "MolGraphs(1 molecules, 3 atoms, 2 bonds)"


def test_tables_are_sorted_distinct_and_used(graphs):
    for table, types in ((graphs.atom_table, graphs.atom_types), (graphs.bond_table, graphs.bond_types)):
        rows = [tuple(row) for row in table.tolist()]
        assert rows == sorted(set(rows))
        assert set(types.tolist()) == set(range(len(rows)))


def test_indices_are_as_narrow_as_they_can_be(graphs):
    assert graphs.atom_types.dtype == np.uint8
    assert graphs.num_atoms.dtype == graphs.begins.dtype == np.uint16
    assert featurize(["CCO"]).graphs.num_atoms.dtype == np.uint8


@given(rows=st.lists(st.integers(-len(SMILES), len(SMILES) - 1), max_size=12))
def test_select_takes_rows_in_order(graphs, rows):
    everything = unpacked(graphs)
    assert unpacked(graphs.select(rows)) == [everything[row] for row in rows]


def test_select_by_slice_and_mask(graphs):
    mask = np.arange(len(SMILES)) % 2 == 0
    assert graphs.select(mask) == graphs.select(slice(None, None, 2))
    with pytest.raises(IndexError):
        graphs.select([len(SMILES)])


@given(cuts=st.lists(st.integers(0, len(SMILES)), max_size=4))
def test_concat_of_parts_is_the_whole_to_the_byte(graphs, cuts):
    edges = [0, *sorted(cuts), len(SMILES)]
    parts = [graphs.select(slice(a, b)) for a, b in pairwise(edges)]
    assert same_bytes(MolGraphs.concat(parts), graphs)


def test_pack_gives_the_same_form(graphs):
    again = MolGraphs.pack(
        graphs.atom_table[graphs.atom_types], graphs.bond_table[graphs.bond_types],
        graphs.begins.astype(np.int64), graphs.ends.astype(np.int64), graphs.num_atoms, graphs.num_bonds,
    )  # fmt: skip
    assert same_bytes(again, graphs)


@pytest.mark.parametrize("bits", [1, 4])
def test_keys_that_meet_in_a_slot_stay_apart(graphs, bits, monkeypatch):
    """In a table so small that they must, the form is that of all others."""
    monkeypatch.setattr(code_tables, "SLOT_BITS", bits)
    assert same_bytes(featurize(SMILES).graphs, graphs)


def test_none_at_all():
    none = MolGraphs.empty()
    assert len(none) == none.nbytes == 0
    assert same_bytes(MolGraphs.concat([]), none)
    assert same_bytes(MolGraphs.concat([none, none]), none)
    assert same_bytes(featurize([]).graphs, none)
    assert none.atom_table.shape == (0, len(ATOM_FIELDS))
    assert none.bond_table.shape == (0, len(BOND_FIELDS))


@pytest.mark.parametrize("rows", [slice(None), [0], []])
def test_saved_and_loaded_is_the_same(graphs, rows, tmp_path):
    path = tmp_path / "a.graphs"
    chosen = MolGraphs.concat([graphs.select(rows)])
    chosen.save(path)
    loaded = MolGraphs.load(path)
    assert same_bytes(loaded, chosen)
    assert os.listdir(tmp_path) == ["a.graphs"]
    assert same_bytes(pickle.loads(pickle.dumps(loaded)), chosen)


def test_any_safetensors_reader_reads_it(graphs, tmp_path):
    from safetensors.numpy import load_file

    graphs.save(tmp_path / "a.graphs")
    arrays = load_file(tmp_path / "a.graphs")
    assert all(np.array_equal(arrays[name], getattr(graphs, name)) for name in ARRAYS)


def test_loading_maps_the_file_and_leaves_it_alone(graphs, tmp_path):
    graphs.save(tmp_path / "a.graphs")
    loaded = MolGraphs.load(tmp_path / "a.graphs")
    assert isinstance(loaded.atom_types, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        loaded.atom_types[0] = 1


@pytest.mark.parametrize("length", [299, 300])
def test_wide_numbers_are_aligned_in_the_file(tmp_path, length):
    featurize(["C" * length, "C=C"]).graphs.save(tmp_path / "a.graphs")
    loaded = MolGraphs.load(tmp_path / "a.graphs")
    assert loaded.begins.dtype == np.uint16
    assert all(getattr(loaded, name).flags.aligned for name in ARRAYS)


def test_a_full_disk_leaves_the_old_file_and_no_other(graphs, tmp_path, monkeypatch):
    path = tmp_path / "a.graphs"
    graphs.save(path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        MolGraphs.empty().save(path)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.graphs"]


def test_a_folder_that_does_not_exist(graphs, tmp_path):
    with pytest.raises(FileNotFoundError):
        graphs.save(tmp_path / "none" / "a.graphs")
    with pytest.raises(FileNotFoundError):
        MolGraphs.load(tmp_path / "none.graphs")


def rewritten(content: bytes, change) -> bytes:
    """The file with its header changed."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    change(header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


DAMAGE = {
    "empty": lambda content: b"",
    "text": lambda content: b"smiles,logS\nCCO,1.0\n",
    "zeros": lambda content: bytes(len(content)),
    "header cut": lambda content: content[:100],
    "data cut": lambda content: content[:-1],
    "no data": lambda content: content[: 8 + int.from_bytes(content[:8], "little")],
    "not an object": lambda content: (2).to_bytes(8, "little") + b"[]",
    "array missing": lambda content: rewritten(content, lambda header: header.pop("ends")),
    "floats": lambda content: rewritten(content, lambda header: header["ends"].update(dtype="F32")),
    "shape": lambda content: rewritten(content, lambda header: header["num_atoms"].update(shape=[3])),
    "offsets": lambda content: rewritten(content, lambda header: header["begins"].update(data_offsets=[0, 2])),
    "negative": lambda content: rewritten(content, lambda header: header["begins"].update(data_offsets=[-4, -2])),
    "not offsets": lambda content: rewritten(content, lambda header: header["begins"].update(data_offsets="abc")),
    "counts": lambda content: rewritten(content, lambda header: header.update(num_atoms=header["num_bonds"])),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_refused(graphs, tmp_path, damage):
    path = tmp_path / "a.graphs"
    graphs.save(path)
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    with pytest.raises(FileFormatError, match="is not a molmp graph store, or it is damaged"):
        MolGraphs.load(path)


def test_another_format_and_other_features_are_named(graphs, tmp_path):
    path = tmp_path / "a.graphs"
    graphs.save(path)
    content = path.read_bytes()
    path.write_bytes(rewritten(content, lambda header: header["__metadata__"].update(format="molmp-graphs-2")))
    with pytest.raises(FileFormatError, match="of format molmp-graphs-2; this molmp reads molmp-graphs-1"):
        MolGraphs.load(path)
    path.write_bytes(rewritten(content, lambda header: header["__metadata__"].update(columns='{"atom": []}')))
    with pytest.raises(FileFormatError, match="made with other atom or bond features: featurize again"):
        MolGraphs.load(path)


@pytest.mark.parametrize("seed", range(4))
def test_parts_one_by_one_are_the_file_of_all_together(seed, tmp_path, monkeypatch):
    monkeypatch.setattr(graph_stream, "BLOCK", 7)
    rng = np.random.default_rng(seed)
    texts = rng.permutation([*MOLECULES, "C" * 300, "[U]"]).tolist()
    cuts = [0, *sorted(rng.integers(0, len(texts), 4).tolist()), len(texts)]
    parts = [featurize(texts[a:b]).graphs for a, b in pairwise(cuts)]
    with graph_stream.graph_stream(tmp_path / "parts.graphs") as add:
        for part in parts:
            add(part)
    MolGraphs.concat(parts).save(tmp_path / "all.graphs")
    assert (tmp_path / "parts.graphs").read_bytes() == (tmp_path / "all.graphs").read_bytes()


def test_a_stream_that_breaks_off_leaves_what_was_there(tmp_path):
    (tmp_path / "x.graphs").write_bytes(b"before")

    def broken():
        with graph_stream.graph_stream(tmp_path / "x.graphs") as add:
            add(featurize(["CCO"]).graphs)
            raise KeyError

    with pytest.raises(KeyError):
        broken()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]
    with (
        pytest.raises(OSError, match=r"No such file or directory: '.*none/x.graphs'"),
        graph_stream.graph_stream(tmp_path / "none" / "x.graphs"),
    ):
        pass
