"""Small charts as SVG text: no library, no scripts, sharp on paper and on a phone; colours come from the page's style.

Every chart is described in words for those who cannot see it, and scales with the page.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup, escape

__all__ = ["bars", "histogram", "lines", "nice_ticks", "scatter"]

WIDTH, HEIGHT = 420, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 16, 40
INNER_WIDTH, INNER_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM


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


def scatter(x: np.ndarray, y: np.ndarray, x_label: str, y_label: str, *, diagonal: bool = False) -> Markup:
    """Points; with ``diagonal`` both axes have one range and a line tells where they agree."""
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if not len(x):
        return Markup("<p class='quiet'>no values</p>")
    x_range, y_range = (float(x.min()), float(x.max())), (float(y.min()), float(y.max()))
    parts = []
    if diagonal:
        x_range = y_range = min(x_range[0], y_range[0]), max(x_range[1], y_range[1])
        ends = [f"{_x(end, *x_range):.1f},{_y(end, *y_range):.1f}" for end in x_range]
        parts.append(f'<polyline class="curve c1" points="{" ".join(ends)}"/>')
    parts += [f'<circle class="point" cx="{_x(a, *x_range):.1f}" cy="{_y(b, *y_range):.1f}" r="2.5"/>'
              for a, b in zip(x.tolist(), y.tolist(), strict=True)]  # fmt: skip
    return _chart(parts, f"{y_label} against {x_label}, {len(x):,} points", x_label, y_label, x_range, y_range)


def lines(series: Mapping[str, tuple[Sequence[float], Sequence[float]]], x_label: str, y_label: str) -> Markup:
    """Curves through points; names of up to four series stand above."""
    xs, ys = (np.concatenate([np.asarray(pair[axis], float) for pair in series.values()]) for axis in (0, 1))
    known = np.isfinite(xs) & np.isfinite(ys)
    if not known.any():
        return Markup("<p class='quiet'>no values</p>")
    x_range = float(xs[known].min()), float(xs[known].max())
    y_range = float(ys[known].min()), float(ys[known].max())
    parts = []
    for number, (name, (x, y)) in enumerate(series.items()):
        points = [
            f"{_x(a, *x_range):.1f},{_y(b, *y_range):.1f}" for a, b in zip(x, y, strict=True) if a == a and b == b
        ]
        parts.append(f'<polyline class="curve c{number}" points="{" ".join(points)}"/>')
        left = LEFT + 8 + number * (INNER_WIDTH - 8) / len(series)
        parts.append(f'<line class="curve c{number}" x1="{left:.1f}" x2="{left + 14:.1f}" y1="7" y2="7"/>'
                     f'<text x="{left + 18:.1f}" y="11">{escape(name)}</text>')  # fmt: skip
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


def _bar(x: float, y: float, width: float, height: float, title: str) -> str:
    return (f'<rect class="bar" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}">'
            f"<title>{escape(title)}</title></rect>")  # fmt: skip


def _chart(
    parts: Sequence[str], words: str, x_label: str, y_label: str, x_range: tuple[float, float],
    y_range: tuple[float, float], height: int = HEIGHT,
) -> Markup:  # fmt: skip
    axes = [f'<path class="axis" d="M{LEFT},{TOP}V{TOP + INNER_HEIGHT}H{LEFT + INNER_WIDTH}"/>']
    for tick in nice_ticks(*x_range):
        x = _x(tick, *x_range)
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
