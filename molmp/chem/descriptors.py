"""RDKit's descriptors by name, as rows of float32 in which only NaN stands for what cannot be computed."""

import difflib
from collections.abc import Callable, Sequence

import numpy as np
from rdkit import Chem
from rdkit.Chem import Descriptors

from molmp.errors import ConfigError

__all__ = ["descriptor_names", "descriptor_reader"]


def descriptor_names(wanted: str | Sequence[str] = "all") -> list[str]:
    """Names of all descriptors, or those wanted once they are known to exist.

    >>> descriptor_names(["MolWeight"])
    Traceback (most recent call last):
    molmp.errors.ConfigError: RDKit has no descriptor 'MolWeight'; it has MolWt, ExactMolWt, ...
    """
    known = [name for name, _ in Descriptors.descList]
    if isinstance(wanted, str) and wanted == "all":
        return known
    names = [wanted] if isinstance(wanted, str) else [str(name) for name in wanted]
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, cutoff=0.5) or known[:3]
            raise ConfigError(f"RDKit has no descriptor {name!r}; it has {', '.join(close)}, ... {len(known)} in all")
    return names


def descriptor_reader(names: Sequence[str]) -> Callable[[Chem.Mol], np.ndarray]:
    """A function from a molecule to its descriptors, shape ``(len(names),)``, float32."""
    known = dict(Descriptors.descList)
    functions = [known[name] for name in names]
    return lambda mol: _float32([_value(function, mol) for function in functions])


def _value(function: Callable[[Chem.Mol], float], mol: Chem.Mol) -> float:
    try:
        return function(mol)
    except (ArithmeticError, LookupError, RuntimeError, ValueError):
        return np.nan


def _float32(values: Sequence[float]) -> np.ndarray:
    wide = np.array(values, np.float64)
    wide[np.isinf(wide)] = np.nan
    top = np.finfo(np.float32).max
    return wide.clip(-top, top).astype(np.float32)
