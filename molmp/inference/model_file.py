"""The model file: a folder with ``model.safetensors`` (weights), ``domain.safetensors`` (what training knew) and
``model.json`` (all the rest). No pickle.

Numbers and strings only: loading a model runs no code that comes with it. Names, shapes, types and the hashes of the
other files are checked before anything is built.
"""

import hashlib
import json
import os
import re
import sys
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch.overrides import TorchFunctionMode

from molmp.errors import ConfigError, FileFormatError
from molmp.nn.model import MoleculeModel
from molmp.nn.trees import Trees
from molmp.tables.whole import write_whole
from molmp.training.bundle import FORMAT, Bundle
from molmp.training.targets import Target, Targets
from molmp.trust.domain_file import DOMAIN_NAME, domain_bytes, read_domain

__all__ = ["JSON_NAME", "WEIGHTS_NAME", "bundle_digest", "load_bundle", "save_bundle"]

JSON_NAME, WEIGHTS_NAME = "model.json", "model.safetensors"

_KINDS = {"data": dict, "metrics": dict, "versions": dict, "created": str}

_DATA = {"file": str, "rows": int, "sha256": str, "split_rows": dict, "learned_from": list, "start": str}

MOST_JSON = 1 << 26
"""Bytes of ``model.json``; a thousand times what one has."""

MOST_WIDTH, MOST_DEPTH = 1_000_000, 1_000
"""Numbers of a network beyond these are no design: they would fill the memory, or keep a processor busy for ever."""

ROUNDING = 1e-6
"""How far numbers that add up to 1 may be from it."""

_DEPTHS = ("steps", "readout_steps", "head_layers")

_WEIGHT = re.compile(r"(member|trees)([0-9]{1,6})\.(.+)")


def save_bundle(bundle: Bundle, folder: str | Path) -> None:
    """Write a model into ``folder``, which is made where it is missing; ``model.json`` comes last."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights, domain, document = _contents(bundle)
    write_whole(folder / WEIGHTS_NAME, weights)
    if domain is not None:
        write_whole(folder / DOMAIN_NAME, domain)
    write_whole(folder / JSON_NAME, document)
    if domain is None:
        (folder / DOMAIN_NAME).unlink(missing_ok=True)


def bundle_digest(bundle: Bundle) -> str:
    """Name a model by the sha256 of what its file would hold."""
    return hashlib.sha256(_contents(bundle)[-1]).hexdigest()  # which holds the hashes of the others


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
    raw = _read_hashed(folder, WEIGHTS_NAME, document.get("weights_sha256"))
    domain = None
    if (digest := document.get("domain_sha256")) is not None:
        domain = read_domain(_read_hashed(folder, DOMAIN_NAME, digest), folder / DOMAIN_NAME)
    try:
        weights = load(raw)
    except SafetensorError as error:
        raise FileFormatError(f"{folder / WEIGHTS_NAME} is damaged: {error}") from None
    try:
        for name, kind in _KINDS.items():
            if not isinstance(document[name], kind):
                raise TypeError(f"{name} is {document[name]!r}")
        _check_sizes(document["network"])
        _check_data(document["data"])
        _check_metrics(document["metrics"])
        members, trees = _voices(weights, document["num_members"], document.get("num_trees", 0))
        bundle = Bundle.from_dict(document, members, layer, domain, tuple(map(Trees, trees)))
        _check_targets(bundle.targets, len(members) + len(trees))
        _check_weights(bundle)
    except KeyError as error:
        raise FileFormatError(f"{folder / JSON_NAME} is damaged: it has no {error}") from None
    except FileFormatError as error:
        raise FileFormatError(f"{folder}: {error}") from None
    except (
        ConfigError,
        TypeError,
        ValueError,
        OverflowError,
        AttributeError,
    ) as error:  # what a document of any shape may cause
        raise FileFormatError(f"{folder / JSON_NAME} is damaged: {error}") from None
    return bundle


def _contents(bundle: Bundle) -> tuple[bytes, bytes | None, bytes]:
    """Weights, domain where there is one, and document as they are written."""
    tensors = {f"member{i}.{n}": t for i, member in enumerate(bundle.members) for n, t in member.items()}
    tensors |= {f"trees{i}.{n}": t for i, trees in enumerate(bundle.trees) for n, t in trees.named_buffers()}
    weights = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    document = bundle.to_dict() | {"weights_sha256": hashlib.sha256(weights).hexdigest()}
    domain = None if bundle.trust is None or bundle.trust.domain is None else domain_bytes(bundle.trust.domain)
    if domain is not None:
        document["domain_sha256"] = hashlib.sha256(domain).hexdigest()
    return weights, domain, json.dumps(document, indent=1, allow_nan=False).encode()


def _read_hashed(folder: Path, name: str, digest: object) -> bytes:
    path = folder / name
    with _open(folder, name) as file:
        size = os.fstat(file.fileno()).st_size
        if 2 * size > _memory():  # a file of zeros takes no room on a disk
            raise FileFormatError(f"{path} has {size:,} bytes, more than half of this machine's memory")
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            raise FileFormatError(f"{path} is damaged: its content does not match the hash in {JSON_NAME}")
        file.seek(0)
        return file.read()


def _memory() -> int:
    """Bytes of memory that the machine has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else sys.maxsize


def _read_json(folder: Path) -> dict[str, Any]:
    try:
        document = json.loads(_read_json_bytes(folder))
    except RecursionError:
        raise FileFormatError(f"{folder / JSON_NAME} is damaged: it is nested too deeply") from None
    except ValueError as error:
        raise FileFormatError(f"{folder / JSON_NAME} is damaged: {error}") from None
    if not isinstance(document, dict) or type(document.get("format")) is not int:
        raise FileFormatError(f"{folder / JSON_NAME} is not a molmp model")
    if not 1 <= document["format"] <= FORMAT:
        raise FileFormatError(
            f"{folder} has model format {document['format']}; this molmp reads up to {FORMAT}: pip install -U molmp"
        )
    return document


def _read_json_bytes(folder: Path) -> bytes:
    with _open(folder, JSON_NAME) as file:
        if os.fstat(file.fileno()).st_size > MOST_JSON:
            raise FileFormatError(f"{folder / JSON_NAME} is damaged: it has more than {MOST_JSON:,} bytes")
        return file.read()


def _open(folder: Path, name: str) -> BufferedReader:
    path = folder / name
    if path.exists() and not path.is_file():  # a pipe or a device has no end
        raise FileFormatError(f"{path} is no regular file")
    try:
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        there = (
            f"it has no {name}" if folder.is_dir() else "it is a file" if folder.exists() else "there is no such folder"
        )
        raise FileFormatError(f"{folder} is not a molmp model: {there}") from None


Weights = tuple[dict[str, torch.Tensor], ...]


def _voices(weights: Mapping[str, torch.Tensor], members: object, trees: object) -> tuple[Weights, Weights]:
    """The tensors of each network, and of the trees beside the networks of each fold."""
    if type(members) is not int or not 1 <= members <= len(weights):
        raise FileFormatError(f"num_members is {members!r}, for {len(weights)} weights")
    if type(trees) is not int or not 0 <= trees <= members or (trees and members % trees):
        raise FileFormatError(f"num_trees is {trees!r}, for {members} networks")
    found: dict[str, Weights] = {
        kind: tuple({} for _ in range(count)) for kind, count in (("member", members), ("trees", trees))
    }
    for name, tensor in weights.items():
        form = _WEIGHT.fullmatch(name)
        if form is None or int(form[2]) >= len(found[form[1]]):
            raise FileFormatError(f"{WEIGHTS_NAME} holds {name!r}, which belongs to none of the {members} networks")
        found[form[1]][int(form[2])][form[3]] = tensor
    return found["member"], found["trees"]


def _check_sizes(network: Mapping[str, Any]) -> None:
    for name, value in network.items():
        most = MOST_DEPTH if name in _DEPTHS else MOST_WIDTH
        if type(value) in (int, float) and not abs(value) <= most:
            raise ValueError(f"{name} of the network is {value!r}, more than {most:,}")


def _check_data(data: Mapping[str, Any]) -> None:
    for name, value in data.items():
        if not isinstance(value, _DATA.get(name, object)):
            raise TypeError(f"{name} of the data is {value!r}")
    if not all(type(rows) is int for rows in data.get("split_rows", {}).values()):
        raise TypeError(f"split_rows of the data is {data['split_rows']!r}")


def _check_metrics(metrics: Mapping[str, Any]) -> None:
    for part in ("train", "val", "test"):
        scores = metrics.get(part, {})
        if not isinstance(scores, dict) or not all(type(n) in (int, float, type(None)) for n in scores.values()):
            raise TypeError(f"{part} of the metrics is {scores!r}")


def _check_targets(targets: Targets, networks: int) -> None:
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
        scaling = [target.center, target.scale]
        if target.transform is not None:
            scaling += [number for name, number in vars(target.transform).items() if (name, number) != ("power", None)]
        for number in scaling:
            if type(number) not in (int, float) or not abs(number) < 1 << 53:
                raise FileFormatError(f"the scaling of target {target.name!r} is {number!r}")
        _check_shares(target, networks)
        if target.threshold is not None:
            if type(target.threshold) not in (int, float) or not 0 <= target.threshold <= 1:
                raise FileFormatError(f"the threshold of target {target.name!r} is {target.threshold!r}")
            if targets.task != "binary":
                raise FileFormatError(f"target {target.name!r} has a threshold, for task {targets.task}")


def _check_shares(target: Target, networks: int) -> None:
    """None, or numbers of 0 to 1 that add up to 1, for the networks of each fold and the trees beside them."""
    shares = target.shares
    numbers = all(type(share) in (int, float) and 0 <= share <= 1 for share in shares)
    if shares and (not numbers or networks % len(shares) or abs(sum(shares) - 1) > ROUNDING):
        raise FileFormatError(f"the shares of {networks} networks in target {target.name!r} are {list(shares)!r}")


def _check_weights(bundle: Bundle) -> None:
    with torch.device("meta"), _NoInitialWeights():
        model = MoleculeModel(bundle.network, bundle.targets.num_outputs)
    expected, domain = model.state_dict(), None if bundle.trust is None else bundle.trust.domain
    if domain is not None and domain.learned is not None and len(domain.learned.center) != model.fingerprint_width:
        widths = len(domain.learned.center), model.fingerprint_width
        raise FileFormatError(f"{DOMAIN_NAME} has learned fingerprints of width {widths[0]}, the network {widths[1]}")
    for number, member in enumerate(bundle.members):
        if differing := set(expected) ^ set(member):
            raise FileFormatError(f"weights and configuration differ in {sorted(differing)[0]!r}")
        for name, tensor in member.items():
            _check_weight(f"weight {name!r} of member {number}", tensor, expected[name])
    for trees in bundle.trees:
        if len(trees.base) != bundle.targets.num_outputs:
            raise FileFormatError(f"its trees have {len(trees.base)} outputs, not {bundle.targets.num_outputs}")
        if len(trees.feature) and int(trees.feature.max()) >= bundle.network.num_features:
            raise FileFormatError(f"its trees read a feature beyond the {bundle.network.num_features} there are")


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
