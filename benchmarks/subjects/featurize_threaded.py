"""The floor once more, in a process in which a thread sleeps: memory is then handed out under locks."""

import threading
from collections.abc import Callable
from typing import Any

from benchmarks.subjects.featurize_rdkit import parse

__all__ = ["setup"]


def setup() -> dict[str, Callable[[list[str]], Any]]:
    """Task: ``parse``."""
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return {"parse": parse}
