"""Files that a process holds on to while it lives, where the system has such locks."""

import importlib.util
from typing import IO, Any

__all__ = ["lock_file"]


def lock_file(file: IO[Any]) -> bool:
    """Lock an open file until it is closed, or its process ends in whatever way; say whether nobody else has it.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as first, open(first.name, "rb") as second:
    ...     lock_file(first), lock_file(second)
    (True, False)
    """
    if importlib.util.find_spec("fcntl") is None:  # not on Windows
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
