"""Nested records of tensors, sent to a device in one piece for each kind of number."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from molmp.nn.device import send

__all__ = ["send_record"]

T = TypeVar("T")


def send_record(record: T, device: torch.device) -> T:
    """Return a copy of a dataclass of tensors, tuples and dataclasses on ``device``; what is shared stays shared.

    >>> from molmp.nn.segment import Rows
    >>> send_record(Rows(torch.tensor([1]), 2), torch.device("cpu"))
    Rows(index=tensor([1]), num_rows=2, member=None)
    """
    tensors: dict[int, Tensor] = {}
    _rebuild(record, lambda t: tensors.setdefault(id(t), t), {})
    moved: dict[int, Tensor] = {}
    for dtype in dict.fromkeys(t.dtype for t in tensors.values()):
        alike = {i: t for i, t in tensors.items() if t.dtype == dtype}
        packed = torch.cat([t.flatten() for t in alike.values()])
        pieces = send(packed, device).split([t.numel() for t in alike.values()])
        moved |= {i: piece.view(t.shape) for (i, t), piece in zip(alike.items(), pieces, strict=True)}
    copy: T = _rebuild(record, lambda t: moved[id(t)], {})
    return copy


def _rebuild(value: Any, move: Callable[[Tensor], Tensor], seen: dict[int, Any]) -> Any:
    if id(value) not in seen:
        if isinstance(value, Tensor):
            seen[id(value)] = move(value)
        elif isinstance(value, tuple):
            seen[id(value)] = tuple(_rebuild(v, move, seen) for v in value)
        elif is_dataclass(value) and not isinstance(value, type):
            parts = {f.name: _rebuild(getattr(value, f.name), move, seen) for f in fields(value)}
            seen[id(value)] = replace(value, **parts)
        else:
            return value
    return seen[id(value)]
