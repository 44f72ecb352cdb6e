"""make bench-neighbours DATA=folder: what the search for the nearest of many training molecules takes.

molmp's five nearest among 1,000 to 100,000 molecules of HIV and MUV, beside RDKit's similarities of each query to them
all, from which a nearest could be picked. ``folder`` holds hiv.csv.gz and muv.csv.gz with a column ``smiles``.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rdkit import DataStructs

from benchmarks.frame import Series, interleave, lines, save, show
from benchmarks.molecules import sample
from benchmarks.peers import python_of, versions_of
from molmp.chem.similarity import TanimotoIndex
from molmp.trust.domain import NEIGHBOURS, read_bits

__all__ = ["MOLMP", "RDKIT", "SIZES", "measure"]

SIZES = (1_000, 10_000, 100_000)
"""Training molecules."""

QUERIES = 1_000

CHUNK = 100
"""Queries of a turn."""

MOLMP, RDKIT = f"molmp, {NEIGHBOURS} nearest", "RDKit, BulkTanimotoSimilarity"


def measure(bits: np.ndarray, queries: np.ndarray) -> list[Series]:
    """CPU seconds of a query by both, and the bytes of a training molecule in memory.

    >>> bits = read_bits(["C" * n + "O" for n in range(1, 31)])
    >>> [series.subject for series in measure(bits, bits[:3])]
    ['RDKit, BulkTanimotoSimilarity', 'molmp, 5 nearest']
    """
    started = time.process_time()
    index = TanimotoIndex(bits)
    built = time.process_time() - started
    plain, asked = _vectors(bits), _vectors(queries)

    def molmp(chunk: int) -> float:
        part = queries[chunk * CHUNK : (chunk + 1) * CHUNK]
        started = time.process_time()
        index.nearest(part, NEIGHBOURS)
        return (time.process_time() - started) / len(part)

    def rdkit(chunk: int) -> float:
        part = asked[chunk * CHUNK : (chunk + 1) * CHUNK]
        started = time.process_time()
        for query in part:
            DataStructs.BulkTanimotoSimilarity(query, plain)
        return (time.process_time() - started) / len(part)

    chunks = -(-len(queries) // CHUNK)
    spent = interleave({RDKIT: rdkit, MOLMP: molmp}, rounds=1, chunks=chunks)
    held = sum(part.nbytes for part in (index.bits, index.columns, index.members, index.order, index.counts))
    facts = {"bytes_per_molecule": round(held / len(bits)), "build_us_per_molecule": round(1e6 * built / len(bits), 1)}
    versions = versions_of(python_of("molmp"))
    return [
        Series(RDKIT, spent[RDKIT], versions=versions),
        Series(MOLMP, spent[MOLMP], versions=versions, facts=facts),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    bits = read_bits(sample(data, 39_000, sets=("hiv",)) + sample(data, 62_000, sets=("muv",)))
    bits = bits[np.random.default_rng(0).permutation(len(bits))]
    for size in SIZES:
        made = lines("neighbours", {"molecules": size}, "query", measure(bits[:size], bits[-QUERIES:]), base=RDKIT)
        save(made)
        show(made)


def _vectors(bits: np.ndarray) -> Sequence[DataStructs.ExplicitBitVect]:
    return [DataStructs.CreateFromBinaryText(row.tobytes()) for row in bits]


if __name__ == "__main__":
    main()
