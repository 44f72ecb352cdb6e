"""A file that is whole or absent, whatever happens meanwhile."""

import os
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name, bring it to the disk, rename it, and bring its name to the disk.

    Raises
    ------
    OSError
        Naming ``path``; what was there before is as it was.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "x")
    >>> write_whole(path, b"one")
    >>> path.read_bytes(), len(list(path.parent.iterdir()))
    (b'one', 1)
    """
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can."""
    if os.name != "posix":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
