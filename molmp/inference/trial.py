"""One law after the other, tried with a model on molecules; see :func:`molmp.inference.check.check_model`."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch

from molmp.chem.featurize import Featurized, featurize
from molmp.chem.graphs import MolGraphs
from molmp.chem.spellings import mirror_images, other_spellings
from molmp.errors import DataError
from molmp.inference.predictor import Predictor

__all__ = ["Breach", "Law", "Trial"]

SPELLINGS = 3
"""Other SMILES that are tried for each molecule."""

SHOWN = 3
"""Breaches of a law that are printed."""

CHUNKED = 2_001
"""Rows from which on worker processes share the reading."""


class Breach(NamedTuple):
    """A molecule with which a law is broken."""

    smiles: str
    what: str
    """What was done to it, and how far the answers were apart."""


@dataclass(frozen=True, kw_only=True)
class Law:
    """A law, and how the model kept it."""

    name: str
    meaning: str
    num_checked: int
    """Comparisons that were made; with none of them the law holds."""
    worst: float
    """Largest difference between answers that should be equal; see ``tolerance`` of :func:`check_model`."""
    breaches: tuple[Breach, ...]

    @property
    def holds(self) -> bool:
        """Whether no molecule breaks it."""
        return not self.breaches

    def __str__(self) -> str:
        verdict = "holds" if self.holds else f"BROKEN by {len(self.breaches):,}"
        lines = [f"{self.name:<14} {verdict:<16} {self.meaning} ({self.num_checked:,} checked, worst {self.worst:.1e})"]
        lines += [f"    {breach.smiles}: {breach.what}" for breach in self.breaches[:SHOWN]]
        if len(self.breaches) > SHOWN:
            lines.append(f"    and {len(self.breaches) - SHOWN:,} more")
        return "\n".join(lines)


class Trial:
    """Molecules that can be read, the model's answers for them, and the laws."""

    def __init__(self, predictor: Predictor, smiles: list[str], tolerance: float, rng: random.Random) -> None:
        self.predictor, self.tolerance, self.rng = predictor, tolerance, rng
        read = featurize(smiles, predictor.bundle.options)
        self.unreadable = tuple(error for _, error in sorted(read.errors.items()))
        if not len(read.rows):
            raise DataError(f"none of the {len(smiles)} molecules can be read")
        self.smiles = [smiles[row] for row in read.rows]
        self.graphs = read.graphs
        self.answers = self._answer_graphs(self.graphs)
        """Of each molecule all numbers of all networks, shape ``(B, networks * outputs)``."""

    def finite(self) -> Law:
        rows = np.flatnonzero(~np.isfinite(self.answers).all(axis=1))
        breaches = tuple(Breach(self.smiles[row], f"the answer is {_strange(self.answers[row])}") for row in rows)
        return _law("finite", "every answer is a finite number", len(self.smiles), 0.0, breaches)

    def gradients(self) -> Law:
        if not self._strange_gradient(self.graphs):
            return _law("gradients", "every derivative by a weight is finite", len(self.smiles), 0.0, ())
        found = ((text, self._strange_gradient(self.graphs.select([i]))) for i, text in enumerate(self.smiles))
        guilty = (Breach(text, f"the derivative by {name} is not finite") for text, name in found if name)
        breaches = tuple(islice(guilty, SHOWN)) or (Breach("all together", "a derivative is not finite"),)
        return _law("gradients", "every derivative by a weight is finite", len(self.smiles), 0.0, breaches)

    def again(self) -> Law:
        other = self._answer_graphs(self.graphs)
        return self._compare("again", "the same batch, the same answer to the bit", [(other, "again")], exact=True)

    def spelling(self) -> Law:
        seed, options = self.rng.randrange(2**30), self.predictor.bundle.options
        found = other_spellings(self.smiles, options, count=SPELLINGS, seed=seed)
        pairs = [(row, text) for row, texts in enumerate(found) for text in texts]
        rows = np.array([row for row, _ in pairs], np.int64)
        others = [text for _, text in pairs]
        read = featurize(others, self.predictor.bundle.options)
        answers = np.full((len(others), self.answers.shape[1]), np.nan)
        answers[read.rows] = self._answer_graphs(read.graphs)
        return self._compare(
            "spelling", "any SMILES of a molecule", [(answers, lambda i: f"as {others[i]}")], rows=rows
        )

    def atom_order(self) -> Law:
        seed = self.rng.randrange(2**32)
        other = self._answer_graphs(_shuffled(self.graphs, np.random.default_rng(seed)))
        return self._compare("atom order", "any order of atoms and bonds", [(other, "in another order")])

    def company(self) -> Law:
        alone = np.concatenate([self._answer_graphs(self.graphs.select([i])) for i in range(len(self.smiles))])
        order = self.rng.sample(range(len(self.smiles)), len(self.smiles))
        shuffled = np.empty_like(self.answers)
        shuffled[order] = self._answer_graphs(self.graphs.select(order))
        return self._compare(
            "company", "alone, or with others in any order", [(alone, "alone"), (shuffled, "with others before it")]
        )

    def processes(self, n_jobs: Sequence[int]) -> Law:
        many = self.smiles * -(-CHUNKED // len(self.smiles))
        read = partial(featurize, many, self.predictor.bundle.options)
        one = read().graphs
        name, meaning = "processes", f"read in {' or '.join(map(str, n_jobs))} processes instead of one, to the bit"
        different = [jobs for jobs in n_jobs if read(n_jobs=jobs).graphs != one]
        breaches = tuple(Breach("all together", f"{jobs} processes read other graphs") for jobs in different)
        return _law(name, meaning, len(n_jobs) * len(many), 0.0, breaches)

    def mirror_images(self) -> tuple[int, int]:
        """How many molecules differ from their mirror image, and for how many of them the model's answers do."""
        options = self.predictor.bundle.options
        pairs = [(row, text) for row, text in enumerate(mirror_images(self.smiles, options)) if text is not None]
        read = featurize([text for _, text in pairs], options)
        rows = np.array([row for row, _ in pairs], np.int64)[read.rows]
        apart = np.abs(self._answer_graphs(read.graphs) - self.answers[rows])
        return len(rows), int((apart > self._allowed(rows)).any(axis=1).sum())

    def _allowed(self, rows: np.ndarray) -> np.ndarray:
        return self.tolerance * (1 + np.abs(self.answers[rows]))

    def _compare(
        self, name: str, meaning: str, others: Sequence[tuple[np.ndarray, str | Callable[[int], str]]], *,
        rows: np.ndarray | None = None, exact: bool = False,
    ) -> Law:  # fmt: skip
        """Compare answers with those of ``rows``; where either is no number they are equal if both are."""
        rows = np.arange(len(self.smiles)) if rows is None else rows
        want, breaches, worst = self.answers[rows], [], 0.0
        for got, what in others:
            apart = np.where(np.isnan(got) & np.isnan(want), 0.0, np.abs(got - want))
            apart[got == want] = 0.0  # infinities
            worst = max(worst, float(np.nan_to_num(apart, nan=np.inf).max(initial=0.0)))
            broken = (apart != 0) & (exact | ~(apart <= self._allowed(rows)))
            for i in np.flatnonzero(broken.any(axis=1)):
                done = what if isinstance(what, str) else what(int(i))
                breaches.append(Breach(self.smiles[rows[i]], f"{done}: {np.max(apart[i]):.2g} apart"))
        return _law(name, meaning, len(rows) * len(others), worst, tuple(breaches))

    def _answer_graphs(self, graphs: MolGraphs) -> np.ndarray:
        outputs = self.predictor.outputs(Featurized(graphs, np.arange(len(graphs)), {}))
        return outputs.transpose(1, 0, 2).reshape(len(graphs), -1).astype(np.float64)

    def _strange_gradient(self, graphs: MolGraphs) -> str:
        """Name of a weight by which the derivative of the answers is not finite; empty if there is none."""
        featurized = Featurized(graphs, np.arange(len(graphs)), {})
        for _, batch in self.predictor.batches(featurized):
            for model in self.predictor.models:
                named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
                answers = model(batch).square().mean()
                parts = torch.autograd.grad(answers, [weight for _, weight in named], allow_unused=True)
                for (name, _), part in zip(named, parts, strict=True):
                    if part is not None and not bool(torch.isfinite(part).all()):
                        return name
        return ""


def _law(name: str, meaning: str, num_checked: int, worst: float, breaches: tuple[Breach, ...]) -> Law:
    return Law(name=name, meaning=meaning, num_checked=num_checked, worst=worst, breaches=breaches)


def _strange(values: np.ndarray) -> str:
    return f"{values[~np.isfinite(values)][0]}"


def _shuffled(graphs: MolGraphs, rng: np.random.Generator) -> MolGraphs:
    """The same molecules with atoms and bonds in another order, and bonds turned round."""
    owner = np.repeat(np.arange(len(graphs)), graphs.num_atoms)
    order = np.lexsort((rng.random(len(owner)), owner))  # the old place of each atom
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    place -= graphs.atom_offsets[:-1][owner]
    of_bond = np.repeat(np.arange(len(graphs)), graphs.num_bonds)
    bonds = np.lexsort((rng.random(len(of_bond)), of_bond))
    first = graphs.atom_offsets[:-1][of_bond]
    begins, ends = place[first + graphs.ends][bonds], place[first + graphs.begins][bonds]
    packed = MolGraphs.pack(
        graphs.atom_table[graphs.atom_types][order], graphs.bond_table[graphs.bond_types][bonds], begins, ends,
        graphs.num_atoms, graphs.num_bonds,
    )  # fmt: skip
    return replace(packed, features=graphs.features)
