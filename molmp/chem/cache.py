"""Graphs of a list of SMILES kept on disk, so that the second run on the same file starts at once."""

import hashlib
import json
import logging
import os
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rdkit

from molmp import __version__
from molmp.chem.features import ATOM_FIELDS, BOND_FIELDS, column_names
from molmp.chem.featurize import Featurized, GraphOptions, featurize
from molmp.chem.graphs import MolGraphs
from molmp.errors import ConfigError, FileFormatError, InvalidSmilesError

__all__ = ["cache_folder", "cached_featurize", "writable"]

FEWEST_ROWS = 1_000
"""A shorter list is read in less than a tenth of a second, and not kept."""


def cache_folder() -> Path:
    """Where graphs are kept: ``$MOLMP_CACHE``, else ``molmp`` in the user's cache folder.

    >>> os.environ["MOLMP_CACHE"] = "/tmp/graphs"
    >>> print(cache_folder())
    /tmp/graphs
    >>> del os.environ["MOLMP_CACHE"]
    """
    if chosen := os.environ.get("MOLMP_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "molmp"


def writable(folder: Path) -> Path:
    """Return a folder that somebody named, made where it is missing, once something could be written there.

    Raises
    ------
    ConfigError
        Nothing could: better told now than after the graphs are made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise ConfigError(
            f"graphs cannot be kept in {folder}: {error.strerror}; name another folder, or keep none with --no-cache"
        ) from None


def cached_featurize(
    smiles: Sequence[str], options: GraphOptions, *, cache: Path | None,
    n_jobs: int | None = 1, progress: bool = False,
) -> Featurized:  # fmt: skip
    """As :func:`molmp.chem.featurize.featurize`, but read from the folder ``cache`` what an earlier run left there.

    What is kept is found by its content: the SMILES, the options, the features and the versions of RDKit and molmp.
    ``cache=None`` keeps nothing. A folder that cannot be written to is told in a warning of the log.
    """
    texts = list(smiles)
    if cache is None or len(texts) < FEWEST_ROWS:
        return featurize(texts, options, n_jobs=n_jobs, progress=progress)
    path = Path(cache) / f"{_key(texts, options)}.graphs"
    found = _load(path, texts)
    if found is not None:
        return found
    made = featurize(texts, options, n_jobs=n_jobs, progress=progress)
    if any(error.code == "crash" for error in made.errors.values()):
        return made  # perhaps for want of memory: it deserves another try
    try:
        _save(path, made)
    except OSError as error:
        logging.getLogger(__name__).warning("graphs are not kept for the next run: %s", error)
    return made


def _key(texts: list[str], options: GraphOptions) -> str:
    names = column_names(ATOM_FIELDS), column_names(BOND_FIELDS)
    content: list[Any] = [__version__, rdkit.__version__, names, options.to_dict(), options.bits, texts]
    return hashlib.sha256(json.dumps(content, default=repr).encode()).hexdigest()


def _load(path: Path, texts: list[str]) -> Featurized | None:
    """What was kept, or None where nothing was or it is damaged."""
    try:
        listed = json.loads(path.with_suffix(".json").read_text("utf-8"))
        errors = {row: InvalidSmilesError(smiles, code, reason, row) for row, smiles, code, reason in listed}
        graphs = MolGraphs.load(path)
    except (FileFormatError, OSError, TypeError, ValueError):
        return None
    if len(graphs) + len(errors) != len(texts):
        return None
    rows = np.setdiff1d(np.arange(len(texts)), list(errors))
    return Featurized(graphs, rows, errors)


def _save(path: Path, featurized: Featurized) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = [[row, error.smiles, error.code, error.reason] for row, error in featurized.errors.items()]
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        temporary.write_text(json.dumps(listed), "utf-8")
        temporary.replace(path.with_suffix(".json"))
    finally:
        temporary.unlink(missing_ok=True)
    featurized.graphs.save(path)
