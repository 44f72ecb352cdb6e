"""The domain: nearest molecules as RDKit finds them, reasons in words, a file that survives and refuses damage."""

import json
from dataclasses import fields

import numpy as np
import pytest
from awkward import MOLECULES
from rdkit import DataStructs
from rdkit.Chem import rdFingerprintGenerator
from safetensors.numpy import load, save

from molmp.chem.features import ATOM_FIELDS, BOND_FIELDS
from molmp.chem.featurize import GraphOptions, featurize
from molmp.chem.smiles import parse_smiles
from molmp.errors import DataError, FileFormatError, InvalidSmilesError
from molmp.trust import known
from molmp.trust.domain import Domain, read_bits
from molmp.trust.domain_file import load_domain, save_domain
from molmp.trust.known import Known, count_parts
from molmp.trust.learned import Learned

ALCOHOLS = ["C" * n + "O" for n in range(1, 21)]


@pytest.fixture(scope="module")
def domain() -> Domain:
    learned = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    return Domain.fit(ALCOHOLS, names=[f"a{n}" for n in range(1, 21)], learned=learned)


def test_nearest_is_that_of_rdkit():
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    bits = [generator.GetFingerprint(parse_smiles(smiles)) for smiles in MOLECULES]
    verdict = Domain.fit(MOLECULES[::2]).judge(MOLECULES[1::2])
    for bit, row, similarity in zip(bits[1::2], verdict.nearest, verdict.similarity, strict=True):
        oracle = DataStructs.BulkTanimotoSimilarity(bit, bits[::2])
        assert (similarity, row) == (max(oracle), int(np.argmax(oracle)))


def test_training_molecules_are_mostly_inside(domain):
    verdict = domain.judge(ALCOHOLS)
    assert verdict.nearest[:5].tolist() == list(range(5))  # long ones have the same environments
    assert verdict.inside.all()
    assert (verdict.similarity == 1).all()


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("C[Fe]O", "element Fe occurs in no training molecule"),
        ("CC[13CH2]O", "isotope 13 occurs in no training molecule"),
        ("CC[O-]", "atoms of charge -1 occur in no training molecule; atoms of degree 1 occur in no training molecule"),
        ("C[Si](C)(F)Cl", "elements F, Si, Cl occur in no training molecule; atoms of degree 1 occur"),
        ("CC[C@H](C)O", "below 0.54; S stereocentres occur in no training molecule"),
        ("C1CCCC1O", "rings of 5 atoms occur in no training molecule; atoms with 2 ring bonds occur in"),
        ("OC1CC1", "below 0.54; rings of 3 atoms occur in"),
        ("CC[15NH][18OH]", "isotopes 15, 18 occur in"),
        ("CC=CO", "double bonds occur in no training molecule"),
        ("CC#CO", "triple bonds occur in no training molecule; SP, SP2 atoms occur in no training molecule"),
        ("C" * 40 + "O", "atoms 41, training molecules have 2 to 21"),
        ("OCCO", "similarity 0.44 to the nearest training molecule, below 0.54"),
    ],
)
def test_reasons(domain, smiles, reason):
    verdict = domain.judge([smiles, "CCCO"])
    assert reason in verdict.reasons[0]
    assert verdict.inside.tolist() == [False, True]


def test_an_ion_is_unlike_neutral_molecules():
    seen = Known.of(featurize(["C[N+](=O)[O-]", "C[NH3+].[O-]C", "CCO"]).graphs)
    neutral, ion = seen.strangers(featurize(["C[NH3+].C[O-]", "C[NH3+]"]).graphs)
    assert neutral == []
    assert ion == ["total charge 1, training molecules have 0"]


def test_words_fit_every_feature():
    assert set(known.WORDS) == {field.name for field in (*ATOM_FIELDS, *BOND_FIELDS)}
    labels = {(field.name, label) for field in (*ATOM_FIELDS, *BOND_FIELDS) for label in field.labels}
    assert set(known.INSTEAD) <= labels
    assert not {label for _, label in labels - set(known.INSTEAD)} & {"no", "none"}


def test_company_does_not_matter(domain):
    smiles = [text for text in MOLECULES if len(text) < 200]
    together = domain.judge(smiles)
    alone = [domain.judge([text]) for text in smiles]
    assert together.reasons == [verdict.reasons[0] for verdict in alone]
    assert together.nearest.tolist() == [int(verdict.nearest[0]) for verdict in alone]


def test_what_is_known_is_known_of_nobody_else():
    graphs = featurize(MOLECULES).graphs
    assert Known.of(graphs).strangers(graphs) == [[] for _ in MOLECULES]
    counts = count_parts(graphs)
    for row, smiles in enumerate(MOLECULES):
        mol = parse_smiles(smiles)
        charge = sum(atom.GetFormalCharge() for atom in mol.GetAtoms())
        ring = sum(atom.IsInRing() for atom in mol.GetAtoms())
        hetero = sum(atom.GetAtomicNum() not in (1, 6) for atom in mol.GetAtoms())
        assert counts[row].tolist() == [mol.GetNumAtoms(), hetero, ring, charge]


def test_learned_distance_by_brute_force():
    random = np.random.default_rng(1)
    training, queries = random.normal(3, 2, (300, 7)), random.normal(3, 2, (50, 7))
    learned = Learned.fit(training)
    scale = training.std(0)
    every = np.sort(np.linalg.norm((queries[:, None] - training) / scale, axis=2), axis=1)
    np.testing.assert_allclose(learned.distance(queries), every[:, :5].mean(1), rtol=1e-3)
    own = np.linalg.norm((training[:, None] - training) / scale, axis=2) + np.diag(np.full(300, np.inf))
    assert learned.most == pytest.approx(np.quantile(np.sort(own, axis=1)[:, :5].mean(1), 0.99), rel=1e-3)


def test_learned_distance_is_a_reason(domain):
    near, far = domain.learned.center, domain.learned.center + 50
    verdict = domain.judge(["CCO", "CCO"], learned=np.stack([near, far]))
    assert verdict.inside.tolist() == [True, False]
    assert verdict.reasons[1].startswith("learned fingerprint ")


def test_file_comes_back_the_same(domain, tmp_path):
    path = tmp_path / "domain.safetensors"
    for saved in (domain, Domain.fit(["C", "O"], names=["", "ä" * 9], options=GraphOptions(standardize="clean"))):
        save_domain(saved, path)
        loaded = load_domain(path)
        assert (loaded.names, loaded.least, loaded.options) == (saved.names, saved.least, saved.options)
        assert np.array_equal(loaded.bits, saved.bits)
        assert all(np.array_equal(getattr(loaded.known, f.name), getattr(saved.known, f.name)) for f in fields(Known))
    save_domain(domain, path)
    learned = load_domain(path).learned
    assert all(np.array_equal(getattr(learned, f.name), getattr(domain.learned, f.name)) for f in fields(Learned))


def damaged(path, change) -> None:
    raw = path.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    facts, arrays = json.loads(header["__metadata__"]["molmp"]), dict(load(raw))
    change(facts, arrays)
    path.write_bytes(save(arrays, metadata={"molmp": json.dumps(facts)}))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda facts, arrays: facts.update(format="molmp-domain-9"), "its format is 'molmp-domain-9'"),
        (lambda facts, arrays: facts["columns"]["atom"].pop(), "other features of atoms or bonds"),
        (lambda facts, arrays: facts.update(least="low"), "a threshold is 'low'"),
        (lambda facts, arrays: facts.pop("options"), "it has no 'options'"),
        (lambda facts, arrays: facts.update(options={"colour": 1}), "unknown graph options: colour"),
        (lambda facts, arrays: arrays.pop("bits"), "it has no 'bits'"),
        (
            lambda facts, arrays: arrays.update(bits=arrays["bits"][:3]),
            r"bits is uint8 \(3, 256\), not uint8 \(20, 256\)",
        ),
        (lambda facts, arrays: arrays.update(names=arrays["names"][:3]), r"names is uint8 \(3,\), not uint8"),
        (lambda facts, arrays: arrays.update(scale=0 * arrays["scale"]), "a scale is not above 0"),
        (lambda facts, arrays: arrays.update(points=arrays["points"] * np.nan), "are not finite"),
        (lambda facts, arrays: arrays.update(low=arrays["low"].astype(float)), r"low is float64"),
    ],
)
def test_damage_is_refused(domain, tmp_path, change, why):
    path = tmp_path / "domain.safetensors"
    save_domain(domain, path)
    damaged(path, change)
    with pytest.raises(FileFormatError, match=why):
        load_domain(path)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text").write_text("hello")
    (tmp_path / "other").write_bytes(save({"x": np.zeros(3)}))
    for name, why in (("text", "or it is damaged"), ("other", "it has no 'molmp'"), ("nothing", "no such file")):
        with pytest.raises(FileFormatError, match=why):
            load_domain(tmp_path / name)


def test_wrong_input():
    with pytest.raises(InvalidSmilesError, match="row 1: cannot read SMILES 'C1'"):
        Domain.fit(["C", "C1"])
    with pytest.raises(DataError, match="there are 2 molecules but 1 names"):
        Domain.fit(["C", "O"], names=["a"])
    with pytest.raises(DataError, match="an index needs molecules"):
        Domain.fit([])
    with pytest.raises(DataError, match="two or more finite rows"):
        Learned.fit(np.full((3, 2), np.nan))
    with pytest.raises(DataError, match=r"fingerprints have shape \(1, 3\), training's 2 columns"):
        Learned.fit(np.eye(4, 2)).distance(np.zeros((1, 3)))
    assert read_bits([]).shape == (0, 256)


def test_labels_of_the_neighbours():
    labels = np.stack([np.arange(20.0), np.full(20, np.nan)], axis=1)
    labels[3, 0] = np.nan
    domain = Domain.fit(ALCOHOLS, labels=labels)
    usual = domain.judge(ALCOHOLS[10:]).usual
    found = domain.index.nearest(domain.bits[10:], 5)
    for row in range(10):
        near, weight = labels[found.rows[row], 0], found.similarity[row] + 1e-3
        known = ~np.isnan(near)
        assert usual[row, 0] == pytest.approx(np.average(near[known], weights=weight[known]))
    assert np.isnan(usual[:, 1]).all()
    assert Domain.fit(ALCOHOLS).judge(["CCO"]).usual is None
