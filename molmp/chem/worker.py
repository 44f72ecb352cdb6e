"""A worker process: answers chunks of SMILES on its standard input with packed graphs on its standard output.

Started by :mod:`molmp.chem.pool`. It imports neither torch nor scikit-learn, nor the script that started it.
"""

import os
import pickle
import signal
import sys

from molmp.chem.reader import read_chunk

__all__ = ["serve"]


def serve() -> None:
    """Answer until the standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes the pipes
    inbox = sys.stdin.buffer
    outbox = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever a library prints must not get between the answers
    while True:
        try:
            texts, options = pickle.load(inbox)
        except EOFError:
            return
        pickle.dump(read_chunk(texts, **options), outbox, protocol=pickle.HIGHEST_PROTOCOL)
        outbox.flush()
