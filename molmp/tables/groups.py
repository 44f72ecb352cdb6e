"""Groups of like molecules, which a split keeps together: by scaffold, or by similarity.

A group is an ascending array of rows; groups come in the order of their first rows.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, DataStructs
from rdkit.SimDivFilters import rdSimDivPickers

from molmp.chem.clock import timed
from molmp.chem.featurize import CHUNK, TRUSTED
from molmp.chem.guard import longest_text, run_chunks
from molmp.chem.molecules import read_molecule
from molmp.chem.options import GraphOptions
from molmp.chem.pool import Lost
from molmp.chem.similarity import SIZE, morgan_bits
from molmp.chem.smiles import scaffold_smiles
from molmp.errors import InvalidSmilesError

__all__ = [
    "Groups",
    "cluster",
    "fill_balanced",
    "fill_evenly",
    "fill_largest_first",
    "find_scaffolds",
    "join_groups",
    "scaffold_groups",
    "similarity_groups",
    "stable_rng",
]

Groups = list[NDArray[np.int64]]

DISTANCE = 0.6
"""Tanimoto distance within which a molecule belongs to the centre of its cluster."""
_EXACT = 10_000
"""Up to so many molecules all pairs are compared."""


def scaffold_groups(smiles: Sequence[str], options: GraphOptions = GraphOptions()) -> Groups:
    """Group molecules by Bemis-Murcko scaffold; those without a ring form one group, as do those whose scaffold takes
    RDKit longer than the time limit of ``options`` or ends the process that looks for it.

    Bemis, Murcko: "The properties of known drugs. 1. Molecular frameworks", 1996, doi:10.1021/jm9602928.

    >>> [group.tolist() for group in scaffold_groups(["c1ccccc1C", "CCO", "Oc1ccccc1", "CC"])]
    [[0, 2], [1, 3]]
    """
    return _by_key(find_scaffolds(smiles, options))


def find_scaffolds(smiles: Sequence[str], options: GraphOptions = GraphOptions()) -> list[str]:
    """Canonical SMILES of the scaffold of each molecule; empty where it has no ring, or none could be found in time.

    >>> find_scaffolds(["c1ccccc1C", "CCO"])
    ['c1ccccc1', '']
    """
    return _described(_scaffolds, smiles, options, lost="")


def similarity_groups(smiles: Sequence[str], options: GraphOptions = GraphOptions()) -> Groups:
    """Group molecules by Tanimoto similarity of Morgan bits (radius 2, 2048 bits), at least 0.4 to the centre.

    Up to 10,000 molecules the clusters are those of Butina: "Unsupervised data base clustering based on Daylight's
    fingerprint and Tanimoto similarity", 1999, doi:10.1021/ci9803381; above, those of sphere exclusion (RDKit's
    ``LeaderPicker``), each molecule with its nearest centre. The order of the rows settles ties.
    """
    found = _described(_fingerprints, smiles, options, lost=b"\xff" * (SIZE // 8))
    bits = [DataStructs.CreateFromBinaryText(text) for text in found]
    return cluster(bits, DISTANCE) if len(bits) <= _EXACT else _sphere_exclusion(bits, DISTANCE)


def _described(
    function: Callable[[Sequence[str], GraphOptions], list[Any]],
    smiles: Sequence[str],
    options: GraphOptions,
    lost: Any,
) -> list[Any]:
    """What ``function`` makes of each molecule, and ``lost`` of those that it is lost at."""
    chunks = (smiles[start : start + CHUNK] for start in range(0, len(smiles), CHUNK))
    parts = run_chunks(function, chunks, options, options.time_limit, jobs=1, trusted=_trusted)
    found = [item for pieces in parts for piece in pieces for item in ([lost] if isinstance(piece, Lost) else piece)]
    for row, item in enumerate(found):
        if isinstance(item, InvalidSmilesError):
            raise InvalidSmilesError(item.smiles, item.code, item.reason, row)
    return found


def _trusted(chunk: Sequence[str]) -> bool:
    return longest_text(chunk) <= TRUSTED


def _scaffolds(smiles: Sequence[str], options: GraphOptions) -> list[str | InvalidSmilesError]:
    return [_made(scaffold_smiles, text, options) for _, text in timed(smiles)]


def _fingerprints(smiles: Sequence[str], options: GraphOptions) -> list[bytes | InvalidSmilesError]:
    return [_made(lambda mol: morgan_bits([mol]).tobytes(), text, options) for _, text in timed(smiles)]


def _made(make: Callable[[Chem.Mol], Any], text: str, options: GraphOptions) -> Any:
    try:
        return make(read_molecule(text, options))
    except InvalidSmilesError as error:  # told to whoever asked, who may be another process
        return error


def cluster(bits: Sequence[DataStructs.ExplicitBitVect], distance: float) -> Groups:
    """Taylor-Butina clustering: the molecule with most neighbours takes them all, then the next of those left."""
    neighbours = [
        np.flatnonzero(1 - np.array(DataStructs.BulkTanimotoSimilarity(bit, bits)) <= distance) for bit in bits
    ]
    free = np.ones(len(bits), dtype=bool)
    groups = []
    for centre in sorted(range(len(bits)), key=lambda i: (len(neighbours[i]), i), reverse=True):
        if free[centre]:
            members = neighbours[centre][free[neighbours[centre]]]
            free[members] = False
            groups.append(members.astype(np.int64))
    return _in_order(groups)


def _sphere_exclusion(bits: Sequence[DataStructs.ExplicitBitVect], distance: float) -> Groups:
    leaders = list(rdSimDivPickers.LeaderPicker().LazyBitVectorPick(bits, len(bits), distance))
    centres = [bits[i] for i in leaders]
    return _by_key([int(np.argmax(DataStructs.BulkTanimotoSimilarity(bit, centres))) for bit in bits])


def _by_key(keys: Sequence[Hashable]) -> Groups:
    groups: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    return [np.array(rows, dtype=np.int64) for rows in groups.values()]


def _in_order(groups: Groups) -> Groups:
    return sorted(groups, key=lambda group: int(group[0]))


def fill_balanced(groups: Groups, room: Sequence[float], seed: int) -> list[NDArray[np.int64]]:
    """Deal groups to parts with ``room`` (train, val, test) rows: large groups first, small ones shuffled.

    A group larger than half of any part but the first would unbalance that: such come first, in random order,
    and so mostly land in the training part. Each group goes to the first part that it fits in, else to the one
    with most room left.
    """
    rng = stable_rng(seed)
    half = min(room[1:]) / 2
    large = [group for group in groups if len(group) > half]
    small = [group for group in groups if len(group) <= half]
    dealt: list[Groups] = [[] for _ in room]
    left = list(room)
    for some in (large, small):
        for i in rng.permutation(len(some)):
            part = next((p for p in range(len(room)) if len(some[i]) <= left[p]), int(np.argmax(left)))
            dealt[part].append(some[i])
            left[part] -= len(some[i])
    return [join_groups(part) for part in dealt]


def fill_evenly(groups: Groups, parts: int, seed: int) -> list[Groups]:
    """Deal groups to equal parts: from the largest down, shuffled among those of one size, each to the emptiest part.

    >>> groups = [np.array([0]), np.array([1, 2, 3]), np.array([4, 5])]
    >>> [join_groups(part).tolist() for part in fill_evenly(groups, 2, seed=0)]
    [[1, 2, 3], [0, 4, 5]]
    """
    shuffled = [groups[i] for i in stable_rng(seed).permutation(len(groups))]
    dealt: list[Groups] = [[] for _ in range(parts)]
    sizes = [0] * parts
    for group in sorted(shuffled, key=len, reverse=True):
        part = int(np.argmin(sizes))
        dealt[part].append(group)
        sizes[part] += len(group)
    return dealt


def fill_largest_first(groups: Groups, room: Sequence[float]) -> list[NDArray[np.int64]]:
    """Deal groups by size, the largest to the training part, as the MoleculeNet benchmark does.

    Nothing is random. Of groups of one size, the one that begins later in the file comes first. Wu et al.:
    "MoleculeNet: a benchmark for molecular machine learning", 2018, doi:10.1039/C7SC02664A.
    """
    train: Groups = []
    val: Groups = []
    test: Groups = []
    num_train = num_val = 0
    for group in sorted(groups, key=lambda group: (len(group), int(group[0])), reverse=True):
        if num_train + len(group) <= room[0]:
            train.append(group)
            num_train += len(group)
        elif num_train + num_val + len(group) <= room[0] + room[1]:
            val.append(group)
            num_val += len(group)
        else:
            test.append(group)
    return [join_groups(part) for part in (train, val, test)]


def stable_rng(seed: int) -> np.random.RandomState:
    """Return the generator whose numbers NumPy promises never to change, unlike those of ``default_rng``."""
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))


def join_groups(groups: Groups) -> NDArray[np.int64]:
    """Return the rows of all groups, ascending."""
    return np.sort(np.concatenate(groups)) if groups else np.empty(0, dtype=np.int64)
