"""The trust benchmark: its figures, its file, what counts as reached, and the tables that are made from it."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import trust, trust_report  # noqa: E402
from benchmarks.frame import load  # noqa: E402
from benchmarks.neighbours import MOLMP  # noqa: E402
from benchmarks.tables import fill_tables  # noqa: E402
from molmp.nn.config import ModelConfig  # noqa: E402
from molmp.training.config import TrainConfig  # noqa: E402


def test_a_line_has_the_fields_of_the_schema_and_is_found_again(tmp_path, monkeypatch):
    monkeypatch.setattr(trust, "versions_of", lambda python: {"molmp": "0.1.0"})
    rings = ("C1CC1", "C1CCC1", "C1CCCC1", "c1ccccc1", "c1ccncc1", "c1ccoc1", "c1ccsc1", "C1CCNCC1", "C1CCOC1", "C1CN1")
    rows = [f"{'C' * n}{ring},{n},{'test' if n % 5 == 0 else 'train'}" for n in range(1, 13) for ring in rings]
    (tmp_path / "esol.csv").write_text("\n".join(["smiles,logs,split", *rows]) + "\n")
    small = {"network": ModelConfig(hidden=8, steps=2), "training": TrainConfig(epochs=1, ensemble=2, seed=1)}
    row = trust.measure(trust.load_task("esol", tmp_path), 1, **small)
    assert list(row) == list(trust.SCHEMA)
    assert all(isinstance(row[name], kind) for name, kind in trust.SCHEMA.items())
    path = tmp_path / "rows.jsonl"
    trust.save_row(row | {"target": "before"}, path)
    trust.save_row(row, path)
    rows = trust.load_rows(path)
    assert rows == [json.loads(json.dumps(row))]
    trust.save_row(row | {"set": "bace"}, path)
    trust.save_row(row | {"target": "again"}, path)
    assert [(row["set"], row["target"]) for row in trust.load_rows(path)] == [("bace", "logs"), ("esol", "again")]
    assert trust.is_there(rows, "esol", 1)
    assert not trust.is_there(rows, "esol", 2)
    assert not trust.is_there([row | {"settings": {}}], "esol", 1)


def test_figures_of_classes():
    columns = {
        "y_pred": np.array([0.9, 0.6, 0.2, 0.4]), "y_calibrated": np.array([0.8, 0.5, 0.1, 0.3]),
        "y_set": np.array(["yes", "no|yes", "none", "no"], object), "in_domain": np.array(["yes", "no", "yes", "no"]),
    }  # fmt: skip
    found = trust.figures("binary", np.array([1.0, 0.0, 0.0, 1.0]), columns, "y", ("no", "yes"))
    assert (found["error"], found["error_in"], found["error_out"], found["error_half"]) == (0.5, 0.0, 1.0, 0.0)
    assert (found["coverage"], found["coverage_in"], found["set_size"]) == (0.5, 0.5, 1.0)
    assert found["ece"] == pytest.approx(np.mean([0.2, 0.5, 0.1, 0.7]))
    assert found["spearman"] == 1.0


def test_figures_leave_out_molecules_without_label():
    columns = {"y_pred": np.zeros(3), "y_low": -np.ones(3), "y_high": np.ones(3), "in_domain": np.array(["yes"] * 3)}
    found = trust.figures("regression", np.array([0.5, np.nan, 2.0]), columns, "y")
    assert (found["count"], found["coverage"], found["error_out"], found["coverage_out"]) == (2, 0.5, None, None)
    assert found["spearman"] is None  # all intervals are of one width


def line(name, seed, **figures):
    found = {"count": 10, "count_in": 8, "width": 1.0, "error": 1.0, "error_in": 0.9, "error_out": 1.2,
             "error_half": 0.5, "coverage": 0.9, "coverage_in": 0.91, "coverage_out": 0.8, "spearman": 0.3}  # fmt: skip
    return {"set": name, "seed": seed, "task": "regression", "figures": found | figures, "predict_us": 100.0,
            "settings": {}, "sizes": {"val": 10}, "predict_trust_us": 150.0, "train_cpu_s": 9.0,
            "date": "2026-11-21", "commit": "abc", "machine": {"cpu": "c", "cores": 2, "os": "o"}}  # fmt: skip


def test_aims_are_judged_by_the_mean_over_the_seeds():
    assert trust_report.aims([line("esol", 0), line("esol", 1)]) == (True, True, True)
    assert trust_report.aims([line("esol", 0, coverage_in=0.99)]) == (False, True, True)
    assert trust_report.aims([line("esol", 0, error_in=1.3)]) == (True, False, True)
    assert trust_report.aims([line("esol", 0, error_half=0.76)]) == (True, True, False)
    assert trust_report.aims([line("esol", s, error_half=e) for s, e in ((0, 0.9), (1, 0.5))]) == (True, True, True)


def test_tables_tell_misses():
    made = trust_report.tables([line("esol", 0, error_half=0.9), line("esol", 1, error_half=0.8)])
    assert "| esol | yes | yes | **no** |" in made["aims"]
    assert made["aims"].endswith("Of 1 sets 1, 1, 0 reach the one, the other and the third; 0 reach all three.")
    assert "0.850 +- 0.071 | -15 % |" in made["errors"]
    assert "| esol | 9 | 100 | 150 | +50% |" in made["cost"]
    assert "| esol | 2 | 10 | 80% |" in made["coverage"]
    assert f" | +- {(0.09 * (1 / 8 + 1 / 10) / 2) ** 0.5:.3f} | " in made["coverage"]
    assert "2026-11-21 (abc)" in made["origin"]
    filled = fill_tables("a\n<!-- table: cost -->\nold\n<!-- end -->\nb", made)
    assert filled == f"a\n<!-- table: cost -->\n\n{made['cost']}\n\n<!-- end -->\nb"


@pytest.mark.parametrize("row", trust.load_rows(), ids=lambda row: f"{row['set']}-{row['seed']}")
def test_committed_rows_keep_to_the_schema(row):
    assert list(row) == list(trust.SCHEMA)
    assert all(isinstance(row[name], kind) for name, kind in trust.SCHEMA.items())
    assert row["set"] in trust.SETS


def test_page_is_made_from_the_committed_rows():
    page = trust_report.PAGE.read_text("ascii")
    assert fill_tables(page, trust_report.tables(trust.load_rows()) | trust_report.neighbours(load())) == page


def test_rows_of_different_settings_are_not_mixed():
    old = [{**line(name, seed, error=9.0), "settings": {"epochs": 1}} for name in ("esol", "bace") for seed in (0, 1)]
    made = trust_report.tables([*old, line("esol", 0)])["errors"]
    assert "| esol | RMSE | 0.900 | 1.200 | 1.000 |" in made
    assert "| bace (recipe before) | RMSE | 0.900 +- 0.000 | 1.200 +- 0.000 | 9.000 +- 0.000 |" in made


def test_search_is_told_smallest_first():
    common = {"benchmark": "neighbours", "subject": MOLMP, "seconds": 5e-4, "ratio": 0.1, "date": "d", "commit": "c",
              "machine": {"cpu": "c", "cores": 2, "os": "o"},
              "facts": {"bytes_per_molecule": 518, "build_us_per_molecule": 16.0}}  # fmt: skip
    found = [{**common, "parameters": {"molecules": count}} for count in (100_000, 1_000)]
    table = trust_report.neighbours(found)["neighbours"]
    assert table.index("| 1,000 | 500 us | 0.100 | 518 | 16.0 us |") < table.index("| 100,000 |")
    assert trust_report.neighbours([]) == {"neighbours": "Not measured yet."}
