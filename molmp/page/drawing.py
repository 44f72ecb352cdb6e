"""Molecules as SVG text, to stand in a page."""

import re
from typing import Any

from markupsafe import Markup, escape
from rdkit import Chem
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from molmp.chem.smiles import MAX_ATOMS, parse_smiles, quiet_rdkit
from molmp.errors import InvalidSmilesError

__all__ = ["MOST_ATOMS", "draw_smiles", "inline_svg"]

MOST_ATOMS = min(150, MAX_ATOMS)
"""Larger molecules are not drawn: nothing could be seen, and their layout takes seconds."""


def draw_smiles(smiles: str, width: int = 220, height: int = 150) -> Markup:
    """Draw a molecule; text instead where it cannot be read or is too large.

    >>> draw_smiles("CCO").startswith("<svg")
    True
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
