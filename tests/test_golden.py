"""A model that an earlier molmp trained: what it says of a hundred molecules must not move.

``tests/golden`` holds the model and ``predictions.csv``. It was made by ``molmp train data/sulfonamides.csv --hidden 8
--epochs 8 --ensemble 2``, and stays as it is when defaults change: a model carries its own configuration.
"""

import csv
from pathlib import Path

import numpy as np

from molmp.inference.predictor import load
from molmp.inference.tables import predict_table

GOLDEN = Path(__file__).parent / "golden"


def test_predictions_do_not_move() -> None:
    predictor = load(GOLDEN, "cpu")
    (target,) = predictor.bundle.targets.items
    with (GOLDEN / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 100
    want = np.array([float(row["prediction"]) for row in rows])
    assert want.std() > 0.1 * target.scale
    table = predictor.predict([row["smiles"] for row in rows])
    np.testing.assert_allclose(table[f"{target.name}_pred"], want, rtol=0, atol=2e-5 * target.scale)


def test_the_file_of_predictions_does_not_move(tmp_path: Path) -> None:
    """Through the command's own path: as many digits, the same columns."""
    predictor = load(GOLDEN, "cpu")
    predict_table(predictor, GOLDEN / "predictions.csv", tmp_path / "out.csv", columns=["smiles"])
    with (tmp_path / "out.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    (target,) = predictor.bundle.targets.names
    assert [*header[:2], header[-1]] == ["smiles", f"{target}_pred", "error"]
    assert len(rows) == 100
    assert not any(row[-1] for row in rows)
