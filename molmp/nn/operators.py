"""The operators by name: what each is in one sentence, which options it takes, and the stack that suits it.

Free of torch, so that a command can print its help at once; the classes are in :mod:`molmp.nn.layers`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["OPERATORS", "OWN_CLASS", "Operator"]

SHARED: Mapping[str, Any] = {"weights": "shared", "residual": False, "norm": "none"}
"""For operators whose papers let all steps share their weights, and that decide themselves what stays of a state."""

STACKED: Mapping[str, Any] = {"weights": "own", "residual": True, "norm": "layer"}

COMPLETE: Mapping[str, Any] = {"weights": "own", "residual": False, "norm": "none"}
"""Residuals and norms are part of the operator."""


@dataclass(frozen=True, kw_only=True)
class Operator:
    """What there is to know of an operator before it is made."""

    sentence: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options that it takes, and what they are where nothing is said."""
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The words that an option of it can be, where it does not know all of them."""
    stack: Mapping[str, Any] = field(default_factory=lambda: STACKED)
    """Options of the stack, where nothing is said."""
    least_steps: int = 1


OPERATORS: Mapping[str, Operator] = {
    "edge": Operator(
        sentence="a matrix for each bond type, gated update (Gilmer et al. 2017)",
        options={"aggregation": "sum", "edge_hidden": 32},
        stack=SHARED,
    ),
    "gcn": Operator(sentence="sum, normalised by the degrees of both ends (Kipf and Welling 2017)"),
    "gat": Operator(sentence="attention to neighbours (Velickovic et al. 2018)", options={"heads": 4}),
    "gatv2": Operator(sentence="attention that can rank neighbours anew (Brody et al. 2022)", options={"heads": 4}),
    "sage": Operator(
        sentence="mean or maximum of the neighbours beside the atom itself (Hamilton et al. 2017)",
        options={"aggregation": "mean"},
        choices={"aggregation": ("mean", "max")},
    ),
    "gin": Operator(sentence="sum and a two-layer network; no bond features (Xu et al. 2019)"),
    "gine": Operator(sentence="GIN with bond features (Hu et al. 2020)"),
    "dmpnn": Operator(
        sentence="directed bonds, no way back (Yang et al. 2019; Chemprop's encoder)", stack=SHARED, least_steps=2
    ),
    "attentivefp": Operator(sentence="attention, then a gated update (Xiong et al. 2020)", stack=SHARED),
    "pna": Operator(sentence="mean, min, max and deviation, scaled by degree (Corso et al. 2020)"),
    "transformer": Operator(sentence="scaled dot products with the neighbours (Shi et al. 2021)", options={"heads": 4}),
    "gps": Operator(
        sentence="GINE beside attention to all atoms of the molecule (Rampasek et al. 2022)",
        options={"heads": 4},
        stack=COMPLETE,
    ),
}
"""In the order of the documentation."""

OWN_CLASS = Operator(sentence="a class of your own")
"""What is taken for granted of an operator that is not listed."""
