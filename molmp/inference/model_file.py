"""The model file: a folder with ``model.safetensors`` (weights) and ``model.json`` (all the rest). No pickle.

Numbers and strings only: loading a model runs no code that comes with it. Names, shapes, types and the hash of the
weights are checked before anything is built.
"""

import hashlib
import json
import math
import os
import re
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
from molmp.training.targets import Targets

__all__ = ["JSON_NAME", "WEIGHTS_NAME", "bundle_digest", "load_bundle", "save_bundle"]

JSON_NAME, WEIGHTS_NAME = "model.json", "model.safetensors"

_KINDS = {"data": dict, "metrics": dict, "versions": dict, "created": str}

_WEIGHT = re.compile(r"member([0-9]{1,6})\.(.+)")


def save_bundle(bundle: Bundle, folder: str | Path) -> None:
    """Write a model into ``folder``, which is made where it is missing; ``model.json`` comes last."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights, document = _contents(bundle)
    _replace(folder / WEIGHTS_NAME, weights)
    _replace(folder / JSON_NAME, document)


def bundle_digest(bundle: Bundle) -> str:
    """Name a model by the sha256 of what its file would hold."""
    return hashlib.sha256(_contents(bundle)[1]).hexdigest()  # which holds the hash of the weights


def load_bundle(folder: str | Path, layer: type | None = None) -> Bundle:
    """Read a model that :func:`save_bundle` wrote.

    Parameters
    ----------
    layer
        The class of its operator, where that is a class of one's own.

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
        weights = load(raw)
    except SafetensorError as error:
        raise FileFormatError(f"{folder / WEIGHTS_NAME} is damaged: {error}") from None
    try:
        for name, kind in _KINDS.items():
            if not isinstance(document[name], kind):
                raise TypeError(f"{name} is {document[name]!r}")
        bundle = Bundle.from_dict(document, _members(weights, document["num_members"]), layer)
        _check_targets(bundle.targets)
        _check_weights(bundle)
    except KeyError as error:
        raise FileFormatError(f"{folder / JSON_NAME} is damaged: it has no {error}") from None
    except FileFormatError as error:
        raise FileFormatError(f"{folder}: {error}") from None
    except (ConfigError, TypeError, ValueError, AttributeError) as error:  # what a document of any shape may cause
        raise FileFormatError(f"{folder / JSON_NAME} is damaged: {error}") from None
    return bundle


def _contents(bundle: Bundle) -> tuple[bytes, bytes]:
    """Weights and document as they are written."""
    weights = save({f"member{i}.{n}": t.contiguous() for i, m in enumerate(bundle.members) for n, t in m.items()})
    document = bundle.to_dict() | {"weights_sha256": hashlib.sha256(weights).hexdigest()}
    return weights, json.dumps(document, indent=1, allow_nan=False).encode()


def _read_json(folder: Path) -> dict[str, Any]:
    try:
        document = json.loads(_read(folder, JSON_NAME))
    except ValueError as error:
        raise FileFormatError(f"{folder / JSON_NAME} is damaged: {error}") from None
    if not isinstance(document, dict) or type(document.get("format")) is not int:
        raise FileFormatError(f"{folder / JSON_NAME} is not a molmp model")
    if not 1 <= document["format"] <= FORMAT:
        raise FileFormatError(
            f"{folder} has model format {document['format']}; this molmp reads up to {FORMAT}: pip install -U molmp"
        )
    return document


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        there = (
            f"it has no {name}" if folder.is_dir() else "it is a file" if folder.exists() else "there is no such folder"
        )
        raise FileFormatError(f"{folder} is not a molmp model: {there}") from None


def _members(weights: Mapping[str, torch.Tensor], count: object) -> tuple[dict[str, torch.Tensor], ...]:
    if type(count) is not int or not 1 <= count <= len(weights):
        raise FileFormatError(f"num_members is {count!r}, for {len(weights)} weights")
    members: list[dict[str, torch.Tensor]] = [{} for _ in range(count)]
    for name, tensor in weights.items():
        form = _WEIGHT.fullmatch(name)
        if form is None or int(form[1]) >= count:
            raise FileFormatError(f"{WEIGHTS_NAME} holds {name!r}, which belongs to none of the {count} networks")
        members[int(form[1])][form[2]] = tensor
    return tuple(members)


def _check_targets(targets: Targets) -> None:
    least = {"regression": 0, "binary": 2, "multiclass": 2}
    if targets.task not in least:
        raise FileFormatError(f"task is {targets.task!r}; there are {', '.join(least)}")
    if not targets.items:
        raise FileFormatError("it has no targets")
    for target in targets.items:
        if not isinstance(target.name, str) or not all(isinstance(name, str) for name in target.classes):
            raise FileFormatError(f"names of targets and classes are text, got {target.name!r}, {target.classes!r}")
        if len(target.classes) < least[targets.task]:
            raise FileFormatError(f"target {target.name!r} has {len(target.classes)} classes, for task {targets.task}")
        for number in (target.center, target.scale, 0.5 if target.threshold is None else target.threshold):
            if type(number) not in (int, float) or not math.isfinite(number):
                raise FileFormatError(f"the scaling of target {target.name!r} is {number!r}")


def _check_weights(bundle: Bundle) -> None:
    with torch.device("meta"), _NoInitialWeights():
        expected = MoleculeModel(bundle.network, bundle.targets.num_outputs).state_dict()
    for number, member in enumerate(bundle.members):
        if differing := set(expected) ^ set(member):
            raise FileFormatError(f"weights and configuration differ in {sorted(differing)[0]!r}")
        for name, tensor in member.items():
            _check_weight(f"weight {name!r} of member {number}", tensor, expected[name])


def _check_weight(what: str, tensor: torch.Tensor, want: torch.Tensor) -> None:
    if tensor.shape != want.shape or tensor.dtype != want.dtype:
        here, there = (f"{str(t.dtype).removeprefix('torch.')} {tuple(t.shape)}" for t in (tensor, want))
        raise FileFormatError(f"{what} is {here}, not {there}")
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise FileFormatError(f"{what} is not finite")


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
