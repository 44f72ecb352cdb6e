"""What is to be learned: molecules, labels, and which rows serve for what."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from molmp.chem.featurize import Featurized
from molmp.chem.options import GraphOptions
from molmp.errors import ConfigError, DataError, listed
from molmp.tables.dataset import Dataset
from molmp.tables.folds import make_folds
from molmp.tables.splits import SIZES, Split, make_split, read_splits_file, split_by_words
from molmp.training.targets import Target, Targets

__all__ = [
    "KEEP",
    "Problem",
    "dataset_problem",
    "file_facts",
    "fold_rows",
    "name_molecules",
    "readable_rows",
    "refuse_bad_rows",
    "split_rows",
    "unreadable_rows",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """A table of molecules, ready for training."""

    featurized: Featurized
    options: GraphOptions
    targets: Targets
    labels: np.ndarray
    """For each input row, unreadable ones included; real units or class indices, NaN where missing; ``(n, t)``."""
    weights: np.ndarray | None
    """Of each input row, shape ``(n,)``; all 1 where ``None``."""
    sides: np.ndarray | None = None
    """Of labels that are bounds: 1 where the truth is there or above, -1 where it is there or below, else 0;
    ``(n, t)``. ``None`` where no label is."""
    split: Split
    """Input rows; unreadable ones are passed over."""
    folds: tuple[Split, ...] = ()
    """For cross-validation: what each network learns from. ``split`` then holds the rows of each part in any of them.
    Regression targets are scaled by all of its training rows."""
    names: Sequence[str] | None = None
    """What the model is to call the molecule of each input row among its training molecules, which it then keeps, as
    bits, to say how like them others are; ``featurized`` must have bits. None: it keeps no molecules."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Where the rows came from; goes into the model file."""

    @property
    def num_training(self) -> int:
        """Molecules that are learned from; in the first fold, where there are folds."""
        return len((self.folds or (self.split,))[0].train)


def dataset_problem(dataset: Dataset, featurized: Featurized, options: GraphOptions, split: Split,
                    data: Mapping[str, Any]) -> Problem:  # fmt: skip
    """Join a table, its graphs and a split."""
    items = tuple(
        Target(name=name, unit=dataset.units.get(name), classes=dataset.class_names.get(name, ()))
        for name in dataset.target_names
    )
    return Problem(
        featurized=featurized, options=options, targets=Targets(dataset.task, items), labels=dataset.targets,
        sides=dataset.sides, weights=dataset.weights, split=split, data=data,
    )  # fmt: skip


KEEP = ("smiles", "rows", "none")
"""How a model can remember its training molecules: by their SMILES, by the number of their row, or not at all."""


def name_molecules(smiles: Sequence[str], keep: str = KEEP[0]) -> list[str] | None:
    """What a model shall call the molecules of all rows, see :data:`KEEP`: ``names`` of a :class:`Problem`.

    Even without their SMILES, molecules can be guessed from the bits that a model keeps of them; ``none`` keeps none.

    >>> name_molecules(["CCO", "CCN"], "rows")
    ['row 1', 'row 2']

    Raises
    ------
    ConfigError
        ``keep`` is none of these words.
    """
    if keep not in KEEP:
        raise ConfigError(f"training molecules are kept by one of {listed(KEEP)}, not {keep!r}")
    if keep == "none":
        return None
    return list(smiles) if keep == "smiles" else [f"row {row + 1}" for row in range(len(smiles))]


def unreadable_rows(dataset: Dataset, featurized: Featurized) -> dict[int, str]:
    """Why input rows cannot be used, by row: malformed ones, those without a readable molecule, those whose labels are
    none."""
    reasons = {row: problem.outcome for row, problem in dataset.bad_labels.items()}
    reasons |= {row: error.outcome for row, error in featurized.errors.items()}
    reasons |= {row: problem.outcome for row, problem in dataset.problems.items()}
    return dict(sorted(reasons.items()))


def refuse_bad_rows(dataset: Dataset, unreadable: Mapping[int, str]) -> None:
    """Raise :class:`DataError` that names the first row which cannot be used as it is, if there is one."""
    reasons = {stray.row: stray.problem.outcome for stray in reversed(dataset.strays)} | dict(unreadable)
    if reasons:
        first = min(reasons)
        more = f" ({len(reasons) - 1} more rows are not as they should be)" if len(reasons) > 1 else ""
        where = f"{dataset.where}, row {first + 1} (line {dataset.lines[first]})"
        raise DataError(f"{where}: {dataset.smiles[first]!r}: {reasons[first]}{more}")


def readable_rows(dataset: Dataset, featurized: Featurized) -> np.ndarray:
    """Input rows that are well formed, hold a molecule, and no label that is none, ascending.

    Raises
    ------
    DataError
        There is none; the message counts the reasons.
    """
    rows = np.setdiff1d(featurized.rows, [*dataset.problems, *dataset.bad_labels])
    if not len(rows):
        reasons = [f"row {row + 1}: {reason}" for row, reason in unreadable_rows(dataset, featurized).items()]
        raise DataError(f"{dataset.where}: none of its {len(dataset)} rows can be read ({listed(reasons, 3)})")
    return rows


def split_rows(dataset: Dataset, rows: np.ndarray, how: str = "random", *, file: str | Path | None = None,
               sizes: Sequence[float] = SIZES, seed: int = 0,
               options: GraphOptions = GraphOptions()) -> Split:  # fmt: skip
    """Split ``rows`` of a table by a file, else by its split column, else ``how``; see :mod:`molmp.tables.splits`.

    ``options`` tell the limits of a molecule.
    """
    if file is not None:
        return read_splits_file(file, len(dataset), sizes=sizes, seed=seed, rows=rows)
    if dataset.split is not None:
        return split_by_words(
            dataset.split, sizes=sizes, seed=seed, rows=rows, where=f"the split column of {dataset.where}"
        )
    return make_split(how, dataset.smiles, sizes=sizes, seed=seed, rows=rows, times=dataset.times, options=options)


def fold_rows(dataset: Dataset, rows: np.ndarray, split: Split, folds: int, *, repeats: int = 1,
              rolling: bool = False, how: str = "random", sizes: Sequence[float] = SIZES,
              seed: int = 0, options: GraphOptions = GraphOptions(),
              ) -> tuple[Split, tuple[Split, ...]]:  # fmt: skip
    """Deal the rows of a table into folds; return the rows of each part in any of them, and a split for each.

    The test part of ``split`` stays and its other rows are dealt; with ``rolling`` all ``rows`` are, and each fold is
    the test of one split. See :func:`~molmp.tables.folds.make_folds`.
    """
    share = sizes[1] / (sizes[0] + sizes[1])
    dealt, test = (rows, None) if rolling else (np.union1d(split.train, split.val), split.test)
    splits = make_folds(
        how, dataset.smiles, folds, repeats=repeats, rows=dealt, test=test, val_share=share, seed=seed,
        times=dataset.times, options=options,
    )  # fmt: skip
    return Split(*(np.unique(np.concatenate(parts)) for parts in zip(*splits, strict=True))), tuple(splits)


def file_facts(path: str | Path, dataset: Dataset) -> dict[str, Any]:
    """Name, content hash and size of a training file, for the model file; of standard input the size only."""
    if str(path) == "-":
        return {"file": dataset.where, "rows": len(dataset)}
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file": Path(path).name, "sha256": digest, "rows": len(dataset)}
