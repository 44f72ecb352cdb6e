"""SMILES to molecule, or a reason why not; standard form, canonical SMILES, scaffold."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from rdkit import Chem
from rdkit.rdBase import BlockLogs

from molmp.chem.reasons import text_reason, unreadable_reason
from molmp.errors import ConfigError, InvalidSmilesError

__all__ = [
    "MAX_ATOMS", "MAX_CHARACTERS", "STANDARDIZE", "canonical_smiles", "check_text", "is_plain", "parse_smiles",
    "quiet_rdkit", "read_plain_text", "read_text", "scaffold_smiles", "standardize",
]  # fmt: skip

MAX_CHARACTERS = 10_000
"""Longer texts are refused: they are sequences or mistakes, and some would keep RDKit busy for minutes."""

MAX_ATOMS = 2_000
"""Larger molecules are refused, counted as written; a peptide of 130 residues has about 1,000."""

STANDARDIZE = ("none", "clean", "tautomer")

_ATOM = re.compile(r"\[(?!\d*H[\d+-]*\])[^\]]*\]|Br|Cl|[BCNOPSFIbcnops*]")
"""An atom that stays one: written hydrogens become part of their neighbours."""

_MARKS = re.compile(r"@|\[\d*[H#]").search
"""The mark of a stereocentre, or an atom that may be a hydrogen."""

_PARSE_ONLY = Chem.SmilesParserParams()
for _step in ("sanitize", "removeHs", "allowCXSMILES", "parseName"):
    setattr(_PARSE_ONLY, _step, False)

_Steps = Chem.SanitizeFlags
_WITHOUT_STEREO = _Steps.SANITIZE_ALL & ~(_Steps.SANITIZE_CLEANUPCHIRALITY | _Steps.SANITIZE_CLEANUPATROPISOMERS)
_WITHOUT_METALS = _WITHOUT_STEREO & ~_Steps.SANITIZE_CLEANUP_ORGANOMETALLICS
"""What sanitizing does where no stereo is marked, and where no atom is in brackets, as a metal must be."""


@contextmanager
def quiet_rdkit() -> Iterator[None]:
    """Silence RDKit's log and use its legacy stereo perception, whose labels the features are made of."""
    legacy = Chem.GetUseLegacyStereoPerception()
    with BlockLogs():
        if not legacy:
            Chem.SetUseLegacyStereoPerception(True)
        try:
            yield
        finally:
            if not legacy:
                Chem.SetUseLegacyStereoPerception(False)


def check_text(
    smiles: str, row: int | None = None, max_atoms: int = MAX_ATOMS, max_characters: int = MAX_CHARACTERS
) -> str:
    """Return ``smiles`` without white space around it, or refuse what is no candidate for a SMILES.

    RDKit itself takes what follows a blank as a name or an extension, so ``"CCO CCN"`` would be ethanol.

    >>> check_text(" CCO ")
    'CCO'
    """
    text = smiles.strip() if isinstance(smiles, str) else smiles
    if not (isinstance(text, str) and text and text.isascii() and text.isprintable() and " " not in text):
        code, reason = text_reason(text)
        raise InvalidSmilesError("" if code == "empty" else str(text), code, reason, row)
    if len(text) > max_characters:
        raise _too_large(text, len(text), "characters", max_characters, row)
    if len(text) > max_atoms and (atoms := sum(1 for _ in _ATOM.finditer(text))) > max_atoms:
        raise _too_large(text, atoms, "atoms", max_atoms, row)
    return text


def _too_large(text: str, count: int, what: str, most: int, row: int | None) -> InvalidSmilesError:
    return InvalidSmilesError(text, "too-large", f"it has {count} {what}, more than {most}", row)


def parse_smiles(smiles: str, row: int | None = None) -> Chem.Mol:
    """Read one SMILES as RDKit does, sanitized, hydrogens implicit.

    Raises
    ------
    InvalidSmilesError
        With one of the codes ``empty``, ``non-ascii``, ``whitespace``, ``too-large``, ``syntax``, ``reaction``,
        ``query``, ``valence`` and ``kekulize``.

    Examples
    --------
    >>> parse_smiles("C(C)(C)(C)(C)C", row=3)
    Traceback (most recent call last):
    molmp.errors.InvalidSmilesError: row 3: cannot read SMILES 'C(C)(C)(C)(C)C': Explicit valence for atom # 0 C, 5, ...
    """
    text = check_text(smiles, row)
    with quiet_rdkit():
        return read_text(text, row)


def read_text(text: str, row: int | None = None, max_atoms: int = MAX_ATOMS) -> Chem.Mol:
    """Read a text that :func:`check_text` let through; to be called within :func:`quiet_rdkit`."""
    try:
        mol = Chem.MolFromSmiles(text)
    except (RuntimeError, MemoryError):  # an invariant of RDKit's is violated
        mol = None
    return _accept(mol, text, row, max_atoms)


def read_plain_text(text: str, row: int | None = None, max_atoms: int = MAX_ATOMS) -> Chem.Mol:
    """As :func:`read_text` for a text that :func:`is_plain`; a fifth quicker, with the same graph features.

    ``MolFromSmiles`` always looks for possible stereocentres; where the text marks none there is nothing to find, nor
    to clean up, and double bonds ask for a look only where it has directions. It merges explicit hydrogens into their
    neighbours; where the text has none there is nothing to merge. And it looks for bonds to metals.
    """
    try:
        mol = Chem.MolFromSmiles(text, _PARSE_ONLY)
        if mol is not None:
            Chem.SanitizeMol(mol, _WITHOUT_STEREO if "[" in text else _WITHOUT_METALS)
            if "/" in text or "\\" in text:
                Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
    except (RuntimeError, ValueError, MemoryError):  # the last is said of some cages, whatever memory there is
        mol = None
    return _accept(mol, text, row, max_atoms)


def is_plain(text: str) -> bool:
    """Whether no stereocentre is marked in ``text`` and no hydrogen is an atom of it."""
    return _MARKS(text) is None


def _accept(mol: Chem.Mol | None, text: str, row: int | None, max_atoms: int) -> Chem.Mol:
    """Return ``mol``, which RDKit made of ``text``, or say why there is none."""
    if mol is None:
        raise InvalidSmilesError(text, *unreadable_reason(text), row)
    if len(text) > max_atoms and mol.GetNumAtoms() > max_atoms:  # an atom takes a character at least
        raise _too_large(text, mol.GetNumAtoms(), "atoms", max_atoms, row)
    return mol


def standardize(mol: Chem.Mol, how: str) -> Chem.Mol:
    """Bring a molecule into one form, whichever way it was drawn.

    ``clean`` keeps the largest fragment (an organic one where there is one), disconnects metals, normalizes
    functional groups and removes charges that protons can balance; ``tautomer`` picks RDKit's canonical tautomer
    after that; ``none`` returns ``mol`` itself.

    Raises
    ------
    InvalidSmilesError
        With the code ``valence``, where RDKit cannot do it.
    ConfigError
        ``how`` is none of these.

    Examples
    --------
    >>> canonical_smiles(standardize(parse_smiles("[Na+].CC(=O)[O-]"), "clean"))
    'CC(=O)O'
    """
    if how not in STANDARDIZE:
        raise ConfigError(f"standardize must be one of {', '.join(STANDARDIZE)}, not {how!r}")
    if how == "none":
        return mol
    from rdkit.Chem.MolStandardize import rdMolStandardize  # slow to import, and seldom needed

    with quiet_rdkit():
        smiles = Chem.MolToSmiles(mol)
        try:
            # From the canonical SMILES and back, so that the result depends on neither atom order nor spelling.
            mol = rdMolStandardize.Cleanup(Chem.MolFromSmiles(smiles))
            mol = rdMolStandardize.LargestFragmentChooser(preferOrganic=True).choose(mol)
            mol = rdMolStandardize.Uncharger().uncharge(mol)
            if how == "tautomer":
                mol = rdMolStandardize.TautomerEnumerator().Canonicalize(mol)
            mol = Chem.MolFromSmiles(Chem.MolToSmiles(mol))
        except (RuntimeError, ValueError) as error:
            why = " ".join(str(error).split())[:200]
            raise InvalidSmilesError(smiles, "valence", f"RDKit cannot bring it into the form {how!r}: {why}") from None
        if mol is None:
            raise InvalidSmilesError(smiles, "valence", f"RDKit's form {how!r} of it cannot be read")
    return mol


def canonical_smiles(mol: Chem.Mol) -> str:
    """RDKit's canonical SMILES, stereo included.

    >>> canonical_smiles(parse_smiles("OCC")) == canonical_smiles(parse_smiles("CCO"))
    True
    """
    return str(Chem.MolToSmiles(mol))


def scaffold_smiles(mol: Chem.Mol) -> str:
    """Canonical SMILES of the scaffold: rings and what links them; empty where there is no ring.

    Bemis, Murcko: "The properties of known drugs. 1. Molecular frameworks", 1996, doi:10.1021/jm9602928.

    >>> scaffold_smiles(parse_smiles("CCc1ccccc1O"))
    'c1ccccc1'
    """
    from rdkit.Chem.Scaffolds import MurckoScaffold  # a third of the import time of all that this module needs

    return str(MurckoScaffold.MurckoScaffoldSmiles(mol=mol, includeChirality=False))
