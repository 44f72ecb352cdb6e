"""Laws that every model of molecules should keep, tried on a user's own model and molecules."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from molmp.errors import ConfigError, InvalidSmilesError
from molmp.inference.predictor import Predictor
from molmp.inference.trial import Breach, Law, Trial
from molmp.training.bundle import Bundle

__all__ = ["Breach", "Law", "ModelReport", "check_model"]


@dataclass(frozen=True, kw_only=True)
class ModelReport:
    """What :func:`check_model` found; prints as a table."""

    laws: tuple[Law, ...]
    num_molecules: int
    unreadable: tuple[InvalidSmilesError, ...]
    """SMILES that could not be read, which no law is about."""
    num_chiral: int
    """Molecules that differ from their mirror image."""
    num_told_apart: int
    """Those of them for which the model answers otherwise than for the mirror image; it may, and need not."""

    @property
    def ok(self) -> bool:
        """Whether every law holds."""
        return all(law.holds for law in self.laws)

    def __getitem__(self, name: str) -> Law:
        """Return the law of that name."""
        return next(law for law in self.laws if law.name == name)

    def __str__(self) -> str:
        unreadable = f", {len(self.unreadable):,} more cannot be read" if self.unreadable else ""
        head = f"{self.num_molecules:,} molecules{unreadable}: " + ("all laws hold" if self.ok else "laws are broken")
        mirror = f"mirror images: {self.num_told_apart:,} of {self.num_chiral:,} are told apart (they may be)"
        return "\n".join([head, *map(str, self.laws), mirror])


def check_model(
    model: Predictor | Bundle | str | Path, smiles: Sequence[str], *, tolerance: float = 1e-5,
    n_jobs: Sequence[int] = (2, 8), seed: int = 0,
) -> ModelReport:  # fmt: skip
    """Try the laws of a molecular model on molecules of your own, and tell which of them break which law.

    ``finite``: every answer is a finite number. ``gradients``: so is every derivative by a weight. ``again``: the same
    batch gives the same answer, to the bit. ``spelling``: any SMILES of a molecule gives the same answer. ``atom
    order``: so does any order of atoms and bonds of its graph; where this holds and ``spelling`` does not, it is the
    reading of SMILES that differs. ``company``: alone, or with others in any order. ``processes``: read in one process
    or in several, to the bit.

    Parameters
    ----------
    model
        A run's folder, what was loaded from one, or a fitted estimator.
    smiles
        Molecules; a few hundred of the kind that the model is for.
    tolerance
        Answers ``a`` and ``b`` of a network are equal where ``|a - b|`` is at most ``tolerance * (1 + |b|)``, in the
        scale of the network: standard deviations of the training labels, or logits.
    n_jobs
        Numbers of processes to compare with one.
    seed
        Decides spellings and orders.

    Raises
    ------
    DataError
        None of the molecules can be read.
    FileFormatError
        There is no model.

    Examples
    --------
    ::

        report = molmp.check_model("run", ["CC(=O)Oc1ccccc1C(=O)O", "C[C@H](N)C(=O)O"])
        assert report.ok, report
    """
    if not tolerance >= 0:
        raise ConfigError(f"the tolerance must be at least 0, got {tolerance!r}")
    trial = Trial(_as_predictor(model), list(smiles), tolerance, random.Random(seed))
    chiral, told = trial.mirror_images()
    return ModelReport(
        laws=(
            trial.finite(), trial.gradients(), trial.again(), trial.spelling(), trial.atom_order(), trial.company(),
            trial.processes(n_jobs),
        ),
        num_molecules=len(trial.smiles), unreadable=trial.unreadable, num_chiral=chiral, num_told_apart=told,
    )  # fmt: skip


def _as_predictor(model: Any) -> Predictor:
    model = getattr(model, "predictor_", model)
    if isinstance(model, Predictor):
        return model
    return Predictor(model) if isinstance(model, Bundle) else Predictor.load(model)
