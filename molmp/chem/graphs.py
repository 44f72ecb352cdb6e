"""MolGraphs: many molecules as a few flat arrays, immutable, one row of codes for each *distinct* atom and bond.

Shapes: B molecules, N atoms, M bonds, U distinct atom rows, T distinct bond rows.

Real sets hold a few hundred distinct atom rows and ten to twenty distinct bond rows, so an atom is two bytes and a
bond three: about 137 bytes a drug-like molecule. A bond is stored once; batches use both directions, edge ``2k``
from ``begin`` to ``end`` and edge ``2k + 1`` back, so the reverse of edge ``e`` is ``e ^ 1``.
"""

import json
import os
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from molmp.chem.code_tables import distinct_rows, merge_tables, narrowest
from molmp.chem.features import ATOM_FIELDS, BOND_FIELDS, column_names, row_keys
from molmp.errors import FileFormatError

__all__ = ["MolGraphs", "by_width", "store_header"]

FORMAT = "molmp-graphs-1"

ARRAYS = ("atom_table", "bond_table", "atom_types", "bond_types", "begins", "ends", "num_atoms", "num_bonds")

BESIDE = ("features", "bits")
"""What may come with the graphs, a row for each molecule."""

WIDTHS = {"U8": np.uint8, "U16": np.uint16, "U32": np.uint32, "F32": np.float32}
"""Numbers that a file may hold."""


@dataclass(frozen=True, eq=False)
class MolGraphs:
    """``B`` molecules, packed. Not to be written to: arrays may be shared, or memory-mapped from a file."""

    atom_table: np.ndarray
    """Codes of the distinct atoms, sorted, shape ``(U, len(ATOM_FIELDS))``, uint8."""
    bond_table: np.ndarray
    """Codes of the distinct bonds, sorted, shape ``(T, len(BOND_FIELDS))``, uint8."""
    atom_types: np.ndarray
    """Row of each atom in ``atom_table``, shape ``(N,)``, uint8 to uint32."""
    bond_types: np.ndarray
    """Row of each bond in ``bond_table``, shape ``(M,)``."""
    begins: np.ndarray
    """First atom of each bond, counted within its molecule, shape ``(M,)``."""
    ends: np.ndarray
    """Second atom of each bond, counted within its molecule, shape ``(M,)``."""
    num_atoms: np.ndarray
    """Atoms of each molecule, shape ``(B,)``."""
    num_bonds: np.ndarray
    """Bonds of each molecule, shape ``(B,)``."""
    features: np.ndarray | None = None
    """What stands beside each graph, shape ``(B, F)``, float32; see :mod:`molmp.chem.molecule_features`."""
    bits: np.ndarray | None = None
    """Morgan bits, packed, shape ``(B, 256)``, uint8; see :func:`molmp.chem.similarity.morgan_bits`."""

    @classmethod
    def pack(
        cls, atoms: np.ndarray, bonds: np.ndarray, begins: np.ndarray, ends: np.ndarray,
        num_atoms: np.ndarray, num_bonds: np.ndarray, features: np.ndarray | None = None,
    ) -> Self:  # fmt: skip
        """Pack full code rows, ``atoms`` of shape ``(N, FA)`` and ``bonds`` of shape ``(M, FB)``.

        The result depends on the molecules alone, to the byte.
        """
        keys = row_keys(atoms, ATOM_FIELDS), row_keys(bonds, BOND_FIELDS)
        return cls.pack_keys(*keys, begins, ends, num_atoms, num_bonds, features)

    @classmethod
    def pack_keys(
        cls, atom_keys: np.ndarray, bond_keys: np.ndarray, begins: np.ndarray, ends: np.ndarray,
        num_atoms: np.ndarray, num_bonds: np.ndarray, features: np.ndarray | None = None,
    ) -> Self:  # fmt: skip
        """Pack rows given as their keys (:func:`molmp.chem.features.row_keys`), shapes ``(N,)`` and ``(M,)``."""
        atom_table, atom_types = distinct_rows(atom_keys, ATOM_FIELDS)
        bond_table, bond_types = distinct_rows(bond_keys, BOND_FIELDS)
        begins, ends = _smallest_together(begins, ends)
        return cls(
            atom_table, bond_table, _smallest(atom_types), _smallest(bond_types),
            begins, ends, _smallest(num_atoms), _smallest(num_bonds), features,
        )  # fmt: skip

    @classmethod
    def empty(cls) -> Self:
        """No molecules."""
        none = np.zeros(0, np.uint8)
        rows = np.zeros((0, len(ATOM_FIELDS)), np.uint8), np.zeros((0, len(BOND_FIELDS)), np.uint8)
        return cls.pack(*rows, none, none, none, none)

    @classmethod
    def concat(cls, parts: Iterable["MolGraphs"]) -> Self:
        """Put molecules one after the other; equal to packing them all at once."""
        parts = list(parts)
        if not parts:
            return cls.empty()
        beside = [[a for p in parts if (a := getattr(p, name)) is not None] for name in BESIDE]
        joined = {name: np.concatenate([getattr(p, name) for p in parts]) for name in ARRAYS[4:]}
        begins, ends = _smallest_together(joined["begins"], joined["ends"])
        atom_table, atom_types = merge_tables([p.atom_table for p in parts], [p.atom_types for p in parts], ATOM_FIELDS)
        bond_table, bond_types = merge_tables([p.bond_table for p in parts], [p.bond_types for p in parts], BOND_FIELDS)
        return cls(
            atom_table, bond_table, atom_types, bond_types,
            begins, ends, _smallest(joined["num_atoms"]), _smallest(joined["num_bonds"]),
            *(np.concatenate(arrays) if arrays else None for arrays in beside),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.num_atoms)

    def __repr__(self) -> str:
        return f"MolGraphs({len(self)} molecules, {len(self.atom_types)} atoms, {len(self.bond_types)} bonds)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MolGraphs):
            return NotImplemented
        mine, theirs = self._arrays(), other._arrays()
        return mine.keys() == theirs.keys() and all(
            np.array_equal(mine[name], theirs[name], equal_nan=name == "features") for name in mine
        )

    def _arrays(self) -> dict[str, np.ndarray]:
        return {name: array for name in (*ARRAYS, *BESIDE) if (array := getattr(self, name)) is not None}

    @cached_property
    def atom_offsets(self) -> np.ndarray:
        """Where the atoms of each molecule begin, and the end, shape ``(B + 1,)``, int64."""
        return _offsets(self.num_atoms)

    @cached_property
    def bond_offsets(self) -> np.ndarray:
        """Where the bonds of each molecule begin, and the end, shape ``(B + 1,)``, int64."""
        return _offsets(self.num_bonds)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays together."""
        return sum(array.nbytes for array in self._arrays().values())

    def select(self, rows: Sequence[int] | np.ndarray | slice) -> Self:
        """Return the molecules of ``rows``, in that order; repeats are allowed. Tables are kept whole."""
        rows = np.arange(len(self))[rows]
        atoms = _spans(self.atom_offsets[:-1][rows], self.num_atoms[rows])
        bonds = _spans(self.bond_offsets[:-1][rows], self.num_bonds[rows])
        return type(self)(
            self.atom_table, self.bond_table, self.atom_types[atoms], self.bond_types[bonds],
            self.begins[bonds], self.ends[bonds], self.num_atoms[rows], self.num_bonds[rows],
            *(None if (array := getattr(self, name)) is None else array[rows] for name in BESIDE),
        )  # fmt: skip

    def save(self, path: str | Path) -> None:
        """Write one file (safetensors layout); it appears complete or not at all."""
        arrays = {name: np.ascontiguousarray(array) for name, array in self._arrays().items()}
        temporary = f"{path}.tmp-{os.getpid()}-{secrets.token_hex(4)}"
        try:
            with open(temporary, "xb") as file:
                file.write(store_header(arrays))
                for array in by_width(arrays).values():
                    file.write(array.data if array.size else b"")
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None
        finally:
            Path(temporary).unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Memory-map a saved store: what is large is not read until it is used.

        Raises
        ------
        FileFormatError
            Not a store, damaged, or written with other features.
        """
        try:
            with open(path, "rb") as file:
                header_size = int.from_bytes(file.read(8), "little")
                if not 0 < header_size < 1 << 20:
                    raise ValueError("no header")
                header = json.loads(file.read(header_size))
            _check_metadata(path, header["__metadata__"])
            start = 8 + header_size
            # An empty file cannot be mapped, and a store of no molecules has no data.
            filled = os.path.getsize(path) > start
            data = np.memmap(path, np.uint8, "r", offset=start) if filled else np.zeros(0, np.uint8)
            names = [*ARRAYS, *(name for name in BESIDE if name in header)]
            graphs = cls(**{name: _view(data, header[name]) for name in names})
            graphs._check_shapes()
        except (ValueError, KeyError, TypeError) as error:
            raise FileFormatError(f"{path} is not a molmp graph store, or it is damaged: {error}") from None
        return graphs

    def _check_shapes(self) -> None:
        widths = self.atom_table.shape[1:], self.bond_table.shape[1:]
        if widths != ((len(ATOM_FIELDS),), (len(BOND_FIELDS),)):
            raise ValueError("its tables have another width")
        lengths = (len(self.atom_types), len(self.bond_types), len(self.begins), len(self.ends), len(self.num_atoms))
        atoms, bonds = int(self.num_atoms.sum(dtype=np.int64)), int(self.num_bonds.sum(dtype=np.int64))
        if lengths != (atoms, bonds, bonds, bonds, len(self.num_bonds)):
            raise ValueError("its arrays do not fit together")
        if any(array is not None and array.shape[:-1] != (len(self),) for array in (self.features, self.bits)):
            raise ValueError("its features do not fit its molecules")


def _columns() -> dict[str, list[str]]:
    return {"atom": column_names(ATOM_FIELDS), "bond": column_names(BOND_FIELDS)}


def _check_metadata(path: str | Path, metadata: dict[str, str]) -> None:
    if metadata["format"] != FORMAT:
        raise FileFormatError(f"{path} is a graph store of format {metadata['format']}; this molmp reads {FORMAT}")
    if json.loads(metadata["columns"]) != _columns():
        raise FileFormatError(f"{path} was made with other atom or bond features: featurize again")


def by_width(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays in the order of a store: wide numbers first, so that each begins at a multiple of its own width."""
    return dict(sorted(arrays.items(), key=lambda item: -item[1].itemsize))


def store_header(arrays: dict[str, np.ndarray]) -> bytes:
    """What a store begins with."""
    header: dict[str, Any] = {"__metadata__": {"format": FORMAT, "columns": json.dumps(_columns())}}
    end = 0
    for name, array in by_width(arrays).items():
        begin, end = end, end + array.nbytes
        dtype = f"{array.dtype.kind.upper()}{8 * array.itemsize}"
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _view(data: np.ndarray, entry: dict[str, Any]) -> np.ndarray:
    begin, end = entry["data_offsets"]
    if not 0 <= begin <= end <= len(data):
        raise ValueError(f"it should hold {end} bytes of data but holds {len(data)}")
    return data[begin:end].view(WIDTHS[entry["dtype"]]).reshape(entry["shape"])


def _offsets(counts: np.ndarray) -> np.ndarray:
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def _spans(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Concatenate the ranges ``starts[i] .. starts[i] + counts[i]``."""
    counts = counts.astype(np.int64)
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - counts), counts)


def _smallest(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, narrowest(int(values.max(initial=0))))


def _smallest_together(*arrays: np.ndarray) -> list[np.ndarray]:
    dtype = narrowest(max(int(array.max(initial=0)) for array in arrays))
    return [np.ascontiguousarray(array, dtype) for array in arrays]
