"""Two environments: molmp's own, and one for the peers, made once and kept under ``benchmarks/.envs``.

    python -m benchmarks.peers          # make what is missing and print the versions

Chemprop's C++ featurizer is built for one exact RDKit, which pins that of the whole environment. RDKit's speed
differs between versions, so molmp is measured in both, beside RDKit's own parse there. torch is the same in both.
"""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

__all__ = ["pinned", "python_of", "versions_of"]

ROOT = Path(__file__).resolve().parent.parent
ENVS = Path(os.environ.get("MOLMP_BENCH_ENVS", ROOT / "benchmarks" / ".envs"))

PEERS = ["chemprop==2.3.1", "torch-geometric"]
"""PyG is in molmp's environment as well: the comparison of outputs needs both in one process."""

PACKAGES = ("molmp", "rdkit", "torch", "numpy", "torch-geometric", "chemprop", "cuik-molmaker-pin")


def python_of(env: str) -> Path:
    """Interpreter of the environment ``molmp``, which is the one that runs this, or ``peers``; made where missing."""
    if env == "molmp":
        return Path(sys.executable)
    folder = ENVS / env
    if not (folder / ".ready").exists():
        make(folder)
    return folder / "bin" / "python"


def make(folder: Path) -> None:
    """Create a virtual environment: torch first, alone, by molmp's exact version; then the peers."""
    print(f"making {folder}, once", file=sys.stderr)
    venv.create(folder, with_pip=True, clear=True)
    pip = [folder / "bin" / "pip", "install", "-q"]
    index = os.environ.get("TORCH_INDEX", "").strip()
    subprocess.run([*pip, *(["--index-url", index] if index else []), pinned("torch")], check=True)
    pins = [name if "==" in name else pinned(name) for name in PEERS]
    subprocess.run([*pip, pinned("torch"), *pins], check=True)
    (folder / ".ready").touch()


def pinned(package: str) -> str:
    """``package==version`` as in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text("ascii").splitlines()
    return next(line for line in lines if line.startswith(f"{package}=="))


def versions_of(python: Path) -> dict[str, str]:
    """Versions of what a result depends on, as that interpreter sees them."""
    script = f"""
import importlib.metadata as m, json, platform
found = {{d.metadata["name"].lower().replace("_", "-"): d.version for d in m.distributions()}}
print(json.dumps({{"python": platform.python_version()}} | {{n: found[n] for n in {PACKAGES!r} if n in found}}))
"""
    out = subprocess.run([python, "-c", script], check=True, capture_output=True, text=True, cwd="/")
    return json.loads(out.stdout)


if __name__ == "__main__":
    for name in ("molmp", "peers"):
        print(name, json.dumps(versions_of(python_of(name))))
