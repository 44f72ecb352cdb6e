"""Molecular property prediction by message passing.

Names are loaded when they are first used: ``import molmp`` imports neither torch nor scikit-learn.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "InvalidSmilesError": "molmp.errors",
    "MolmpError": "molmp.errors",
    "audit_table": "molmp.audit.table",
    "MolGraphs": "molmp.chem.graphs",
    "onnx_inputs": "molmp.chem.flat",
    "GraphOptions": "molmp.chem.featurize",
    "featurize": "molmp.chem.featurize",
    "AtomPairFingerprint": "molmp.chem.fingerprints",
    "GraphFeaturizer": "molmp.chem.fingerprints",
    "MACCSKeys": "molmp.chem.fingerprints",
    "MorganFingerprint": "molmp.chem.fingerprints",
    "RDKitDescriptors": "molmp.chem.fingerprints",
    "RDKitFingerprint": "molmp.chem.fingerprints",
    "TopologicalTorsionFingerprint": "molmp.chem.fingerprints",
    "BatchPredictor": "molmp.inference.batch_predictor",
    "Predictor": "molmp.inference.predictor",
    "check_model": "molmp.inference.check",
    "load": "molmp.inference.predictor",
    "make_app": "molmp.serve.app",
    "MPNNClassifier": "molmp.estimators",
    "MPNNEmbedding": "molmp.embedding",
    "MPNNRegressor": "molmp.estimators",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'molmp' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
