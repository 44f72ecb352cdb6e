"""Morgan counts of many molecules, unpacked together from the bytes of RDKit's sparse vectors.

Rogers, Hahn: "Extended-connectivity fingerprints", 2010, doi:10.1021/ci100050t.

Shapes: B molecules, K entries above 0 of all their vectors.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from molmp.chem.similarity import RADIUS, SIZE

__all__ = ["MorganCounts"]

HEADER = 16
"""Bytes before the entries: version, width of an index, size, number of entries; four each."""

ENTRY = 8
"""Bytes of an entry: its place and its count."""


class MorganCounts:
    """Counts of the environments of atoms, those that :func:`molmp.chem.similarity.morgan_bits` are the bits of.

    >>> counts = MorganCounts()
    >>> for smiles in ("CCO", "CC"):
    ...     counts.see(Chem.MolFromSmiles(smiles))
    >>> counts.folded(4), counts.bits().shape
    (array([[1, 1, 3, 1],
           [0, 2, 0, 1]], dtype=uint32), (2, 256))
    """

    def __init__(self) -> None:
        generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=SIZE)
        self._count: Callable[[Chem.Mol], Any] = generator.GetCountFingerprint
        self._entries = _entries if _is_known() else _asked
        self._seen: list[bytes] = []

    def see(self, mol: Chem.Mol) -> None:
        """Count in the next molecule."""
        self._seen.append(self._entries(self._count(mol)))

    def bits(self) -> np.ndarray:
        """Which environments occur, packed, shape ``(B, SIZE / 8)``, uint8."""
        owners, places, _ = self._unpacked()
        there = np.zeros((len(self._seen), SIZE), bool)
        there[owners, places] = True
        return np.packbits(there, axis=1, bitorder="little")

    def folded(self, size: int) -> np.ndarray:
        """Counts folded to ``size`` columns, shape ``(B, size)``, uint32."""
        owners, places, counts = self._unpacked()
        folded = np.zeros((len(self._seen), size), np.uint32)
        np.add.at(folded.reshape(-1), owners * size + places % size, counts)
        return folded

    def _unpacked(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Molecule, place and count of each entry, shape ``(K,)`` each."""
        numbers = np.fromiter(map(len, self._seen), np.int64, len(self._seen)) // ENTRY
        entries = np.frombuffer(b"".join(self._seen), "<u4").reshape(-1, 2)
        return np.repeat(np.arange(len(numbers)), numbers), entries[:, 0], entries[:, 1]


@cache
def _is_known() -> bool:
    """Whether this RDKit writes its vectors as they are read here."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=SIZE)
    vector = generator.GetCountFingerprint(Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O"))
    return bool(_entries(vector) == _asked(vector))


def _entries(vector: Any) -> bytes:
    binary: bytes = vector.ToBinary()
    return binary[HEADER:]


def _asked(vector: Any) -> bytes:
    return np.array(sorted(vector.GetNonzeroElements().items()), "<u4").tobytes()
