"""What is asked of RDKit once for each environment of an atom is what RDKit gives for every molecule."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from awkward import awkward_spellings
from generated import generated
from rdkit import Chem

from molmp.chem import contributions
from molmp.chem.contributions import LOGP_BINS, REFRACTIVITY_BINS, SURFACE, Contributions, surface_of
from molmp.chem.graphs import MolGraphs
from molmp.chem.reader import read_chunk
from molmp.chem.smiles import quiet_rdkit

COMPLEXES = [
    "COc1cccc2c1[OH+][Cu-3]1(O)[O+]=C(c3ccccc3O)[N-][N+]1=C2",
    "[ClH+][Co-4]12([ClH+])([O+]=C3N=CNc4[n-][n+]1cc43)[O+]=C1N=CNc3[n-][n+]2cc31",
    "CC#[N+][Rh+2]12[O+]=C3N(C(C)=O)CC(C(=O)OC)[NH+]3[Rh+2]1([N+]#CC)[O+]=C1N(C(C)=O)CC(C(=O)OC)[NH+]12",
    "CC(C)=[O+][Cu-3]", "NC(N)=[O+][Cu-3]", "CC(c1ccccc1)=[O+][Cu-3]",
    "C[O+](C=O)[Pt-2](C)C", "O=S(C)(=O)O[Hg]OC(C)=O", "c1ccc2c(c1)[o+]c1ccccc1n2",
]  # fmt: skip


def molecules(texts: list[str]) -> tuple[MolGraphs, list[str]]:
    graphs, rows, _ = read_chunk(texts)
    return graphs, [texts[row] for row in rows]


@pytest.fixture(scope="module")
def awkward() -> list[str]:
    return [text for text in awkward_spellings() if len(text) < 300]


@pytest.mark.parametrize("which", ["drawn", "awkward"])
def test_sums_are_those_of_rdkit(which: str, awkward: list[str]) -> None:
    texts = generated(6000, seed=3) if which == "drawn" else [*awkward, *COMPLEXES]
    known, asked = Contributions(), []
    for start in range(0, len(texts), 1000):
        graphs, part = molecules(texts[start : start + 1000])

        def again(row: int, part: list[str] = part) -> Chem.Mol:
            asked.append(row)
            return Chem.MolFromSmiles(part[row])

        with quiet_rdkit():
            got = known.surfaces(graphs, again)
            want = [surface_of(Chem.MolFromSmiles(text)) for text in part]
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-9)


def test_what_is_known_is_not_asked_again() -> None:
    graphs, texts = molecules(generated(500, seed=4))
    known, asked = Contributions(), []

    def again(row: int) -> Chem.Mol:
        asked.append(row)
        return Chem.MolFromSmiles(texts[row])

    with quiet_rdkit():
        known.surfaces(graphs, again)
        asked.clear()
        known.surfaces(graphs, again)
        special = [any(a.GetAtomicNum() <= 1 for a in Chem.MolFromSmiles(text).GetAtoms()) for text in texts]
    assert len(asked) <= sum(special) + 10 < len(texts) / 2


def test_what_was_asked_before_changes_nothing() -> None:
    drawn = [text for text in generated(150, seed=5) if "@" not in text and "/" not in text and "\\" not in text]
    with quiet_rdkit():
        mols = [Chem.MolFromSmiles(text) for text in drawn]
        respelled = [Chem.MolToRandomSmilesVect(mol, 1, randomSeed=7)[0] for mol in mols if mol is not None]
    graphs, texts = molecules([*drawn, *respelled])

    def again(row: int) -> Chem.Mol:
        return Chem.MolFromSmiles(texts[row])

    with quiet_rdkit():
        at_once = Contributions().surfaces(graphs, again)
        known = Contributions()
        for row in range(len(graphs))[::-1]:
            alone = known.surfaces(graphs.select([row]), lambda _, row=row: again(row))
            np.testing.assert_array_equal(alone[0], at_once[row])


def test_a_full_memory_changes_nothing_but_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs, texts = molecules(generated(200, seed=6))
    with quiet_rdkit():
        want = Contributions().surfaces(graphs, lambda row: Chem.MolFromSmiles(texts[row]))
        full = Contributions()
        full.surfaces(graphs.select(slice(20)), lambda row: Chem.MolFromSmiles(texts[row]))
        size = len(full)
        monkeypatch.setattr(contributions, "MOST", size)
        np.testing.assert_array_equal(full.surfaces(graphs, lambda row: Chem.MolFromSmiles(texts[row])), want)
    assert size == len(full) > 50


def test_threads_share_a_memory() -> None:
    texts = generated(1200, seed=8)
    parts = [molecules(texts[start : start + 50]) for start in range(0, len(texts), 50)]

    def ask(known: Contributions, graphs: MolGraphs, part: list[str]) -> np.ndarray:
        return known.surfaces(graphs, lambda row: Chem.MolFromSmiles(part[row]))

    with quiet_rdkit():
        want = [ask(Contributions(), *part) for part in parts]
        shared, switch = Contributions(), sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            with ThreadPoolExecutor(8) as threads:
                got = list(threads.map(lambda part: ask(shared, *part), parts * 3))
        finally:
            sys.setswitchinterval(switch)
    for one, other in zip(got, want * 3, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_bins_are_those_of_rdkit() -> None:
    mol = Chem.MolFromSmiles("CC(=O)Oc1ccc(C(F)(F)F)cc1S(=O)(=O)N[C@@H](C)P(=O)(O)OCl")
    assert len(SURFACE) == 2 + len(LOGP_BINS) + 1 + len(REFRACTIVITY_BINS) + 1 == len(surface_of(mol))


def test_no_molecules() -> None:
    graphs, _ = molecules([])
    assert Contributions().surfaces(graphs, pytest.fail).shape == (0, len(SURFACE))
