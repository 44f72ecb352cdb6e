"""Names for the ring centres that have no CIP label of their own: cis or trans, whichever way they were written.

In 1,4-dimethylcyclohexane neither centre is R or S, since both ways round the ring look the same, yet there are two
molecules. Labels r and s of the full CIP rules would tell them apart at a price of milliseconds; that two
substituents lie on the same side of their ring is seen at once.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache

from rdkit import Chem

from molmp.chem.features import CIS, RING_SIDE, TETRAHEDRAL, TRANS, UNNAMED_STEREO, chirality

__all__ = ["name_stereocentres", "stereo_labels"]


def stereo_labels(mol: Chem.Mol, tagged: Sequence[int]) -> list[int]:
    """Raw values of the field ``chirality`` for the atoms of ``mol`` that have a chiral tag.

    >>> stereo_labels(Chem.MolFromSmiles("C[C@H](F)[C@@H](F)Cl"), [1, 3])
    [2, 2]
    """
    labels = [chirality(mol.GetAtomWithIdx(index)) for index in tagged]
    if UNNAMED_STEREO in labels:
        _name(mol, [index for index, label in zip(tagged, labels, strict=True) if label == UNNAMED_STEREO])
        labels = [chirality(mol.GetAtomWithIdx(index)) for index in tagged]
    return labels


def name_stereocentres(mol: Chem.Mol) -> None:
    """Mark the centres of ``mol`` that RDKit's legacy perception keeps without a label, where a ring decides.

    A centre is ``cis`` where its substituent lies on the same side of a ring as those of the nearest other centres of
    this kind, ``trans`` where on the other, and stays unmarked where they disagree. Of two substituents the one of
    the heavier element counts, of more neighbours, of higher canonical rank.

    >>> cis, trans = map(Chem.MolFromSmiles, ("C[C@H]1CC[C@@H](C)CC1", "C[C@H]1CC[C@H](C)CC1"))
    >>> for mol in (cis, trans):
    ...     name_stereocentres(mol)
    ...     print(mol.GetAtomWithIdx(1).GetIntProp(RING_SIDE) == CIS)
    True
    False
    """
    _name(mol, [atom.GetIdx() for atom in mol.GetAtoms() if chirality(atom) == UNNAMED_STEREO])


def _name(mol: Chem.Mol, unnamed: Sequence[int]) -> None:
    atoms = ((index, mol.GetAtomWithIdx(index)) for index in unnamed)
    # Once named a molecule stays so: with fewer centres in question the answer would be another.
    centres = {i: atom for i, atom in atoms if int(atom.GetChiralTag()) in TETRAHEDRAL and not atom.HasProp(RING_SIDE)}
    if not centres:
        return

    @cache
    def ranks() -> Sequence[int]:
        # Symmetry of the constitution: no chirality, isotopes kept, and atom maps are names, not chemistry.
        return Chem.CanonicalRankAtoms(mol, False, False, True, False)

    relations: dict[int, list[tuple[int, bool]]] = {index: [] for index in centres}
    for ring in mol.GetRingInfo().AtomRings():
        ups = dict(_ups(mol, ring, centres, ranks))
        for one, up_one in ups.items():
            for other, up_other in ups.items():
                if one != other:
                    apart = abs(one - other)
                    relations[ring[one]].append((min(apart, len(ring) - apart), up_one == up_other))
    for index, related in relations.items():
        nearest = min((distance for distance, _ in related), default=0)
        sides = {same for distance, same in related if distance == nearest}
        side = UNNAMED_STEREO if len(sides) != 1 else CIS if True in sides else TRANS
        centres[index].SetIntProp(RING_SIDE, side)


def _ups(
    mol: Chem.Mol, ring: Sequence[int], centres: dict[int, Chem.Atom], ranks: Callable[[], Sequence[int]]
) -> Iterator[tuple[int, bool]]:
    """Places in the ring whose substituent that counts lies above it, as one walks along the ring, or below."""
    for place, index in enumerate(ring):
        if index not in centres:
            continue
        neighbours = [bond.GetOtherAtomIdx(index) for bond in centres[index].GetBonds()]
        along = [ring[place - 1], ring[(place + 1) % len(ring)]]
        off = [neighbour for neighbour in neighbours if neighbour not in along]
        if len(off) == 2:
            weights = [_weight(mol, neighbour) for neighbour in off]
            if weights[0] == weights[1]:
                weights = [(ranks()[neighbour], 0) for neighbour in off]
            if weights[0] == weights[1]:
                continue
            if weights[0] < weights[1]:
                off.reverse()
        clockwise = int(centres[index].GetChiralTag()) == TETRAHEDRAL[0]
        # A hydrogen or a pair of electrons that is no atom of the graph comes last, in both.
        order = [neighbours.index(neighbour) for neighbour in [*along, *off]]
        yield place, clockwise ^ _is_odd(order)


def _weight(mol: Chem.Mol, index: int) -> tuple[int, int]:
    atom = mol.GetAtomWithIdx(index)
    heavy = sum(neighbour.GetAtomicNum() > 1 for neighbour in atom.GetNeighbors())
    return atom.GetAtomicNum(), heavy


def _is_odd(permutation: Sequence[int]) -> bool:
    pairs = ((one, other) for i, one in enumerate(permutation) for other in permutation[i + 1 :])
    return sum(one > other for one, other in pairs) % 2 == 1
