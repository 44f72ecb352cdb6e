"""Many SMILES to packed graphs: in order, every row accounted for, over as many processes as wanted."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from molmp.chem.graphs import MolGraphs
from molmp.chem.guard import longest_text, run_chunks
from molmp.chem.options import GraphOptions
from molmp.chem.pool import answer_of, count_jobs
from molmp.chem.reader import Answer, join_answers, read_chunk
from molmp.errors import InvalidSmilesError

__all__ = ["Featurized", "GraphOptions", "featurize", "iter_featurize"]

CHUNK, SMALLEST_CHUNK = 2_000, 1_000
"""Rows read at a time: what NumPy does once for all of them weighs more in a smaller one."""

TRUSTED = 1_000
"""Characters of a SMILES that may be read in the user's own process: RDKit has never crashed or hung at so few."""

TRUSTED_WITH_DESCRIPTORS = 200
"""The same where descriptors stand beside the graph: RDKit never ends counting the bridgeheads of some longer cages."""


class Featurized(NamedTuple):
    """What became of a list of SMILES: each row is either a graph or an error."""

    graphs: MolGraphs
    """The molecules that can be read, in order; ``B`` of them."""
    rows: np.ndarray
    """Input row of each graph, ascending, shape ``(B,)``, int64."""
    errors: dict[int, InvalidSmilesError]
    """Why each other input row cannot be read."""


def featurize(
    smiles: Iterable[str], options: GraphOptions = GraphOptions(), *, n_jobs: int | None = 1, progress: bool = False
) -> Featurized:
    """Read SMILES into packed graphs.

    ``n_jobs``: processes to spread the work over, -1 for all processors; the result is the same to the byte.
    ``progress``: show a bar where stderr is a terminal.

    Examples
    --------
    >>> graphs, rows, errors = featurize(["CCO", "C1CC", "c1ccccc1"])
    >>> graphs, rows, errors[1].reason
    (MolGraphs(2 molecules, 9 atoms, 8 bonds), array([0, 2]), 'ring 1 is not closed')
    """
    texts = list(smiles)
    jobs = count_jobs(n_jobs)
    size = min(CHUNK, max(SMALLEST_CHUNK, len(texts) // (4 * jobs)))  # four for each, so that all end together
    answers = _read(_cut(texts, size), options, jobs)
    return Featurized(*join_answers(list(_shown(answers, len(texts)) if progress else answers)))


def iter_featurize(
    batches: Iterable[Sequence[str]], options: GraphOptions = GraphOptions(), *, n_jobs: int | None = 1
) -> Iterator[Featurized]:
    """Featurize batch after batch, in order, rows counted within each batch; few batches are held at a time.

    >>> [len(part.graphs) for part in iter_featurize([["C", "CC"], [], ["CCC", "?"]])]
    [2, 0, 1]
    """
    sizes: deque[int] = deque()  # how many chunks make up each batch under way

    def chunks() -> Iterator[Sequence[str]]:
        for batch in batches:
            cut = list(_cut(list(batch), CHUNK))
            sizes.append(len(cut))
            yield from cut

    answers: list[Answer] = []
    for answer in _read(chunks(), options, count_jobs(n_jobs)):
        answers.append(answer)
        if len(answers) == sizes[0]:
            yield Featurized(*join_answers(answers))
            answers = []
            sizes.popleft()


def _shown(answers: Iterator[Answer], rows: int) -> Iterator[Answer]:
    """The same answers; a bar says how far they are."""
    # Not made where nobody asked: a bar starts a thread, and RDKit is slower in a process with threads.
    with tqdm(total=rows, unit="mol", desc="featurize", disable=None) as bar:
        for answer in answers:
            yield answer
            bar.update(len(answer[1]) + len(answer[2]))


def _cut(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Chunks of ``size`` rows; one, of none, where there are no rows."""
    return (texts[start : start + size] for start in range(0, max(len(texts), 1), size))


def _read(chunks: Iterable[Sequence[str]], options: GraphOptions, jobs: int) -> Iterator[Answer]:
    parts = run_chunks(read_chunk, chunks, options, options.time_limit, jobs=jobs, trusted=partial(_trusted, options))
    return map(answer_of, parts)


def _trusted(options: GraphOptions, chunk: Sequence[str]) -> bool:
    most = TRUSTED_WITH_DESCRIPTORS if "descriptors" in options.features else TRUSTED
    return options.standardize != "tautomer" and longest_text(chunk) <= most
