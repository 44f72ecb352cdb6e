"""Splits: a partition, of the sizes asked for, that keeps its groups together and never changes."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit.Chem import rdFingerprintGenerator
from rdkit.DataStructs import BulkTanimotoSimilarity
from rdkit.ML.Cluster import Butina

from molmp.chem import guard, pool
from molmp.chem.options import GraphOptions
from molmp.chem.smiles import parse_smiles, scaffold_smiles
from molmp.errors import ConfigError, DataError, FileFormatError, InvalidSmilesError
from molmp.tables import groups
from molmp.tables.splits import SPLITS, Split, draw_validation, make_split, read_splits_file, split_by_words

RINGS = ["c1ccccc1", "c1ccncc1", "C1CCCCC1", "c1ccoc1", "c1ccsc1", "C1CCNCC1", "C1CC1", "c1ccc2ccccc2c1", "C1CCOC1"]
TAILS = ["C", "CC", "CCC", "O", "N", "N#C", "CO", "CCN", "F", "Cl", "C(=O)O"]
SMILES = [tail + ring for ring in RINGS for tail in TAILS] + ["CCO", "CCCN", "OCCO"]


def as_lists(split):
    return [part.tolist() for part in split]


def assert_partition(split, rows):
    assert all(part.dtype == np.int64 for part in split)
    assert all((np.diff(part) > 0).all() for part in split)
    assert sorted(np.concatenate(split)) == sorted(rows)


@pytest.mark.parametrize("how", SPLITS)
def test_every_row_is_in_one_part(how):
    assert_partition(make_split(how, SMILES, sizes=(0.6, 0.2, 0.2)), range(len(SMILES)))


@pytest.mark.parametrize("how", SPLITS)
def test_only_the_rows_that_serve_are_split(how):
    rows = np.arange(1, len(SMILES), 2)
    holes = [smiles if i % 2 else "not a molecule" for i, smiles in enumerate(SMILES)]
    assert_partition(make_split(how, holes, rows=rows, sizes=(0.6, 0.2, 0.2)), rows)


@pytest.mark.parametrize("how", SPLITS)
def test_the_same_seed_gives_the_same_split(how):
    first, again, other = (make_split(how, SMILES, seed=seed, sizes=(0.6, 0.2, 0.2)) for seed in (1, 1, 2))
    assert as_lists(first) == as_lists(again)
    assert (as_lists(first) != as_lists(other)) == (how in ("random", "scaffold", "butina"))


def test_splits_of_this_release_do_not_move():
    assert make_split("random", ["C"] * 20, seed=7).test.tolist() == [2, 3]
    got = make_split("scaffold", SMILES, seed=7, sizes=(0.7, 0.15, 0.15))
    assert [sorted({int(row) // len(TAILS) for row in part}) for part in got] == SCAFFOLDS


SCAFFOLDS = [[1, 3, 4, 5, 6, 7, 8], [0, 9], [2]]


@pytest.mark.parametrize("sizes", [(0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (1 / 3, 1 / 3, 1 / 3)])
@pytest.mark.parametrize("how", ["random", "time"])
def test_sizes(how, sizes):
    split = make_split(how, ["C"] * 1000, sizes=sizes)
    assert [len(part) for part in split] == pytest.approx([1000 * size for size in sizes], abs=1)


@settings(deadline=None)
@given(count=st.integers(3, 40), seed=st.integers(0, 99))
def test_small_tables_have_a_row_in_each_part(count, seed):
    split = make_split("random", ["C"] * count, seed=seed)
    assert_partition(split, range(count))
    assert min(map(len, split)) >= 1


# Groups


@pytest.mark.parametrize("how", ["scaffold", "scaffold-fixed"])
def test_scaffolds_stay_together(how):
    for seed in range(5):
        split = make_split(how, SMILES, seed=seed, sizes=(0.6, 0.2, 0.2))
        parts = [{scaffold_smiles(parse_smiles(SMILES[row])) for row in part} for part in split]
        assert not parts[0] & parts[1]
        assert not parts[0] & parts[2]
        assert not parts[1] & parts[2]


@pytest.mark.parametrize("how", ["scaffold", "butina"])
def test_group_splits_are_balanced(how):
    sizes = (0.6, 0.2, 0.2)
    many = [f"{tail}{ring}" for ring in RINGS for tail in TAILS[:3]] + [f"{'C' * i}O" for i in range(1, 40)]
    for seed in range(5):
        lengths = [len(part) for part in make_split(how, many, seed=seed, sizes=sizes)]
        assert lengths == pytest.approx([size * len(many) for size in sizes], abs=0.1 * len(many))


def test_large_groups_train():
    big = [f"{'C' * i}c1ccccc1" for i in range(60)]
    small = [f"{tail}{ring}" for ring in RINGS[1:] for tail in TAILS[:5]]
    for seed in range(10):
        assert set(range(60)) <= set(make_split("scaffold", big + small, seed=seed).train.tolist())


def test_largest_scaffolds_train_and_nothing_is_random():
    """Groups of 3, 2, 2, 1, 1, 1: by size, among equals the later first, as MoleculeNet has it."""
    benzene, pyridine, furan = (f"C{ring}" for ring in ("c1ccccc1", "c1ccncc1", "c1ccoc1"))
    smiles = [furan, benzene, pyridine, benzene, "CC1CC1", furan, "CC1CCC1", benzene, pyridine, "CC1CCCC1"]
    split = make_split("scaffold-fixed", smiles, sizes=(0.6, 0.2, 0.2))
    assert as_lists(split) == [[1, 2, 3, 7, 8, 9], [0, 5], [4, 6]]


def test_fixed_scaffolds_fill_as_moleculenet_does():
    """A group that no longer fits the training part goes on, smaller ones still train."""
    filled = groups.fill_largest_first([np.arange(5), np.arange(5, 8), np.arange(8, 10), np.array([10])], [6, 3, 2])
    assert [part.tolist() for part in filled] == [[0, 1, 2, 3, 4, 10], [5, 6, 7], [8, 9]]


def bits_of(smiles):
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    return [generator.GetFingerprint(parse_smiles(text)) for text in smiles]


@pytest.mark.parametrize("distance", [0.3, 0.6, 0.8])
def test_clusters_are_those_of_rdkit(distance):
    bits = bits_of(SMILES)
    pairs = [1 - x for i in range(len(bits)) for x in BulkTanimotoSimilarity(bits[i], bits[:i])]
    want = Butina.ClusterData(pairs, len(bits), distance, isDistData=True)
    got = [group.tolist() for group in groups.cluster(bits, distance)]
    assert got == sorted(sorted(cluster) for cluster in want)


@pytest.mark.parametrize("exact", [10_000, 1])
def test_similar_molecules_share_a_group_with_its_centre(monkeypatch, exact):
    monkeypatch.setattr(groups, "_EXACT", exact)
    bits = bits_of(SMILES)
    found = groups.similarity_groups(SMILES)
    assert sorted(np.concatenate(found)) == list(range(len(SMILES)))
    assert len(found) < len(SMILES)
    for group in found:
        likeness = [min(BulkTanimotoSimilarity(bits[i], [bits[j] for j in group])) for i in group]
        assert max(likeness) >= 1 - groups.DISTANCE - 1e-9


def test_repeats_share_a_part_in_group_splits():
    smiles = ["OCC", "CCO"] * 3 + SMILES
    for how in ("scaffold", "scaffold-fixed", "butina"):
        part_of = {int(row): i for i, part in enumerate(make_split(how, smiles)) for row in part}
        assert len({part_of[row] for row in range(6)}) == 1


# Time


def test_the_newest_test():
    times = np.array([5.0, 1, 9, 3, 7, 2, 8, 4, 6, 0])
    split = make_split("time", ["C"] * 10, times=times, sizes=(0.6, 0.2, 0.2))
    assert [sorted(times[part]) for part in split] == [[0, 1, 2, 3, 4, 5], [6, 7], [8, 9]]
    assert as_lists(make_split("time", ["C"] * 5, sizes=(0.6, 0.2, 0.2))) == [[0, 1, 2], [3], [4]]
    part = make_split("time", ["C"] * 10, times=times, rows=np.array([0, 2, 4]), sizes=(0.4, 0.3, 0.3))
    assert as_lists(part) == [[0], [4], [2]]


# Words


def test_words():
    words = ["TRAIN", " training ", "val", "Valid", "validation", "test", "train"]
    assert as_lists(split_by_words(words)) == [[0, 1, 6], [2, 3, 4], [5]]
    assert as_lists(split_by_words(words, rows=np.array([6, 4, 5]))) == [[6], [4], [5]]


def test_validation_rows_are_drawn_from_training_rows():
    words = ["train"] * 90 + ["test"] * 30
    split = split_by_words(words, sizes=(0.8, 0.1, 0.1), seed=3)
    assert_partition(split, range(120))
    assert split.test.tolist() == list(range(90, 120))
    assert len(split.val) == 10
    assert as_lists(split) == as_lists(split_by_words(words, seed=3))
    assert as_lists(split) != as_lists(split_by_words(words, seed=4))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "tset", "x", "x"], r"t\.csv has words that name no part: 'x' \(2 rows\), 'tset' \(1 rows\); parts"),
        (["train", "val", "test", ""], r"'' \(1 rows\)"),
        (["train", "train", "val"], r"leaves no rows to test \(train 2, val 1, test 0\)"),
        (["test", "test", "val"], "leaves no rows to train"),
        (["train", "test"], "too few to draw validation rows from"),
    ],
)
def test_words_that_are_refused(words, message):
    with pytest.raises(DataError, match=message):
        split_by_words(words, where="t.csv")


def test_words_of_rows_that_do_not_serve_are_not_judged():
    words = ["train", "val", "test", "?"]
    assert as_lists(split_by_words(words, rows=np.arange(3))) == [[0], [1], [2]]


# Files


@pytest.fixture
def splits_file(tmp_path):
    def splits_file(content):
        path = tmp_path / "splits.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return splits_file


@pytest.mark.parametrize(
    "content",
    [
        {"train": [0, 1, 2], "val": [3], "test": [5, 4]},
        {"train": "0-2", "valid": "3", "test": "4-5"},
        [{"train": [2, 1, 0], "val": [3], "test": " 4, 5 "}, {"train": [], "val": [], "test": []}],
    ],
)
def test_files(splits_file, content):
    assert as_lists(read_splits_file(splits_file(content), 7)) == [[0, 1, 2], [3], [4, 5]]


def test_files_with_several_splits(splits_file):
    path = splits_file([{"train": [0], "val": [1], "test": [2]}, {"train": [2], "val": [1], "test": [0]}])
    assert as_lists(read_splits_file(path, 3, index=1)) == [[2], [1], [0]]
    with pytest.raises(DataError, match="has 2 splits, none with the number 2"):
        read_splits_file(path, 3, index=2)


def test_files_without_validation_rows(splits_file):
    for content in ({"train": "0-19", "test": "20-21"}, {"train": "0-19", "val": None, "test": "20-21"}):
        split = read_splits_file(splits_file(content), 22)
        assert [len(part) for part in split] == [18, 2, 2]


def test_files_speak_of_rows_that_do_not_serve(splits_file):
    path = splits_file({"train": [0, 1], "val": [2, 3], "test": [4, 5]})
    assert as_lists(read_splits_file(path, 6, rows=np.array([0, 2, 4]))) == [[0], [2], [4]]
    with pytest.raises(DataError, match="leaves no rows to val"):
        read_splits_file(path, 6, rows=np.array([0, 4]))


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("{", FileFormatError, "is not JSON"),
        ("[]", DataError, "has 0 splits"),
        ("3", FileFormatError, "no lists of rows named train, val and test"),
        ({"train": [0], "val": [1], "tset": [2]}, FileFormatError, "unknown names: tset"),
        ({"train": [0], "val": [1], "test": [9]}, DataError, "test names row 9; the table has rows 0 to 4"),
        ({"train": [0], "val": [1], "test": [-1]}, DataError, "names row -1"),
        ({"train": "0-99999999999", "val": [1], "test": [2]}, DataError, "names row 99999999999"),
        ({"train": [0, 1], "val": [1], "test": [2]}, DataError, "rows in it twice: 1"),
        ({"train": [0.5], "val": [1], "test": [2]}, FileFormatError, "train is not a list of row numbers"),
        ({"train": [True], "val": [1], "test": [2]}, FileFormatError, "train is not a list of row numbers"),
        ({"train": "0-", "val": [1], "test": [2]}, FileFormatError, "train is not a list of row numbers"),
        ({"train": [0], "val": [1], "test": []}, DataError, "leaves no rows to test"),
    ],
)
def test_files_that_are_refused(splits_file, content, error, message):
    with pytest.raises(error, match=message):
        read_splits_file(splits_file(content), 5)


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_splits_file(tmp_path / "splits.json", 5)


# Wrong arguments


@pytest.mark.parametrize("sizes", [(0.8, 0.2), (0.8, 0.1, 0.2), (1.0, 0.0, 0.0), (0.9, 0.2, -0.1), (80, 10, 10)])
def test_sizes_that_are_refused(sizes):
    with pytest.raises(ConfigError, match="three positive shares that add up to 1"):
        make_split("random", SMILES, sizes=sizes)


def test_an_unknown_split_lists_those_there_are():
    with pytest.raises(
        ConfigError, match="no split 'kmeans'; there are random, scaffold, scaffold-fixed, butina, time"
    ):
        make_split("kmeans", SMILES)


def test_a_part_that_comes_out_empty():
    with pytest.raises(DataError, match=r"a scaffold split of 4 molecules leaves no rows to val and test \(train 4"):
        make_split("scaffold", ["CCO", "CC", "CCC", "CCCC"])
    with pytest.raises(DataError, match="leaves no rows to train"):
        make_split("random", ["C", "CC"])


def test_an_unreadable_molecule_is_an_error_here():
    with pytest.raises(InvalidSmilesError):
        make_split("scaffold", ["C1CC", *SMILES])


def test_draw_validation():
    left, drawn = draw_validation(np.array([9, 4, 7]), 0.01, seed=0)
    assert len(drawn) == 1
    assert sorted([*left, *drawn]) == [4, 7, 9]
    assert len(draw_validation(np.arange(2), 0.99, seed=0)[0]) == 1
    for share in (0, 1, -0.1):
        with pytest.raises(ConfigError, match="between 0 and 1"):
            draw_validation(np.arange(9), share, seed=0)


def test_split_is_a_plain_record():
    assert Split._fields == ("train", "val", "test")


@pytest.mark.parametrize(
    ("how", "long", "refusing"),
    [
        # RDKit takes 12 s to find the scaffold of 2,100 atoms.
        ("scaffold", "c1ccccc1" + "C" * 60, GraphOptions(max_atoms=50)),
        ("scaffold-fixed", "c1ccccc1" + "C" * 60, GraphOptions(max_atoms=50)),
        ("butina", "c1ccccc1" + "C" * 2100, GraphOptions()),
    ],
)
def test_limits_are_those_of_the_molecules(how, long, refusing):
    """A molecule that the reader was told to accept is not refused when it is grouped, and the other way round."""
    smiles = [*SMILES, long]
    with pytest.raises(InvalidSmilesError, match=f"more than {refusing.max_atoms}"):
        make_split(how, smiles, sizes=(0.6, 0.2, 0.2), options=refusing)
    split = make_split(how, smiles, sizes=(0.6, 0.2, 0.2), options=GraphOptions(max_atoms=3000))
    assert_partition(split, range(len(smiles)))


@pytest.mark.parametrize("how", ["scaffold", "butina"])
def test_a_molecule_that_ends_its_process_has_no_scaffold(how, monkeypatch):
    trap = "C" * 1500
    monkeypatch.setattr(
        pool, "PROGRAM",
        pool.PROGRAM.replace(
            "from molmp.chem.worker import serve;",
            "import os; from molmp.chem import molecules as m; read = m.read_text; "
            f"m.read_text = lambda t, *a: os.abort() if len(t) == {len(trap)} else read(t, *a); "
            "from molmp.chem.worker import serve;",
        ),
    )  # fmt: skip
    guard._guard.cache_clear()
    split = make_split(how, [*SMILES, trap], sizes=(0.6, 0.2, 0.2))
    guard._guard.cache_clear()
    assert_partition(split, range(len(SMILES) + 1))
