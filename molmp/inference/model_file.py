"""The model file: a folder with ``model.safetensors`` (weights) and ``model.json`` (all the rest). No pickle.

Numbers and strings only: loading a model runs no code that comes with it. Names, shapes, types and the hash of the
weights are checked before anything is built.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch.overrides import TorchFunctionMode

from molmp.errors import ConfigError, FileFormatError
from molmp.nn.model import MoleculeModel
from molmp.training.bundle import FORMAT, Bundle

__all__ = ["JSON_NAME", "WEIGHTS_NAME", "load_bundle", "save_bundle"]

JSON_NAME, WEIGHTS_NAME = "model.json", "model.safetensors"


def save_bundle(bundle: Bundle, folder: str | Path) -> None:
    """Write a model into ``folder``, which is made where it is missing; ``model.json`` comes last."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {f"member{i}.{n}": t.contiguous() for i, m in enumerate(bundle.members) for n, t in m.items()}
    raw = save(weights)
    _replace(folder / WEIGHTS_NAME, raw)
    document = bundle.to_dict() | {"weights_sha256": hashlib.sha256(raw).hexdigest()}
    _replace(folder / JSON_NAME, json.dumps(document, indent=1, allow_nan=False).encode())


def load_bundle(folder: str | Path) -> Bundle:
    """Read a model that :func:`save_bundle` wrote.

    Raises
    ------
    FileFormatError
        No model there, one of a newer format, or a damaged one.
    """
    folder = Path(folder)
    if folder.name == JSON_NAME:
        folder = folder.parent
    document = _read_json(folder)
    raw = _read(folder, WEIGHTS_NAME)
    if hashlib.sha256(raw).hexdigest() != document.get("weights_sha256"):
        raise FileFormatError(f"{folder / WEIGHTS_NAME} is damaged: its content does not match the hash in {JSON_NAME}")
    try:
        bundle = Bundle.from_dict(document, _members(load(raw), int(document["num_members"])))
        _check_weights(bundle)
    except FileFormatError as error:
        raise FileFormatError(f"{folder}: {error}") from None
    except (ConfigError, SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileFormatError(f"{folder / JSON_NAME} is damaged: {type(error).__name__} {error}") from None
    return bundle


def _read_json(folder: Path) -> dict[str, Any]:
    try:
        document = json.loads(_read(folder, JSON_NAME))
    except ValueError as error:
        raise FileFormatError(f"{folder / JSON_NAME} is damaged: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("format"), int):
        raise FileFormatError(f"{folder / JSON_NAME} is not a molmp model")
    if document["format"] > FORMAT:
        raise FileFormatError(
            f"{folder} has model format {document['format']}; this molmp reads up to {FORMAT}: pip install -U molmp"
        )
    return document


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        there = "there is no such folder" if not folder.exists() else f"it has no {name}"
        raise FileFormatError(f"{folder} is not a molmp model: {there}") from None


def _members(weights: Mapping[str, torch.Tensor], count: int) -> tuple[dict[str, torch.Tensor], ...]:
    members: list[dict[str, torch.Tensor]] = [{} for _ in range(count)]
    for name, tensor in weights.items():
        member, _, rest = name.partition(".")
        members[int(member.removeprefix("member"))][rest] = tensor
    return tuple(members)


def _check_weights(bundle: Bundle) -> None:
    with torch.device("meta"), _NoInitialWeights():
        expected = MoleculeModel(bundle.network, bundle.targets.num_outputs).state_dict()
    if not bundle.members:
        raise FileFormatError("it has no networks")
    for member in bundle.members:
        if differing := set(expected) ^ set(member):
            raise FileFormatError(f"weights and configuration differ in {sorted(differing)[0]!r}")
        for name, tensor in member.items():
            want = expected[name]
            if tensor.shape != want.shape or tensor.dtype != want.dtype:
                raise FileFormatError(
                    f"weight {name!r} is {tensor.dtype} {tuple(tensor.shape)}, not {want.dtype} {tuple(want.shape)}"
                )
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise FileFormatError(f"weight {name!r} is not finite")


class _NoInitialWeights(TorchFunctionMode):
    """Build networks without drawing their weights: on the meta device that would import torch's compiler first."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs or {})


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
