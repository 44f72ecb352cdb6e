"""make bench-readers DATA=folder: both ways to read molecules give the same codes, on every molecule of two sets.

The quick way is what molmp does: a cheaper parse where the text allows it, then RDKit's binary forms read in lockstep.
The plain way asks RDKit's own molecule for each field of each atom and bond. The same of descriptors: those that come
from remembered environments of atoms, or are counted in packed graphs, against RDKit's for each molecule. ``folder``
holds hiv.csv.gz and muv.csv.gz with a column ``smiles``.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from benchmarks.frame import Series, lines, save, show
from benchmarks.molecules import column
from benchmarks.peers import python_of, versions_of
from molmp.chem import binary
from molmp.chem.contributions import Contributions, surface_of
from molmp.chem.features import ATOM_FIELDS, BOND_FIELDS, row_keys
from molmp.chem.graphs import MolGraphs
from molmp.chem.options import GraphOptions
from molmp.chem.plain import plain_graphs
from molmp.chem.quantum_numbers import QUANTUM_NUMBERS
from molmp.chem.reader import read_chunk
from molmp.chem.smiles import quiet_rdkit

__all__ = ["Comparison", "compare", "compare_descriptors"]

QUICK, PLAIN = "molmp, quick reader", "plain calls for each atom"

CHUNK = 2_000

TOLERANCE = 1e-8
"""Of sums over atoms, whose shares are kept to twelve decimals."""


class Comparison(NamedTuple):
    """What came out of reading texts both ways."""

    molecules: int
    """Texts that were read."""
    refused: int
    """Texts that neither way reads."""
    differing: list[str]
    """Texts of which the two ways made something else."""
    in_lockstep: int
    """Molecules that the quick way did not hand over to the plain one."""
    seconds: tuple[float, float]
    """CPU time of the quick way and of the plain one."""


def compare(texts: Sequence[str]) -> Comparison:
    """Read texts both ways.

    >>> compare(["CCO", "C1CC", "*C"])[:4]
    (2, 1, [], 1)
    """
    binary.binary_is_known()  # its own test is not part of the work
    started = time.process_time()
    with patch.object(binary, "plain_graphs", wraps=plain_graphs) as handed_over:
        quick, rows, _ = read_chunk(texts)
    between = time.process_time()
    with quiet_rdkit():
        mols = {row: mol for row, text in enumerate(texts) if (mol := Chem.MolFromSmiles(text)) is not None}
        plain = plain_graphs(list(mols.values()))
    seconds = between - started, time.process_time() - between
    slowly = sum(len(call.args[0]) for call in handed_over.call_args_list)
    differing = set(rows.tolist()) ^ set(mols)
    if not differing:
        differing = {int(rows[place]) for place in _differing(quick, plain)}
    return Comparison(
        len(rows), len(texts) - len(rows), [texts[row] for row in sorted(differing)], len(rows) - slowly, seconds
    )


def _differing(one: MolGraphs, other: MolGraphs) -> list[int]:
    """Places of molecules that are not equal in every code and every bond."""
    if one == other:
        return []
    return [place for place in range(len(one)) if _content(one, place) != _content(other, place)]


def _content(graphs: MolGraphs, place: int) -> tuple[bytes, ...]:
    part = graphs.select([place])
    return tuple(
        np.ascontiguousarray(array, np.int64).tobytes()
        for array in (
            row_keys(part.atom_table, ATOM_FIELDS)[part.atom_types],
            row_keys(part.bond_table, BOND_FIELDS)[part.bond_types],
            part.begins,
            part.ends,
        )
    )


def compare_descriptors(texts: Sequence[str], known: Contributions) -> list[str]:
    """Texts of which descriptors from packed graphs are not RDKit's; ``known`` is a memory that grows with each call.

    >>> compare_descriptors(["CCO", "C1CC", "OCC"], Contributions())
    []
    """
    graphs, rows, _ = read_chunk(texts, GraphOptions(features="descriptors"))
    assert graphs.features is not None
    with quiet_rdkit():
        mols = [Chem.MolFromSmiles(texts[row]) for row in rows]
        got = known.surfaces(graphs, mols.__getitem__)
        differs = np.abs(got - np.array([surface_of(mol) for mol in mols])).max(axis=1) > TOLERANCE
        counted = np.array([rdMolDescriptors.MQNs_(mol) for mol in mols])
        differs |= (graphs.features[:, -len(QUANTUM_NUMBERS) :] != counted).any(axis=1)
    return [texts[row] for row in rows[differs]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    for name in ("hiv", "muv"):
        texts = column(options.data / f"{name}.csv.gz")
        measure(name, texts)


def measure(name: str, texts: Sequence[str]) -> None:
    """Compare all molecules of a set; any difference ends the run with them."""
    found = [compare(texts[start : start + CHUNK]) for start in range(0, len(texts), CHUNK)]
    differing, known = [text for one in found for text in one.differing], Contributions()
    described = [
        text for at in range(0, len(texts), CHUNK) for text in compare_descriptors(texts[at : at + CHUNK], known)
    ]
    molecules = sum(one.molecules for one in found)
    facts = {
        "molecules": molecules,
        "refused": sum(one.refused for one in found),
        "in_lockstep": sum(one.in_lockstep for one in found),
        "differences": len(differing),
        "environments": len(known),
        "descriptor_differences": len(described),
    }
    print(f"{name}: {facts}")
    spent = zip(*([each / (one.molecules + one.refused) for each in one.seconds] for one in found), strict=True)
    quick, plain = map(list, spent)
    versions = versions_of(python_of("molmp"))
    series = [Series(PLAIN, plain, versions=versions), Series(QUICK, quick, versions=versions, facts=facts)]
    made = lines("readers", {"set": name}, "molecule", series, base=PLAIN)
    save(made)
    show(made)
    if differing or described:
        raise SystemExit("\n".join(["the two ways differ on", *differing, *described]))


if __name__ == "__main__":
    main()
