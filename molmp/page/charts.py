"""Small charts as SVG text: no library, no scripts, sharp on paper and on a phone; colours come from the page's style.

Every chart is described in words for those who cannot see it, and scales with the page.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup, escape

__all__ = ["bars", "columns", "histogram", "lines", "nice_ticks", "scatter", "stacked"]

WIDTH, HEIGHT = 420, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 16, 40
INNER_WIDTH, INNER_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

MOST_POINTS = 2_000
"""More are not drawn: a page must open on a phone, and nobody sees the others."""


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers within ``low`` and ``high``, about ``count``.

    >>> nice_ticks(0.13, 0.87)
    [0.2, 0.4, 0.6, 0.8]
    """
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= 0.99 * raw)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def histogram(values: np.ndarray, label: str, *, limits: tuple[float, float] | None = None, marks: Sequence[float] = (),
              bins: int = 30, unit: str = "molecules") -> Markup:  # fmt: skip
    """How often values occur; ``marks`` are lines across it."""
    values = values[np.isfinite(values)]
    if not len(values):
        return Markup("<p class='quiet'>no values</p>")
    counts, edges = np.histogram(values, bins=bins, range=limits)
    low, high, most = float(edges[0]), float(edges[-1]), max(int(counts.max()), 1)
    parts = []
    for count, begin, end in zip(counts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        x, width = _x(begin, low, high), _x(end, low, high) - _x(begin, low, high)
        tall = INNER_HEIGHT * count / most
        title = f"{begin:.4g} to {end:.4g}: {count:,} {unit}"
        parts.append(_bar(x, TOP + INNER_HEIGHT - tall, max(width - 0.7, 0.3), tall, title))
    parts += [f'<line class="mark" x1="{_x(m, low, high):.1f}" x2="{_x(m, low, high):.1f}" y1="{TOP}" '
              f'y2="{TOP + INNER_HEIGHT}"/>' for m in marks if low <= m <= high]  # fmt: skip
    words = f"{label}: {len(values):,} {unit} from {values.min():.4g} to {values.max():.4g}"
    return _chart(parts, words, label, unit, (low, high), (0, most))


def scatter(
    x: np.ndarray, y: np.ndarray, x_label: str, y_label: str, *, diagonal: bool = False,
    odd: np.ndarray | None = None, spans: tuple[np.ndarray, np.ndarray] | None = None,
) -> Markup:  # fmt: skip
    """Points; with ``diagonal`` both axes have one range and a line tells where they agree.

    ``odd``: points of another colour, bool; ``spans``: a vertical line through each point, from the first to the
    second. Of more than :data:`MOST_POINTS` every so manieth is drawn.
    """
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if not len(known):
        return Markup("<p class='quiet'>no values</p>")
    total = len(known)
    known = known[:: -(-total // MOST_POINTS)]
    x, y = x[known], y[known]
    x_range, y_range = (float(x.min()), float(x.max())), (float(y.min()), float(y.max()))
    parts = []
    if diagonal:
        x_range = y_range = min(x_range[0], y_range[0]), max(x_range[1], y_range[1])
        parts.append(_line("curve c1", *x_range, *y_range, x_range, y_range))
    if spans is not None:
        ends = np.clip(np.stack([span[known] for span in spans]), *y_range)
        parts += [_line("span", a, a, low, high, x_range, y_range) for a, low, high in zip(x, *ends, strict=True)
                  if low == low and high == high]  # fmt: skip
    strange = np.zeros(len(x), bool) if odd is None else odd[known]
    parts += [f'<circle class="point{" odd" if other else ""}" cx="{_x(a, *x_range):.1f}" cy="{_y(b, *y_range):.1f}" '
              'r="2.5"/>' for a, b, other in zip(x.tolist(), y.tolist(), strange.tolist(), strict=True)]  # fmt: skip
    few = "" if total == len(x) else f" of {total:,}"
    return _chart(parts, f"{y_label} against {x_label}, {len(x):,}{few} points", x_label, y_label, x_range, y_range)


def stacked(
    counts: Mapping[str, Sequence[int]], low: float, high: float, label: str, unit: str = "molecules"
) -> Markup:
    """Histograms of up to four parts on top of each other, all with the same equal bins from ``low`` to ``high``."""
    table = np.array(list(counts.values()))
    most = max(int(table.sum(0).max(initial=0)), 1)
    edges = np.linspace(low, high if high > low else low + 1.0, table.shape[1] + 1)
    parts, below = _legend(list(counts)), np.zeros(table.shape[1])
    for number, row in enumerate(table):
        for count, start, begin, end in zip(row.tolist(), below.tolist(), edges[:-1], edges[1:], strict=True):
            x, width = _x(begin, low, edges[-1]), _x(end, low, edges[-1]) - _x(begin, low, edges[-1])
            top = _y(start + count, 0, most)
            parts.append(_bar(x, top, max(width - 0.7, 0.3), _y(start, 0, most) - top,
                              f"{begin:.4g} to {end:.4g}: {count:,} {unit}", f"b{number}"))  # fmt: skip
        below += row
    words = f"{label}: " + ", ".join(f"{name} {sum(row):,}" for name, row in counts.items())
    return _chart(parts, words, label, unit, (low, float(edges[-1])), (0, most))


def columns(bins: Sequence[tuple[str, float, str]], x_label: str, y_label: str, *, mark: float | None = None,
            limits: tuple[float, float] | None = None) -> Markup:  # fmt: skip
    """An upright bar for each ``(name, value, note)``, the note above it; ``mark`` is a level across all."""
    if not bins:
        return Markup("<p class='quiet'>no values</p>")
    low, high = limits or (0.0, max(max(value for _, value, _ in bins), 1e-12))
    step = INNER_WIDTH / len(bins)
    parts = []
    for i, (name, value, note) in enumerate(bins):
        x, top = LEFT + (i + 0.12) * step, _y(min(max(value, low), high), low, high)
        middle = LEFT + (i + 0.5) * step
        parts.append(_bar(x, top, 0.76 * step, TOP + INNER_HEIGHT - top, f"{name}: {value:.4g}, {note}"))
        for y, text in ((TOP + INNER_HEIGHT + 15, name), (top - 3, note)):
            parts.append(f'<text x="{middle:.1f}" y="{y:.1f}" text-anchor="middle">{escape(text)}</text>')
    if mark is not None:
        parts.append(_line("mark", 0, 1, mark, mark, (0, 1), (low, high)))
    words = f"{y_label} by {x_label}: " + "; ".join(f"{name} {value:.4g} ({note})" for name, value, note in bins)
    return _chart(parts, words, x_label, y_label, None, (low, high))


def lines(series: Mapping[str, tuple[Sequence[float], Sequence[float]]], x_label: str, y_label: str) -> Markup:
    """Curves through points; names of up to four series stand above."""
    xs, ys = (np.concatenate([np.asarray(pair[axis], float) for pair in series.values()]) for axis in (0, 1))
    known = np.isfinite(xs) & np.isfinite(ys)
    if not known.any():
        return Markup("<p class='quiet'>no values</p>")
    x_range = float(xs[known].min()), float(xs[known].max())
    y_range = float(ys[known].min()), float(ys[known].max())
    parts = []
    for number, (x, y) in enumerate(series.values()):
        points = [
            f"{_x(a, *x_range):.1f},{_y(b, *y_range):.1f}" for a, b in zip(x, y, strict=True) if a == a and b == b
        ]
        parts.append(f'<polyline class="curve c{number}" points="{" ".join(points)}"/>')
    parts += _legend(list(series), "curve c")
    words = "; ".join(f"{name}: {y[0]:.4g} to {y[-1]:.4g}" for name, (_, y) in series.items())
    return _chart(parts, f"{y_label} against {x_label}. {words}", x_label, y_label, x_range, y_range)


def bars(counts: Mapping[str, int], label: str) -> Markup:
    """A bar for each name, with its number and share."""
    if not counts:
        return Markup("<p class='quiet'>no values</p>")
    total, most = max(sum(counts.values()), 1), max([*counts.values(), 1])
    height = 26 * len(counts) + 8
    parts = []
    for i, (name, count) in enumerate(counts.items()):
        y = 4 + 26 * i
        long = (WIDTH - 230) * count / most
        parts.append(
            f'<text x="118" y="{y + 15}" text-anchor="end">{escape(name[:18])}</text>'
            + _bar(124, y, max(long, 0.5), 20, f"{name}: {count:,}")
            + f'<text x="{130 + long:.1f}" y="{y + 15}">{count:,} ({count / total:.1%})</text>'
        )
    words = f"{label}: " + ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return _svg("".join(parts), words, height)


def _x(value: float, low: float, high: float) -> float:
    return LEFT + INNER_WIDTH * (value - low) / ((high - low) or 1)


def _y(value: float, low: float, high: float) -> float:
    return TOP + INNER_HEIGHT * (1 - (value - low) / ((high - low) or 1))


def _line(kind: str, x1: float, x2: float, y1: float, y2: float, x_range: tuple[float, float],
          y_range: tuple[float, float]) -> str:  # fmt: skip
    return (f'<line class="{kind}" x1="{_x(x1, *x_range):.1f}" x2="{_x(x2, *x_range):.1f}" '
            f'y1="{_y(y1, *y_range):.1f}" y2="{_y(y2, *y_range):.1f}"/>')  # fmt: skip


def _legend(names: Sequence[str], kind: str = "thick b") -> list[str]:
    """Names of up to four series above the chart."""
    parts = []
    for number, name in enumerate(names):
        left = LEFT + 8 + number * (INNER_WIDTH - 8) / len(names)
        parts.append(f'<line class="{kind}{number}" x1="{left:.1f}" x2="{left + 14:.1f}" y1="7" y2="7"/>'
                     f'<text x="{left + 18:.1f}" y="11">{escape(name)}</text>')  # fmt: skip
    return parts


def _bar(x: float, y: float, width: float, height: float, title: str, kind: str = "") -> str:
    kind = f"bar {kind}".strip()
    return (f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}">'
            f"<title>{escape(title)}</title></rect>")  # fmt: skip


def _chart(
    parts: Sequence[str], words: str, x_label: str, y_label: str, x_range: tuple[float, float] | None,
    y_range: tuple[float, float], height: int = HEIGHT,
) -> Markup:  # fmt: skip
    axes = [f'<path class="axis" d="M{LEFT},{TOP}V{TOP + INNER_HEIGHT}H{LEFT + INNER_WIDTH}"/>']
    for tick in nice_ticks(*x_range) if x_range else ():
        x = _x(tick, *(x_range or (0, 1)))
        axes.append(f'<text x="{x:.1f}" y="{TOP + INNER_HEIGHT + 15}" text-anchor="middle">{tick:g}</text>')
    for tick in nice_ticks(*y_range, 4):
        y = _y(tick, *y_range)
        axes.append(f'<line class="grid" x1="{LEFT}" x2="{LEFT + INNER_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
                    f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')  # fmt: skip
    axes.append(f'<text class="label" x="{LEFT + INNER_WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">'
                f"{escape(x_label)}</text>")  # fmt: skip
    middle = TOP + INNER_HEIGHT / 2
    axes.append(f'<text class="label" transform="rotate(-90 12 {middle})" x="12" y="{middle}" text-anchor="middle">'
                f"{escape(y_label)}</text>")  # fmt: skip
    return _svg("".join([*axes, *parts]), words, height)


def _svg(content: str, words: str, height: float) -> Markup:
    return Markup(f'<svg class="chart" viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(words)}">'
                  f"{content}</svg>")  # fmt: skip
