"""A trained model that answers for molecules: lists in memory, or an endless stream of batches."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from molmp.chem.featurize import Featurized, featurize, iter_featurize
from molmp.chem.graphs import MolGraphs
from molmp.chem.options import GraphOptions
from molmp.explain.scorer import Scorer
from molmp.inference.answer import Answer, judge
from molmp.inference.model_file import load_bundle, save_bundle
from molmp.nn.batch import GraphBatch
from molmp.nn.device import pick_device
from molmp.nn.members import Members
from molmp.nn.memory import in_halves
from molmp.nn.model import MoleculeModel, graphs_for
from molmp.nn.trees import Trees, with_trees
from molmp.training.bundle import Bundle
from molmp.trust.domain import Domain, Verdict
from molmp.trust.trusted import COVERAGE

if TYPE_CHECKING:
    import pandas as pd

    from molmp.explain.explanation import Explanations

__all__ = ["BATCH", "Answer", "Predictor", "load"]

BATCH = 4_000
"""Molecules predicted together at most: environments that they share are computed once."""

FEW_ATOMS = 2_000
"""Atoms below which all networks run as one: calling costs more than computing. Above, the states of one network at a
time fit the processor's cache."""

MOST_ATOMS = 200_000
"""Atoms predicted together at most, but for a molecule that has more: what bounds the memory."""


class _Launched(NamedTuple):
    """What the networks were given; a GPU may still be at work on it."""

    featurized: Featurized
    outputs: list[tuple[np.ndarray, Tensor]]
    """Input rows, and what each network, and the trees, give for them, shape ``(voices, rows, num_outputs)``."""
    fingerprints: list[Tensor]
    """Of the first network, in the same order; none where nobody compares them."""


class Predictor:
    """Predict with every network of a model at once: parsed, packed and planned once for all of them.

    Parameters
    ----------
    bundle
        What was trained or loaded.
    device
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    """

    def __init__(self, bundle: Bundle, device: str = "auto") -> None:
        self.bundle = bundle
        self.device = pick_device(device)
        self.voices = bundle.voices(self.device)
        self.models = [voice for voice in self.voices if isinstance(voice, MoleculeModel)]
        self.trees = [voice for voice in self.voices if isinstance(voice, Trees)]

    def predict(
        self, smiles: Sequence[str] | str, *, trust: bool = True, coverage: float = COVERAGE, n_jobs: int = 1
    ) -> "pd.DataFrame":
        """Predict molecules in memory.

        Parameters
        ----------
        smiles
            SMILES: list, array or series; a single string is one molecule. The index of a series is kept.
        trust
            Whether there are columns that tell how far to believe a prediction, see
            :class:`~molmp.inference.columns.Columns`.
        coverage
            Probability with which an interval, or a set of classes, shall hold the truth.
        n_jobs
            Processes that read SMILES.

        Returns
        -------
        One row for each SMILES in the same order: the columns of :attr:`Targets.column_names`, those of trust among
        them, and ``error``, which is empty or says why the row has no prediction.
        """
        import pandas as pd

        from molmp.inference.columns import Columns

        rows = [smiles] if isinstance(smiles, str) else list(smiles)
        index = smiles.index if isinstance(smiles, pd.Series) else None
        columns = Columns.of(self.bundle, trust, coverage)
        answer = self.answer(featurize(rows, self.options(trust), n_jobs=n_jobs))
        return pd.DataFrame(columns.arrays(answer), index=index)

    def options(self, trust: bool = True) -> GraphOptions:
        """How molecules are read; with ``trust`` such that they can be compared with those of training."""
        kept = self.bundle.trust is not None and self.bundle.trust.domain is not None
        return replace(self.bundle.options, bits=trust and kept)

    def spread(self, smiles: Sequence[str] | str, *, samples: int = 0, n_jobs: int = 1) -> "pd.DataFrame":
        """Tell how far the truth may be from the predictions; see :func:`molmp.inference.deviations.deviations`."""
        from molmp.inference.deviations import deviations

        return deviations(self, smiles, samples=samples, n_jobs=n_jobs)

    def stream(self, batches: Iterable[Sequence[str]], *, n_jobs: int = 1, trust: bool = False) -> Iterator[Answer]:
        """Predict batch after batch, in order, in memory that does not grow; one answer for each batch.

        While the network is at work, ``n_jobs`` processes read the next batches. A GPU gets a batch before the answer
        for the one before is fetched. With ``trust`` an answer has a verdict, where the model keeps molecules.
        """
        waiting: _Launched | None = None
        for featurized in iter_featurize(batches, self.options(trust), n_jobs=n_jobs):
            launched = self._launch(featurized)
            if self.device.type == "cpu":
                yield self._fetch(launched)
                continue
            if waiting is not None:
                yield self._fetch(waiting)
            waiting = launched
        if waiting is not None:
            yield self._fetch(waiting)

    def answer(self, featurized: Featurized) -> Answer:
        """Predict what was featurized; with a verdict where it was with :meth:`options` of trust."""
        return self._fetch(self._launch(featurized))

    def outputs(self, featurized: Featurized) -> np.ndarray:
        """Numbers of every network, and of trees beside them, before they are scaled to units or made probabilities.

        Returns an array of shape ``(voices, rows, num_outputs)``, float32, in the order of :meth:`Bundle.voices`; NaN
        rows where unreadable.
        """
        launched = self._launch(featurized)
        shape = len(self.voices), len(featurized.rows) + len(featurized.errors), self.bundle.targets.num_outputs
        full = np.full(shape, np.nan, np.float32)
        for rows, outputs in launched.outputs:
            full[:, rows] = outputs.float().cpu().numpy()
        return full

    def embed(self, smiles: Sequence[str], *, n_jobs: int = 1) -> np.ndarray:
        """Learned fingerprints: what the readout gives, members side by side; NaN rows where unreadable.

        Returns an array of shape ``(len(smiles), embedding_width)``, float32.
        """
        return self.embed_featurized(featurize(list(smiles), self.bundle.options, n_jobs=n_jobs))

    @torch.inference_mode()
    def embed_featurized(self, featurized: Featurized) -> np.ndarray:
        """As :meth:`embed`, of what was featurized."""
        full = np.full((len(featurized.rows) + len(featurized.errors), self.embedding_width), np.nan, np.float32)

        def run(places: np.ndarray) -> Tensor:
            batch = self._batch(featurized.graphs, places)
            return torch.cat([model.fingerprint(batch) for model in self.models], dim=1).float().cpu()

        for places in self._together(featurized.graphs):
            full[featurized.rows[places]] = in_halves(run, places).numpy()
        return full

    @property
    def embedding_width(self) -> int:
        """Length of a learned fingerprint."""
        return len(self.models) * self.models[0].fingerprint_width

    @cached_property
    def _members(self) -> Members:
        with torch.inference_mode(False):
            return Members(self.models).eval()

    @torch.inference_mode()
    def _launch(self, featurized: Featurized) -> _Launched:
        fingerprints: list[Tensor] = []
        compares = featurized.graphs.bits is not None and self._domain is not None and self._domain.learned is not None

        def run(places: np.ndarray) -> Tensor:
            batch, (first, *others) = self._batch(featurized.graphs, places), self.models
            vector = first.fingerprint(batch) if compares or batch.num_atoms >= FEW_ATOMS else None
            if vector is None or batch.num_atoms < FEW_ATOMS:
                outputs = self._members(batch)
            else:
                outputs = torch.stack([first.answer(vector, batch), *(model(batch) for model in others)])
            if vector is not None and compares:
                fingerprints.append(vector)
            return with_trees(outputs, [trees(batch) for trees in self.trees])

        together = self._together(featurized.graphs)
        outputs = [(featurized.rows[places], in_halves(run, places, dim=1)) for places in together]
        return _Launched(featurized, outputs, fingerprints)

    def _fetch(self, launched: _Launched) -> Answer:
        targets, errors = self.bundle.targets, launched.featurized.errors
        total = len(launched.featurized.rows) + len(errors)
        outputs = np.full((len(self.voices), total, targets.num_outputs), np.nan, np.float32)
        for rows, part in launched.outputs:
            outputs[:, rows] = part.float().cpu().numpy()
        return Answer(targets.answer(outputs), errors, self._verdict(launched))

    @property
    def _domain(self) -> Domain | None:
        return None if self.bundle.trust is None else self.bundle.trust.domain

    def _verdict(self, launched: _Launched) -> Verdict | None:
        if self._domain is None or (launched.featurized.graphs.bits is None and len(launched.featurized.graphs)):
            return None
        fingerprints = [part.float().cpu().numpy() for part in launched.fingerprints]
        return judge(self._domain, launched.featurized, fingerprints)

    def scorer(self, target: str | None = None, of_class: str | None = None) -> Scorer:
        """What :mod:`molmp.explain` looks at: a target, by default the first, or a class of it, by default the last."""
        return Scorer.of(self.bundle, self.voices, self.device, target, of_class)

    def explain(
        self, smiles: Any, *, target: str | None = None, of_class: str | None = None, method: str = "gradients",
        substructures: Sequence[str] = (),
    ) -> "Explanations":  # fmt: skip
        """Explain predictions: contributions of atoms and bonds, which a notebook shows as pictures.

        See :func:`molmp.explain.explanation.explain`; a single string is one molecule.
        """
        from molmp.explain.explanation import explain

        scorer, options = self.scorer(target, of_class), self.bundle.options
        return explain(scorer, smiles, options, method=method, substructures=substructures)

    def batches(self, featurized: Featurized) -> Iterator[tuple[np.ndarray, GraphBatch]]:
        """Input rows and the batch of their graphs, planned once for all networks."""
        for places in self._together(featurized.graphs):
            yield featurized.rows[places], self._batch(featurized.graphs, places)

    def _together(self, graphs: MolGraphs) -> Iterator[np.ndarray]:
        """Molecules that are predicted together."""
        start = 0
        while start < len(graphs):
            full = int(np.searchsorted(graphs.atom_offsets, graphs.atom_offsets[start] + MOST_ATOMS, "right")) - 1
            stop = max(start + 1, min(full, start + BATCH))
            yield np.arange(start, stop)
            start = stop

    def _batch(self, graphs: MolGraphs, places: np.ndarray) -> GraphBatch:
        part = graphs if len(places) == len(graphs) else graphs.select(places)
        return graphs_for(self.bundle.network, part, self.device).batch()

    def save(self, folder: str | Path) -> None:
        """Write the model file; see :mod:`molmp.inference.model_file`."""
        save_bundle(self.bundle, folder)

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto", *, layer: type | None = None) -> Self:
        """Read a model file; see :func:`load`."""
        return cls(load_bundle(folder, layer), device)

    def __reduce__(self) -> tuple[type, tuple[Bundle]]:
        return type(self), (self.bundle,)  # the device may not exist where it is unpickled

    def __repr__(self) -> str:
        targets = self.bundle.targets
        return f"Predictor({targets.task} of {', '.join(targets.names)}; {len(self.models)} network(s))"


def load(path: str | Path, device: str = "auto", *, layer: type | None = None) -> Predictor:
    """Load a trained model from a run's folder.

    Parameters
    ----------
    layer
        The class of its operator, where that is a class of one's own: a file holds no code.

    Raises
    ------
    FileFormatError
        No model, one of a newer format, or a damaged one.
    """
    return Predictor.load(path, device, layer=layer)
