"""Drawings, made by worker processes: the layout of a molecule may take long, or crash."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from rdkit import Chem

from molmp.chem.clock import timed
from molmp.explain.drawing import draw_explanation
from molmp.page.drawing import SECONDS, draw_here

__all__ = ["SECONDS", "Coloured", "draw_coloured", "draw_molecules"]

NAMESPACE = '<svg xmlns="http://www.w3.org/2000/svg" '


class Coloured(NamedTuple):
    """A molecule and what its parts contribute: see :func:`molmp.explain.drawing.draw_explanation`."""

    mol: Chem.Mol
    atoms: np.ndarray
    bonds: np.ndarray
    title: str

    def __str__(self) -> str:
        return self.title


def draw_molecules(texts: Sequence[str], options: None) -> list[str]:
    """SVG of each SMILES, or text where there is nothing to draw."""
    return [str(draw_here(text, 200, 130)).replace("<svg ", NAMESPACE, 1) for _, text in timed(texts)]


def draw_coloured(rows: Sequence[Coloured], options: None) -> list[Any]:
    """SVG of each molecule with its contributions as colours."""
    return [draw_explanation(row.mol, row.atoms, row.bonds, title=row.title, width=520, height=400)
            for _, row in timed(rows)]  # fmt: skip
