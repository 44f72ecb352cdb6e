"""What each network of an ensemble sees beside the graph: networks that see different things err in different ways."""

import numpy as np

from molmp.chem.molecule_features import feature_columns

__all__ = ["seen"]


def seen(kind: str, views: str, member: int) -> np.ndarray:
    """Which of the features a network sees, in the order of their columns, shape ``(F,)``.

    Parameters
    ----------
    kind
        The features that there are, one of :data:`~molmp.chem.molecule_features.FEATURES`.
    views
        ``all``: each network sees all of them. ``mixed``: the first all, the second none, the third all but the Morgan
        counts (where there is nothing else, all), and so on from the start.
    member
        The network, counted from 0.

    >>> [int(seen("descriptors+morgan", "mixed", member).sum()) for member in range(4)]
    [1115, 0, 91, 1115]
    """
    columns = np.array(feature_columns(kind), dtype=object)
    turn = 0 if views == "all" else member % 3
    counts = np.array([name.startswith("morgan_") for name in columns], dtype=bool)
    if turn == 1:
        return np.zeros(len(columns), bool)
    return ~counts if turn == 2 and not counts.all() else np.ones(len(columns), bool)
