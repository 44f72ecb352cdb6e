"""Explanations: contributions add up, stay with their atoms in any order and company, and point at what matters."""

import csv
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from browser import needs_browser, run_in_browser
from rdkit import Chem
from tiny import SMILES, tiny_bundle

from molmp.chem.featurize import featurize
from molmp.chem.graphs import MolGraphs
from molmp.errors import ConfigError
from molmp.explain import gradients
from molmp.explain.drawing import LOWERS, RAISES, colour
from molmp.explain.faithfulness import atom_scores, deletion_curve
from molmp.explain.gradients import completeness_gap, integrated_gradients
from molmp.explain.groups import find_groups
from molmp.explain.occlusion import occlude_atoms, occlude_bonds, occlude_groups, without_atoms, without_bonds
from molmp.inference.predictor import Predictor
from molmp.nn.batch import DeviceGraphs
from molmp.nn.config import CHOICES

TASKS = {"regression": "mp", "binary": "toxic", "multiclass": "colour"}


def lively(task: str, members: int = 2, **network: object) -> Predictor:
    """A model that learned nothing, but whose outputs differ between molecules."""
    predictor = Predictor(tiny_bundle(task, members, **network), "cpu")
    for model in predictor.models:
        list(model.head.parameters())[-2].data *= 4
    return predictor


@pytest.fixture(scope="module", params=list(TASKS))
def predictor(request) -> Predictor:
    return lively(request.param)


@pytest.fixture(scope="module")
def graphs() -> MolGraphs:
    return featurize(SMILES).graphs


def test_contributions_add_up(predictor, graphs):
    scorer = predictor.scorer(TASKS[predictor.bundle.targets.task])
    found = integrated_gradients(scorer, graphs)
    np.testing.assert_allclose(completeness_gap(found, graphs), 0, atol=1e-6)
    assert np.abs(found.atoms).max() > 1e-3
    assert np.abs(found.bonds).max() > 1e-4


PLACES = np.array([gradients.BLANK, *np.linspace(0, 1, 33)[1:]])


def test_contributions_by_finite_differences():
    predictor = lively("regression")
    for model in predictor.models:
        model.double()
    scorer, graphs = predictor.scorer("mp"), featurize(["CC(=O)N"]).graphs
    copies = gradients._own_rows(graphs.select(np.zeros(14, int)))  # each of 4 atoms and 3 bonds, more and less
    batch = DeviceGraphs(copies, steps=scorer.network.steps, compact=False).batch()
    step, slopes = 1e-7, []
    for place in PLACES:
        atoms, bonds = np.full((14, 4), place), np.full((14, 3), place)
        for part in range(7):
            path, column = (atoms, part) if part < 4 else (bonds, part - 4)
            path[2 * part, column] += step
            path[2 * part + 1, column] -= step
        paths = (gradients._tensor(path.ravel(), scorer) for path in (atoms, bonds))
        with torch.no_grad(), gradients._scaled(scorer.models, *paths):
            values = scorer.value(torch.stack([model(batch) for model in scorer.models])).numpy()
        slopes.append((values[::2] - values[1::2]) / (2 * step))
    found, lack = gradients._along_path(scorer, graphs, 32)
    want, want_lack = gradients._shared(np.array(slopes), _values(scorer, graphs))
    np.testing.assert_allclose(np.concatenate([found.atoms, found.bonds]), want, atol=1e-6)
    assert lack[0] == pytest.approx(want_lack, abs=1e-4)


def _values(scorer, graphs) -> np.ndarray:
    """Predictions along the path."""
    copies = gradients._own_rows(graphs.select(np.zeros(33, int)))
    places = PLACES
    batch = DeviceGraphs(copies, steps=scorer.network.steps, compact=False).batch()
    paths = (gradients._tensor(np.repeat(places, count), scorer) for count in (4, 3))
    with torch.no_grad(), gradients._scaled(scorer.models, *paths):
        return scorer.value(torch.stack([model(batch) for model in scorer.models])).numpy()


@pytest.mark.parametrize("layer", CHOICES["layer"])
def test_contributions_add_up_whatever_the_operator(layer):
    predictor = lively("regression", members=1, layer=layer, edge_hidden=None, positions="random-walk")
    graphs = featurize(SMILES[:4]).graphs
    found = integrated_gradients(predictor.scorer(), graphs)
    np.testing.assert_allclose(completeness_gap(found, graphs), 0, atol=1e-6)
    assert np.abs(found.atoms).max() > 1e-4


def test_features_beside_the_graph_stay():
    predictor = lively("regression", members=1, num_features=3)
    graphs = replace(featurize(SMILES[2:4]).graphs, features=np.ones((2, 3), np.float32))
    scorer = predictor.scorer()
    found = integrated_gradients(scorer, graphs)
    np.testing.assert_allclose(found.prediction, scorer.scores(graphs), rtol=1e-5)
    np.testing.assert_allclose(completeness_gap(found, graphs), 0, atol=1e-6)
    assert np.isfinite(occlude_atoms(scorer, graphs)).all()


def test_more_pieces_change_little():
    predictor, graphs = lively("regression", members=1), featurize(SMILES[2:5]).graphs
    few, many = (integrated_gradients(predictor.scorer(), graphs, pieces) for pieces in (32, 200))
    assert np.linalg.norm(few.atoms - many.atoms) < 0.1 * np.linalg.norm(many.atoms)


def test_prediction_is_the_prediction(predictor):
    name = TASKS[predictor.bundle.targets.task]
    column = f"{name}_pred" if predictor.bundle.targets.task != "multiclass" else f"{name}_prob_blue"
    want = predictor.predict(SMILES)[column].to_numpy()
    for method in ("gradients", "occlusion"):
        got = [one.prediction for one in predictor.explain(SMILES, target=name, method=method)]
        np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize("method", ["gradients", "occlusion"])
def test_atoms_keep_their_contributions(predictor, method):
    mol = Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O")
    order = np.random.default_rng(0).permutation(mol.GetNumAtoms()).tolist()
    shuffled = Chem.MolToSmiles(Chem.RenumberAtoms(mol, order), canonical=False)
    one, other = predictor.explain([Chem.MolToSmiles(mol), shuffled], method=method)
    match = other.mol.GetSubstructMatch(one.mol)
    np.testing.assert_allclose(other.atoms[list(match)], one.atoms, rtol=1e-3, atol=1e-5)
    for bond, value in zip(one.mol.GetBonds(), one.bonds, strict=True):
        twin = other.mol.GetBondBetweenAtoms(match[bond.GetBeginAtomIdx()], match[bond.GetEndAtomIdx()])
        assert other.bonds[twin.GetIdx()] == pytest.approx(value, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("method", ["gradients", "occlusion"])
def test_company_does_not_matter(predictor, method):
    together = predictor.explain(SMILES, method=method)
    for one in together[::3]:
        (alone,) = predictor.explain(one.smiles, method=method)
        np.testing.assert_allclose(alone.atoms, one.atoms, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(alone.bonds, one.bonds, rtol=1e-3, atol=1e-5)


def by_hand(graphs: MolGraphs, gone: np.ndarray) -> MolGraphs:
    """Take out atoms one molecule and one bond at a time."""
    rows = []
    for i in range(len(graphs)):
        atoms = range(graphs.atom_offsets[i], graphs.atom_offsets[i + 1])
        kept = [a for a in atoms if not gone[a]]
        bonds = []
        for b in range(graphs.bond_offsets[i], graphs.bond_offsets[i + 1]):
            ends = atoms[graphs.begins[b]], atoms[graphs.ends[b]]
            if not gone[list(ends)].any():
                bonds.append((graphs.bond_table[graphs.bond_types[b]], *map(kept.index, ends)))
        rows.append((graphs.atom_table[graphs.atom_types[kept]].reshape(-1, 12), bonds))
    flat = [bond for _, bonds in rows for bond in bonds]
    return MolGraphs.pack(
        np.concatenate([atoms for atoms, _ in rows]), np.array([b[0] for b in flat], np.uint8).reshape(-1, 4),
        np.array([b[1] for b in flat], int), np.array([b[2] for b in flat], int),
        np.array([len(atoms) for atoms, _ in rows]), np.array([len(bonds) for _, bonds in rows]),
    )  # fmt: skip


def test_holes_are_cut_as_by_hand(graphs):
    random = np.random.default_rng(1)
    for share in (0.0, 0.3, 0.9, 1.0):
        gone = random.random(len(graphs.atom_types)) < share
        assert MolGraphs.concat([without_atoms(graphs, gone)]) == by_hand(graphs, gone)
    lonely = without_bonds(graphs, np.ones(len(graphs.bond_types), bool))
    assert lonely.num_bonds.sum() == 0
    assert lonely.num_atoms.tolist() == graphs.num_atoms.tolist()


def test_occlusion_is_a_difference_of_predictions(predictor, graphs):
    scorer = predictor.scorer()
    full = scorer.scores(graphs)
    atoms, bonds = occlude_atoms(scorer, graphs), occlude_bonds(scorer, graphs)
    for atom in (0, 4, 11):
        molecule = int(np.searchsorted(graphs.atom_offsets, atom, "right")) - 1
        rest = scorer.scores(by_hand(graphs, np.arange(len(graphs.atom_types)) == atom))
        assert atoms[atom] == pytest.approx(full[molecule] - rest[molecule], abs=1e-5)
    rest = scorer.scores(without_bonds(graphs, np.arange(len(bonds)) == 3))
    assert bonds[3] == pytest.approx((full - rest).sum(), abs=1e-5)
    groups = occlude_groups(scorer, graphs, [[[0]], [[1]], [[0, 1], [2]], [], [], [], [], []])
    assert groups[0][0] == pytest.approx(atoms[0], abs=1e-5)
    assert groups[2][1] == pytest.approx(atoms[graphs.atom_offsets[2] + 2], abs=1e-5)
    assert len(groups[3]) == 0


def test_deletion_tells_truth_from_lies(graphs):
    predictor = lively("regression")
    scorer = predictor.scorer()
    scores = atom_scores(occlude_atoms(scorer, graphs), np.zeros(len(graphs.bond_types)), graphs)
    honest, lying = deletion_curve(scorer, graphs, scores), deletion_curve(scorer, graphs, -scores)
    assert honest.agreement > 0.75 > 0.4 > lying.agreement
    assert (honest.raising <= honest.random).all()
    assert (honest.random <= honest.lowering).all()
    np.testing.assert_allclose(honest.raising, lying.lowering)
    single = deletion_curve(scorer, featurize(["C"]).graphs, np.zeros(1))
    assert np.isnan(single.agreement)


def test_half_of_a_bond_goes_to_each_end():
    graphs = featurize(["CCO"]).graphs
    np.testing.assert_allclose(atom_scores(np.array([1.0, 2, 3]), np.array([10.0, 20]), graphs), [6, 17, 13])


def test_groups():
    mol = Chem.MolFromSmiles("CCNC(=O)c1ccccc1O")
    (found,) = find_groups([mol], ["fragments", "[OH]"])
    assert found[-1] == ("[OH]", (11,))
    atoms = sorted(atom for name, atoms in found[:-1] for atom in atoms)
    assert atoms == list(range(12))
    assert len(found) > 3
    with pytest.raises(ConfigError, match="'C1CC' is no SMARTS, nor the word 'fragments'"):
        find_groups([mol], ["C1CC"])


def test_rows_keep_their_place():
    found = lively("regression").explain(["CCO", "C1CC", "", "O"], substructures=["[OX2]"])
    assert [one.row for one in found] == [0, 1, 2, 3]
    assert [one.error.code if one.error else None for one in found] == [None, "syntax", "empty", None]
    lines = list(found[0].table())
    assert [(line[6], line[7], line[8]) for line in lines] == [
        ("atom", 0, "C"), ("atom", 1, "C"), ("atom", 2, "O"), ("bond", 0, "0-1"), ("bond", 1, "1-2"),
        ("group", 0, "[OX2]: 2"),
    ]  # fmt: skip
    assert list(found[1].table()) == []
    with pytest.raises(ConfigError, match=r"nothing to draw: .*ring 1 is not closed"):
        found[1].draw()
    assert found[1]._repr_svg_() is None
    assert "ring 1 is not closed" in found._repr_html_()


def test_molecules_are_explained_as_the_network_sees_them():
    predictor = lively("regression", hydrogens=True)
    (one,) = predictor.explain("CO")
    assert len(one.atoms) == 6


def test_drawing():
    (one,) = lively("regression").explain("CC(=O)Oc1ccccc1C(=O)O")
    text = one.draw()
    assert text.count("<svg") == 1
    assert one._repr_svg_() == text
    assert one.draw("png").startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match="of the kind svg or png, not 'pdf'"):
        one.draw("pdf")
    assert colour(3.0, 3.0) == pytest.approx(RAISES)
    assert colour(-5.0, 3.0) == pytest.approx(LOWERS)
    strongest = "#{:02X}{:02X}{:02X}".format(
        *(int(255 * c) for c in (RAISES if one.atoms.max() > -one.atoms.min() else LOWERS))
    )
    assert strongest in text.upper()


def test_choices(predictor):
    task = predictor.bundle.targets.task
    with pytest.raises(ConfigError, match="the model has no target 'nonsense'; it has"):
        predictor.explain("C", target="nonsense")
    with pytest.raises(ConfigError, match="has no class 'violet' to choose; there are"):
        predictor.explain("C", of_class="violet")
    with pytest.raises(ConfigError, match="method must be one of gradients, occlusion, got 'magic'"):
        predictor.explain("C", method="magic")
    names = {"regression": "logS [log10(mol/L)]", "binary": "probability of toxic yes",
             "multiclass": "probability of colour blue"}  # fmt: skip
    assert predictor.scorer().name == names[task]
    if task == "multiclass":
        by_class = [predictor.explain("CCO", of_class=name)[0] for name in ("red", "green", "blue")]
        assert sum(one.prediction for one in by_class) == pytest.approx(1)
        atoms = np.stack([one.atoms for one in by_class])
        assert np.abs(atoms.sum(0)).max() < 0.1 * np.abs(atoms).max()


def test_no_molecules(predictor):
    assert predictor.explain([]) == []
    assert predictor.explain([])._repr_html_().startswith("<div")


def test_command(molmp, tiny_model, tmp_path):
    table = tmp_path / "in.csv"
    table.write_text('id,smiles\n1,CCO\n2,C1CC\n3,"broken\n4,CCN\n')
    result = molmp("explain", table, "-m", tiny_model, "-o", tmp_path / "out", "--substructure", "O", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "4 rows: 2 explained, 2 cannot be read; agreement with deletion" in result.stderr
    rows = list(csv.DictReader((tmp_path / "out" / "contributions.csv").open()))
    assert [row["row"] for row in rows if row["part"] == "atom"] == ["1"] * 3 + ["4"] * 3
    first = [row for row in rows if row["row"] == "1" and row["part"] != "group"]
    total = sum(float(row["contribution"]) for row in first)
    assert total == pytest.approx(float(first[0]["prediction"]) - float(first[0]["baseline"]), abs=0.01)
    assert sorted(path.name for path in (tmp_path / "out" / "drawings").iterdir()) == ["row1.svg", "row4.svg"]
    page = (tmp_path / "out" / "index.html").read_text()
    assert not re.search(r"(src|href)=[\"'](?!#|data:)", page)
    again = molmp("explain", "--smiles", "CCO", "-m", tiny_model, "-o", tmp_path / "out")
    assert again.exit_code == 2
    assert "exists already; --force replaces it" in again.stderr
    png = molmp("explain", "--smiles", "CCO", "-m", tiny_model, "-o", tmp_path / "out", "--force", "--format", "png",
                "--method", "occlusion")  # fmt: skip
    assert png.exit_code == 0, png.output
    assert (tmp_path / "out" / "drawings" / "row1.png").exists()


def test_command_refuses(molmp, tiny_model, tmp_path):
    both = molmp("explain", "in.csv", "--smiles", "C", "-m", tiny_model, "-o", tmp_path / "out")
    assert (both.exit_code, "either a file IN" in both.stderr) == (2, True)
    none = molmp("explain", "--smiles", "C1", "-m", tiny_model, "-o", tmp_path / "out")
    assert (none.exit_code, "none of the 1 molecules can be read" in none.stderr) == (1, True)
    assert not (tmp_path / "out").exists()


@needs_browser
def test_page_in_a_browser(molmp, tiny_model, tmp_path):
    molmp("explain", *(f"--smiles={smiles}" for smiles in SMILES), "-m", tiny_model, "-o", tmp_path / "out")
    script = """
      const drawings = [...document.querySelectorAll(".card svg")];
      out = drawings.length + " " + drawings.every((svg) => svg.getBoundingClientRect().height > 100)
        + " " + document.querySelectorAll("polyline").length"""
    out, errors = run_in_browser((tmp_path / "out" / "index.html").read_text(), tmp_path, script)
    assert out == f"{len(SMILES)} true 3"
    assert not errors
