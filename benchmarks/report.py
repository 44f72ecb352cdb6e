"""make bench-report: the tables and the plot of the pages in docs from benchmarks/results.jsonl.

Text between ``<!-- table: NAME -->`` and ``<!-- end -->`` is replaced, everything else stays.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.frame import RESULTS, load
from benchmarks.tables import SOURCES, TABLES, Line, number, origin

__all__ = ["PAGES", "fill", "plot"]

PAGES = [RESULTS.parent.parent / "docs" / name for name in ("performance.md", "scaling.md")]

PLOT = PAGES[0].with_name("performance.svg")

ACCENT, MUTED = "#0b6e99", "#9aa5ad"


def main() -> None:
    found = load()
    for page in PAGES:
        page.write_text(fill(page.read_text("ascii"), found), "ascii")
    plot(found, PLOT)


def fill(text: str, found: Sequence[Line]) -> str:
    """Write every table into its place in the page.

    >>> fill("a <!-- table: gpu -->old<!-- end --> b", [])
    'a <!-- table: gpu -->\\n\\nNot measured yet.\\n\\n<!-- end --> b'
    """

    def table(match: re.Match[str]) -> str:
        name = match[1]
        mine = [line for line in found if line["benchmark"] in SOURCES.get(name, (name,))]
        content = f"{TABLES[name](mine)}\n\n{origin(mine)}" if mine else "Not measured yet."
        return f"<!-- table: {name} -->\n\n{content}\n\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+) -->.*?<!-- end -->", table, text, flags=re.DOTALL)


def plot(found: Sequence[Line], path: Path) -> None:
    """Bars on one page: a molecule featurized, a molecule predicted, a training step."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams |= {"svg.hashsalt": "molmp", "svg.fonttype": "none"}  # the same results, the same small file
    panels = [
        ("SMILES to graphs, us a molecule", 1e6, "featurize", {"molecules": "all", "environment": "peers"}),
        ("predict, whole process, us a molecule", 1e6, "predict", {"molecules": 20_000}),
        ("training step, batch 256, width 128, ms", 1e3, "step", {"batch": 256, "width": 128}),
    ]
    chosen = [(title, scale, _of(found, name, parameters)) for title, scale, name, parameters in panels]
    chosen = [panel for panel in chosen if panel[2]]
    figure, axes = pyplot.subplots(len(chosen), 1, figsize=(8, 2.6 * len(chosen)), layout="constrained", squeeze=False)
    for axis, (title, scale, bars) in zip(axes.flat, chosen, strict=True):
        bars.sort(key=lambda line: line["seconds"], reverse=True)
        colours = [ACCENT if line["subject"].startswith("molmp") else MUTED for line in bars]
        drawn = axis.barh([line["subject"] for line in bars], [line["seconds"] * scale for line in bars], color=colours)
        axis.bar_label(drawn, [number(line["seconds"] * scale) for line in bars], padding=3, fontsize=8)
        axis.margins(x=0.1)
        axis.set_title(f"{title} (CPU time, one thread; less is better)", fontsize=9, loc="left")
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


def _of(found: Sequence[Line], benchmark: str, parameters: Mapping[str, Any]) -> list[Line]:
    return [
        line for line in found if line["benchmark"] == benchmark and parameters.items() <= line["parameters"].items()
    ]


if __name__ == "__main__":
    main()
