"""Boosted trees as a module that runs where the networks run: a sum of step functions of the features of a molecule.

Shapes: B molecules, F features, T trees, K nodes of all trees, O outputs.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from molmp.errors import FileFormatError
from molmp.nn.batch import GraphBatch

__all__ = ["TENSORS", "Trees", "features_of", "with_trees"]

TENSORS = {
    "feature": torch.int64, "threshold": torch.float64, "left": torch.int64, "value": torch.float64,
    "root": torch.int64, "output": torch.int64, "base": torch.float64,
}  # fmt: skip
"""What trees are made of; see :class:`Trees`."""

TOGETHER = 128
"""Trees walked at a time: what bounds the memory."""

MOST_DEPTH = 64
"""Steps from a root to a leaf beyond which trees are no design."""


class Trees(nn.Module):
    """``base + sum over trees of the value of the leaf that a molecule comes to``, for each output.

    A molecule goes from a node to ``left``, or to the node after that where its feature is above the threshold; a
    feature that is NaN counts as 0. A leaf leads to itself. Children come after their parents.

    Parameters
    ----------
    tensors
        ``feature``, ``threshold``, ``left`` and ``value`` of the nodes, shape ``(K,)``; ``root``, a node, and
        ``output`` of the trees, shape ``(T,)``; ``base`` of the outputs, shape ``(O,)``.

    Raises
    ------
    FileFormatError
        The tensors make no trees.

    Examples
    --------
    >>> inf = float("inf")
    >>> trees = Trees({
    ...     "feature": torch.tensor([1, 0, 0]), "threshold": torch.tensor([2.5, inf, inf]).double(),
    ...     "left": torch.tensor([1, 1, 2]), "value": torch.tensor([0.0, -1.0, 1.0]).double(),
    ...     "root": torch.tensor([0]), "output": torch.tensor([0]), "base": torch.tensor([0.5]).double(),
    ... })
    >>> trees.answer(torch.tensor([[9.0, 2.5], [9.0, 2.6], [9.0, float("nan")]])).flatten()
    tensor([-0.5000,  1.5000, -0.5000])
    """

    feature: Tensor
    threshold: Tensor
    left: Tensor
    value: Tensor
    root: Tensor
    output: Tensor
    base: Tensor

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        _check(tensors)
        for name in TENSORS:
            self.register_buffer(name, tensors[name])
        self.depth = _depth(tensors["root"], tensors["left"])

    def forward(self, batch: GraphBatch) -> Tensor:
        """Predict, shape ``(B, O)``."""
        x_BF = features_of(batch)
        return self.answer(x_BF.to(self.base.device)).to(x_BF.device)  # not every device has float64

    def answer(self, x_BF: Tensor) -> Tensor:
        """Predict from the features of molecules, shape ``(B, O)``, float32."""
        x_BF = torch.where(x_BF.isnan(), 0.0, x_BF)
        total_BO = self.base.unsqueeze(0).repeat(x_BF.shape[0], 1)
        for first in range(0, len(self.root), TOGETHER):
            some = slice(first, first + TOGETHER)
            node_BT = self.root[some].unsqueeze(0).repeat(x_BF.shape[0], 1)
            for _ in range(self.depth):
                goes_right_BT = x_BF.gather(1, self.feature[node_BT]) > self.threshold[node_BT]
                node_BT = self.left[node_BT] + goes_right_BT
            speaks_for_TO = self.output[some].unsqueeze(1) == torch.arange(len(self.base), device=x_BF.device)
            total_BO = total_BO + self.value[node_BT] @ speaks_for_TO.double()
        return total_BO.float()


def features_of(batch: GraphBatch) -> Tensor:
    """Features of the molecules of a batch, shape ``(B, F)``."""
    assert batch.features is not None, "trees come with models that read features"
    return batch.features


def with_trees(networks_EBO: Tensor, trees_SBO: Sequence[Tensor]) -> Tensor:
    """Put the outputs of each trees behind those of the networks that they stand beside, in equal shares of these.

    >>> with_trees(torch.tensor([[[1.0]], [[2.0]], [[3.0]], [[4.0]]]), torch.tensor([[[0.1]], [[0.2]]])).flatten()
    tensor([1.0000, 2.0000, 0.1000, 3.0000, 4.0000, 0.2000])
    """
    if not len(trees_SBO):
        return networks_EBO
    sets = networks_EBO.chunk(len(trees_SBO))
    return torch.cat([part for own, trees in zip(sets, trees_SBO, strict=True) for part in (own, trees.unsqueeze(0))])


def _check(tensors: Mapping[str, Tensor]) -> None:
    if differing := set(TENSORS) ^ set(tensors):
        raise FileFormatError(
            f"trees are made of {', '.join(TENSORS)}; there is a difference in {sorted(differing)[0]!r}"
        )
    for name, dtype in TENSORS.items():
        if tensors[name].dtype != dtype or tensors[name].dim() != 1:
            raise FileFormatError(f"{name!r} of trees is {tensors[name].dtype} of {tensors[name].dim()} dimensions")
    feature, threshold, left, value, root, output, base = (tensors[name] for name in TENSORS)
    number, here = len(left), torch.arange(len(left))
    leaf = left == here
    in_order = bool((leaf | ((left > here) & (left + 1 < number))).all())
    if not (len(feature) == len(threshold) == len(value) == number and len(root) == len(output) and in_order):
        raise FileFormatError("the nodes of trees are out of order")
    for name, numbers, most in (("feature", feature, None), ("root", root, number), ("output", output, len(base))):
        if bool((numbers < 0).any()) or (most is not None and bool((numbers >= most).any())):
            raise FileFormatError(f"{name!r} of trees is out of range")
    finite = value.isfinite().all() and base.isfinite().all() and threshold[~leaf].isfinite().all()
    if not (bool(finite) and bool((threshold[leaf] == torch.inf).all())):
        raise FileFormatError("a number of trees is not finite")


def _depth(root: Tensor, left: Tensor) -> int:
    """Steps from a root to its farthest leaf."""
    depth, nodes = 0, root
    while len(nodes := nodes[left[nodes] != nodes]):
        nodes = torch.cat([left[nodes], left[nodes] + 1]).unique()
        depth += 1
        if depth > MOST_DEPTH:
            raise FileFormatError(f"a tree has more than {MOST_DEPTH} levels")
    return depth
