"""A domain as one file: arrays of numbers and a header of JSON in the safetensors layout. Reading it runs no code."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from molmp.chem.features import ATOM_FIELDS, BOND_FIELDS, column_names
from molmp.chem.featurize import GraphOptions
from molmp.chem.similarity import SIZE
from molmp.errors import ConfigError, FileFormatError
from molmp.tables.write import atomic_path
from molmp.trust.domain import Domain
from molmp.trust.known import COUNTS, Known
from molmp.trust.learned import Learned

__all__ = ["DOMAIN_NAME", "domain_bytes", "load_domain", "read_domain", "save_domain"]

DOMAIN_NAME = "domain.safetensors"
"""What the file is called beside a model."""

FORMAT = "molmp-domain-1"


def save_domain(domain: Domain, path: str | Path) -> None:
    """Write a domain; the file appears complete or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(domain_bytes(domain))


def domain_bytes(domain: Domain) -> bytes:
    """What the file of a domain holds."""
    from safetensors.numpy import save

    texts = [name.encode("utf-8", "surrogateescape") for name in domain.names]
    arrays = {
        "bits": domain.bits,
        "names": np.frombuffer(b"".join(texts), np.uint8),
        "name_lengths": np.array([len(text) for text in texts], np.int32),
        "atom_codes": domain.known.atom_codes.astype(np.uint8),
        "bond_codes": domain.known.bond_codes.astype(np.uint8),
        "low": domain.known.low,
        "high": domain.known.high,
    }
    facts: dict[str, Any] = {"format": FORMAT, "columns": _columns(), "counts": list(COUNTS), "least": domain.least,
                             "options": domain.options.to_dict()}  # fmt: skip
    if domain.learned is not None:
        facts["most"] = domain.learned.most
        arrays |= {"points": domain.learned.points, "center": domain.learned.center, "scale": domain.learned.scale}
    if domain.labels is not None:
        arrays["labels"] = domain.labels
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    content: bytes = save(arrays, metadata={"molmp": json.dumps(facts)})
    return content


def load_domain(path: str | Path) -> Domain:
    """Read what :func:`save_domain` wrote.

    Raises
    ------
    FileFormatError
        No domain, a damaged one, or one made with other features of atoms and bonds.
    """
    try:
        return read_domain(Path(path).read_bytes(), path)
    except FileNotFoundError:
        raise FileFormatError(f"{path} is no domain: there is no such file") from None


def read_domain(raw: bytes, path: str | Path = DOMAIN_NAME) -> Domain:
    """Read what :func:`domain_bytes` gave; ``path`` is what messages call it. Raises :class:`FileFormatError`."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(raw)  # which checks the header
        header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
        facts = json.loads((header.get("__metadata__") or {})["molmp"])
        if facts["format"] != FORMAT:
            raise ValueError(f"its format is {facts['format']!r}, this molmp reads {FORMAT!r}")
        if facts["columns"] != _columns() or facts["counts"] != list(COUNTS):
            raise ValueError("it was made with other features of atoms or bonds")
        return _build(facts, arrays)
    except KeyError as error:
        raise FileFormatError(f"{path} is no domain of molmp, or it is damaged: it has no {error}") from None
    except (SafetensorError, ConfigError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise FileFormatError(f"{path} is no domain of molmp, or it is damaged: {error}") from None


def _build(facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> Domain:
    rows = len(arrays["name_lengths"])
    codes = facts["columns"]
    _expect(arrays["bits"], "bits", np.uint8, (rows, SIZE // 8))
    _expect(arrays["name_lengths"], "name_lengths", np.int32, (rows,))
    for name, columns in (("atom_codes", codes["atom"]), ("bond_codes", codes["bond"])):
        _expect(arrays[name], name, np.uint8, (len(columns),))
    for name in ("low", "high"):
        _expect(arrays[name], name, np.int64, (len(COUNTS),))
    if not rows or (arrays["name_lengths"] < 0).any():
        raise ValueError("it names no molecules")
    known = Known(arrays["atom_codes"] > 0, arrays["bond_codes"] > 0, arrays["low"], arrays["high"])
    learned = _learned(facts, arrays) if "most" in facts else None
    labels = arrays.get("labels")
    if labels is not None:
        _expect(labels, "labels", np.float32, (rows, labels.shape[-1] if labels.ndim else 0))
        if np.isinf(labels).any():
            raise ValueError("its labels are not finite")
    names = _names(arrays["names"], arrays["name_lengths"])
    options = GraphOptions.from_dict(facts["options"])
    return Domain(names, arrays["bits"], known, _finite(facts["least"]), learned, options, labels)


def _learned(facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> Learned:
    points = arrays["points"]
    _expect(points, "points", np.float32, (len(points), points.shape[-1]))
    for name in ("center", "scale"):
        _expect(arrays[name], name, np.float32, points.shape[1:])
    if not all(np.isfinite(arrays[name]).all() for name in ("points", "center", "scale")) or not len(points):
        raise ValueError("its learned fingerprints are not finite")
    if not (arrays["scale"] > 0).all():
        raise ValueError("a scale is not above 0")
    return Learned(points, arrays["center"], arrays["scale"], _finite(facts["most"]))


def _names(text: np.ndarray, lengths: np.ndarray) -> tuple[str, ...]:
    ends = np.cumsum(lengths, dtype=np.int64)
    _expect(text, "names", np.uint8, (int(ends[-1]),))
    raw = text.tobytes()
    starts = (ends - lengths).tolist()
    return tuple(raw[a:b].decode("utf-8", "surrogateescape") for a, b in zip(starts, ends.tolist(), strict=True))


def _expect(array: np.ndarray, name: str, dtype: type, shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(f"{name} is {array.dtype} {array.shape}, not {np.dtype(dtype)} {shape}")


def _finite(value: object) -> float:
    if type(value) not in (int, float) or not math.isfinite(float(value)):  # type: ignore[arg-type]
        raise ValueError(f"a threshold is {value!r}")
    return float(value)  # type: ignore[arg-type]


def _columns() -> dict[str, list[str]]:
    return {"atom": column_names(ATOM_FIELDS), "bond": column_names(BOND_FIELDS)}
