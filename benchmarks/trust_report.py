"""make bench-trust-report: the tables of docs/trust.md from trust.jsonl and, of the search, results.jsonl.

Text between ``<!-- table: NAME -->`` and ``<!-- end -->`` is replaced, everything else stays.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.frame import load
from benchmarks.neighbours import MOLMP
from benchmarks.tables import fill_tables, markdown, number, origin
from benchmarks.trust import COVERAGE, RESULTS, SETS, is_made_with, load_rows

__all__ = ["PAGE", "aims", "tables"]

PAGE = RESULTS.parent.parent / "docs" / "trust.md"

LEAST_GAIN = 0.25
"""How much less error the surest half is to have than all."""

Row = Mapping[str, Any]


def main() -> None:
    PAGE.write_text(fill_tables(PAGE.read_text("ascii"), tables(load_rows()) | neighbours(load())), "ascii")


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """All tables of the page by name."""
    if not rows:
        return dict.fromkeys(("coverage", "errors", "aims", "cost", "origin"), "Not measured yet.")
    by_set = dict(_rows_by_set(rows))
    return {
        "coverage": _coverage(by_set),
        "errors": _errors(by_set),
        "aims": _aims(by_set),
        "cost": _cost(by_set),
        "origin": origin(rows),
    }


def _rows_by_set(rows: Sequence[Row]) -> Iterator[tuple[str, Sequence[Row]]]:
    """Rows by set, those that were made with the settings of the last row; sets that have none of these are marked."""
    for name in SETS:
        mine = [row for row in rows if row["set"] == name]
        current = [row for row in mine if is_made_with(row, rows[-1]["settings"])]
        if mine:
            yield (name, current) if current else (f"{name} (recipe before)", mine)


def aims(rows: Sequence[Row]) -> tuple[bool, bool, bool]:
    """What the runs of a set reach on average: coverage within 5 %, less error in domain, a surer half."""
    covered, inside, outside, every, half = (
        _mean(rows, name) for name in ("coverage_in", "error_in", "error_out", "error", "error_half")
    )
    return abs(covered - COVERAGE) <= 0.05, inside < outside, half <= (1 - LEAST_GAIN) * every


def neighbours(found: Sequence[Row]) -> dict[str, str]:
    """The table of the search for the nearest molecules, by name."""
    mine = [line for line in found if line["benchmark"] == "neighbours" and line["subject"] == MOLMP]
    if not mine:
        return {"neighbours": "Not measured yet."}
    lines = [
        [f"{line['parameters']['molecules']:,}", f"{number(1e6 * line['seconds'])} us", f"{number(line['ratio'])}",
         f"{line['facts']['bytes_per_molecule']:,}", f"{number(line['facts']['build_us_per_molecule'])} us"]
        for line in sorted(mine, key=lambda line: int(line["parameters"]["molecules"]))
    ]  # fmt: skip
    header = ["training molecules", "a query", "x RDKit's similarities", "bytes each in memory", "to build, each"]
    return {"neighbours": f"{markdown(header, lines)}\n\n{origin(mine)}"}


def _coverage(by_set: Mapping[str, Sequence[Row]]) -> str:
    lines = [
        [name, str(len(rows)), _cell(rows, "count", 0), _share(rows), _cell(rows, "coverage_in"),
         _chance(rows), _cell(rows, "coverage_out"), _cell(rows, "coverage"),
         _cell(rows, "width" if _numbers(rows) else "set_size")]
        for name, rows in by_set.items()
    ]  # fmt: skip
    header = ["set", "seeds", "test molecules", "in domain", "coverage in domain", "by chance", "out of it", "all",
              "mean width, or classes of a set"]  # fmt: skip
    return markdown(header, lines)


def _errors(by_set: Mapping[str, Sequence[Row]]) -> str:
    lines = [
        [name, "RMSE" if _numbers(rows) else "wrong", _cell(rows, "error_in"), _cell(rows, "error_out"),
         _cell(rows, "error"), _cell(rows, "error_half"),
         f"{100 * (_mean(rows, 'error_half') / _mean(rows, 'error') - 1):+.0f} %", _cell(rows, "spearman", 2),
         "" if _numbers(rows) else f"{_mean(rows, 'ece_uncalibrated'):.3f} to {_mean(rows, 'ece'):.3f}"]
        for name, rows in by_set.items()
    ]  # fmt: skip
    header = ["set", "error", "in domain", "out of it", "all", "surest half", "change", "Spearman", "ECE"]
    return markdown(header, lines)


def _aims(by_set: Mapping[str, Sequence[Row]]) -> str:
    reached = {name: aims(rows) for name, rows in by_set.items()}
    lines = [[name, *("yes" if one else "**no**" for one in each)] for name, each in reached.items()]
    table = markdown(["set", "coverage in domain 85 to 95 %", "less error in domain", "surest half 25 % less"], lines)
    counts = ", ".join(str(sum(column)) for column in zip(*reached.values(), strict=True))
    every = sum(map(all, reached.values()))
    return (
        f"{table}\n\nOf {len(reached)} sets {counts} reach the one, the other and the third; {every} reach all three."
    )


def _cost(by_set: Mapping[str, Sequence[Row]]) -> str:
    lines = []
    for name, rows in by_set.items():
        bare, whole = (float(np.mean([row[field] for row in rows])) for field in ("predict_us", "predict_trust_us"))
        trained = float(np.mean([row["train_cpu_s"] for row in rows]))
        lines.append([name, f"{trained:.0f}", f"{bare:.0f}", f"{whole:.0f}", f"{(whole - bare) / bare:+.0%}"])
    return markdown(["set", "training, CPU s", "a molecule, us", "with trust, us", "more"], lines)


def _numbers(rows: Sequence[Row]) -> bool:
    return bool(rows[0]["task"] == "regression")


def _values(rows: Sequence[Row], figure: str) -> list[float]:
    return [row["figures"][figure] for row in rows if row["figures"][figure] is not None]


def _mean(rows: Sequence[Row], figure: str) -> float:
    values = _values(rows, figure)
    return float(np.mean(values)) if values else float("nan")


def _share(rows: Sequence[Row]) -> str:
    return f"{np.mean([row['figures']['count_in'] / row['figures']['count'] for row in rows]):.0%}"


def _chance(rows: Sequence[Row]) -> str:
    """Standard error of the mean coverage in domain, were it :data:`COVERAGE`, by the molecules that it comes from."""
    each = [1 / max(row["figures"]["count_in"], 1) + 1 / row["sizes"]["val"] for row in rows]
    return f"+- {np.sqrt(COVERAGE * (1 - COVERAGE) * np.mean(each) / len(rows)):.3f}"


def _cell(rows: Sequence[Row], figure: str, digits: int = 3) -> str:
    values = _values(rows, figure)
    if not values:
        return ""
    spread = f" +- {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 and digits else ""
    return f"{np.mean(values):.{digits}f}{spread}"


if __name__ == "__main__":
    main()
