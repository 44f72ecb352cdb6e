"""What stands beside the graph: a molecule has one vector however it is written, and a model carries its scaling."""

import collections
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from awkward import awkward_spellings
from networks import graphs, new_model
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator, rdMolDescriptors

from molmp import MPNNRegressor
from molmp.chem.cache import cached_featurize
from molmp.chem.featurize import GraphOptions, featurize
from molmp.chem.graphs import MolGraphs
from molmp.chem.molecule_features import FEATURES, PROPERTIES, feature_columns, least_deviations
from molmp.chem.similarity import morgan_bits
from molmp.chem.smiles import quiet_rdkit
from molmp.errors import ConfigError, FileFormatError
from molmp.inference.batch_predictor import BatchPredictor
from molmp.inference.model_file import load_bundle, save_bundle
from molmp.inference.predictor import Predictor
from molmp.nn.autograd import plain_autograd
from molmp.nn.batch import DeviceGraphs
from molmp.nn.beside import FeatureScaling
from molmp.nn.members import Members
from molmp.training.bundle import Bundle

KINDS = [kind for kind in FEATURES if kind != "none"]
BOTH = GraphOptions(features="descriptors+morgan")
SMILES = ["CCO", "C1CC", "c1ccccc1", "[Na+].[Cl-]", "CC(=O)Oc1ccccc1C(=O)O", ""]


def without_stereo(smiles: str) -> str | None:
    with quiet_rdkit():
        mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        return None
    Chem.RemoveStereochemistry(mol)
    return Chem.MolToSmiles(Chem.MolFromSmiles(Chem.MolToSmiles(mol)))


def test_a_molecule_has_one_vector_however_it_is_written() -> None:
    alike = collections.defaultdict(list)
    for text in awkward_spellings():
        if (name := without_stereo(text)) is not None and len(name) < 150:
            alike[name].append(text)
    assert sum(len(texts) > 3 for texts in alike.values()) > 70
    for name, texts in alike.items():
        made = featurize(texts, BOTH)
        assert not made.errors
        rows = made.graphs.features
        assert np.isfinite(rows).all()
        np.testing.assert_allclose(rows, np.broadcast_to(rows[0], rows.shape), rtol=1e-5, atol=1e-5, err_msg=name)


def by_rdkit(kind: str, smiles: str) -> list[float]:
    """The features of one molecule, each asked of RDKit."""
    mol, values = Chem.MolFromSmiles(smiles), []
    if "descriptors" in kind:
        values += [*rdMolDescriptors.Properties(list(PROPERTIES)).ComputeProperties(mol)]
        values += [*rdMolDescriptors.CalcCrippenDescriptors(mol, includeHs=False)]
        values += [*rdMolDescriptors.SlogP_VSA_(mol), *rdMolDescriptors.SMR_VSA_(mol), *rdMolDescriptors.MQNs_(mol)]
    if "morgan" in kind:
        generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
        values += np.log1p(generator.GetCountFingerprintAsNumPy(mol)).tolist()
    return values


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_those_of_rdkit_and_hydrogens_change_nothing(kind: str) -> None:
    want = np.array([by_rdkit(kind, SMILES[i]) for i in (0, 2, 3, 4)], np.float32)
    assert {len(row) for row in want} == {len(feature_columns(kind))} == {len(least_deviations(kind))}
    for hydrogens in (False, True):
        made = featurize(SMILES, GraphOptions(features=kind, explicit_hydrogens=hydrogens))
        assert made.rows.tolist() == [0, 2, 3, 4]
        np.testing.assert_array_equal(made.graphs.features, want)


def test_bits_and_counts_come_from_one_look_at_the_molecule() -> None:
    texts = [SMILES[i] for i in (0, 2, 3, 4)] + ["C" * 300, "OC(=O)CNC(=O)" * 60]
    bits = morgan_bits([Chem.MolFromSmiles(text) for text in texts])
    for kind in FEATURES:
        made = featurize(texts, GraphOptions(features=kind, bits=True)).graphs
        np.testing.assert_array_equal(made.bits, bits)
        alone = featurize(texts, GraphOptions(features=kind)).graphs
        assert alone.bits is None
        assert made.features is alone.features is None or (made.features == alone.features).all()


def test_names_are_distinct() -> None:
    names = feature_columns("descriptors+morgan")
    assert len(set(names)) == len(names)
    assert names == feature_columns("descriptors") + feature_columns("morgan")


def test_standardized_molecules_are_described() -> None:
    salt, acid = featurize(["CC(=O)[O-].[Na+]", "CC(=O)O"], replace(BOTH, standardize="clean")).graphs.features
    np.testing.assert_array_equal(salt, acid)


def test_an_unknown_word_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"features must be one of none, descriptors, .*, not 'maccs'"):
        GraphOptions(features="maccs")


def test_features_go_wherever_graphs_go(tmp_path: Path) -> None:
    made = featurize(SMILES, BOTH).graphs
    twice = MolGraphs.concat([made, MolGraphs.empty(), made])
    np.testing.assert_array_equal(twice.features, np.concatenate([made.features] * 2))
    np.testing.assert_array_equal(twice.select([5, 0]).features, made.features[[1, 0]])
    made.save(tmp_path / "g")
    assert MolGraphs.load(tmp_path / "g") == made != featurize(SMILES).graphs
    assert made.nbytes == featurize(SMILES).graphs.nbytes + made.features.nbytes
    batch = DeviceGraphs(made, steps=2).batch([3, 1])
    np.testing.assert_array_equal(batch.features, made.features[[3, 1]])


def test_a_store_whose_features_do_not_fit_is_damaged(tmp_path: Path) -> None:
    made = featurize(SMILES, BOTH).graphs
    replace(made, features=made.features[:-1]).save(tmp_path / "g")
    with pytest.raises(FileFormatError, match="its features do not fit its molecules"):
        MolGraphs.load(tmp_path / "g")


def test_processes_and_cache_change_nothing(tmp_path: Path) -> None:
    smiles = [f"{'C' * (i % 50 + 1)}{'O' * (i % 3)}" for i in range(2100)] + ["C1CC"]
    made = featurize(smiles, BOTH)
    assert featurize(smiles, BOTH, n_jobs=2).graphs == made.graphs
    assert cached_featurize(smiles, BOTH, cache=tmp_path).graphs == made.graphs
    assert cached_featurize(smiles, BOTH, cache=tmp_path).graphs == made.graphs
    assert cached_featurize(smiles, GraphOptions(), cache=tmp_path).graphs.features is None


def test_scaling_survives_what_is_constant_missing_or_huge() -> None:
    scaling = FeatureScaling(4)
    nan = np.nan
    scaling.fit(np.array([[1.0, 7.0, nan, 0.0], [3.0, 7.0, nan, 1e30], [2.0, 7.0, nan, nan]]), [0.0, 0.0, 0.0, 0.0])
    out = scaling(torch.tensor([[2.0, 9.0, 3.0, nan], [1e30, 7.0, nan, 1e30], [-1e30, nan, 0.0, 0.0]]))
    assert out.isfinite().all()
    np.testing.assert_allclose(out[:, 0], [0.0, 2.0, -2.0])
    assert (out[:, 1:3] == 0).all()
    assert all(torch.isfinite(t).all() for t in scaling.state_dict().values())


def test_features_that_are_hidden_are_not_worked_out_and_zero() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 6))
    rows[3, 4] = np.nan
    whole, part, none = FeatureScaling(6), FeatureScaling(6), FeatureScaling(6)
    sees = np.array([False, True, False, False, True, False])
    for scaling, of_it in ((whole, True), (part, sees), (none, False)):
        scaling.fit(rows, sees_F=of_it)
    x = torch.tensor(rows, dtype=torch.float32)
    x[5] = torch.tensor([torch.nan, 1e30, torch.inf, 0.0, -1e30, -torch.inf])
    everything = whole(x)
    torch.testing.assert_close(part(x)[:, sees], everything[:, sees], rtol=0, atol=0)
    assert not part(x)[:, ~sees].any()
    assert not none(x).any()
    quick = part(x)
    with plain_autograd():
        assert torch.equal(part(x), quick)


def test_least_deviation_bounds_what_is_rare() -> None:
    rows, plain, bounded = np.eye(100)[:, :1], FeatureScaling(1), FeatureScaling(1)
    plain.fit(rows)
    bounded.fit(rows, 0.5)
    present = torch.ones(1, 1)
    assert plain(present) > 1.9
    assert bounded(present) < 1.6


def test_members_with_features_are_as_each_alone() -> None:
    made = featurize(["CCO", "c1ccccc1", "C#N"], GraphOptions(features="descriptors")).graphs
    models = [new_model(seed=seed, num_features=made.features.shape[1]).eval() for seed in range(3)]
    for seed, model in enumerate(models):
        model.beside.fit(made.features[: seed + 1])
    members = Members(models).eval()
    assert members.in_one_pass
    batch = DeviceGraphs(replace(made, features=made.features.astype(np.float64)), steps=3).batch()
    for mine, model in zip(members(batch), models, strict=True):
        torch.testing.assert_close(mine, model(batch), rtol=1e-9, atol=1e-9)


def test_a_network_that_needs_features_says_so() -> None:
    with pytest.raises(ConfigError, match="reads features beside the graphs, which have none"):
        new_model(num_features=3)(DeviceGraphs(graphs(), steps=3).batch())


@pytest.fixture(scope="module")
def trained() -> Bundle:
    smiles = ["C" * n + end for n in range(1, 9) for end in ("", "O", "N", "Cl")]
    settings = {"hidden": 8, "steps": 1, "readout": "sum", "epochs": 2, "ensemble": 2, "device": "cpu"}
    estimator = MPNNRegressor(**settings, features="descriptors+morgan").fit(smiles, np.exp(np.arange(32.0) / 4))
    return estimator.predictor_.bundle


def test_a_model_file_carries_names_and_scaling(trained: Bundle, tmp_path: Path) -> None:
    save_bundle(trained, tmp_path)
    loaded = load_bundle(tmp_path)
    assert loaded.options == trained.options == BOTH
    assert loaded.network.num_features == len(feature_columns(BOTH.features))
    assert loaded.members[0]["beside.center"].any()
    before, after = (Predictor(bundle, "cpu").predict(SMILES) for bundle in (trained, loaded))
    np.testing.assert_array_equal(before["y_pred"], after["y_pred"])
    assert before["error"].astype(bool).tolist() == [False, True, False, False, False, True]
    batch = BatchPredictor(loaded, device="cpu")({"smiles": np.array(SMILES, object)})
    np.testing.assert_allclose(batch["y_pred"], before["y_pred"], rtol=1e-6)


def test_the_vector_takes_part_in_the_prediction(trained: Bundle) -> None:
    predictor, made = Predictor(trained, "cpu"), featurize(["CCO"], BOTH)
    other = made._replace(graphs=replace(made.graphs, features=made.graphs.features + 1))
    assert predictor.answer(made).targets[0].value != predictor.answer(other).targets[0].value


@pytest.mark.parametrize("change", ["network", "names"])
def test_a_file_that_contradicts_itself_is_refused(trained: Bundle, change: str) -> None:
    document = trained.to_dict()
    if change == "network":
        document["network"]["num_features"] = 7
    else:
        document["features"]["molecule"][0] = "weight"
    with pytest.raises(FileFormatError, match=r"reads 7 features|other atom or bond features"):
        Bundle.from_dict(document, trained.members)


def test_estimators_keep_the_kind_of_features(trained: Bundle, tmp_path: Path) -> None:
    save_bundle(trained, tmp_path)
    assert MPNNRegressor.load(tmp_path).features == "descriptors+morgan"
