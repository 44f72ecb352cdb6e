"""Lines of the results file to tables in Markdown, one function for each benchmark."""

import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

__all__ = ["TABLES", "Line", "fill_tables", "markdown", "number", "origin"]

Line = Mapping[str, Any]


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; all columns but the first are numbers.

    >>> print(markdown(["who", "ms"], [["a", "1.0"]]))
    | who | ms |
    | --- | ---: |
    | a | 1.0 |
    """
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def fill_tables(text: str, made: Mapping[str, str]) -> str:
    """Write every table into its place in a page, ``<!-- table: NAME -->`` to ``<!-- end -->``."""
    return re.sub(
        r"<!-- table: (\w+) -->.*?<!-- end -->",
        lambda m: f"<!-- table: {m[1]} -->\n\n{made[m[1]]}\n\n<!-- end -->",
        text,
        flags=re.DOTALL,
    )


def number(value: float) -> str:
    """Three digits, no exponent.

    >>> [number(x) for x in (0.0457, 1.2345, 45.67, 12345.6)]
    ['0.0457', '1.23', '45.7', '12,346']
    """
    if value >= 100:
        return f"{value:,.0f}"
    digits = next((d for d, least in enumerate((10, 1, 0.1, 0.01), 1) if value >= least), 5)
    return f"{value:.{digits}f}"


def origin(found: Sequence[Line]) -> str:
    """On what and when the lines were measured."""
    machines = sorted({f"{m['cpu']}, {m['cores']} cores, {m['os']}" for m in (line["machine"] for line in found)})
    when = sorted({f"{line['date']} ({line['commit']})" for line in found})
    return f"Measured on {'; '.join(machines)}; {', '.join(when)}."


def featurize(found: Sequence[Line]) -> str:
    """By environment: microseconds a molecule, and how many times RDKit's parse."""
    parts = []
    for env, title in (("molmp", "molmp's environment"), ("peers", "Chemprop's environment")):
        mine = [line for line in found if line["parameters"]["environment"] == env]
        if not mine:
            continue
        cells = {(line["parameters"]["molecules"], line["subject"]): line for line in mine}
        subjects = dict.fromkeys(line["subject"] for line in mine)
        rows = [
            [s, *(cell for kind in ("all", "stereo") for cell in _time(cells.get((kind, s)), 1e6))] for s in subjects
        ]
        header = [f"{title}, RDKit {mine[0]['versions']['rdkit']}", "us", "x parse", "us, all with stereo", "x parse"]
        parts.append(markdown(header, rows))
    sizes = [line["facts"]["bytes_per_molecule"] for line in found if "bytes_per_molecule" in line["facts"]]
    return "\n\n".join([*parts, f"The packed store takes {number(max(sizes))} bytes a molecule."])


def readers(found: Sequence[Line]) -> str:
    """By set: how many molecules were read both ways, what differs, and what they cost."""
    rows = []
    for plain, quick in zip(found[::2], found[1::2], strict=True):
        facts = quick["facts"]
        names = ("molecules", "in_lockstep", "differences", "descriptor_differences")
        counts = [f"{facts[name]:,}" if name in facts else "" for name in names]
        times = [number(line["seconds"] * 1e6) for line in (quick, plain)]
        rows.append([quick["parameters"]["set"].upper(), *counts, *times])
    header = ["", "molecules", "read in lockstep", "with a difference", "of descriptors", "us each", "plain calls"]
    return markdown(header, rows)


def store(found: Sequence[Line]) -> str:
    """Each part of the store's life in its own unit, and what it is held against."""
    rows = []
    for line in found:
        per = {"molecule": (1e6, "us of CPU a molecule"), "store": (1e3, "ms on the clock"), "file": (1e3, "ms of CPU")}
        scale, unit = per[line["unit"]]
        ratio = "" if line["subject"] == (line["ratio_to"] or line["subject"]) else f"{line['ratio']:.3g}"
        count = f", {line['parameters']['molecules']:,} molecules" if "molecules" in line["parameters"] else ""
        rows.append([f"{line['subject']}{count}", f"{number(line['seconds'] * scale)} {unit}", ratio])
    (bytes_each,) = (f["bytes_per_molecule"] for line in found if "bytes_per_molecule" in (f := line["facts"]))
    note = f"The file of the million molecules takes {number(bytes_each)} bytes for each."
    return f"{markdown(['', 'median', 'of the line before'], rows)}\n\n{note}"


_STEP = ("PyG", "molmp, flat", "molmp, compact", "Chemprop")


def step(found: Sequence[Line]) -> str:
    """By batch and width: milliseconds, megabytes, and the ratios to PyG and Chemprop."""
    cases = sorted({(line["parameters"]["width"], line["parameters"]["batch"]) for line in found})
    cells = {(line["parameters"]["width"], line["parameters"]["batch"], line["subject"]): line for line in found}
    subjects = list(dict.fromkeys(line["subject"] for line in found))
    pyg, flat, compact, chemprop = (next(s for s in subjects if s.startswith(n)) for n in _STEP)
    header = ["", *(f"batch {batch}, width {width}" for width, batch in cases)]

    def row(title: str, value: Callable[..., str]) -> list[str]:
        return [title, *(value(lambda s, case=case: cells[(*case, s)]) for case in cases)]

    rows = [
        row(f"{s}: ms; MB", lambda of, s=s: f"{number(of(s)['seconds'] * 1e3)}; {number(of(s)['peak_mb'])}")
        for s in subjects
    ]
    rows += [
        row(
            f"**{mine} over {other}**",
            lambda of, mine=mine, other=other: f"**{number(_over(of, other, mine, 'ratio'))}x**",
        )
        for mine, other in ((flat, pyg), (compact, pyg), (compact, chemprop))
    ]
    rows += [
        row(f"extra memory, {mine} of PyG's", lambda of, mine=mine: f"1/{_over(of, pyg, mine, 'peak_mb'):.0f}")
        for mine in (flat, compact)
    ]
    differences = [line["facts"]["differs_float64"] for line in found if "differs_float64" in line["facts"]]
    note = f"Outputs and gradients of all weights are PyG's within {max(differences):.0e} of their size (float64)."
    return f"{markdown(header, rows)}\n\n{note}"


def train(found: Sequence[Line]) -> str:
    """CPU seconds of the whole command, and to the validation error that Chemprop ends with."""
    (base,) = (line for line in found if line["subject"] == "Chemprop")

    def to_base(line: Line) -> str:
        spent = [seconds for seconds in line["facts"].get("cpu_s_to_chemprop", []) if seconds is not None]
        if line is base or not spent:
            return number(base["seconds"]) if line is base else "not reached"
        middle = statistics.median(spent)
        share = f"{number(middle)} (**1/{number(base['seconds'] / middle)}**)"
        return f"{share}, reached by {len(spent)} of {line['turns']} runs"

    rows = {
        "whole command, CPU s": lambda line: number(line["seconds"]),
        "validation RMSE of each run": lambda line: ", ".join(f"{rmse:.3f}" for rmse in line["facts"]["val_rmse"]),
        "to Chemprop's median validation RMSE, CPU s": to_base,
        "peak memory, MB": lambda line: number(line["peak_mb"]),
        "`--help`, CPU s": lambda line: number(line["facts"]["help_cpu_s"]),
        "import of the package, CPU s": lambda line: number(line["facts"]["import_cpu_s"]),
    }
    return markdown(["", *(line["subject"] for line in found)], [[t, *map(value, found)] for t, value in rows.items()])


def members(found: Sequence[Line]) -> str:
    """By number of networks: CPU seconds of the whole command, and of as many commands with one network."""
    one = min(found, key=lambda line: line["seconds"])
    rows = []
    for line in found:
        count = int(line["subject"].split()[0])
        alone = line["seconds"] / (count * one["seconds"])
        rows.append(
            [str(count), number(line["seconds"]), number(line["ratio"]), number(alone), number(line["peak_mb"])]
        )
    return markdown(["networks", "CPU s", "x one", "of as many trainings", "peak MB"], rows)


def predict(found: Sequence[Line]) -> str:
    """Whole processes by number of molecules, and what one more molecule costs."""
    counts = sorted({line["parameters"]["molecules"] for line in found})
    cells = {(line["parameters"]["molecules"], line["subject"]): line for line in found}
    subjects = list(dict.fromkeys(line["subject"] for line in found))
    few, many = counts[0], counts[-1]

    def one_more(subject: str) -> float:
        spent = [cells[n, subject]["seconds"] * n for n in (few, many)]
        return (spent[1] - spent[0]) / (many - few) * 1e6

    def row(subject: str) -> list[str]:
        lines = [cells[n, subject] for n in counts]
        peak = lines[-1]["peak_mb"]
        more = one_more(subject) if few < many else lines[-1]["seconds"] * 1e6
        return [subject, *(cell for line in lines for cell in _time(line, 1e6)), number(more),
                number(more / one_more(subjects[0])), "" if peak is None else number(peak)]  # fmt: skip

    header = [
        "",
        *(cell for n in counts for cell in (f"us each, {n:,}", "x parse")),
        "us, one more",
        "x parse",
        "peak MB",
    ]
    return markdown(header, map(row, subjects))


def memory(found: Sequence[Line]) -> str:
    """By rows: the peak of the process, what a row costs, and what had been spent when the first was there."""
    rows = [
        [
            f"{line['parameters']['rows']:,}",
            number(line["peak_mb"]),
            number(line["seconds"] * 1e6),
            number(line["facts"]["first_row_cpu_s"]),
        ]
        for line in sorted(found, key=lambda line: line["parameters"]["rows"])
    ]
    return markdown(["rows", "peak MB", "us of CPU a row", "CPU s until the first row"], rows)


BILLION = 1e9


def billion(found: Sequence[Line]) -> str:
    """What a billion molecules would take, by the figures of the largest runs."""
    predict = max(
        (line for line in found if line["benchmark"] == "memory"), key=lambda line: line["parameters"]["rows"]
    )
    (store_bytes,) = (f["bytes_per_molecule"] for line in found if "bytes_per_molecule" in (f := line["facts"]))
    featurize = min(line["seconds"] for line in found if line["unit"] == "molecule" and line["benchmark"] == "store")
    facts = predict["facts"]
    work = [
        ("`molmp featurize --kind graph`", featurize, store_bytes),
        (f"`{predict['subject'].partition(',')[0]}`, the default recipe, 128 wide", predict["seconds"],
         facts["bytes_written_per_row"]),
    ]  # fmt: skip
    rows = [
        [what, number(each * 1e6), number(each * BILLION / 3600), number(each * BILLION / 1000 / 60),
         number(facts["bytes_read_per_row"]), number(written)]
        for what, each, written in work
    ]  # fmt: skip
    return markdown(["", "us a molecule", "core hours", "minutes on 1,000 cores", "GB read", "GB written"], rows)


def gpu(found: Sequence[Line]) -> str:
    """Milliseconds and megabytes of a step on the device."""
    rows = [
        [str(p["batch"]), str(p["width"]), line["subject"], number(line["facts"]["ms"]), number(line["peak_mb"])]
        for line in found
        for p in (line["parameters"],)
    ]
    return markdown(["batch", "width", "step", "ms", "MB"], rows)


SOURCES = {"billion": ("memory", "store")}
"""Benchmarks whose lines a table is made from, where it is not that of its own name."""

TABLES: dict[str, Callable[[Sequence[Line]], str]] = {
    "readers": readers, "featurize": featurize, "store": store, "step": step, "train": train, "members": members,
    "predict": predict,
    "memory": memory, "billion": billion, "gpu": gpu,
}  # fmt: skip


def _time(line: Line | None, scale: float) -> list[str]:
    return ["", ""] if line is None else [number(line["seconds"] * scale), number(line["ratio"])]


def _over(of: Callable[[str], Line], large: str, small: str, field: str) -> float:
    ratio: float = of(large)[field] / of(small)[field]
    return ratio
