"""Nested dicts and lists of numbers, texts and tensors, as bytes and back: safetensors and JSON, no pickle.

Layout: ``MAGIC``, the sha256 of the rest, the rest in safetensors' layout; all that is no tensor stands as JSON in the
metadata of its header.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from molmp.errors import FileFormatError

__all__ = ["digest", "from_bytes", "to_bytes"]

MAGIC = b"molmp-state-1\n"

HASH_SIZE = 32


def to_bytes(state: Any) -> bytes:
    """Write a tree; keys of dicts are texts or integers, tuples become lists, tensors go to the CPU.

    >>> from_bytes(to_bytes({"a": [1, 0.5, None], "b": {3: torch.ones(2)}}))
    {'a': [1, 0.5, None], 'b': {3: tensor([1., 1.])}}
    """
    tensors: dict[str, Tensor] = {}
    plain = _plain(state, tensors)
    content = save(tensors or {"": torch.zeros(0)}, {"state": json.dumps(plain)})
    return MAGIC + hashlib.sha256(content).digest() + content


def from_bytes(raw: bytes) -> Any:
    """Undo :func:`to_bytes`.

    Raises
    ------
    FileFormatError
        The bytes are no such tree, or damaged.
    """
    start = len(MAGIC) + HASH_SIZE
    content = raw[start:]
    if not raw.startswith(MAGIC) or hashlib.sha256(content).digest() != raw[len(MAGIC) : start]:
        raise FileFormatError("the content does not match its hash")
    try:
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return _tree(json.loads(header["__metadata__"]["state"]), load(content))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise FileFormatError(f"the content is no state: {error}") from None


def digest(*objects: Any) -> str:
    """Name data by its content: records, containers, arrays, numbers and texts, however deep.

    >>> digest({"a": np.arange(3)}) == digest({"a": np.arange(3)}), digest([1, 2]) == digest([2, 1])
    (True, False)
    """
    total = hashlib.sha256()
    for item in objects:
        _digest(item, total)
    return total.hexdigest()


def _plain(item: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(item, Tensor):
        name = str(len(tensors))
        tensors[name] = item.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(item, Mapping):
        return {"pairs": [[key, _plain(value, tensors)] for key, value in item.items()]}
    if isinstance(item, list | tuple):
        return [_plain(value, tensors) for value in item]
    return item


def _tree(plain: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(plain, list):
        return [_tree(value, tensors) for value in plain]
    if not isinstance(plain, dict):
        return plain
    if "tensor" in plain:
        return tensors[plain["tensor"]]
    return {key: _tree(value, tensors) for key, value in plain["pairs"]}


def _digest(item: Any, total: Any) -> None:
    if isinstance(item, np.ndarray) and item.dtype != object:  # mapped from a file or not
        total.update(f"{item.dtype.str}{item.shape}".encode())
        total.update(np.ascontiguousarray(item).data)
        return
    total.update(type(item).__name__.encode() + b"\0")
    if is_dataclass(item) and not isinstance(item, type):
        for field in fields(item):
            total.update(field.name.encode() + b"\0")
            _digest(getattr(item, field.name), total)
    elif isinstance(item, Mapping):
        total.update(f"{len(item)}".encode())
        for pair in item.items():
            _digest(pair, total)
    elif isinstance(item, list | tuple | np.ndarray):
        total.update(f"{len(item)}".encode())
        for value in item:
            _digest(value, total)
    else:
        text = repr(item).encode()
        total.update(f"{len(text)}:".encode() + text)
