"""One chunk of SMILES to packed graphs: the work of one process, with neither torch nor scikit-learn."""

from collections.abc import Sequence

import numpy as np
from rdkit import Chem

from molmp.chem import smiles
from molmp.chem.binary import binary_graphs, binary_is_known, lacks_labels, to_binary
from molmp.chem.clock import timed
from molmp.chem.graphs import MolGraphs
from molmp.chem.molecule_features import Describer
from molmp.chem.options import GraphOptions
from molmp.chem.plain import plain_graphs
from molmp.chem.stereo import name_stereocentres
from molmp.errors import InvalidSmilesError

__all__ = ["Answer", "join_answers", "read_chunk", "read_mol", "with_hydrogens"]

Answer = tuple[MolGraphs, np.ndarray, dict[int, InvalidSmilesError]]
"""Graphs, their rows, and the errors of the other rows: see :class:`molmp.chem.featurize.Featurized`."""


def read_chunk(texts: Sequence[str], options: GraphOptions = GraphOptions()) -> Answer:
    """Read a chunk.

    >>> read_chunk(["CCO", ""])
    (MolGraphs(1 molecules, 3 atoms, 2 bonds), array([0]), {1: InvalidSmilesError(...)})
    """
    describer = Describer(options.features, bits=options.bits, from_graphs=not options.explicit_hydrogens)
    errors: dict[int, InvalidSmilesError] = {}
    rows: list[int] = []
    buffers: list[bytes] = []
    kept: dict[int, Chem.Mol] = {}  # few: where all are kept, parsing takes a third longer
    with smiles.quiet_rdkit():
        fast = binary_is_known()
        texts = _checked(texts, options, errors)
        # All at once: a regular expression between two molecules slows the next parse by a tenth.
        plain = [smiles.is_plain(text) for text in texts] if options.standardize == "none" else [False] * len(texts)
        for row, text in timed(texts):
            if row in errors:
                continue
            try:
                mol = read_mol(text, row, options, plain[row])
            except InvalidSmilesError as error:
                errors[row] = error
                continue
            describer.see(mol)
            if options.explicit_hydrogens:
                mol = with_hydrogens(mol, text)
            if fast:
                buffers.append(to_binary(mol, text))
            if not fast or ("@" in text and lacks_labels(buffers[-1], text)):
                kept[len(rows)] = mol
            rows.append(row)

        def again(molecule: int) -> Chem.Mol:
            mol = read_mol(texts[rows[molecule]], rows[molecule], options)
            return with_hydrogens(mol, texts[rows[molecule]]) if options.explicit_hydrogens else mol

        rings = describer.from_graphs
        graphs = (
            binary_graphs(buffers, kept, again, rings=rings) if fast else plain_graphs(list(kept.values()), rings=rings)
        )
        graphs = describer.beside(graphs, again)
    return graphs, np.array(rows, np.int64), dict(sorted(errors.items()))


def join_answers(answers: Sequence[Answer]) -> Answer:
    """Answers for chunks that follow each other, as one."""
    if len(answers) == 1:
        return answers[0]
    rows: list[np.ndarray] = [np.zeros(0, np.int64)]
    errors: dict[int, InvalidSmilesError] = {}
    start = 0
    for _, kept, refused in answers:
        rows.append(kept + start)
        errors |= {
            start + row: InvalidSmilesError(e.smiles, e.code, e.reason, start + row) for row, e in refused.items()
        }
        start += len(kept) + len(refused)
    return MolGraphs.concat([graphs for graphs, _, _ in answers]), np.concatenate(rows), errors


def read_mol(text: str, row: int, options: GraphOptions, plain: bool = False) -> Chem.Mol:
    """Read one molecule and prepare it, from a text that has been checked."""
    read = smiles.read_plain_text if plain else smiles.read_text
    mol = read(text, row, options.max_atoms)
    return mol if options.standardize == "none" else smiles.standardize(mol, options.standardize)


def with_hydrogens(mol: Chem.Mol, text: str) -> Chem.Mol:
    """Return a molecule, read from ``text``, whose hydrogens are atoms."""
    if "@" in text:
        name_stereocentres(mol)
    mol = Chem.AddHs(mol)
    Chem.SetHybridization(mol)  # of the new atoms, so that they equal hydrogens that were there
    return mol


def _checked(texts: Sequence[str], options: GraphOptions, errors: dict[int, InvalidSmilesError]) -> Sequence[str]:
    """Refuse what is no candidate for a SMILES; an empty text takes its place."""
    limits = options.max_atoms, options.max_characters
    try:
        joined = "".join(texts)
        clean = joined.isascii() and joined.isprintable() and " " not in joined
        if clean and all(texts) and max(map(len, texts), default=0) <= min(limits):
            return texts
    except TypeError:  # something else than text is among them
        pass
    checked = []
    for row, text in enumerate(texts):
        try:
            checked.append(smiles.check_text(text, row, *limits))
        except InvalidSmilesError as error:
            errors[row] = error
            checked.append("")
    return checked
