"""make encoders DATA=folder: the encoders that training begins with, molmp/training/encoders.safetensors.

``folder`` holds hiv.csv.gz, muv.csv.gz and qm9_subset.csv.gz with a column ``smiles``; no other column is read. Three
networks of the default make learn all RDKit descriptors that vary.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.torch import save_file

from molmp.chem.featurize import GraphOptions, featurize
from molmp.chem.fingerprints import RDKitDescriptors
from molmp.nn.config import ModelConfig
from molmp.nn.model import ENCODER
from molmp.nn.process import keep_memory, set_threads
from molmp.tables.splits import Split
from molmp.training.bundle import Bundle, feature_columns
from molmp.training.config import TrainConfig
from molmp.training.loop import Epoch
from molmp.training.pretrained import ENCODERS
from molmp.training.problem import Problem
from molmp.training.run import Trained, train
from molmp.training.start import of_the_encoder
from molmp.training.targets import Target, Targets

__all__ = ["save_encoders", "scaled"]

SOURCES = ("hiv.csv.gz", "muv.csv.gz", "qm9_subset.csv.gz")

LONGEST = 200
"""Characters of a SMILES; RDKit needs minutes for some descriptors of a few longer ones."""

FURTHEST = 6.0
"""Deviations from the median that no label is beyond: some descriptors have values of 1e10."""

NETWORK = ModelConfig(head_hidden=256, dropout=0.0)

TRAINING = TrainConfig(
    epochs=10, batch_size=256, weight_decay=0.01, ensemble=3, views="all", refit=False, pretrained=False
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    set_threads(1)
    keep_memory()
    texts = [text for name in SOURCES for text in pd.read_csv(data / name)["smiles"]]
    texts = [text for text in dict.fromkeys(texts) if len(text) <= LONGEST]
    texts = [texts[row] for row in featurize(texts).rows]
    labels = RDKitDescriptors(n_jobs=2).transform(texts)
    order = np.random.default_rng(0).permutation(len(texts))
    save_encoders(learn([texts[i] for i in order], scaled(labels[order])))


def scaled(values: np.ndarray) -> np.ndarray:
    """Descriptors that vary, from their median in deviations of their middle 99 %; shape ``(molecules, fewer)``."""
    values = np.where(np.isfinite(values), values, np.nan).astype(np.float64)
    middle = np.clip(values, np.nanpercentile(values, 0.5, axis=0), np.nanpercentile(values, 99.5, axis=0))
    deviation = np.nanstd(middle, axis=0)
    vary = deviation > 1e-6
    values = (values[:, vary] - np.nanmedian(values[:, vary], axis=0)) / deviation[vary]
    return np.clip(values, -FURTHEST, FURTHEST)


def learn(texts: list[str], labels: np.ndarray) -> Bundle:
    """Train; the last 2 % of the molecules tell how well it went."""
    rows, cut = np.arange(len(texts)), int(0.98 * len(texts))
    options = GraphOptions()
    problem = Problem(
        featurized=featurize(texts, options, progress=True), options=options, labels=labels, weights=None,
        targets=Targets("regression", tuple(Target(name=f"descriptor {i}") for i in range(labels.shape[1]))),
        split=Split(rows[:cut], rows[cut:], rows[cut : cut + 10]),
    )  # fmt: skip
    for record in train(problem, NETWORK, TRAINING, device="cpu"):
        if isinstance(record, Epoch):
            print(f"network {record.member}, epoch {record.epoch}: loss {record.val_loss:.4f}", flush=True)
    assert isinstance(record, Trained)
    return record.bundle


def save_encoders(bundle: Bundle) -> None:
    """Write the encoders of a trained model, in half precision, with what they are."""
    learned = f"{bundle.targets.num_outputs} descriptors of {bundle.data['split_rows']['train']:,} molecules"
    about = {"network": of_the_encoder(bundle.network), "features": feature_columns(), "learned": learned,
             "members": len(bundle.members), "versions": bundle.versions}  # fmt: skip
    weights = {
        f"{member}.{name}": tensor.half().contiguous()
        for member, state in enumerate(bundle.members)
        for name, tensor in state.items()
        if name.split(".")[0] in ENCODER
    }
    save_file(weights, ENCODERS, {"about": json.dumps(about)})


if __name__ == "__main__":
    main()
