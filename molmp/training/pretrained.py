"""The encoders that molmp brings along, which have learned descriptors, and where training begins with them.

Descriptors cost nothing to label, and who has learned to tell them from a graph has learned to see rings, charges,
branches and lengths: J. Burns, A. Zalte and W. Green, Descriptor-based foundation models for molecular property
prediction, 2025, arXiv 2506.15792. ``make encoders`` makes the file; no measured property is in it.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from molmp.chem.options import GraphOptions
from molmp.nn.config import ModelConfig
from molmp.training.bundle import feature_columns
from molmp.training.start import Start, of_the_encoder

__all__ = ["ENCODERS", "own_start"]

ENCODERS = Path(__file__).with_name("encoders.safetensors")
"""Weights of each encoder, as ``0.embedding.codes.weight``, in half precision, and in its metadata their make."""


def own_start(options: GraphOptions, network: ModelConfig) -> Start | None:
    """Let training begin with molmp's own encoders; None where the network's encoder is of another make.

    >>> own_start(GraphOptions(), ModelConfig()).note
    'starting from encoders that have learned 197 descriptors of 145,656 molecules'
    >>> own_start(GraphOptions(), ModelConfig(hidden=32)) is None
    True
    """
    about, members = _read()
    of_another_make = about["network"] != of_the_encoder(network) or about["features"] != feature_columns()
    if of_another_make or options.explicit_hydrogens:
        return None
    return Start(members, None, f"starting from encoders that have learned {about['learned']}")


@cache
def _read() -> tuple[dict[str, Any], tuple[dict[str, torch.Tensor], ...]]:
    with safe_open(ENCODERS, "pt") as file:
        about: dict[str, Any] = json.loads(file.metadata()["about"])
        found: list[dict[str, torch.Tensor]] = [{} for _ in range(about["members"])]
        for name in file.keys():  # noqa: SIM118 (no dict)
            member, _, own = name.partition(".")
            found[int(member)][own] = file.get_tensor(name).float()
    return about, tuple(found)
