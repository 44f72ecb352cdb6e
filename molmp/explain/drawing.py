"""A molecule with the contributions of its atoms and bonds as colours, a bar that explains them, and the numbers.

Orange raises the prediction, blue lowers it: a pair of colours that those with colour blindness tell apart.
"""

from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D
from rdkit.Geometry import Point2D

from molmp.chem.smiles import quiet_rdkit
from molmp.errors import ConfigError

__all__ = ["colour", "draw_explanation"]

RAISES, LOWERS, NOTHING = (0.93, 0.49, 0.05), (0.13, 0.45, 0.80), (1.0, 1.0, 1.0)

MOST_NOTES = 45
"""Atoms up to which the number is written beside each."""

BAR = 46
"""Pixels below the molecule for the colour bar."""

TITLE = 24
"""Pixels above it for the title."""

MIDDLE = 0
"""RDKit's word for centred text."""


def colour(value: float, limit: float) -> tuple[float, float, float]:
    """Red, green and blue, each 0 to 1, of a contribution; white for none.

    >>> colour(0.0, 2.0), colour(2.0, 2.0) == colour(9.0, 2.0)
    ((1.0, 1.0, 1.0), True)
    """
    share = min(abs(value) / limit, 1.0) if limit > 0 else 0.0
    end = RAISES if value > 0 else LOWERS
    red, green, blue = (n + share * (e - n) for n, e in zip(NOTHING, end, strict=True))
    return red, green, blue


def draw_explanation(
    mol: Chem.Mol, atoms: np.ndarray, bonds: np.ndarray, *, title: str = "", limit: float | None = None,
    kind: str = "svg", width: int = 420, height: int = 340, plain: bool = False,
) -> Any:  # fmt: skip
    """Draw a molecule: SVG text for the kind ``svg``, bytes for ``png``.

    ``atoms`` and ``bonds`` are contributions in the molecule's order; ``limit`` the one of the strongest colour.
    ``plain`` leaves out title and numbers, which small pictures have no room for.
    """
    if kind not in ("svg", "png"):
        raise ConfigError(f"a drawing is of the kind svg or png, not {kind!r}")
    if limit is None:
        limit = max(float(np.abs(atoms).max(initial=0)), float(np.abs(bonds).max(initial=0)))
    make = rdMolDraw2D.MolDraw2DSVG if kind == "svg" else rdMolDraw2D.MolDraw2DCairo
    above = 0 if plain else TITLE
    drawer = make(width, height, width, height - BAR - above)
    drawer.SetOffset(0, above)
    with quiet_rdkit():
        _draw_molecule(drawer, mol, atoms, bonds, limit, MOST_NOTES if not plain else 0)
        if not plain:
            _draw_text(drawer, title, width / 2, TITLE / 2)
        _draw_bar(drawer, limit, width, height)
        drawer.FinishDrawing()
    return drawer.GetDrawingText()


def _draw_molecule(
    drawer: Any, mol: Chem.Mol, atoms: np.ndarray, bonds: np.ndarray, limit: float, most_notes: int
) -> None:
    mol = Chem.Mol(mol)
    rdDepictor.Compute2DCoords(mol)
    if len(atoms) <= most_notes:
        for atom, value in zip(mol.GetAtoms(), atoms.tolist(), strict=True):
            atom.SetProp("atomNote", _short(value))
    options = drawer.drawOptions()
    options.useBWAtomPalette()
    options.annotationFontScale = 0.55
    options.fillHighlights = True
    options.highlightBondWidthMultiplier = 14
    options.highlightRadius = 0.38
    options.fixedBondLength = 40
    options.padding = 0.08
    everything = list(range(mol.GetNumAtoms())), list(range(mol.GetNumBonds()))
    rdMolDraw2D.PrepareAndDrawMolecule(
        drawer, mol, highlightAtoms=everything[0], highlightBonds=everything[1],
        highlightAtomColors={i: colour(v, limit) for i, v in enumerate(atoms.tolist())},
        highlightBondColors={i: colour(v, limit) for i, v in enumerate(bonds.tolist())},
    )  # fmt: skip


def _draw_bar(drawer: Any, limit: float, width: int, height: int) -> None:
    left, right, top = 0.2 * width, 0.8 * width, height - BAR + 6.0
    steps = 40
    for i in range(steps):
        begin = left + (right - left) * i / steps
        drawer.SetColour(colour(limit * (2 * (i + 0.5) / steps - 1), limit))
        drawer.SetFillPolys(True)
        drawer.DrawRect(Point2D(begin, top), Point2D(begin + (right - left) / steps + 0.5, top + 12), True)
    drawer.SetColour((0.2, 0.2, 0.2))
    drawer.SetFillPolys(False)
    drawer.DrawRect(Point2D(left, top), Point2D(right, top + 12), True)
    for place, text in ((left, f"{-limit:.3g}"), ((left + right) / 2, "0"), (right, f"{limit:+.3g}")):
        _draw_text(drawer, text, place, top + 25)


def _draw_text(drawer: Any, text: str, x: float, y: float) -> None:
    drawer.SetColour((0.13, 0.19, 0.24))
    drawer.SetFontSize(13)
    drawer.DrawString(text, Point2D(x, y), MIDDLE, True)


def _short(value: float) -> str:
    text = f"{value:+.2f}" if abs(value) < 10 else f"{value:+.3g}"
    return "0" if text in ("+0.00", "-0.00") else text.replace("+0.", "+.").replace("-0.", "-.")
