"""Molecules as plain tensors, the inputs of an exported network: NumPy alone, no torch.

Shapes: B molecules, N atoms, E directed bonds, T distinct bonds.
"""

import numpy as np

from molmp.chem.graphs import MolGraphs

__all__ = ["onnx_inputs"]


def onnx_inputs(graphs: MolGraphs) -> dict[str, np.ndarray]:
    """Make what a network needs that `molmp export` wrote.

    Returns
    -------
    ``atom_codes``
        Row of codes of each atom, shape ``(N, len(ATOM_FIELDS))``.
    ``atom_molecule``
        The molecule of each atom, ascending, shape ``(N,)``.
    ``bond_codes``
        Row of codes of each distinct bond, shape ``(T, len(BOND_FIELDS))``.
    ``edge_bond``
        The row of ``bond_codes`` of each directed bond, shape ``(E,)``.
    ``edge_source``, ``edge_target``
        The atoms that each directed bond leads from and to, shape ``(E,)``, targets ascending. Each bond is there in
        both directions.
    ``molecules``
        Zeros of shape ``(B, 1)``, which tell the number of molecules; float32.
    ``features``
        What stands beside each graph, where there is anything, shape ``(B, F)``; float32.

    All others are int64.

    Examples
    --------
    >>> from molmp.chem.featurize import featurize
    >>> inputs = onnx_inputs(featurize(["CC", "O"]).graphs)
    >>> inputs["atom_molecule"], inputs["edge_source"], inputs["edge_target"]
    (array([0, 0, 1]), array([1, 0]), array([0, 1]))
    """
    first_atoms = np.repeat(graphs.atom_offsets[:-1], graphs.num_bonds)
    begins, ends = first_atoms + graphs.begins, first_atoms + graphs.ends
    targets = np.concatenate([ends, begins])
    order = np.argsort(targets, kind="stable")
    used, types = np.unique(graphs.bond_types, return_inverse=True)
    return {
        "atom_codes": graphs.atom_table[graphs.atom_types].astype(np.int64),
        "atom_molecule": np.repeat(np.arange(len(graphs)), graphs.num_atoms),
        "bond_codes": graphs.bond_table[used].astype(np.int64),
        "edge_bond": np.tile(types.astype(np.int64), 2)[order],
        "edge_source": np.concatenate([begins, ends])[order],
        "edge_target": targets[order],
        "molecules": np.zeros((len(graphs), 1), np.float32),
    } | ({} if graphs.features is None else {"features": np.array(graphs.features)})
