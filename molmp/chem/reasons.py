"""Why a SMILES is refused: one stable code and one short reason. Called for bad rows only, so it may be slow."""

import re
from numbers import Real
from typing import Any

from rdkit import Chem

__all__ = ["REASONS", "text_reason", "unreadable_reason"]

REASONS = (
    "empty", "non-ascii", "whitespace", "syntax", "valence", "kekulize", "query", "reaction", "too-large",
    "timeout", "crash", "label", "ragged",
)  # fmt: skip
"""Every code there is, for SMILES and for rows of tables."""

TOKEN = re.compile(r"\[[^\[\]]*\]|->|<-|Br|Cl|%\d\d|%\(\d+\)|[BCNOPSFIbcnops*\d().=#$:/\\~-]")
RING_CLOSURE = re.compile(r"\d|%\d\d|%\(\d+\)")

CODES = {"AtomValenceException": "valence", "KekulizeException": "kekulize", "AtomKekulizeException": "kekulize"}
"""Code of each kind of problem that RDKit detects; the others, seldom seen, are taken for the first."""


def text_reason(smiles: Any) -> tuple[str, str]:
    """Code and reason for a text that may not go to RDKit, which would read parts of it as a name or an extension."""
    if _is_missing(smiles):
        return "empty", "it is empty"
    if not isinstance(smiles, str):
        return "syntax", f"it is {type(smiles).__name__}, not text"
    for place, character in enumerate(smiles):
        if character.isspace():
            return "whitespace", f"it holds white space at position {place + 1}"
        if not (character.isascii() and character.isprintable()):
            return "non-ascii", f"it holds the character U+{ord(character):04X} at position {place + 1}"
    return "syntax", "not SMILES syntax"


def _is_missing(value: Any) -> bool:
    if isinstance(value, str):
        return not value
    # pandas.NA can be compared with nothing, and is not worth importing pandas for.
    if type(value).__name__ in ("NoneType", "NAType", "NaTType"):
        return True
    return isinstance(value, Real) and bool(value != value)


def unreadable_reason(smiles: str) -> tuple[str, str]:
    """Code and reason for a text that RDKit does not read."""
    problems = _problems(smiles)
    if problems is None:
        return _syntax(smiles)
    if not problems:
        return _beyond_rdkit(smiles)
    return CODES.get(problems[0].GetType(), "valence"), " ".join(problems[0].Message().split())


def _problems(smiles: str) -> list[Any] | None:
    """What is wrong chemically, None for a text that is not SMILES at all."""
    try:
        mol = Chem.MolFromSmiles(smiles, sanitize=False)
        return None if mol is None else list(Chem.DetectChemistryProblems(mol))
    except RuntimeError:  # an element that does not exist
        return None


def _beyond_rdkit(smiles: str) -> tuple[str, str]:
    """Code and reason where nothing is wrong with the chemistry."""
    try:
        Chem.SanitizeMol(Chem.MolFromSmiles(smiles, sanitize=False))
    except MemoryError:
        return "too-large", "RDKit finds no memory for its rings"
    except (RuntimeError, ValueError):
        pass
    return "valence", "RDKit cannot make sense of its valences"


def _syntax(smiles: str) -> tuple[str, str]:
    if re.sub("->|<-", "", smiles).count(">") == 2:
        return "reaction", "it is a reaction, not a molecule"
    if re.search(r"[,;!&]", smiles) and _is_smarts(smiles):
        return "query", "it is a SMARTS query, not a molecule"
    return "syntax", _misplaced(smiles) or _unbalanced(smiles) or "not SMILES syntax"


def _is_smarts(text: str) -> bool:
    try:
        return Chem.MolFromSmarts(text) is not None
    except RuntimeError:  # an atomic number that does not exist
        return False


def _misplaced(smiles: str) -> str | None:
    place = 0
    while place < len(smiles):
        token = TOKEN.match(smiles, place)
        if token is None and smiles[place] == "[":
            return f"the bracket at position {place + 1} is not closed"
        if token is None:
            return f"unexpected {smiles[place]!r} at position {place + 1}"
        if token[0][0] == "[" and _problems(token[0]) is None:
            return f"there is no atom {token[0]!r} (position {place + 1})"
        place = token.end()
    return None


def _unbalanced(smiles: str) -> str | None:
    depth = 0
    open_rings: set[int] = set()
    for token in TOKEN.findall(smiles):
        depth += (token == "(") - (token == ")")
        if depth < 0:
            return "a parenthesis is closed that was not opened"
        if RING_CLOSURE.fullmatch(token):
            open_rings ^= {int(token.strip("%()"))}
    if depth:
        return "a parenthesis is not closed"
    return f"ring {min(open_rings)} is not closed" if open_rings else None
