"""A model that many threads may ask at a time: worker processes read the molecules, one batch at a time is predicted.

A molecule that hangs RDKit, or crashes it, ends a worker and not the server.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from molmp.chem.featurize import Featurized
from molmp.chem.pool import Lost, WorkerPool
from molmp.chem.reader import join_answers
from molmp.errors import DataError, InvalidSmilesError
from molmp.explain.explanation import Explanation, explain
from molmp.inference.answer import Answer
from molmp.inference.columns import Columns
from molmp.inference.predictor import Predictor
from molmp.page.drawing import MOST_ATOMS
from molmp.serve.drawings import SECONDS, Coloured, draw_coloured, draw_molecules
from molmp.serve.limits import StoppedError
from molmp.trust.domain import Domain
from molmp.trust.trusted import COVERAGE

__all__ = ["Service", "SharedPredictor"]

CHUNK = 250
"""Molecules that a worker reads at a time: so many may stand before somebody who asks for one."""

MOST_EXPLAINED = {"gradients": 100, "occlusion": 300}
"""Atoms of a molecule that is explained, by method: larger ones take many seconds."""


class SharedPredictor(Predictor):
    """A predictor for several threads, whose molecules are all read by the workers of a pool."""

    def __init__(self, predictor: Predictor, pool: WorkerPool) -> None:
        super().__init__(predictor.bundle, str(predictor.device))
        self.pool, self.lock, self.stopped = pool, threading.Lock(), False

    def read(self, smiles: Sequence[str], trust: bool = False) -> Featurized:
        """Featurize molecules, with ``trust`` such that they are compared with those of training."""
        chunks = [smiles[start : start + CHUNK] for start in range(0, max(len(smiles), 1), CHUNK)]
        with self.waiting():
            return Featurized(*join_answers(list(self.pool.read(chunks, self.options(trust)))))

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Tell a worker that was ended on purpose from one that failed."""
        try:
            yield
        except RuntimeError:
            if self.stopped:
                raise StoppedError from None
            raise

    def stream(self, batches: Iterable[Sequence[str]], *, n_jobs: int = 1, trust: bool = False) -> Iterator[Answer]:
        """Predict batch after batch; others may be predicted in between."""
        for batch in batches:
            featurized = self.read(batch, trust)
            with self.lock:
                answer = self.answer(featurized)
            yield answer


class Service:
    """What the JSON API does, as plain Python.

    Parameters
    ----------
    predictor
        A model.
    n_jobs
        Worker processes.

    Examples
    --------
    >>> service = Service(molmp.load("run"))  # doctest: +SKIP
    >>> service.predict(["CCO", "C1CC"])  # doctest: +SKIP
    [{'logS_pred': 1.1}, InvalidSmilesError(...)]
    """

    def __init__(self, predictor: Predictor, n_jobs: int = 2) -> None:
        self.pool = WorkerPool(n_jobs)
        self.predictor = SharedPredictor(predictor, self.pool)
        # Gradients are taken with changed embeddings: by networks of their own, for nobody else may see that.
        self.explainer, self.explaining = Predictor(predictor.bundle, str(predictor.device)), threading.Lock()

    def stop(self) -> None:
        """Let everybody who waits for molecules that are read get a :class:`StoppedError`, from now on."""
        self.predictor.stopped = True
        for worker in self.pool.workers:
            worker.kill()

    def close(self) -> None:
        """End the workers and wait for their end."""
        self.stop()
        self.pool.__exit__(None, None, None)

    @property
    def domain(self) -> Domain | None:
        """The training molecules, where the model keeps them."""
        trust = self.predictor.bundle.trust
        return None if trust is None else trust.domain

    def columns(self, coverage: float = COVERAGE) -> Columns:
        """What is told of a molecule: see :class:`~molmp.inference.columns.Columns`."""
        return Columns.of(self.predictor.bundle, coverage=coverage)

    def predict(
        self, smiles: Sequence[str], *, coverage: float = COVERAGE
    ) -> list[dict[str, Any] | InvalidSmilesError]:
        """For each molecule, in order, the values of :meth:`columns` but ``error``, or why there are none.

        ``coverage``: probability with which an interval, or a set of classes, is to hold the truth.
        """
        columns = self.columns(coverage)
        (answer,) = self.predictor.stream([smiles], trust=True)
        values = columns.values(answer)
        names = [name for name in columns.types if name != "error"]
        return [answer.errors.get(row) or {name: values[name][row] for name in names} for row in range(len(smiles))]

    def neighbours(self, smiles: str, count: int) -> list[tuple[str, float]] | InvalidSmilesError:
        """The most similar training molecules, as the model calls them, and their Tanimoto similarities.

        Raises :class:`DataError` where the model keeps none.
        """
        if self.domain is None:
            raise DataError("this model keeps no training molecules to compare with")
        featurized = self.predictor.read([smiles], trust=True)
        if featurized.errors:
            return featurized.errors[0]
        bits = featurized.graphs.bits
        assert bits is not None
        found = self.domain.index.nearest(bits, count)
        names = [self.domain.names[row] for row in found.rows[0]]
        return list(zip(names, found.similarity[0].tolist(), strict=True))

    def explain(self, smiles: str, *, target: str | None = None, of_class: str | None = None,
                method: str = "gradients") -> Explanation:  # fmt: skip
        """Explain a prediction; see :meth:`molmp.Predictor.explain`.

        Raises :class:`ConfigError` for a target or class that there is not, and :class:`DataError` for a molecule of
        more than 100 atoms (occlusion: 300).
        """
        scorer = self.explainer.scorer(target, of_class)
        featurized = self.predictor.read([smiles])
        if featurized.errors:
            return Explanation(0, smiles, scorer.name, method, featurized.errors[0])
        most = MOST_EXPLAINED[method]
        if featurized.graphs.num_atoms.sum() > most:
            raise DataError(
                f"molecules of more than {most} atoms are not explained by {method} here; see molmp explain"
            )
        with self.explaining:
            (explanation,) = explain(scorer, [smiles], self.predictor.bundle.options, method=method)
        return explanation

    def draw(self, smiles: str) -> str:
        """SVG of a molecule. Raises :class:`DataError` where there is nothing to draw."""
        svg = self._draw(draw_molecules, smiles)
        if not svg.startswith("<svg"):
            raise DataError(f"{smiles[:200]!r} cannot be drawn")
        return svg

    def draw_explanation(self, explanation: Explanation) -> str | None:
        """SVG of a molecule in the colours of its explanation, unless it has too many atoms."""
        mol = explanation.mol
        if mol is None or mol.GetNumAtoms() > MOST_ATOMS:
            return None
        return self._draw(draw_coloured, Coloured(mol, explanation.atoms, explanation.bonds, explanation.title))

    def _draw(self, function: Any, row: Any) -> str:
        with self.predictor.waiting():
            ((piece,),) = self.pool.map(function, [[row]], None, SECONDS)
        if isinstance(piece, Lost):
            raise DataError(f"{str(row)[:200]!r} cannot be drawn: {piece.reason}")
        return str(piece[0])
