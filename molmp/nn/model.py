"""The model: ``head(norm(readout(passing(embedding(batch)))))``.

Shapes: R rows of a level, B molecules, H hidden width, D width of the fingerprint.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from molmp.chem.features import ATOM_FIELDS
from molmp.nn.batch import GraphBatch
from molmp.nn.config import ModelConfig
from molmp.nn.embedding import CodeEmbedding
from molmp.nn.heads import MLP
from molmp.nn.layers.edge_conditioned import EdgeConditioned
from molmp.nn.message_passing import MessagePassing
from molmp.nn.norm import LayerNorm
from molmp.nn.readout import Attention, Max, Mean, Readouts, Set2Set, Sum
from molmp.nn.segment import take

__all__ = ["ModelConfig", "MoleculeModel"]


class MoleculeModel(nn.Module):
    """A network from molecules to properties.

    Parameters
    ----------
    config
        What it is made of.
    num_outputs
        Numbers it gives for a molecule.
    """

    def __init__(self, config: ModelConfig, num_outputs: int) -> None:
        super().__init__()
        self.config, self.num_outputs = config, num_outputs
        self.embedding = AtomEmbedding(config.hidden)
        self.passing = Passing(_layer(config))
        self.readout = _readout(config)
        self.fingerprint_width = self.readout.width
        self.norm = LayerNorm(self.fingerprint_width) if config.normalize else nn.Identity()
        self.head = MLP(
            self.fingerprint_width, config.head_hidden, num_outputs, layers=config.head_layers, dropout=config.dropout
        )

    def forward(self, batch: GraphBatch) -> Tensor:
        """Predict, shape ``(B, num_outputs)``."""
        output: Tensor = self.head(self.fingerprint(batch))
        return output

    def fingerprint(self, batch: GraphBatch) -> Tensor:
        """Return what the head sees of each molecule, shape ``(B, D)``."""
        vector: Tensor = self.norm(self.readout(self.passing(self.embedding(batch), batch), batch.molecules))
        return vector


class AtomEmbedding(nn.Module):
    """The states of the rows of level 0, worked out for the distinct atoms."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.codes = CodeEmbedding(ATOM_FIELDS, hidden)

    def forward(self, batch: GraphBatch) -> Tensor:
        """Embed, shape ``(R, H)``."""
        states = F.relu(self.codes(batch.atom_codes))
        return states if batch.start is None else take(states, batch.start)


class Passing(nn.Module):
    """One operator, applied once a level with the same weights."""

    def __init__(self, layer: MessagePassing) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, h: Tensor, batch: GraphBatch) -> Tensor:
        """Pass messages level by level; the result has the rows of the last, shape ``(R, H)``."""
        bonds = self.layer.bonds(batch.bond_codes)
        for level in batch.levels:
            h = self.layer(h, level, bonds)
        return h


def _layer(config: ModelConfig) -> MessagePassing:
    return EdgeConditioned(config.hidden, config.edge_hidden, config.aggregation)


def _readout(config: ModelConfig) -> Readouts:
    def make(name: str) -> Sum | Attention | Set2Set:
        match name:
            case "set2set":
                return Set2Set(config.hidden, config.readout_steps)
            case "sum":
                return Sum(config.hidden)
            case "mean":
                return Mean(config.hidden)
            case "max":
                return Max(config.hidden)
            case _:
                return Attention(config.hidden)

    return Readouts([make(name) for name in config.readout.split("+")])
