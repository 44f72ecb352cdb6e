"""Explanations of predictions: what each atom and bond of a molecule contributes, as numbers, tables and pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np
from rdkit import Chem

from molmp.chem.featurize import Featurized, GraphOptions, featurize
from molmp.chem.molecules import as_smiles
from molmp.chem.reader import read_mol, with_hydrogens
from molmp.chem.smiles import check_text, quiet_rdkit
from molmp.errors import ConfigError, InvalidSmilesError
from molmp.explain.drawing import draw_explanation
from molmp.explain.gradients import integrated_gradients
from molmp.explain.groups import find_groups
from molmp.explain.occlusion import occlude_atoms, occlude_bonds, occlude_groups
from molmp.explain.scorer import Scorer

__all__ = ["COLUMNS", "METHODS", "Explanation", "Explanations", "Part", "explain"]

METHODS = ("gradients", "occlusion")

COLUMNS = ("row", "smiles", "target", "method", "prediction", "baseline", "part", "index", "name", "contribution")
"""Of the table that :meth:`Explanation.table` makes."""


class Part(NamedTuple):
    """A group of atoms and what it contributes."""

    name: str
    atoms: tuple[int, ...]
    contribution: float


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why one molecule is predicted as it is, or why it cannot be."""

    row: int
    smiles: str
    """As it was given."""
    target: str
    """What is explained, with its unit."""
    method: str
    error: InvalidSmilesError | None = None
    mol: Chem.Mol | None = None
    """The molecule as the network sees it; atoms and bonds below are in its order."""
    prediction: float = np.nan
    baseline: float = np.nan
    """Gradients: what the blank molecule gets; all contributions add up to the difference. NaN for occlusion."""
    atoms: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """Contribution of each atom, in the unit of the target."""
    bonds: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """Contribution of each bond."""
    groups: tuple[Part, ...] = ()
    """Contributions of substructures, by occlusion."""

    def table(self) -> Iterator[tuple[Any, ...]]:
        """Rows with :data:`COLUMNS`, one for each atom, bond and group; atoms count from 0 as in RDKit."""
        base = None if np.isnan(self.baseline) else float(self.baseline)
        start = (self.row + 1, self.smiles, self.target, self.method, float(self.prediction), base)
        if self.mol is None:
            return
        for i, (atom, value) in enumerate(zip(self.mol.GetAtoms(), self.atoms, strict=True)):
            yield *start, "atom", i, atom.GetSymbol(), float(value)
        for i, (bond, value) in enumerate(zip(self.mol.GetBonds(), self.bonds, strict=True)):
            yield *start, "bond", i, f"{bond.GetBeginAtomIdx()}-{bond.GetEndAtomIdx()}", float(value)
        for i, part in enumerate(self.groups):
            yield *start, "group", i, f"{part.name}: {' '.join(map(str, part.atoms))}", part.contribution

    def draw(
        self, kind: str = "svg", *, limit: float | None = None, width: int = 420, height: int = 340, plain: bool = False
    ) -> Any:
        """Draw the molecule with its contributions as colours: text of an SVG, or bytes of a PNG.

        ``limit``: contribution of the strongest colour, for several pictures alike; by default the largest here.
        ``plain``: without title and numbers.
        """
        if self.mol is None:
            raise ConfigError(f"there is nothing to draw: {self.error}")
        return draw_explanation(
            self.mol, self.atoms, self.bonds, title=self.title, limit=limit, kind=kind, width=width, height=height,
            plain=plain,
        )  # fmt: skip

    @property
    def title(self) -> str:
        """What is predicted, in a line."""
        base = "" if np.isnan(self.baseline) else f", blank {self.baseline:.3g}"
        return f"{self.target}: {self.prediction:.4g}{base}"

    def _repr_svg_(self) -> str | None:
        return None if self.mol is None else str(self.draw())

    def at_row(self, row: int) -> Self:
        """The same explanation, of another row."""
        return replace(self, row=row)

    def __repr__(self) -> str:
        if self.error is not None:
            return f"Explanation({self.smiles!r}: {self.error.reason})"
        return f"Explanation({self.smiles!r}: {self.title}, by {self.method})"


class Explanations(list[Explanation]):
    """Explanations in the order of the molecules; in a notebook, their pictures with one scale."""

    @property
    def limit(self) -> float:
        """Contribution of the strongest colour: only one in a hundred atoms and bonds has more."""
        sizes = np.abs(np.concatenate([np.zeros(0), *(v for one in self for v in (one.atoms, one.bonds))]))
        return float(np.quantile(sizes, 0.99)) if len(sizes) else 0.0

    def _repr_html_(self) -> str:
        from markupsafe import escape

        limit = self.limit
        cells = [one.draw(limit=limit) if one.mol is not None else f"<p>{escape(repr(one))}</p>" for one in self]
        body = "".join(f"<div>{cell}</div>" for cell in cells)
        return f"<div style='display:flex;flex-wrap:wrap;gap:8px'>{body}</div>"


def explain(
    scorer: Scorer, smiles: Any, options: GraphOptions, *, method: str = "gradients", substructures: Sequence[str] = (),
    n_jobs: int | None = 1,
) -> Explanations:  # fmt: skip
    """Explain predictions of molecules.

    Parameters
    ----------
    scorer
        What is explained.
    smiles
        Molecules as :func:`molmp.chem.molecules.as_smiles` takes them; a single string is one molecule.
    options
        How molecules become graphs.
    method
        ``gradients``: :func:`~molmp.explain.gradients.integrated_gradients`, which add up. ``occlusion``: the
        prediction minus that without the atom or bond, which need not.
    substructures
        SMARTS whose matches are taken out as a whole; ``"fragments"`` stands for what is left between the bonds that
        BRICS would cut.

    Returns
    -------
    One explanation for each molecule, in order; what cannot be read has an ``error``.
    """
    if method not in METHODS:
        raise ConfigError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    texts = as_smiles([smiles] if isinstance(smiles, str) else smiles)
    featurized = featurize(texts, options, n_jobs=n_jobs)
    mols = [_read(texts[row], int(row), options) for row in featurized.rows]
    groups = find_groups(mols, substructures)
    errors = [Explanation(row, str(texts[row]), scorer.name, method, e) for row, e in featurized.errors.items()]
    explained = [*_explain(scorer, featurized, texts, mols, method, groups), *errors]
    return Explanations(sorted(explained, key=lambda one: one.row))


def _read(text: str, row: int, options: GraphOptions) -> Chem.Mol:
    with quiet_rdkit():
        checked = check_text(text, row, options.max_characters)
        mol = read_mol(checked, row, options)
        return with_hydrogens(mol, checked) if options.explicit_hydrogens else mol


def _explain(
    scorer: Scorer, featurized: Featurized, texts: Sequence[Any], mols: Sequence[Chem.Mol], method: str,
    groups: Sequence[Sequence[tuple[str, tuple[int, ...]]]],
) -> Iterator[Explanation]:  # fmt: skip
    graphs = featurized.graphs
    if method == "gradients":
        prediction, baseline, atoms, bonds = integrated_gradients(scorer, graphs)
    else:
        prediction, baseline = scorer.scores(graphs), np.full(len(graphs), np.nan)
        atoms, bonds = occlude_atoms(scorer, graphs), occlude_bonds(scorer, graphs)
    changes = occlude_groups(scorer, graphs, [[part for _, part in some] for some in groups])
    by_atom, by_bond = np.split(atoms, graphs.atom_offsets[1:-1]), np.split(bonds, graphs.bond_offsets[1:-1])
    for i, row in enumerate(featurized.rows.tolist()):
        yield Explanation(
            row, texts[row], scorer.name, method, None, mols[i], float(prediction[i]), float(baseline[i]),
            by_atom[i], by_bond[i],
            tuple(Part(name, part, float(c)) for (name, part), c in zip(groups[i], changes[i], strict=True)),
        )  # fmt: skip
