"""A worker process: answers chunks of SMILES on its standard input with what a function makes of them.

Started by :mod:`molmp.chem.pool`. It imports neither torch nor scikit-learn, nor the script that started it.
"""

import os
import pickle
import signal
import sys

from molmp.chem.clock import Place, start_clock, stop_clock

__all__ = ["NO_MEMORY", "serve"]

NO_MEMORY = 12
"""Exit code where a molecule takes more memory than there is."""


def serve() -> None:
    """Answer until the standard input ends. The argument of the program is the file of a :class:`Place`, if any."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes the pipes
    place = Place(int(sys.argv[1])) if len(sys.argv) > 1 else None
    inbox = sys.stdin.buffer
    outbox = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever a library prints must not get between the answers
    while True:
        try:
            function, texts, options, seconds = pickle.load(inbox)
        except EOFError:
            return
        if place is not None:
            start_clock(place, seconds)
        try:
            answer = function(texts, options)
        except MemoryError:
            os._exit(NO_MEMORY)
        stop_clock()
        try:
            pickle.dump(answer, outbox, protocol=pickle.HIGHEST_PROTOCOL)
            outbox.flush()
        except BrokenPipeError:  # nobody is there any more
            os._exit(0)
