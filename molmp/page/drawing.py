"""Molecules as SVG text, to stand in a page."""

import re
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape
from rdkit import Chem
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from molmp.chem.clock import timed
from molmp.chem.guard import longest_text, run_chunks
from molmp.chem.pool import Lost
from molmp.chem.smiles import MAX_ATOMS, parse_smiles, quiet_rdkit
from molmp.errors import InvalidSmilesError

__all__ = ["MOST_ATOMS", "SECONDS", "draw_here", "draw_smiles", "inline_svg"]

MOST_ATOMS = min(150, MAX_ATOMS)
"""Larger molecules are not drawn: nothing could be seen, and their layout takes seconds."""

SECONDS = 5.0
"""Processor time for one drawing."""

TRUSTED = 200
"""Characters of a text that is drawn in the process that asks: see ``make slowest``."""


def draw_smiles(smiles: str, width: int = 220, height: int = 150) -> Markup:
    """Draw a molecule; text instead where it cannot be read, is too large, or takes RDKit too long.

    >>> draw_smiles("CCO").startswith("<svg")
    True
    """
    ((piece,),) = run_chunks(_draw, [[smiles]], (width, height), SECONDS, jobs=1, trusted=_trusted)
    if isinstance(piece, Lost):
        return Markup("<span class='quiet'>not drawn: {}</span>").format(piece.reason)
    return Markup(piece[0])


def _trusted(chunk: Sequence[str]) -> bool:
    return longest_text(chunk) <= TRUSTED


def _draw(chunk: Sequence[str], size: tuple[int, int]) -> list[Markup]:
    return [draw_here(text, *size) for _, text in timed(chunk)]


def draw_here(smiles: str, width: int = 220, height: int = 150) -> Markup:
    """As :func:`draw_smiles`, in this process however long that takes.

    >>> draw_here("C1CC")
    Markup("<span class='quiet'>ring 1 is not closed</span>")
    """
    try:
        mol = parse_smiles(smiles)
    except InvalidSmilesError as error:
        return Markup("<span class='quiet'>{}</span>").format(error.reason)
    if mol.GetNumAtoms() > MOST_ATOMS:
        return Markup("<span class='quiet'>{} atoms, not drawn</span>").format(mol.GetNumAtoms())
    with quiet_rdkit():
        rdDepictor.Compute2DCoords(mol)
        drawer = rdMolDraw2D.MolDraw2DSVG(width, height)
        options: Any = drawer.drawOptions()  # its attributes are mistyped in RDKit's stubs
        options.clearBackground = False
        options.bondLineWidth = 1
        options.fixedBondLength = 18
        rdMolDraw2D.PrepareAndDrawMolecule(drawer, mol)
        drawer.FinishDrawing()
    return inline_svg(drawer.GetDrawingText(), Chem.MolToSmiles(mol))


def inline_svg(text: str, words: str) -> Markup:
    """Make RDKit's SVG part of a page: without declaration and fixed size, described for those who cannot see it."""
    head = text[text.index("<svg") : text.index(">", text.index("<svg")) + 1]
    box = re.search(r"viewBox='([^']*)'", head)
    assert box is not None  # RDKit always writes one
    body = re.sub(r"<!-- .*? -->\n?", "", text[text.index(head) + len(head) :])
    return Markup(f'<svg class="molecule" viewBox="{box[1]}" role="img" aria-label="{escape(words)}">{body}')
