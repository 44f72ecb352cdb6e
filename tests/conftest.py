"""What many tests need: the command line as it is installed, and a model that was trained once."""

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result


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
