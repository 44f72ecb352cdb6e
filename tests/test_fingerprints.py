"""Transformers: RDKit is the oracle, scikit-learn's contract is kept to the letter, no row is lost."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import sklearn
from rdkit import Chem
from rdkit.Chem import Descriptors, rdFingerprintGenerator, rdMolDescriptors
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.utils import estimator_checks

import molmp
from molmp import (
    AtomPairFingerprint,
    GraphFeaturizer,
    MACCSKeys,
    MorganFingerprint,
    RDKitDescriptors,
    RDKitFingerprint,
    TopologicalTorsionFingerprint,
)
from molmp.chem import descriptors, guard, pool, transformers
from molmp.chem.featurize import GraphOptions, featurize
from molmp.chem.molecules import as_smiles
from molmp.chem.vectors import read_vectors
from molmp.errors import ConfigError, DataError, InvalidSmilesError

SMILES = [
    "C",
    "[Na+].[Cl-]",
    "OCC",
    "c1ccccc1",
    "CC(=O)Oc1ccccc1C(=O)O",
    "C#N",
    "C[C@H](N)C(=O)O",
    "*CC",
    "C1CC1.[Fe+2]",
]
MOLS = [Chem.MolFromSmiles(smiles) for smiles in SMILES]

ROWS = [
    MorganFingerprint(radius=1, size=32),
    AtomPairFingerprint(size=32),
    TopologicalTorsionFingerprint(size=32),
    RDKitFingerprint(size=32, max_path=4),
    MACCSKeys(),
    RDKitDescriptors(["MolWt", "TPSA", "RingCount"]),
]
ALL = [*ROWS, GraphFeaturizer()]


def name(estimator) -> str:
    return type(estimator).__name__


def same(one, other) -> bool:
    if isinstance(one, molmp.MolGraphs):
        return bool(one == other)
    return np.array_equal(one, other, equal_nan=True)


ORACLES = [
    (MorganFingerprint(), rdFingerprintGenerator.GetMorganGenerator(radius=2), False),
    (MorganFingerprint(3, 64, counts=True), rdFingerprintGenerator.GetMorganGenerator(radius=3, fpSize=64), True),
    (
        MorganFingerprint(chirality=True),
        rdFingerprintGenerator.GetMorganGenerator(radius=2, includeChirality=True),
        False,
    ),
    (AtomPairFingerprint(), rdFingerprintGenerator.GetAtomPairGenerator(), False),
    (
        AtomPairFingerprint(4, 64, counts=True),
        rdFingerprintGenerator.GetAtomPairGenerator(maxDistance=4, fpSize=64),
        True,
    ),
    (TopologicalTorsionFingerprint(), rdFingerprintGenerator.GetTopologicalTorsionGenerator(), False),
    (TopologicalTorsionFingerprint(counts=True), rdFingerprintGenerator.GetTopologicalTorsionGenerator(), True),
    (RDKitFingerprint(), rdFingerprintGenerator.GetRDKitFPGenerator(), False),
    (RDKitFingerprint(5, 128, counts=True), rdFingerprintGenerator.GetRDKitFPGenerator(maxPath=5, fpSize=128), True),
]


@pytest.mark.parametrize(("ours", "oracle", "counts"), ORACLES, ids=lambda value: name(value))
def test_fingerprints_are_those_of_rdkit(ours, oracle, counts):
    read = oracle.GetCountFingerprintAsNumPy if counts else oracle.GetFingerprintAsNumPy
    got = ours.fit_transform(SMILES)
    np.testing.assert_array_equal(got, [read(mol) for mol in MOLS])
    assert got.dtype == np.float32
    assert got.any()


def test_maccs_keys_are_those_of_rdkit():
    got = MACCSKeys().transform(SMILES)
    want = [[int(bit) for bit in rdMolDescriptors.GetMACCSKeysFingerprint(mol).ToBitString()][1:] for mol in MOLS]
    np.testing.assert_array_equal(got, want)
    assert list(MACCSKeys().get_feature_names_out()[[0, -1]]) == ["maccs_1", "maccs_166"]


def test_descriptors_are_those_of_rdkit():
    everything = RDKitDescriptors()
    got = everything.fit_transform(SMILES)
    assert list(everything.get_feature_names_out()) == [name for name, _ in Descriptors.descList]
    want = np.array([[function(mol) for _, function in Descriptors.descList] for mol in MOLS])
    finite = np.isfinite(want) & (abs(want) < 1e38)
    np.testing.assert_array_equal(got[finite], want[finite].astype(np.float32))
    assert not np.isinf(got).any()
    some = RDKitDescriptors(["TPSA", "MolWt"]).fit_transform(SMILES)
    names = list(everything.get_feature_names_out())
    np.testing.assert_array_equal(some, got[:, [names.index("TPSA"), names.index("MolWt")]])


def test_descriptors_that_fail_overflow_or_are_infinite(monkeypatch):
    def fails(mol):
        raise ZeroDivisionError

    table = [("fails", fails), ("inf", lambda mol: -np.inf), ("huge", lambda mol: -1e300), ("one", lambda mol: 1)]
    monkeypatch.setattr(descriptors.Descriptors, "descList", table)
    top = np.finfo(np.float32).max
    rows, _ = read_vectors(["C"], RDKitDescriptors()._recipe())
    np.testing.assert_array_equal(rows, [[np.nan, np.nan, -top, 1]])


def test_unknown_descriptor():
    with pytest.raises(ConfigError, match="no descriptor 'MolWeight'; it has MolWt"):
        RDKitDescriptors(["MolWeight"]).fit(SMILES)


def test_graphs_are_those_of_featurize():
    options = GraphOptions(explicit_hydrogens=True, standardize="clean")
    ours = GraphFeaturizer(explicit_hydrogens=True, standardize="clean").fit_transform(SMILES)
    assert ours == featurize(SMILES, options).graphs
    with sklearn.config_context(transform_output="pandas"):
        assert isinstance(GraphFeaturizer().fit_transform(SMILES), molmp.MolGraphs)


CONTAINERS = {
    "tuple": tuple,
    "array": np.array,
    "object array": lambda smiles: np.array(smiles, object),
    "one-column array": lambda smiles: np.array(smiles)[:, None],
    "series": pd.Series,
    "odd index": lambda smiles: pd.Series(smiles, index=range(100, 100 + len(smiles))),
    "pandas string": lambda smiles: pd.Series(smiles, dtype="string"),
    "pandas frame": lambda smiles: pd.DataFrame({"smiles": smiles}),
    "polars series": pl.Series,
    "polars frame": lambda smiles: pl.DataFrame({"smiles": smiles}),
    "arrow": lambda smiles: pl.Series(smiles).to_arrow(),
    "molecules": lambda smiles: [Chem.MolFromSmiles(s) for s in smiles],
    "array of molecules": lambda smiles: np.array([Chem.MolFromSmiles(s) for s in smiles], object),
    "mixed": lambda smiles: [Chem.MolFromSmiles(s) if i % 2 else s for i, s in enumerate(smiles)],
    "generator": lambda smiles: (s for s in smiles),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("estimator", [MorganFingerprint(size=64), GraphFeaturizer()], ids=name)
def test_containers(estimator, container):
    canonical = [Chem.MolToSmiles(mol) for mol in MOLS]
    got = estimator.transform(CONTAINERS[container](canonical))
    assert same(got, estimator.transform(canonical))


@pytest.mark.parametrize(
    ("X", "complaint"),
    [
        ("CCO", r"it is one str: write \[X\]"),
        (Chem.MolFromSmiles("C"), r"it is one Mol: write \[X\]"),
        ([], "X holds no molecules"),
        (pd.Series([], dtype=str), "X holds no molecules"),
        (pd.DataFrame({"a": ["C"], "b": ["C"]}), r"its shape is \(1, 2\): a, b"),
        (np.array([["C", "C"]]), r"its shape is \(1, 2\)"),
        (np.array("C"), r"its shape is \(\)"),
        (7, "not int"),
        ({"smiles": "C"}, "not dict"),
    ],
)
@pytest.mark.parametrize("estimator", ALL, ids=name)
def test_input_that_is_no_column_of_molecules(estimator, X, complaint):
    for method in (estimator.fit, estimator.transform):
        with pytest.raises(DataError, match=complaint):
            method(X)


@pytest.mark.parametrize("estimator", ALL, ids=name)
def test_every_bad_row_is_named(estimator):
    bad = ["CCO", "C1CC", None, "C", Chem.Mol(), 5, np.nan, "c1cccc1"]
    with pytest.raises(DataError) as caught:
        estimator.transform(bad)
    assert str(caught.value).splitlines() == [
        "6 molecules cannot be read, rows 1, 2, 4, 5, 6, 7:",
        "  row 1: cannot read SMILES 'C1CC': ring 1 is not closed",
        "  row 2: cannot read SMILES '': it is empty",
        "  row 4: cannot read SMILES '': it is empty",
        "  row 5: cannot read SMILES '5': it is int, not text",
        "  row 6: cannot read SMILES '': it is empty",
        "  row 7: cannot read SMILES 'c1cccc1': Can't kekulize mol. Unkekulized atoms: 0 1 2 3 4",
    ]
    with pytest.raises(InvalidSmilesError, match=r"^row 1: cannot read"):
        estimator.transform(bad[:2])


def test_thousands_of_bad_rows_are_named_but_not_all_explained():
    with pytest.raises(DataError) as caught:
        MACCSKeys().transform(["?"] * 3000)
    text = str(caught.value)
    assert "rows 0, 1, 2," in text
    assert ", 2999:" in text
    assert text.endswith("and 2980 more")


@pytest.mark.parametrize("estimator", ROWS, ids=name)
def test_bad_rows_as_nan_keep_their_place(estimator):
    tolerant = clone(estimator).set_params(on_error="nan")
    got = tolerant.fit_transform(["CCO", "C1CC", None, "C"])
    assert np.isnan(got).all(axis=1).tolist() == [False, True, True, False]
    np.testing.assert_array_equal(got[[0, 3]], estimator.transform(["CCO", "C"]))


@pytest.mark.parametrize("estimator", [e for e in ROWS if "sparse" in e.get_params()], ids=name)
def test_sparse(estimator):
    sparse = clone(estimator).set_params(sparse=True).fit_transform(SMILES)
    assert scipy.sparse.issparse(sparse)
    assert sparse.format == "csr"
    assert sparse.dtype == np.float32
    np.testing.assert_array_equal(sparse.toarray(), estimator.transform(SMILES))


MISSING = [None, np.nan, pd.NA, np.float32("nan"), pd.NaT]


@pytest.mark.parametrize("dtype", [object, "string", "str"])
def test_missing_values_are_empty(dtype):
    column = pd.Series(["C", None, "CC"], dtype=dtype)
    with pytest.raises(InvalidSmilesError, match="row 1: cannot read SMILES '': it is empty"):
        MorganFingerprint().transform(column)
    for missing in MISSING:
        assert featurize(["C", missing]).errors[1].code == "empty"


def test_sparse_rows_of_nan_make_no_sense():
    for estimator in (MorganFingerprint(sparse=True, on_error="nan"), MACCSKeys(sparse=True, on_error="nan")):
        with pytest.raises(ConfigError, match="use sparse=False"):
            estimator.fit(SMILES)


@pytest.mark.parametrize("again", [clone, lambda e: pickle.loads(pickle.dumps(e))], ids=["clone", "pickle"])
@pytest.mark.parametrize("estimator", ALL, ids=name)
def test_survives_copying(estimator, again):
    twin = again(estimator)
    assert repr(twin) == repr(estimator)
    assert same(twin.transform(SMILES), estimator.transform(SMILES))


def test_shows_what_differs_from_the_defaults():
    assert repr(MorganFingerprint(radius=1, counts=True)) == "MorganFingerprint(counts=True, radius=1)"


@pytest.mark.parametrize("estimator", ALL, ids=name)
def test_needs_no_fit_and_learns_nothing(estimator):
    before = clone(estimator).transform(SMILES)
    fitted = clone(estimator).fit(["CCCC", "N"])
    assert vars(fitted) == vars(estimator)
    assert same(fitted.transform(SMILES), before)


@pytest.mark.parametrize("estimator", ROWS, ids=name)
def test_rows_do_not_depend_on_each_other(estimator):
    whole = estimator.transform(SMILES)
    order = np.random.default_rng(0).permutation(len(SMILES))
    np.testing.assert_array_equal(estimator.transform([SMILES[i] for i in order]), whole[order])
    np.testing.assert_array_equal(np.vstack([estimator.transform([s]) for s in SMILES]), whole)


@pytest.mark.parametrize("estimator", [MorganFingerprint(size=64), MorganFingerprint(size=64, sparse=True)], ids=name)
def test_any_number_of_jobs_gives_the_same_rows_and_errors(estimator, monkeypatch):
    monkeypatch.setattr(transformers, "SMALLEST_CHUNK", 20)
    many = SMILES * 10
    alone, together = (clone(estimator).set_params(n_jobs=n).transform(many) for n in (1, 2))
    if estimator.sparse:
        alone, together = alone.toarray(), together.toarray()
    np.testing.assert_array_equal(alone, together)
    np.testing.assert_array_equal(alone[: len(SMILES)], MorganFingerprint(size=64).transform(SMILES))
    many[33] = many[71] = "C1CC"
    with pytest.raises(DataError, match=r"rows 33, 71:\n  row 33: .*\n  row 71: "):
        clone(estimator).set_params(n_jobs=2).transform(many)


@pytest.mark.parametrize("estimator", ROWS, ids=name)
def test_set_output(estimator):
    column = pd.Series(SMILES, index=range(10, 10 + len(SMILES)), name="smiles")
    frame = clone(estimator).set_output(transform="pandas").fit_transform(column)
    assert list(frame.columns) == list(estimator.get_feature_names_out())
    assert list(frame.index) == list(column.index)
    polars = clone(estimator).set_output(transform="polars").fit_transform(SMILES)
    np.testing.assert_array_equal(polars.to_numpy(), estimator.transform(SMILES))


Y = np.arange(len(SMILES), dtype=float)


def test_pipeline_and_search():
    model = make_pipeline(MorganFingerprint(size=64), Ridge())
    search = GridSearchCV(
        model, {"morganfingerprint__radius": [0, 2], "morganfingerprint__counts": [False, True]}, cv=3
    )
    search.fit(SMILES, Y)
    assert search.best_params_["morganfingerprint__radius"] in (0, 2)
    assert search.predict(pd.Series(["CCO", "C"])).shape == (2,)
    assert cross_val_score(model, np.array(SMILES), Y, cv=3).shape == (3,)


@pytest.mark.parametrize("column", ["smiles", ["smiles"]])
@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_column_transformer(make, column):
    frame = make({"smiles": SMILES, "dose": Y})
    transformer = ColumnTransformer([("fp", MorganFingerprint(size=8), column), ("dose", "passthrough", ["dose"])])
    got = transformer.fit_transform(frame)
    np.testing.assert_array_equal(got[:, :8], MorganFingerprint(size=8).transform(SMILES))
    assert transformer.get_feature_names_out()[[0, 7, 8]].tolist() == ["fp__morgan2_0", "fp__morgan2_7", "dose__dose"]


def test_feature_union():
    union = FeatureUnion([("bits", MorganFingerprint(size=8, sparse=True)), ("weight", RDKitDescriptors(["MolWt"]))])
    got = union.fit_transform(SMILES)
    assert got.shape == (len(SMILES), 9)
    assert union.get_feature_names_out()[-1] == "weight__MolWt"


@pytest.mark.parametrize(
    ("estimator", "parameter"),
    [
        (MorganFingerprint(radius=-1), "radius"),
        (MorganFingerprint(size=0), "size"),
        (MorganFingerprint(size=2.5), "size"),
        (MorganFingerprint(counts="yes"), "counts"),
        (AtomPairFingerprint(max_distance=0), "max_distance"),
        (RDKitFingerprint(max_path=0), "max_path"),
        (MACCSKeys(on_error="drop"), "on_error"),
        (RDKitDescriptors(names=3), "names"),
        (GraphFeaturizer(standardize="tidy"), "standardize"),
        (GraphFeaturizer(n_jobs=1.5), "n_jobs"),
    ],
)
def test_parameters_are_checked_when_used_not_when_set(estimator, parameter):
    for method in (estimator.fit, estimator.transform):
        with pytest.raises(ValueError, match=f"The '{parameter}' parameter of {name(estimator)} must be"):
            method(SMILES)


# With two_d_array=False check_estimator runs a single check; these need no matrix, so they run one by one.
CHECKS = [
    estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
    estimator_checks.check_estimator_cloneable,
    estimator_checks.check_estimator_repr,
    estimator_checks.check_estimator_tags_renamed,
    estimator_checks.check_get_params_invariance,
    estimator_checks.check_mixin_order,
    estimator_checks.check_no_attributes_set_in_init,
    estimator_checks.check_param_validation,
    estimator_checks.check_parameters_default_constructible,
    estimator_checks.check_set_params,
    estimator_checks.check_valid_tag_types,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("estimator", ALL, ids=name)
def test_scikit_learns_own_checks_that_need_no_data(estimator, check):
    check(name(estimator), clone(estimator))


@pytest.mark.parametrize("estimator", ALL, ids=name)
def test_check_estimator_passes_as_far_as_it_goes(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator_checks.check_estimator(clone(estimator))


@pytest.mark.parametrize("estimator", ALL, ids=name)
def test_tags(estimator):
    tags = estimator.__sklearn_tags__()
    assert (tags.input_tags.string, tags.input_tags.one_d_array, tags.input_tags.two_d_array) == (True, True, False)
    assert not tags.requires_fit
    assert tags.transformer_tags is not None


def test_molecules_become_smiles_and_stay_silent(capfd):
    assert as_smiles([Chem.MolFromSmiles("C[C@H](F)O"), "OCC", None]) == ["C[C@@H](O)F", "OCC", None]
    MorganFingerprint(on_error="nan").transform(["C1CC", "[nH]1cccc1C", "*"])
    assert capfd.readouterr().err == ""


def test_a_molecule_that_rdkit_has_no_features_for_costs_its_own_row():
    """An atom of more bonds than fit a byte breaks one of its invariants."""
    smiles = ["CCO", "[U]" + "(C)" * 332 + "C", "C"]
    made = molmp.AtomPairFingerprint(on_error="nan")
    rows, errors = made.rows_and_errors(smiles)
    assert {row: error.code for row, error in errors.items()} == {1: "valence"}
    assert np.isnan(rows).any(axis=1).tolist() == [False, True, False]
    with pytest.raises(InvalidSmilesError, match=r"row 1: .*RDKit has no features for it"):
        molmp.AtomPairFingerprint().transform(smiles)


HUB = "[U]" + "(C)" * 60 + "C"
"""Through its middle go more paths of seven bonds than can be counted."""


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_molecule_that_takes_for_ever_costs_its_own_row(n_jobs, sparse, monkeypatch):
    monkeypatch.setattr(transformers, "SMALLEST_CHUNK", 4)
    made = RDKitFingerprint(size=64, on_error="raise" if sparse else "nan", sparse=sparse, n_jobs=n_jobs)
    smiles = [*SMILES[:5], HUB, "C1", *SMILES[5:]]
    rows, errors = made.rows_and_errors(smiles, GraphOptions(time_limit=0.3))
    assert {row: (error.code, error.smiles, error.row) for row, error in errors.items()} == {
        5: ("timeout", HUB, 5), 6: ("syntax", "C1", 6)
    }  # fmt: skip
    rows = rows.toarray() if sparse else rows
    np.testing.assert_array_equal(np.delete(rows, [5, 6], axis=0), RDKitFingerprint(size=64).transform(SMILES))
    assert (rows[5:7] == 0).all() if sparse else np.isnan(rows[5:7]).all()


@pytest.mark.parametrize("maker", [MorganFingerprint(size=16), RDKitDescriptors(["MolWt"])], ids=name)
def test_a_molecule_that_ends_the_process_costs_its_own_row(maker, monkeypatch):
    """As where RDKit crashes: at long texts, and at any where the columns are not known to be safe."""
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
    rows, errors = clone(maker).set_params(on_error="nan").rows_and_errors(["CCO", trap, "C"])
    guard._guard.cache_clear()
    assert {row: error.outcome for row, error in errors.items()} == {
        1: "crash: the process that read it died (SIGABRT)"
    }
    np.testing.assert_array_equal(rows[[0, 2]], maker.transform(["CCO", "C"]))


def test_molecules_tell_other_processes_all_that_is_known_of_them(monkeypatch):
    """Labels of stereocentres, of which RDKit's own pickles say nothing."""
    mols = [Chem.MolFromSmiles(smiles) for smiles in ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "C[C@H](F)Cl")] * 4
    made = MorganFingerprint(size=256, chirality=True)
    here = made.transform(mols)
    assert (here[0] != here[1]).any()
    monkeypatch.setattr(transformers, "SMALLEST_CHUNK", 3)
    np.testing.assert_array_equal(clone(made).set_params(n_jobs=2).transform(mols), here)


def test_bytes_are_no_molecule():
    rows, errors = MorganFingerprint(on_error="nan").rows_and_errors([b"CCO", MOLS[0].ToBinary(), 7, None])
    assert np.isnan(rows).all()
    assert [error.code for error in errors.values()] == ["syntax", "syntax", "syntax", "empty"]
