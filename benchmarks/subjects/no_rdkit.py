"""Let molmp's networks be imported where RDKit is not installed: graphs come from a file there, no molecule is read.

molmp's feature tables mention RDKit's enumerations and methods when they are declared. Here each mention is some
number of its own; the widths of the tables, which are all that a network takes from them, are the same.
"""

import itertools
import sys
from types import ModuleType
from typing import Any

__all__ = ["stand_in"]


class Mention:
    """Whatever is asked for: an attribute, a call or a number that no other mention has."""

    _numbers = itertools.count()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Mention()

    def __call__(self, *args: object) -> Any:
        return Mention()

    def __int__(self) -> int:
        return next(self._numbers)


def stand_in() -> bool:
    """Put the stand-in in RDKit's place if RDKit cannot be imported; say whether it was needed."""
    try:
        import rdkit.Chem  # noqa: F401
    except ImportError:
        module = ModuleType("rdkit")
        module.Chem = Mention()  # type: ignore[attr-defined]
        sys.modules["rdkit"] = module
        return True
    return False
