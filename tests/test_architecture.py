"""The house: imports point one way, the quick parts stay quick, and every package is shipped."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Reading order. A module imports only from floors above its own, or from its own floor.
FLOORS = [
    ["errors"],
    ["chem"],
    ["tables"],
    ["page"],
    ["audit", "trust"],
    ["nn"],
    ["training"],
    ["explain"],
    ["inference"],
    ["diagnose", "report", "serve"],
    ["plots", "run_folder", "embedding", "base_estimator", "estimators"],
]
FLOOR_OF = {name: level for level, names in enumerate(FLOORS) for name in names}
MODULES = sorted(p for p in (ROOT / "molmp").rglob("*.py") if p.parent != ROOT / "molmp" or p.name != "__init__.py")
HEAVY = {"torch", "sklearn", "pandas", "scipy", "matplotlib", "pyarrow"}


def imported(path: Path, *, top_level_only: bool = False) -> set[str]:
    """Dotted names that a file imports; those under TYPE_CHECKING do not count."""
    tree = ast.parse(path.read_text())
    if top_level_only:
        nodes = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    else:
        skipped = {id(n) for block in ast.walk(tree) if _is_type_checking(block) for n in ast.walk(block)}
        nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom) and id(n) not in skipped]
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        else:
            names.add("." * node.level + (node.module or ""))
    return names


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def floor(module: str) -> int:
    return FLOOR_OF[module.split(".")[1]]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    here = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for name in imported(path):
        if name.startswith("molmp."):
            assert floor(name) <= floor(here), f"{here} imports {name}"
        assert not name.startswith((".", "molmp_cli", "cli")), f"{here} imports {name}"


@pytest.mark.parametrize(
    "package",
    [
        "chem",
        "tables",
        "page",
        "audit",
        "trust",
        "nn",
        "training",
        "explain",
        "inference",
        "diagnose",
        "report",
        "serve",
    ],
)
def test_no_cycles_within_a_floor(package: str) -> None:
    files = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in (ROOT / "molmp" / package).rglob("*.py")}
    waiting = {name: imported(path) & set(files) for name, path in files.items()}
    while waiting:
        ready = [name for name, needs in waiting.items() if not needs & set(waiting)]
        assert ready, f"cycle among {sorted(waiting)}"
        for name in ready:
            del waiting[name]


@pytest.mark.parametrize("path", sorted((ROOT / "molmp" / "chem").glob("*.py")), ids=lambda p: p.name)
def test_chemistry_does_without_torch(path: Path) -> None:
    heavy = {name.split(".")[0] for name in imported(path)} & HEAVY
    allowed = {"fingerprints": {"sklearn"}, "transformers": {"sklearn"}, "vectors": {"scipy"}}
    assert heavy <= allowed.get(path.stem, set())


def test_commands_import_nothing_heavy_before_they_run() -> None:
    for path in (ROOT / "cli").glob("*.py"):
        names = {name.split(".")[0] for name in imported(path, top_level_only=True)}
        assert not names & HEAVY, path


@pytest.mark.parametrize("command", [["--help"], ["train", "--help"], ["predict", "--help"], ["--version"]])
def test_help_loads_no_torch(command: list[str]) -> None:
    code = (
        "import sys, json\nfrom molmp_cli.main import main\nsys.argv = ['molmp', *json.loads(sys.argv[1])]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\nprint(json.dumps(sorted(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code, json.dumps(command)], capture_output=True, text=True, check=True)
    loaded = set(json.loads(out.stdout.splitlines()[-1]))
    assert not loaded & {"torch", "sklearn", "pandas", "matplotlib"}


def test_predicting_and_training_load_what_they_need() -> None:
    """Training: until it scores a model that is finished."""
    code = "import sys, json, molmp.inference.folders, molmp.training.run; print(json.dumps(sorted(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(out.stdout))
    assert "torch" in loaded
    assert not loaded & {"sklearn", "scipy", "pandas", "matplotlib", "pyarrow"}


def test_every_package_is_shipped() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "molmp").rglob("__init__.py")}
    packages = set(project["tool"]["setuptools"]["packages"])
    assert folders == {name for name in packages if name.split(".")[0] == "molmp"}
    assert "molmp_cli" in packages


def test_console_script_is_the_cli_folder() -> None:
    (script,) = entry_points(group="console_scripts", name="molmp")
    assert script.value == "molmp_cli.main:main"
    assert Path(sys.modules[script.load().__module__].__file__ or "").resolve().parent == (ROOT / "cli").resolve()


def test_every_public_name_can_be_imported() -> None:
    import molmp

    for name in molmp.__all__:
        assert getattr(molmp, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        molmp.nonsense  # noqa: B018


def test_rooms_are_small() -> None:
    for path in [*MODULES, *(ROOT / "cli").glob("*.py")]:
        assert len(path.read_text().splitlines()) <= 300, f"{path} is too long for one sitting"


def test_no_machine_is_named() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in files:
        text = (ROOT / name).read_text(errors="replace") if (ROOT / name).exists() else ""
        assert not re.search(r"/wor[k]/|/roo[t]/", text), name
