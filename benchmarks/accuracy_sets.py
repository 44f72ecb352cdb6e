"""The data sets that accuracy is measured on: file, targets, metric, and what others have published for them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from molmp.chem.featurize import featurize
from molmp.errors import ConfigError, listed
from molmp.tables.dataset import Dataset, load_dataset
from molmp.tables.splits import Split, make_split

__all__ = ["PUBLISHED", "QM9", "SETS", "AccuracySet", "Task", "load_task", "split_of"]


@dataclass(frozen=True)
class AccuracySet:
    """One set: the columns to predict (all where empty), and the metric that it is known by."""

    family: str
    """``MoleculeNet``, ``TDC``, ``Fang 2023``, ``MoleculeACE``: whose split the column ``split`` is; ``QM9``."""
    metric: str
    targets: tuple[str, ...] = ()
    file: str = ""
    """Name of the file where it is not that of the set."""
    has_split: bool = True
    """Whether the file has a column ``split``; if not, the kind ``column`` draws rows at random with the seed."""


QM9 = ("mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "cv", "u0_atom", "u298_atom", "h298_atom", "g298_atom")
"""Gilmer's twelve, the energies as those of atomization; in units so unlike that only R2 has a mean over them."""


SETS: dict[str, AccuracySet] = {
    "freesolv": AccuracySet("MoleculeNet", "rmse"),
    "esol": AccuracySet("MoleculeNet", "rmse"),
    "bace": AccuracySet("MoleculeNet", "roc_auc", ("active",)),
    "bace_pic50": AccuracySet("MoleculeNet", "rmse", ("pic50",), "bace"),
    "bbbp": AccuracySet("MoleculeNet", "roc_auc"),
    "clintox": AccuracySet("MoleculeNet", "roc_auc", ("ct_tox",)),
    "lipo": AccuracySet("MoleculeNet", "rmse"),
    "sider": AccuracySet("MoleculeNet", "roc_auc"),
    "tox21": AccuracySet("MoleculeNet", "roc_auc"),
    "hiv": AccuracySet("MoleculeNet", "roc_auc"),
    "tdc_hia_hou": AccuracySet("TDC", "roc_auc"),
    "tdc_bioavailability_ma": AccuracySet("TDC", "roc_auc"),
    "tdc_herg": AccuracySet("TDC", "roc_auc"),
    "tdc_half_life_obach": AccuracySet("TDC", "spearman"),
    "tdc_caco2_wang": AccuracySet("TDC", "mae"),
    "tdc_clearance_microsome_az": AccuracySet("TDC", "spearman"),
    "tdc_pgp_broccatelli": AccuracySet("TDC", "roc_auc"),
    "tdc_bbb_martins": AccuracySet("TDC", "roc_auc"),
    "tdc_ppbr_az": AccuracySet("TDC", "mae"),
    "tdc_lipophilicity_astrazeneca": AccuracySet("TDC", "mae"),
    "tdc_ames": AccuracySet("TDC", "roc_auc"),
    "tdc_solubility_aqsoldb": AccuracySet("TDC", "mae"),
    "tdc_cyp2d6_veith": AccuracySet("TDC", "pr_auc"),
    "fang2023_sol": AccuracySet("Fang 2023", "rmse"),
    "fang2023_hlm": AccuracySet("Fang 2023", "rmse"),
    "mace_chembl4792_ki": AccuracySet("MoleculeACE", "rmse"),
    "mace_chembl237_ec50": AccuracySet("MoleculeACE", "rmse"),
    "mace_chembl234_ki": AccuracySet("MoleculeACE", "rmse"),
    "mace_chembl204_ki": AccuracySet("MoleculeACE", "rmse"),
    "qm9": AccuracySet("QM9", "r2", QM9, "qm9_subset", has_split=False),
}
"""Small ones of each family first."""

PUBLISHED: dict[str, tuple[float | None, float | None, float | None, str]] = {
    "tdc_caco2_wang": (0.330, 0.256, 0.276, "CaliciBoost"),
    "tdc_hia_hou": (None, 0.989, None, ""),
    "tdc_pgp_broccatelli": (None, 0.938, None, ""),
    "tdc_bioavailability_ma": (None, 0.748, None, ""),
    "tdc_lipophilicity_astrazeneca": (0.467, 0.456, 0.470, "MiniMol"),
    "tdc_solubility_aqsoldb": (0.761, 0.741, None, "MiniMol"),
    "tdc_bbb_martins": (0.869, 0.924, 0.916, "MiniMol"),
    "tdc_ppbr_az": (8.288, 7.440, None, "Gradient Boost"),
    "tdc_cyp2d6_veith": (None, 0.790, None, ""),
    "tdc_half_life_obach": (None, 0.576, None, "CFA"),
    "tdc_clearance_microsome_az": (0.599, 0.630, None, "MapLight+GNN"),
    "tdc_herg": (0.840, 0.880, 0.874, "MapLight+GNN"),
    "tdc_ames": (None, 0.871, None, "ZairaChem"),
}
"""TDC's leaderboard: Chemprop-RDKit, the first, the third and the name of the first; None: not known to us.

K. Huang et al., Therapeutics Data Commons, 2021, arXiv 2102.09548. Read in 2026 in captures of the board
(ScottCoffin/AutoQSAR, data/benchmark_leaderboards), MiniMol's and ZairaChem's READMEs.
"""


INNER = (0.75, 0.125, 0.125)
"""Sizes of the parts of the split ``inner``."""


@dataclass(frozen=True, eq=False)
class Task:
    """A set as it was read."""

    name: str
    what: AccuracySet
    path: Path
    dataset: Dataset
    rows: np.ndarray
    """Rows that RDKit reads, ascending."""


def load_task(name: str, data: Path) -> Task:
    """Read a set from the folder ``data``."""
    if name not in SETS:
        raise ConfigError(f"no set {name!r}; there are {listed(SETS, 99)}")
    what = SETS[name]
    stem = what.file or name
    path = next((p for p in (data / f"{stem}.csv", data / f"{stem}.csv.gz") if p.exists()), None)
    if path is None:
        raise ConfigError(f"{data} has no {stem}.csv or {stem}.csv.gz")
    targets = what.targets or None
    split = "split" if what.has_split else None
    dataset = load_dataset(path, smiles_column="smiles", target_columns=targets, split_column=split)
    return Task(name, what, path, dataset, featurize(dataset.smiles).rows)


def split_of(task: Task, kind: str, seed: int) -> Split:
    """Rows of each part.

    ``column``: the set's own; where it has no validation rows, an eighth of the training rows is drawn with ``seed``;
    where the file has no split at all, rows at random with ``seed``.
    ``scaffold``: balanced scaffolds, all three parts drawn with ``seed``. ``inner``: the set's own test rows are left
    out, the other rows split by balanced scaffolds with ``seed``; what is chosen by it has not seen those test rows.
    """
    if kind == "scaffold":
        return make_split("scaffold", task.dataset.smiles, seed=seed, rows=task.rows)
    if kind not in ("column", "inner"):
        raise ConfigError(f"no split {kind!r}; there are column, scaffold, inner")
    if task.dataset.split is None:
        if kind == "inner":
            raise ConfigError(f"{task.name} has no split of its own whose test rows could be left out")
        return make_split("random", task.dataset.smiles, seed=seed, rows=task.rows)
    words = np.array(task.dataset.split)[task.rows]
    train, val, test = (task.rows[np.isin(words, part)] for part in ("train", ("val", "valid"), "test"))
    if kind == "inner":
        rows = np.sort(np.concatenate([train, val]))
        rows = rows[~np.isnan(task.dataset.targets[rows]).all(axis=1)]
        return make_split("scaffold", task.dataset.smiles, sizes=INNER, seed=seed, rows=rows)
    if not len(val):
        val = np.sort(np.random.default_rng(seed).choice(train, round(len(train) / 8), replace=False))
        train = np.setdiff1d(train, val)
    return Split(train, val, test)
