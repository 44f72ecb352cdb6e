"""A trained model as one ONNX file, which runs where there is neither molmp's network nor torch.

Shapes: B molecules, N atoms, E directed bonds, T distinct bonds, O outputs of a network.
"""

import importlib.util
import json
import logging
import os
import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from molmp.chem.featurize import featurize
from molmp.chem.flat import onnx_inputs
from molmp.errors import ConfigError, FileFormatError, MissingExtraError
from molmp.inference.predictor import Predictor
from molmp.nn.autograd import plain_autograd
from molmp.nn.batch import GraphBatch, Level, Messages
from molmp.nn.beliefs import Belief
from molmp.nn.passing import layer_class
from molmp.nn.segment import Bags, Rows
from molmp.training.bundle import Bundle
from molmp.training.targets import Targets

__all__ = ["FlatModel", "export_onnx"]

PACKAGES = ("onnx", "onnxscript", "onnxruntime")

EXAMPLES = ("CC(=O)Oc1ccccc1C(=O)O", "C#N", "CCS", "[Na+].[Cl-]")
"""Molecules that the network is followed with; all sizes are at least 2, so that none passes for a constant."""

FIRST_AXES = {
    "atom_codes": "num_atoms", "atom_molecule": "num_atoms", "bond_codes": "num_bond_types", "edge_bond": "num_edges",
    "edge_source": "num_edges", "edge_target": "num_edges", "molecules": "num_molecules", "features": "num_molecules",
}  # fmt: skip
"""What the file says of the size of each input."""

TOLERANCE = 1e-4
"""Of an answer, relative to itself or to the spread of its target."""


def export_onnx(bundle: Bundle, path: str | Path) -> None:
    """Write a model as an ONNX file: all networks of the ensemble and trees, their mean by shares, in real units.

    Inputs are those of :func:`molmp.chem.flat.onnx_inputs`, of any number of molecules. For each target there is an
    output, float64: ``<target>_pred`` of shape ``(B,)`` in the target's unit, or the probability of its class 1; for
    targets of several classes ``<target>_prob`` of shape ``(B, classes)``. Where the loss learns them, there follows
    ``<target>_std`` of shape ``(B,)`` or ``<target>_quantiles`` of shape ``(B, quantiles)``, see
    :attr:`Targets.column_names`. What they mean is told by the entry ``molmp`` of the file's metadata, a JSON document.
    The file appears whole or not at all, and only after its answers were compared with torch's.

    Raises
    ------
    MissingExtraError
        One of the packages of the extra ``onnx`` is not installed.
    ConfigError
        The folder of ``path`` does not exist; or the model has positional encodings or states of directed bonds.
    FileFormatError
        The exported network does not answer as the model does.
    """
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, "onnx", "exporting to ONNX")
    if bundle.network.encodings:
        raise ConfigError(
            f"no ONNX file can be written of a model with positions {bundle.network.positions}: its inputs "
            "do not hold them"
        )
    if layer_class(bundle.network).directed:
        raise ConfigError(
            f"no ONNX file can be written of layer {bundle.network.layer_name}: which bonds lead to a bond "
            "is not among its inputs"
        )
    path = Path(path)
    if not path.parent.is_dir():
        raise ConfigError(f"cannot write {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise ConfigError(f"cannot write {path}: it is a folder")
    content = _onnx(bundle)
    _compare(bundle, content)
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class FlatModel(nn.Module):
    """All networks of a model, from the tensors of :func:`molmp.chem.flat.onnx_inputs` to predictions."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self.members = nn.ModuleList(bundle.voices())
        self.targets, self.steps = bundle.targets, bundle.network.steps

    def forward(
        self, atom_codes: Tensor, atom_molecule: Tensor, bond_codes: Tensor, edge_bond: Tensor, edge_source: Tensor,
        edge_target: Tensor, molecules: Tensor, features: Tensor | None = None,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """Predict; the tensors that :func:`export_onnx` tells, of all networks together."""
        num_atoms = atom_codes.shape[0]
        inbox = _OwnedBags.of(edge_target, num_atoms)
        owners = _OwnedBags.of(atom_molecule, molecules.shape[0])
        level = Level(Messages(Rows(edge_source, num_atoms), edge_bond, inbox), None, owners)
        batch = GraphBatch(atom_codes, bond_codes, None, (level,) * self.steps, owners, features)
        outputs_MBO = torch.stack([member(batch) for member in self.members]).double()
        return tuple(tensor for belief in self.targets.believe(outputs_MBO) for tensor in self._tensors(belief))

    def _tensors(self, belief: Belief) -> list[Tensor]:
        tensors = [belief.value]
        if self.targets.learns_spread:
            parts = [belief.epistemic] if self.targets.loss == "dirichlet" else [belief.aleatoric, belief.epistemic]
            tensors.append(torch.stack([part for part in parts if part is not None]).sum(0).sqrt())
        return tensors if belief.quantiles is None else [*tensors, belief.quantiles]


@dataclass(frozen=True, eq=False)
class _OwnedBags(Bags):
    """Bags whose owners are given and not worked out of offsets: no shape depends on what a tensor holds."""

    bag_of_entry: Tensor
    num: int

    @classmethod
    def of(cls, owner_K: Tensor, num: int) -> "_OwnedBags":
        everyone = torch.arange(owner_K.shape[0], device=owner_K.device)
        sizes = owner_K.new_zeros(num).index_add(0, owner_K, torch.ones_like(owner_K))
        offsets = torch.cat([owner_K.new_zeros(1), sizes.cumsum(0)])
        return cls(Rows(everyone, owner_K.shape[0]), offsets, owner_K, num)

    @property
    def num_bags(self) -> int:
        return self.num

    @property
    def owner(self) -> Tensor:
        return self.bag_of_entry


def _onnx(bundle: Bundle) -> bytes:
    inputs = onnx_inputs(featurize(EXAMPLES, bundle.options).graphs)
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    sizes = {name: torch.export.Dim(name) for name in set(FIRST_AXES.values())}
    axes = {name: {0: sizes[FIRST_AXES[name]]} for name in tensors}
    with plain_autograd(), torch.no_grad(), _silence():
        exported = torch.onnx.export(
            FlatModel(bundle).eval(), (), kwargs=tensors, dynamic_shapes=axes, dynamo=True, verbose=False,
            input_names=list(tensors), output_names=_output_names(bundle.targets),
        )  # fmt: skip
    assert exported is not None
    document = exported.model_proto
    document.metadata_props.add(key="molmp", value=json.dumps(_facts(bundle)))
    content: bytes = document.SerializeToString()
    return content


@contextmanager
def _silence() -> Iterator[None]:
    """Keep back what torch and its exporter say of themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _output_names(targets: Targets) -> list[str]:
    kinds = ["prob" if targets.task == "multiclass" else "pred"]
    kinds += ["std"] if targets.learns_spread else ["quantiles"] if targets.loss == "quantile" else []
    return [f"{name}_{kind}" for name in targets.names for kind in kinds]


def _facts(bundle: Bundle) -> dict[str, object]:
    names = ("format", "task", "loss", "quantiles", "targets", "features", "versions", "created")
    return {name: value for name, value in bundle.to_dict().items() if name in names}


def _compare(bundle: Bundle, content: bytes) -> None:
    """Let the file answer for a molecule of one atom and for several molecules."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    predictor = Predictor(bundle, "cpu")
    for smiles in (["C"], EXAMPLES[::-1]):
        featurized = featurize(smiles, bundle.options)
        answers = session.run(None, onnx_inputs(featurized.graphs))
        named = dict(zip(_output_names(bundle.targets), answers, strict=True))
        kind = "prob" if bundle.targets.task == "multiclass" else "pred"
        for target, value in zip(bundle.targets.items, predictor.answer(featurized).values, strict=True):
            answer = named[f"{target.name}_{kind}"]
            if not np.allclose(answer, value, rtol=TOLERANCE, atol=TOLERANCE * target.scale):
                raise FileFormatError(
                    f"{target.name} of {smiles}: the exported network gives {answer}, but the model gives {value}"
                )
