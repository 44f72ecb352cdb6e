"""Other texts of molecules: random spellings and mirror images, written by a worker, for to write may take for ever."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from rdkit import Chem

from molmp.chem.clock import timed
from molmp.chem.guard import run_chunks
from molmp.chem.molecules import read_molecule
from molmp.chem.options import GraphOptions
from molmp.chem.pool import Lost
from molmp.chem.smiles import quiet_rdkit

__all__ = ["mirror_images", "other_spellings"]

CHUNK = 200


def other_spellings(
    smiles: Sequence[str], options: GraphOptions = GraphOptions(), *, count: int = 3, seed: int = 0
) -> list[list[str]]:
    """For each molecule up to ``count`` random SMILES that RDKit reads as the same one: it loses some odd stereo marks.

    Molecules are readable within the limits of ``options``; there are none of one that takes longer than its time limit
    to be written.

    >>> [sorted(set(texts)) for texts in other_spellings(["OCC", "C"], count=20)]
    [['C(C)O', 'C(O)C', 'CCO'], []]
    """
    rows = [(text, count, seed + row) for row, text in enumerate(smiles, start=1)]  # 0 would be no seed
    return _written(_spell, rows, options, [])


def mirror_images(smiles: Sequence[str], options: GraphOptions = GraphOptions()) -> list[str | None]:
    """SMILES of the mirror image of each molecule; ``None`` where it is the same, or as :func:`other_spellings`.

    >>> mirror_images(["C[C@H](N)O", "CCO"])
    ['C[C@@H](N)O', None]
    """
    return _written(_mirror, smiles, options, None)


def _written(function: Callable[..., list[Any]], rows: Sequence[Any], options: GraphOptions, lost: Any) -> list[Any]:
    plain = replace(options, standardize="none", features="none")
    chunks = (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))
    parts = run_chunks(function, chunks, plain, options.time_limit, jobs=1, trusted=lambda chunk: False)
    return [item for pieces in parts for piece in pieces for item in ([lost] if isinstance(piece, Lost) else piece)]


def _spell(rows: Sequence[tuple[str, int, int]], options: GraphOptions) -> list[list[str]]:
    with quiet_rdkit():
        return [_spellings(*row, options) for _, row in timed(rows)]


def _spellings(smiles: str, count: int, seed: int, options: GraphOptions) -> list[str]:
    mol = read_molecule(smiles, options)
    same = Chem.MolToSmiles(mol)
    texts = Chem.MolToRandomSmilesVect(mol, count, randomSeed=seed)
    read = [(text, Chem.MolFromSmiles(text)) for text in texts if text != smiles]
    return [text for text, again in read if again is not None and Chem.MolToSmiles(again) == same]


def _mirror(smiles: Sequence[str], options: GraphOptions) -> list[str | None]:
    with quiet_rdkit():
        return [_mirrored(read_molecule(text, options)) for _, text in timed(smiles)]


def _mirrored(mol: Chem.Mol) -> str | None:
    image = Chem.Mol(mol)
    for atom in image.GetAtoms():
        atom.InvertChirality()
    text: str = Chem.MolToSmiles(image)
    return None if text == Chem.MolToSmiles(mol) else text
