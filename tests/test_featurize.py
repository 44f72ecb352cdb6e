"""Every row accounted for, the same bytes whoever does the work, and one graph for one molecule however written."""

import os
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from awkward import CAGE, ENDLESS, MOLECULES, awkward_spellings
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molmp.chem import featurize as module
from molmp.chem import guard, pool
from molmp.chem.features import ATOM_FIELDS
from molmp.chem.featurize import GraphOptions, featurize, iter_featurize
from molmp.chem.graphs import ARRAYS, MolGraphs
from molmp.chem.plain import plain_graphs
from molmp.chem.pool import count_jobs
from molmp.chem.reader import read_chunk
from molmp.chem.smiles import quiet_rdkit
from molmp.errors import ConfigError, EngineError

MANY = [smiles for smiles in awkward_spellings() if len(smiles) < 200] * 3

TRAP = "FPPF"


def trapped(deed: str) -> str:
    """A worker's program that does a ``deed`` at one molecule, as if RDKit had."""
    return pool.PROGRAM.replace(
        "from molmp.chem.worker import serve;",
        "import os, time; from molmp.chem import smiles; read = smiles.read_plain_text; "
        f"smiles.read_plain_text = lambda t, *a: {deed} if t == '{TRAP}' else read(t, *a); "
        "from molmp.chem.worker import serve;",
    )


def same_bytes(one: MolGraphs, other: MolGraphs) -> bool:
    pairs = [(getattr(one, name), getattr(other, name)) for name in ARRAYS]
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs)


def numbered(graphs: MolGraphs, order: list[int]) -> tuple[dict, set]:
    """Atoms and bonds of the one molecule, atom i called ``order[i]``."""
    atoms = dict(zip(order, graphs.atom_table[graphs.atom_types].tolist(), strict=True))
    ends = zip(graphs.begins.tolist(), graphs.ends.tolist(), graphs.bond_table[graphs.bond_types].tolist(), strict=True)
    return atoms, {(frozenset((order[begin], order[end])), *row) for begin, end, row in ends}


def colours(graphs: MolGraphs) -> list[int]:
    """Colours of the atoms after as many rounds of Weisfeiler-Lehman refinement as it takes, sorted."""
    atoms = [hash(bytes(row)) for row in graphs.atom_table[graphs.atom_types]]
    bonds = [bytes(row) for row in graphs.bond_table[graphs.bond_types]]
    for _ in range(min(len(atoms), 30)):
        heard: list[list[int]] = [[] for _ in atoms]
        for begin, end, bond in zip(graphs.begins.tolist(), graphs.ends.tolist(), bonds, strict=True):
            heard[begin].append(hash((atoms[end], bond)))
            heard[end].append(hash((atoms[begin], bond)))
        atoms = [hash((atom, *sorted(others))) for atom, others in zip(atoms, heard, strict=True)]
    return sorted(atoms)


@pytest.mark.parametrize("smiles", MOLECULES)
def test_the_order_of_the_atoms_does_not_matter(smiles):
    """Nothing is written out in between, so this holds to the last label of a ring full of stereocentres."""
    mol = Chem.MolFromSmiles(smiles)
    expected = numbered(plain_graphs([Chem.Mol(mol)]), list(range(mol.GetNumAtoms())))
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(mol.GetNumAtoms()).tolist()
        assert numbered(plain_graphs([Chem.RenumberAtoms(mol, order)]), order) == expected


@given(smiles=st.sampled_from(MOLECULES), seed=st.integers(0, 2**31))
@settings(max_examples=200, deadline=None)
def test_the_spelling_does_not_matter(smiles, seed):
    with quiet_rdkit():
        mol = Chem.MolFromSmiles(smiles)
        (text,) = Chem.MolToRandomSmilesVect(mol, 1, randomSeed=seed)
        again = Chem.MolFromSmiles(text)
        if Chem.MolToSmiles(again) != Chem.MolToSmiles(mol):
            return  # RDKit's writer itself changed the molecule: octahedra, and rings with no other stereo
    one, other = featurize([smiles]).graphs, featurize([text]).graphs
    assert colours(one) == colours(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("C[C@H](F)Cl", "C[C@@H](F)Cl"), ("C/C=C/C", "C/C=C\\C"), ("C[C@H]1CC[C@@H](C)CC1", "C[C@H]1CC[C@H](C)CC1"),
     ("C[S@](=O)CC", "C[S@@](=O)CC"), ("CC", "[13CH3]C"), ("C[CH2]", "CC"), ("C1CC2CCCC12", "C1CC2CC2CC1")],
)  # fmt: skip
def test_different_molecules_differ(one, other):
    assert colours(featurize([one]).graphs) != colours(featurize([other]).graphs)


@pytest.mark.parametrize("explicit_hydrogens", [False, True])
def test_hydrogens_written_or_not(explicit_hydrogens):
    options = GraphOptions(explicit_hydrogens=explicit_hydrogens)
    graphs = featurize(["CO", "[H]C([H])([H])O[H]", "[CH3][OH]", "[#1]CO"], options).graphs
    assert len({tuple(colours(graphs.select([row]))) for row in range(4)}) == 1
    assert graphs.num_atoms.tolist() == [6 if explicit_hydrogens else 2] * 4


def test_explicit_hydrogens_do_not_change_sides_of_rings():
    """CH2OH ranks above CH2NH2 without hydrogens and below it with them."""
    smiles = ["C[C@H]1CC[C@](CO)(CN)CC1", "C[C@H]1CC[C@@](CO)(CN)CC1"]
    chirality = [field.name for field in ATOM_FIELDS].index("chirality")
    for text in smiles:
        without, with_hydrogens = (
            featurize([text], GraphOptions(explicit_hydrogens=explicit)).graphs for explicit in (False, True)
        )
        columns = [graphs.atom_table[graphs.atom_types][:11, chirality] for graphs in (without, with_hydrogens)]
        assert columns[0].tolist() == columns[1].tolist()


def test_explicit_hydrogens_are_like_hydrogens_that_were_there():
    graphs = featurize(["[H][H]", "C"], GraphOptions(explicit_hydrogens=True)).graphs
    hybridization = [field.name for field in ATOM_FIELDS].index("hybridization")
    atoms = graphs.atom_table[graphs.atom_types]
    assert len(set(atoms[atoms[:, 0] == 0, hybridization])) == 1


def test_each_row_is_a_graph_or_an_error():
    rows = ["CCO", "", None, "C1CC", " c1ccccc1 ", "C C", float("nan"), "C", 7]
    featurized = featurize(rows)
    assert featurized.rows.tolist() == [0, 4, 7]
    assert {row: (error.code, error.row) for row, error in featurized.errors.items()} == {
        1: ("empty", 1), 2: ("empty", 2), 3: ("syntax", 3), 5: ("whitespace", 5), 6: ("empty", 6), 8: ("syntax", 8),
    }  # fmt: skip
    assert same_bytes(featurized.graphs, featurize(["CCO", "c1ccccc1", "C"]).graphs)


@pytest.mark.parametrize("container", [tuple, np.array, iter, lambda texts: np.array(texts, object)])
def test_containers(container):
    assert same_bytes(featurize(container(["CCO", "C"])).graphs, featurize(["CCO", "C"]).graphs)


def test_standardized():
    options = GraphOptions(standardize="clean")
    featurized = featurize(["CC(=O)[O-].[Na+]", "C1CC", "CC(=O)O"], options)
    assert same_bytes(featurized.graphs, featurize(["CC(=O)O", "CC(=O)O"]).graphs)
    assert featurized.errors[1].code == "syntax"


def test_options_survive_a_model_file_and_refuse_what_they_do_not_know():
    options = GraphOptions(explicit_hydrogens=True, standardize="tautomer")
    assert GraphOptions.from_dict(options.to_dict()) == options
    with pytest.raises(ConfigError, match="unknown graph options: chirality"):
        GraphOptions.from_dict({"chirality": True})
    with pytest.raises(ConfigError, match="standardize must be one of none, clean, tautomer, not 'fix'"):
        GraphOptions(standardize="fix")
    with pytest.raises(ConfigError, match="max_atoms must be a number above 0, at most 100,000, not '5'"):
        GraphOptions.from_dict({"max_atoms": "5"})
    for wrong in ({"max_atoms": 0}, {"max_characters": 10**9}, {"time_limit": float("nan")}, {"max_atoms": True}):
        with pytest.raises(ConfigError, match="must be a number above 0"):
            GraphOptions(**wrong)


def test_limits():
    options = GraphOptions(max_atoms=3, max_characters=12)
    rows = ["CCO", "CCCO", "[H]C([H])C", "[2H]C([2H])CC", "C" * 13]
    featurized = featurize(rows, options)
    assert {row: (e.code, e.reason) for row, e in featurized.errors.items()} == {
        1: ("too-large", "it has 4 atoms, more than 3"),
        3: ("too-large", "it has 13 characters, more than 12"),
        4: ("too-large", "it has 13 characters, more than 12"),
    }
    assert len(featurize(["C" * 3000], GraphOptions(max_atoms=3000)).rows) == 1


def test_too_many_atoms_are_counted_before_rdkit_sees_them(monkeypatch):
    """A ring of 9,998 aromatic dummy atoms would take it 3 GB."""
    monkeypatch.setattr(Chem, "MolFromSmiles", None)
    (error,) = read_chunk(["c1" + "c" * 9_990 + "c1"])[2].values()
    assert (error.code, error.reason) == ("too-large", "it has 9992 atoms, more than 2000")


@pytest.mark.parametrize("n_jobs", [2, 3])
def test_any_number_of_workers_gives_the_same_bytes(n_jobs, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 500)
    monkeypatch.setattr(module, "SMALLEST_CHUNK", 100)
    alone, together = featurize(MANY), featurize(MANY, n_jobs=n_jobs)
    assert len(alone.errors) > 50
    assert same_bytes(alone.graphs, together.graphs)
    assert np.array_equal(alone.rows, together.rows)
    assert [str(error) for error in alone.errors.values()] == [str(error) for error in together.errors.values()]
    assert list(alone.errors) == list(together.errors)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_batches_come_in_order_and_few_are_under_way(n_jobs, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 100)
    taken = 0

    def batches():
        nonlocal taken
        for start in range(0, len(MANY), 50):
            taken += 1
            yield MANY[start : start + 50]

    parts = []
    for given_out, part in enumerate(iter_featurize(batches(), n_jobs=n_jobs)):
        assert taken - given_out <= 2 * n_jobs + 2
        parts.append(part)
    whole = featurize(MANY)
    assert same_bytes(MolGraphs.concat([part.graphs for part in parts]), whole.graphs)
    assert [part.rows.tolist() for part in parts][1] == [row - 50 for row in whole.rows.tolist() if 50 <= row < 100]


def test_batches_of_any_size(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 2)
    batches = [["C"] * 5, [], ["?", "CC"], ["CCC"]]
    parts = list(iter_featurize(batches))
    assert [part.rows.tolist() for part in parts] == [[0, 1, 2, 3, 4], [], [1], [0]]
    assert list(parts[2].errors) == [0]
    assert list(iter_featurize([])) == []


DEEDS = {
    "aborts": ("os.abort()", "crash", "the process that read it died (SIGABRT)"),
    "is killed": ("os.kill(os.getpid(), 9)", "crash", "the process that read it died (SIGKILL)"),
    "exits": ("os._exit(3)", "crash", "the process that read it died (exit code 3)"),
    "takes all memory": ("bytes(1 << 60)", "crash", "the process that read it died (out of memory)"),
    "hangs": ("[0 for _ in iter(int, 1)]", "timeout", "it takes more than 0.2 s of processor time"),
}


@pytest.mark.parametrize(
    ("n_jobs", "size", "deed"),
    [
        *((1, 1_000, deed) for deed in DEEDS),
        *((n_jobs, 100, deed) for n_jobs in (1, 2) for deed in ("is killed", "hangs")),
    ],
)
def test_a_molecule_that_ends_its_worker_is_found_and_the_rest_goes_on(n_jobs, size, deed, monkeypatch):
    """In several chunks, and in one of texts too long to be read here."""
    program, code, reason = DEEDS[deed]
    monkeypatch.setattr(pool, "PROGRAM", trapped(program))
    monkeypatch.setattr(module, "CHUNK", size)
    monkeypatch.setattr(module, "SMALLEST_CHUNK", size)
    monkeypatch.setattr(module, "TRUSTED", 0)
    guard._guard.cache_clear()
    traps = [0, 158]
    texts = [TRAP if row in traps else "C" * (1 + row % 9) for row in range(400)]
    featurized = featurize(texts, GraphOptions(time_limit=0.2), n_jobs=n_jobs)
    guard._guard.cache_clear()
    assert {row: (e.code, e.reason, e.row) for row, e in featurized.errors.items()} == {
        row: (code, reason, row) for row in traps
    }
    assert same_bytes(featurized.graphs, read_chunk([text if text != TRAP else "" for text in texts])[0])


def test_what_is_done_for_all_rows_together_has_its_limit_too(monkeypatch):
    """Then nobody knows the row, and the chunk is halved."""
    monkeypatch.setattr(
        pool, "PROGRAM",
        pool.PROGRAM.replace(
            "from molmp.chem.worker import serve;",
            "from molmp.chem import reader; make = reader.binary_graphs; "
            "reader.binary_graphs = lambda b, *a, **k: [0 for _ in iter(int, 1)] if any(x.count(b'F') for x in b) "
            "else make(b, *a, **k); reader.to_binary = lambda m, t, b=reader.to_binary: b(m, t) + b'F' * (t == 'FF'); "
            "from molmp.chem.worker import serve;",
        ),
    )  # fmt: skip
    texts = ["FF" if row == 5 else "C" for row in range(11)]
    with pool.WorkerPool(1) as workers:
        (answer,) = workers.read([texts], GraphOptions(time_limit=0.2))
    assert {row: error.code for row, error in answer[2].items()} == {5: "timeout"}
    assert answer[1].tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("buried", [False, True])
def test_a_worker_that_is_ended_from_outside_is_blamed_on_no_molecule(monkeypatch, buried):
    """Killed while it waits: another one does the work."""
    with pool.WorkerPool(1) as workers:
        chunks = iter([["C"], ["CC"]])

        def killing():
            yield next(chunks)
            process = workers.workers[0].process
            os.kill(process.pid, 9)
            if buried:  # its pipe is broken before anything is written to it
                process.wait()
            yield next(chunks)

        def lazily():
            for chunk in killing():
                yield from workers.read([chunk])

        assert [answer[2] for answer in lazily()] == [{}, {}]


@pytest.mark.parametrize("texts", [["C", TRAP, "CC"], [TRAP]])
def test_a_molecule_is_blamed_only_where_a_second_worker_dies_of_it(texts, tmp_path, monkeypatch):
    """Somebody ends the worker while it is at work, once."""
    flag = str(tmp_path / "flag")
    deed = f"(os.path.exists({flag!r}) or (open({flag!r}, 'w').close(), os.kill(os.getpid(), 9))) and read(t, *a)"
    monkeypatch.setattr(pool, "PROGRAM", trapped(deed))
    with pool.WorkerPool(1) as workers:
        (answer,) = workers.read([texts])
    assert answer[2] == {}
    assert same_bytes(answer[0], read_chunk(texts)[0])


def test_workers_that_cannot_begin_are_told(monkeypatch):
    monkeypatch.setattr(pool, "PROGRAM", "import os; {path!r}; os._exit(5)")
    with (
        pool.WorkerPool(1) as workers,
        pytest.raises(EngineError, match=r"4 worker .* before they began \(exit code 5"),
    ):
        list(workers.read([["C"]]))


@pytest.mark.parametrize(
    ("batches", "elsewhere"),
    [
        ([["C", "CC"]], False),
        ([["C", "C" * (module.TRUSTED + 1)]], True),
        ([["C"], ["CC"]], True),
    ],
    ids=["one chunk of short texts", "a long text", "several chunks"],
)
def test_what_is_read_elsewhere(batches, elsewhere, monkeypatch):
    """A hostile molecule is a long one or one of many; the user's process must not be the one that dies of it."""
    monkeypatch.setattr(pool, "PROGRAM", pool.PROGRAM if elsewhere else "import os; {path!r}; os._exit(5)")
    monkeypatch.setattr(guard, "_here", pytest.fail if elsewhere else guard._here)
    guard._guard.cache_clear()
    parts = list(iter_featurize(batches))
    guard._guard.cache_clear()
    assert [part.graphs.num_atoms.tolist() for part in parts] == [list(map(len, batch)) for batch in batches]


CAGES = "".join([CAGE * 2, "C12C3C4C1C5C2%(767)C3C45", CAGE * 15, "C12C3C4C1C5%(767)C2C3C45", CAGE * 2,
                 "C12C3C4C1C5C2C3CC45", CAGE * 5, "C"])  # fmt: skip
"""Found by ``make slowest``: RDKit says that it finds no memory for the rings of these 500 characters."""


@pytest.mark.parametrize("text", [CAGES, f"{CAGES}.F[C@H](Cl)Br"], ids=["plain", "stereo"])
def test_cages_for_which_rdkit_finds_no_memory(text):
    with quiet_rdkit(), pytest.raises(MemoryError):
        Chem.SanitizeMol(Chem.MolFromSmiles(text, sanitize=False))
    featurized = featurize(["CCO", text, "C"])
    assert {row: error.outcome for row, error in featurized.errors.items()} == {
        1: "too-large: RDKit finds no memory for its rings"
    }
    assert featurized.graphs.num_atoms.tolist() == [3, 1]


def test_a_cage_whose_bridgeheads_rdkit_never_ends_counting():
    """Found by ``make slowest``, in 296 characters: with the features of the default recipe it would hang training."""
    options = GraphOptions(features="descriptors", time_limit=0.5)
    featurized = featurize(["CCO", ENDLESS, "C"], options)
    assert {row: error.code for row, error in featurized.errors.items()} == {1: "timeout"}
    assert featurized.graphs.num_atoms.tolist() == [3, 1]
    assert not featurize([ENDLESS]).errors


def test_memory_that_gives_out_here_is_asked_for_elsewhere(monkeypatch):
    def full(texts, options):
        raise MemoryError

    monkeypatch.setattr(guard, "_here", lambda function, *a, here=guard._here: here(full, *a))
    assert featurize(["CCO", "C1"]).graphs.num_atoms.tolist() == [3]


def test_a_bug_in_a_worker_is_not_blamed_on_molecules(monkeypatch, capfd):
    monkeypatch.setattr(pool, "PROGRAM", "import sys; {path!r}; sys.stdin.buffer.read(1); raise AssertionError('oops')")
    monkeypatch.setattr(module, "CHUNK", 1)
    monkeypatch.setattr(module, "SMALLEST_CHUNK", 1)
    with pytest.raises(RuntimeError, match="a worker process failed"):
        featurize(["C", "CC", "CCC"], n_jobs=2)
    assert "oops" in capfd.readouterr().err


def test_leaving_early_ends_the_workers(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 10)
    started = []
    popen = subprocess.Popen

    def spy(*args, **kwargs):
        started.append(popen(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(pool.subprocess, "Popen", spy)
    parts = iter_featurize((["C"] * 10 for _ in range(1000)), n_jobs=2)
    next(parts)
    parts.close()
    assert started
    assert all(process.returncode is not None for process in started)


def test_scripts_need_no_guard_and_workers_import_little(tmp_path):
    """The script is not run again by its workers, and they load neither torch nor scikit-learn nor pandas."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        from molmp.chem import featurize, pool
        check = "assert not {{'torch', 'sklearn', 'pandas'}} & set(sys.modules)"
        pool.PROGRAM = pool.PROGRAM.replace("serve()", check + "; serve()")
        featurize.CHUNK = featurize.SMALLEST_CHUNK = 10
        print(len(featurize.featurize(["C"] * 50, n_jobs=2).graphs))
    """)
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("50\n", "")


NEEDS_PROC = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to see threads")

ALONE = "import os; assert len(os.listdir('/proc/self/task')) == 1; "
"""RDKit is slower in a process with any other thread."""


@NEEDS_PROC
def test_no_bar_is_made_where_nobody_asked_for_one():
    """It would start a thread."""
    script = "from molmp.chem.featurize import featurize; featurize(['C'] * 5); " + ALONE
    subprocess.run([sys.executable, "-c", script], env=os.environ | pool.ENVIRONMENT, check=True)


@NEEDS_PROC
def test_workers_have_one_thread(monkeypatch):
    for name in [name for name in os.environ if name.endswith("_NUM_THREADS")]:
        monkeypatch.delenv(name)
    check = "import molmp.chem.reader; " + ALONE
    monkeypatch.setattr(pool, "PROGRAM", pool.PROGRAM.replace("serve()", check + "serve()"))
    with pool.WorkerPool(1) as workers:
        ((graphs, _, _),) = workers.read([["C"] * 5])
    assert len(graphs) == 5


def test_counting_jobs(monkeypatch):
    monkeypatch.setattr(pool.os, "sched_getaffinity", lambda pid: range(8), raising=False)
    assert [count_jobs(n) for n in (None, 1, 3, -1, -2, -20)] == [1, 1, 3, 8, 7, 1]
    with pytest.raises(ConfigError, match="n_jobs must not be 0"):
        count_jobs(0)


def test_progress_is_for_terminals_only(capfd):
    featurize(["C"] * 10, progress=True)
    assert capfd.readouterr().err == ""


def test_random_rows_in_a_batch_do_not_matter():
    rng = random.Random(0)
    texts = [smiles for smiles in MANY[:200] if not featurize([smiles]).errors]
    order = rng.sample(range(len(texts)), len(texts))
    shuffled = featurize([texts[place] for place in order]).graphs
    assert same_bytes(shuffled, MolGraphs.concat([featurize(texts).graphs.select(order)]))
