"""The ONNX file answers as the model does, for any number of molecules, and says what its numbers mean."""

import doctest
import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from test_molecule_features import BOTH, trained  # noqa: F401
from tiny import SMILES, tiny_bundle

from molmp import onnx_inputs
from molmp.chem.featurize import featurize
from molmp.errors import ConfigError, FileFormatError
from molmp.inference.export import _onnx, export_onnx
from molmp.inference.model_file import save_bundle
from molmp.inference.predictor import Predictor
from molmp.training.bundle import Bundle, feature_columns

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

BUNDLES = {
    "regression": tiny_bundle("regression", 2, shares=(0.9, 0.1), readout="set2set+sum", readout_steps=2, steps=1),
    "binary": tiny_bundle("binary", aggregation="mean", readout="attention+mean", steps=2),
    "multiclass": tiny_bundle("multiclass", hydrogens=True, aggregation="max", readout="max", steps=1),
}


def session_of(content: bytes | str) -> Any:
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def contents() -> dict[str, bytes]:
    return {task: _onnx(bundle) for task, bundle in BUNDLES.items()}


@pytest.fixture(scope="module")
def sessions(contents: dict[str, bytes]) -> dict[str, Any]:
    return {task: session_of(content) for task, content in contents.items()}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    save_bundle(BUNDLES["binary"], folder)
    return folder


def molmp(*args: Any) -> Result:
    (script,) = entry_points(group="console_scripts", name="molmp")
    return CliRunner().invoke(script.load(), [str(arg) for arg in args])


def compare(session: Any, bundle: Bundle, smiles: list[str]) -> None:
    featurized = featurize(smiles, bundle.options)
    answers = session.run(None, onnx_inputs(featurized.graphs))
    for answer, value in zip(answers, Predictor(bundle, "cpu").answer(featurized).values, strict=True):
        assert answer.shape == value.shape
        np.testing.assert_allclose(answer, value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("task", BUNDLES)
@pytest.mark.parametrize("number", [1, 3, 40, 512])
def test_it_answers_as_the_model_does(sessions: dict[str, Any], task: str, number: int) -> None:
    compare(sessions[task], BUNDLES[task], [f"{SMILES[i % len(SMILES)]}.{'C' * (1 + i // 90)}" for i in range(number)])


@pytest.mark.parametrize("task", BUNDLES)
@pytest.mark.parametrize("smiles", [["C"], ["[Na+].[Cl-]"], ["O", "C"], ["C", "CCO", "N"]], ids=str)
def test_molecules_without_bonds(sessions: dict[str, Any], task: str, smiles: list[str]) -> None:
    compare(sessions[task], BUNDLES[task], smiles)


@pytest.mark.parametrize(
    ("task", "loss", "names"),
    [
        ("regression", "evidential", ["logS_pred", "logS_std", "mp_pred", "mp_std"]),
        ("regression", "quantile", ["logS_pred", "logS_quantiles", "mp_pred", "mp_quantiles"]),
        ("binary", "dirichlet", ["toxic_pred", "toxic_std"]),
    ],
)
def test_spreads_and_quantiles(task: str, loss: str, names: list[str]) -> None:
    bundle = tiny_bundle(task, 2, loss=loss, shares=(0.9, 0.1), layer="gin", readout="sum", steps=1)
    session = session_of(_onnx(bundle))
    assert [output.name for output in session.get_outputs()] == names
    featurized = featurize(SMILES, bundle.options)
    answers = dict(zip(names, session.run(None, onnx_inputs(featurized.graphs)), strict=True))
    for name, expected in zip(bundle.targets.names, Predictor(bundle, "cpu").answer(featurized).targets, strict=True):
        np.testing.assert_allclose(answers[f"{name}_pred"], expected.value, rtol=1e-4, atol=1e-6)
        if loss == "quantile":
            np.testing.assert_allclose(answers[f"{name}_quantiles"], expected.quantiles, rtol=1e-4, atol=1e-5)
        else:
            std = expected.epistemic if loss == "dirichlet" else expected.std
            np.testing.assert_allclose(answers[f"{name}_std"], std, rtol=1e-4)


def test_features_are_one_more_input(trained: Bundle) -> None:  # noqa: F811
    session = session_of(_onnx(trained))
    assert {i.name: i.shape for i in session.get_inputs()}["features"] == ["num_molecules", 1115]
    compare(session, trained, ["C", "CCO", "c1ccccc1O"])


def test_sizes_have_names(sessions: dict[str, Any]) -> None:
    shapes = {i.name: i.shape for i in sessions["regression"].get_inputs()}
    assert shapes["atom_codes"] == ["num_atoms", 12]
    assert shapes["edge_source"] == shapes["edge_target"] == shapes["edge_bond"] == ["num_edges"]
    assert shapes["molecules"] == ["num_molecules", 1]


def test_it_says_what_its_numbers_mean(sessions: dict[str, Any]) -> None:
    assert [output.name for output in sessions["regression"].get_outputs()] == ["logS_pred", "mp_pred"]
    assert [output.name for output in sessions["multiclass"].get_outputs()] == ["colour_prob", "taste_prob"]
    facts = json.loads(sessions["multiclass"].get_modelmeta().custom_metadata_map["molmp"])
    assert [target["classes"] for target in facts["targets"]] == [["red", "green", "blue"], ["sour", "sweet"]]
    assert facts["features"] == feature_columns() | {"options": BUNDLES["multiclass"].options.to_dict()}
    facts = json.loads(sessions["regression"].get_modelmeta().custom_metadata_map["molmp"])
    assert [target["unit"] for target in facts["targets"]] == ["log10(mol/L)", None]


def test_a_wrong_network_is_not_written(
    contents: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("molmp.inference.export._onnx", lambda bundle: contents["binary"])
    with pytest.raises(FileFormatError, match="the exported network gives"):
        export_onnx(tiny_bundle("binary"), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_the_command_and_the_guide(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = molmp("export", run, "--format", "onnx", "-o", tmp_path / "model.onnx")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"model in {tmp_path / 'model.onnx'}\n"
    assert result.stderr == "", "the exporter keeps its own words to itself"
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    monkeypatch.chdir(tmp_path)
    guide = Path(__file__).parent.parent / "docs" / "deployment.md"
    failed, attempted = doctest.testfile(str(guide), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert attempted > 5
    assert failed == 0


def test_inputs_are_made_without_torch() -> None:
    code = (
        "import sys, molmp\ninputs = molmp.onnx_inputs(molmp.featurize(['CCO', 'C']).graphs)\n"
        "assert not {'torch', 'sklearn', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_inputs_name_each_bond_in_both_directions() -> None:
    graphs = featurize(["C=CO", "N", "CC"]).graphs
    inputs = onnx_inputs(graphs)
    source, target = inputs["edge_source"], inputs["edge_target"]
    edges = zip(source.tolist(), target.tolist(), strict=True)
    bonds = dict(zip(edges, inputs["bond_codes"][inputs["edge_bond"]].tolist(), strict=True))
    assert len(bonds) == 2 * len(graphs.begins) == len(source)
    assert all(bonds[w, v] == code for (v, w), code in bonds.items())
    assert (np.diff(target) >= 0).all()
    np.testing.assert_array_equal(inputs["atom_molecule"][source], inputs["atom_molecule"][target])
    assert all(array.dtype == np.int64 for name, array in inputs.items() if name != "molecules")


def test_no_molecules_have_no_bonds() -> None:
    inputs = onnx_inputs(featurize(["C"]).graphs.select([]))
    assert inputs["molecules"].shape == (0, 1)
    assert len(inputs["edge_source"]) == len(inputs["bond_codes"]) == 0


def test_folders_that_are_not_there(run: Path, tmp_path: Path) -> None:
    result = molmp("export", run, "-o", tmp_path / "no" / "model.onnx")
    assert result.exit_code == 2
    assert "there is no folder" in result.stderr
    with pytest.raises(ConfigError, match="it is a folder"):
        export_onnx(BUNDLES["binary"], tmp_path)
    result = molmp("export", tmp_path / "nothing", "-o", tmp_path / "model.onnx")
    assert result.exit_code == 1
    assert "nothing" in result.stderr
    assert "Traceback" not in result.output


def test_a_format_that_is_not_known(run: Path, tmp_path: Path) -> None:
    result = molmp("export", run, "--format", "pmml", "-o", tmp_path / "m")
    assert result.exit_code == 2
    assert "'pmml' is not 'onnx'" in result.stderr


def test_a_package_that_is_not_there(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("molmp.inference.export.PACKAGES", ("onnx", "no_such_package"))
    result = molmp("export", run, "-o", tmp_path / "model.onnx")
    assert result.exit_code == 1
    assert "exporting to ONNX needs no_such_package: pip install 'molmp[onnx]'" in result.stderr
    assert not list(tmp_path.iterdir())
