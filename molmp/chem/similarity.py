"""Which molecules are alike: Morgan bits, packed eight to a byte, and an exact search by Tanimoto similarity.

Shapes: Q queries, R molecules of the index, S bits of a fingerprint.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from molmp.errors import DataError

__all__ = ["RADIUS", "SIZE", "Nearest", "Pairs", "TanimotoIndex", "morgan_bits"]

RADIUS, SIZE = 2, 2048
"""ECFP4: what published similarities mostly refer to."""

PART = 1 << 16
"""Molecules whose bits are added up at a time: those of a query are copied for it."""

MANY, RARE = 16_384, 1 / 32
"""Molecules of an index from which on bits that fewer than this share of them have are kept as lists of molecules."""

TOGETHER = 1 << 19
"""Numbers of common bits that are looked at together: what is made of them stays in the processor's cache."""

ROUNDING = 1e-6
"""More than what a number of bits that is worked out from a similarity may be off by."""

_BITS_OF = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(1, dtype=np.uint8)
"""How many bits are set in each byte."""


class Nearest(NamedTuple):
    """The most similar molecules of an index, best first; of equals, the one that stands first in the index."""

    rows: np.ndarray
    """Rows of the index, shape ``(Q, k)``, int64."""
    similarity: np.ndarray
    """Tanimoto similarity, 0 to 1, shape ``(Q, k)``, float64."""


class Pairs(NamedTuple):
    """Pairs of molecules of an index, by their rows, ``first < second``; ascending."""

    first: np.ndarray
    second: np.ndarray
    similarity: np.ndarray


def morgan_bits(mols: Iterable[Chem.Mol], radius: int = RADIUS, size: int = SIZE) -> np.ndarray:
    """Circular environments as bits, packed, shape ``(Q, size / 8)``, uint8.

    Rogers, Hahn: "Extended-connectivity fingerprints", 2010, doi:10.1021/ci100050t. ``size`` is a multiple of 8.

    >>> morgan_bits([Chem.MolFromSmiles("CCO"), Chem.MolFromSmiles("OCC")]).shape
    (2, 256)
    """
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=size)
    text = b"".join(DataStructs.BitVectToBinaryText(generator.GetFingerprint(mol)) for mol in mols)
    return np.frombuffer(text, np.uint8).reshape(-1, size // 8)


class TanimotoIndex:
    """Molecules to compare others with, by ``|a and b| / |a or b|`` of their bits; exact.

    A query adds up, over the bits that it has, which molecules have each bit too: some 35 rows of ``R`` bytes.
    Of molecules with equally many bits the one with most in common is the most similar, so quotients are worked out for
    the best of each number of bits, and then for those molecules alone that may be among the best. It holds ``R S``
    bytes, but of many molecules only some 300 each: bits that few molecules have, which are most, are then lists of
    those.

    Parameters
    ----------
    bits
        Packed as :func:`morgan_bits` gives them, shape ``(R, S / 8)``, ``R`` at least 1.

    Examples
    --------
    >>> mols = [Chem.MolFromSmiles(smiles) for smiles in ("CCO", "CCN", "c1ccccc1")]
    >>> index = TanimotoIndex(morgan_bits(mols))
    >>> index.nearest(morgan_bits([Chem.MolFromSmiles("CCCO")]))
    Nearest(rows=array([[0]]), similarity=array([[0.55555556]]))
    """

    def __init__(self, bits: np.ndarray) -> None:
        if bits.ndim != 2 or not len(bits):
            raise DataError(f"an index needs molecules, but its bits have shape {bits.shape}")
        counts = _BITS_OF[bits].sum(1, dtype=np.int64)
        self.order = np.argsort(counts, kind="stable")
        self.counts = counts[self.order]
        frequency = _frequency(bits)
        often = np.flatnonzero(frequency >= (RARE * len(bits) if len(bits) >= MANY else 0))
        self.bits = bits
        self.place = np.full(len(frequency), -1)
        """Row of ``columns`` that holds a bit; -1 of one that is kept as a list."""
        self.place[often] = np.arange(len(often))
        self.columns, self.members = _columns(bits, self.order, self.place < 0)
        self.offsets = np.concatenate([[0], np.cumsum(np.where(self.place < 0, frequency, 0))])
        """Where the list of each bit begins in ``members``, and where the last ends."""
        self.starts = np.flatnonzero(np.diff(self.counts, prepend=-1))
        """Where molecules with another number of bits begin."""

    def __len__(self) -> int:
        return len(self.order)

    def nearest(self, queries: np.ndarray, k: int = 1) -> Nearest:
        """Find the ``k`` most similar molecules, or all where there are fewer, for packed queries."""
        self._check(queries)
        k = min(k, len(self))
        rows = np.zeros((len(queries), k), np.int64)
        similarity = np.zeros((len(queries), k))
        size = max(1, TOGETHER // len(self))
        for start in range(0, len(queries), size):
            part = slice(start, start + size)
            rows[part], similarity[part] = self._nearest(list(_set_bits(queries[part])), k)
        return Nearest(rows, similarity)

    def pairs(self, least: float) -> Pairs:
        """Find all pairs of molecules of the index with a similarity of at least ``least``, above 0."""
        firsts, seconds, similarities = [], [], []
        ends = np.searchsorted(self.counts, self.counts / least, side="right")  # whoever has more bits is too different
        for i, on in enumerate(_set_bits(self.bits[self.order])):
            later = slice(i + 1, int(ends[i]))
            similarity = _ratio(self._common(on, later), len(on), self.counts[later])
            found = np.flatnonzero(similarity >= least)
            if len(found):
                firsts.append(np.full(len(found), self.order[i]))
                seconds.append(self.order[found + i + 1])
                similarities.append(similarity[found])
        if not firsts:
            return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
        one, other, similarity = map(np.concatenate, (firsts, seconds, similarities))
        low, high = np.minimum(one, other), np.maximum(one, other)
        order = np.lexsort((high, low))
        return Pairs(low[order], high[order], similarity[order])

    def _common(self, on: np.ndarray, part: slice = slice(None)) -> np.ndarray:
        """How many of the bits ``on`` the molecules of ``part`` have."""
        begin, end, _ = part.indices(len(self))
        common = np.empty(max(end - begin, 0), _narrowest(len(on)))
        self._add(on, begin, common)
        return common

    def _add(self, on: np.ndarray, begin: int, common: np.ndarray) -> None:
        """As ``_common`` for the molecules from ``begin`` on, into ``common``."""
        rows = self.place[on]
        often = rows[rows >= 0]
        for cut in range(0, len(common), PART):
            out = common[cut : cut + PART]
            columns = self.columns[often, begin + cut : begin + cut + len(out)]
            np.add.reduce(columns, axis=0, dtype=common.dtype, out=out)
        for bit in on[rows < 0].tolist():
            members = self.members[self.offsets[bit] : self.offsets[bit + 1]]
            first, last = np.searchsorted(members, (begin, begin + len(common)))
            common[members[first:last] - begin] += 1  # a molecule is in a list once

    def _nearest(self, ons: list[np.ndarray], k: int) -> tuple[np.ndarray, np.ndarray]:
        """The ``k`` best for each query, given as the bits that it has."""
        sizes = np.array([len(on) for on in ons])[:, None]
        common = np.empty((len(ons), len(self)), _narrowest(sizes.max()))
        for on, row in zip(ons, common, strict=True):
            self._add(on, 0, row)
        counts, lengths = self.counts[self.starts], np.diff(self.starts, append=len(self))
        best = _ratio(np.maximum.reduceat(common, self.starts, axis=1), sizes, counts)
        # Where k groups have one that is so similar, none that is less similar is among the k best.
        least = np.partition(best, -k, axis=1)[:, -k, None] if best.shape[1] >= k else 0.0
        enough = np.maximum(np.floor(least * (sizes + counts) / (1 + least) - ROUNDING), 0)
        enough[best < least] = np.iinfo(common.dtype).max
        queries, places = np.nonzero(common >= np.repeat(enough.astype(common.dtype), lengths, axis=1))
        similarity = _ratio(common[queries, places], sizes[queries, 0], self.counts[places])
        order = np.lexsort((self.order[places], -similarity, queries))
        firsts = np.searchsorted(queries[order], np.arange(len(ons)))
        chosen = order[firsts[:, None] + np.arange(k)]
        return self.order[places[chosen]], similarity[chosen]

    def _check(self, queries: np.ndarray) -> None:
        if queries.ndim != 2 or queries.shape[1] != self.bits.shape[1]:
            raise DataError(f"queries have shape {queries.shape}; the index has {self.bits.shape[1]} bytes a molecule")


def _frequency(bits: np.ndarray) -> np.ndarray:
    """How many molecules have each bit, shape ``(S,)``; few at a time, for the whole matrix is large."""
    counts = np.zeros(bits.shape[1] * 8, np.int64)
    for start in range(0, len(bits), 4096):
        counts += np.unpackbits(bits[start : start + 4096], axis=1, bitorder="little").sum(0, dtype=np.int64)
    return counts


def _columns(bits: np.ndarray, order: np.ndarray, rare: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One row of 0 and 1 for each bit that is not ``rare``, and the molecules that have the first rare one, the next.

    Molecules are numbered in their new ``order``; shapes ``(S - rare, R)`` and, one list behind the other, ``(m,)``.
    """
    columns = np.empty((int((~rare).sum()), len(bits)), np.uint8)
    of_bit, members = [], []
    for start in range(0, len(bits), 4096):
        unpacked = np.unpackbits(bits[order[start : start + 4096]], axis=1, bitorder="little")
        columns[:, start : start + 4096] = unpacked[:, ~rare].T
        rows, bit = np.nonzero(unpacked[:, rare])
        of_bit.append(bit.astype(np.min_scalar_type(len(rare))))
        members.append((rows + start).astype(np.int32))
    return columns, np.concatenate(members)[np.argsort(np.concatenate(of_bit), kind="stable")]


def _set_bits(bits: np.ndarray) -> Iterable[np.ndarray]:
    for start in range(0, len(bits), 4096):
        unpacked = np.unpackbits(bits[start : start + 4096], axis=1, bitorder="little")
        rows, on = np.nonzero(unpacked)
        bounds = np.searchsorted(rows, np.arange(len(unpacked) + 1)).tolist()
        yield from (on[begin:end] for begin, end in pairwise(bounds))


def _narrowest(size: int) -> type[np.unsignedinteger]:
    """For numbers of common bits of a molecule that has ``size`` bits; the type's largest number is none of them."""
    return np.uint8 if size < 255 else np.uint16


def _ratio(common: np.ndarray, size: int | np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Tanimoto similarity; 0 between molecules without bits, as RDKit has it."""
    either = np.maximum(size + sizes - common, 1)
    return np.asarray(common / either)
