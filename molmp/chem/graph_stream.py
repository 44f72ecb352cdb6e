"""A graph store that is written part after part, in memory that does not grow with them.

Until the last part nobody knows how many distinct atoms there are, and so how wide the numbers of their types have to
be: all go to temporary files first, and from there into the store. What comes out is, to the byte, what
:meth:`MolGraphs.save` writes of all parts together.
"""

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from molmp.chem.code_tables import narrowest
from molmp.chem.features import ATOM_FIELDS, BOND_FIELDS, Field, key_rows, row_keys
from molmp.chem.graphs import ARRAYS, MolGraphs, by_width, store_header

__all__ = ["graph_stream"]

BLOCK = 1 << 20
"""Numbers moved at a time."""


@contextmanager
def graph_stream(path: str | Path) -> Iterator[Callable[[MolGraphs], None]]:
    """Open a store; give a function that puts molecules behind those that are there. It appears whole or not at all.

    What stands beside the graphs is not written.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with graph_stream(Path(folder, "few.graphs")) as add:
    ...         add(MolGraphs.empty())
    ...     MolGraphs.load(Path(folder, "few.graphs"))
    MolGraphs(0 molecules, 0 atoms, 0 bonds)
    """
    final = Path(os.path.realpath(path))
    temporary = f"{final}.tmp-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        with ExitStack() as stack:
            file = stack.enter_context(open(temporary, "xb"))
            parts = _Parts(stack, final.parent)
            yield parts.add
            parts.write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, final)
    except OSError as error:
        if error.errno is None or error.filename not in (None, temporary):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        Path(temporary).unlink(missing_ok=True)


class _Parts:
    """Parts of a store in files without a name, as wide numbers."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.types = {"atom": _Types(ATOM_FIELDS), "bond": _Types(BOND_FIELDS)}
        self.columns: dict[str, _Column] = {}
        for name in ARRAYS[2:]:
            file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by the stack)
            self.columns[name] = _Column(stack.enter_context(file))

    def add(self, graphs: MolGraphs) -> None:
        atoms = self.types["atom"].numbered(graphs.atom_table, graphs.atom_types)
        bonds = self.types["bond"].numbered(graphs.bond_table, graphs.bond_types)
        rest = graphs.begins, graphs.ends, graphs.num_atoms, graphs.num_bonds
        for column, values in zip(self.columns.values(), (atoms, bonds, *rest), strict=True):
            column.add(values)

    def write(self, file: IO[bytes]) -> None:
        tables, lookups = {}, {}
        for name, types in self.types.items():
            tables[f"{name}_table"], lookups[f"{name}_types"] = types.sorted()
            self.columns[f"{name}_types"].top = len(types.places) - 1
        ends = max(self.columns[name].top for name in ("begins", "ends"))
        for name in ("begins", "ends"):
            self.columns[name].top = ends
        arrays = tables | {name: column.shape() for name, column in self.columns.items()}
        file.write(store_header(arrays))
        for name, array in by_width(arrays).items():
            if name in tables:
                file.write(array.tobytes())
                continue
            for values in self.columns[name].blocks():
                values = lookups[name][values] if name in lookups else values
                file.write(values.astype(array.dtype).tobytes())


class _Types:
    """Distinct rows of codes by their keys, numbered as they come."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = fields
        self.places: dict[int, int] = {}

    def numbered(self, table: np.ndarray, types: np.ndarray) -> np.ndarray:
        used = np.flatnonzero(np.bincount(types, minlength=len(table)))
        lookup = np.zeros(len(table), np.uint32)
        for row, key in zip(used, row_keys(table[used], self.fields).tolist(), strict=True):
            lookup[row] = self.places.setdefault(key, len(self.places))
        return lookup[types]

    def sorted(self) -> tuple[np.ndarray, np.ndarray]:
        """The table as a store holds it, and the row of each number in it."""
        keys = np.array(list(self.places), np.int64)
        rows = np.zeros(len(keys), np.uint32)
        order = np.argsort(keys)
        rows[order] = np.arange(len(keys))
        return key_rows(keys[order], self.fields), rows


class _Column:
    """Whole numbers in a file."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.length, self.top = file, 0, 0

    def add(self, values: np.ndarray) -> None:
        self.length += len(values)
        self.top = max(self.top, int(values.max(initial=0)))
        self.file.write(values.astype(np.uint32).tobytes())

    def shape(self) -> Any:
        """An array as the store's header tells of, without its numbers."""
        return np.broadcast_to(np.zeros((), narrowest(self.top)), self.length)

    def blocks(self) -> Iterator[np.ndarray]:
        self.file.seek(0)
        while block := self.file.read(4 * BLOCK):
            yield np.frombuffer(block, np.uint32)
