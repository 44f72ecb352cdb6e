"""What many tests need: the command line as it is installed, and a model that was trained once."""

import os
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

# Before torch is loaded: sums are equal to the bit only with equally many threads, and each thread of a process has its
# own number of them, so that a test that sets it would change what some of the threads of another compute.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _same_threads_afterwards() -> Iterator[None]:
    """Threads of torch, where it is loaded, are as many after a test as before."""
    before = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None
    yield
    if before is not None and sys.modules["torch"].get_num_threads() != before:
        sys.modules["torch"].set_num_threads(before)


@pytest.fixture(autouse=True)
def _pictures_are_empty(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """To draw the pictures of a run takes as long as to train the small networks of the tests.

    Tests marked ``pictures`` draw them.
    """
    if request.node.get_closest_marker("pictures") is None:
        monkeypatch.setattr("molmp.plots._save", lambda figure, path: Path(path).write_bytes(b""))


@pytest.fixture(autouse=True)
def _forests_are_small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """To grow the hundred trees that a run is compared with takes longer than to train a network for an epoch.

    Tests marked ``forests`` grow them all.
    """
    if request.node.get_closest_marker("forests") is None:
        monkeypatch.setattr("molmp.training.baselines.TREES", 5)


@pytest.fixture(scope="session")
def molmp() -> Callable[..., Result]:
    """Call the console script that pyproject.toml declares."""
    (script,) = entry_points(group="console_scripts", name="molmp")
    command: Any = script.load()
    return lambda *args, **kwargs: CliRunner().invoke(command, [str(arg) for arg in args], **kwargs)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a model of one target, ``logS``: trained for an epoch on 20 alkanes and alcohols."""
    import pandas as pd

    from molmp import MPNNRegressor

    smiles = ["C" * n + end for n in range(1, 11) for end in ("C", "O")]
    model = MPNNRegressor(hidden=8, epochs=1, device="cpu")
    model.fit(smiles, pd.Series([-0.5 * len(text) for text in smiles], name="logS"))
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model.save(folder)
    return folder
