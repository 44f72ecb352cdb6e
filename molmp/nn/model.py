"""The model: ``head(norm(readout(passing(embedding(batch)))), features)``.

Shapes: R rows of a level, B molecules, H hidden width, D width of the fingerprint, F features of a molecule.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from molmp.chem.features import ATOM_FIELDS
from molmp.chem.graphs import MolGraphs
from molmp.errors import ConfigError
from molmp.nn.batch import DeviceGraphs, GraphBatch
from molmp.nn.beside import FeatureScaling
from molmp.nn.config import ModelConfig
from molmp.nn.dropout import Dropout
from molmp.nn.embedding import CodeEmbedding
from molmp.nn.heads import MLP
from molmp.nn.linear import Linear
from molmp.nn.norm import LayerNorm
from molmp.nn.passing import Passing, shares_states
from molmp.nn.positions import WIDTHS
from molmp.nn.readout import Attention, Max, Mean, Readouts, Set2Set, Sum
from molmp.nn.segment import take

__all__ = ["ENCODER", "ModelConfig", "MoleculeModel", "graphs_for"]

ENCODER = ("embedding", "passing", "readout", "norm")
"""Parts of a :class:`MoleculeModel` that make the fingerprint."""


def graphs_for(config: ModelConfig, graphs: MolGraphs, device: torch.device | str = "cpu") -> DeviceGraphs:
    """Make molecules ready for a network of that config; atoms share their states where its operator allows."""
    return DeviceGraphs(graphs, device, steps=config.steps, compact=shares_states(config), encodings=config.encodings)


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
        self.config, self.num_outputs, self.num_frozen = config, num_outputs, 0
        self.embedding = AtomEmbedding(config.hidden, sum(WIDTHS[kind] for kind in config.encodings))
        self.passing = Passing(config)
        self.readout = _readout(config)
        self.fingerprint_width = self.readout.width
        self.norm = LayerNorm(self.fingerprint_width) if config.normalize else nn.Identity()
        self.beside = FeatureScaling(config.num_features) if config.num_features else None
        self.drop = Dropout(config.feature_dropout, by_molecule=True)
        self.head = MLP(
            self.fingerprint_width + config.num_features,
            config.head_hidden,
            num_outputs,
            layers=config.head_layers,
            dropout=config.dropout,
        )

    def freeze(self, parts: int) -> None:
        """Keep the weights of the first ``parts`` parts as they are, and let them act as in prediction.

        The parts are the embedding of atoms, the operator, the readout with the normalization after it, then each
        hidden layer of the head.
        """
        self.num_frozen = parts
        for module in self._frozen():
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "MoleculeModel":
        """As torch's, but what is frozen does not change in training: no dropout, no running statistics."""
        super().train(mode)
        for module in self._frozen():
            module.eval()
        return self

    def _frozen(self) -> list[nn.Module]:
        hidden = [[*self.head.children()][3 * i : 3 * i + 3] for i in range(self.config.head_layers)]
        parts: list[list[nn.Module]] = [[self.embedding], [self.passing], [self.readout, self.norm], *hidden]
        return [module for part in parts[: self.num_frozen] for module in part]

    def forward(self, batch: GraphBatch) -> Tensor:
        """Predict, shape ``(B, num_outputs)``."""
        return self.answer(self.fingerprint(batch), batch)

    def answer(self, vector_BD: Tensor, batch: GraphBatch) -> Tensor:
        """Predict from the fingerprints of the molecules of a batch, shape ``(B, num_outputs)``."""
        if self.beside is not None:
            vector_BD = torch.cat([vector_BD, self.drop(self.beside(_features(batch)))], 1)
        output: Tensor = self.head(vector_BD)
        return output

    def fingerprint(self, batch: GraphBatch) -> Tensor:
        """Return what the head sees of each molecule's graph, shape ``(B, D)``."""
        vector: Tensor = self.norm(self.readout(self.passing(self.embedding(batch), batch), batch.molecules))
        return vector


def _features(batch: GraphBatch) -> Tensor:
    if batch.features is None:
        raise ConfigError("this model reads features beside the graphs, which have none: featurize with its options")
    return batch.features


class AtomEmbedding(nn.Module):
    """The states of the rows of level 0, worked out for the distinct atoms; positions are those of each atom."""

    def __init__(self, hidden: int, num_positions: int = 0) -> None:
        super().__init__()
        self.codes = CodeEmbedding(ATOM_FIELDS, hidden)
        self.positions = Linear(num_positions, hidden, bias=False) if num_positions else None

    def forward(self, batch: GraphBatch) -> Tensor:
        """Embed, shape ``(R, H)``."""
        if self.positions is None:
            states = F.relu(self.codes(batch.atom_codes))
            return states if batch.start is None else take(states, batch.start)
        if batch.positions is None or batch.start is None:
            raise ConfigError("positional encodings need batches made with them and with compact=False")
        placed = take(self.codes(batch.atom_codes), batch.start)
        return F.relu(placed + self.positions(batch.positions.to(placed.dtype)))


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
