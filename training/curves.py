"""The loss curve as an SVG that stands alone: attributes only, so a strict CSP keeps it whole.

Colours work on light and dark grounds; a page may override them through the classes.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape

MAX_POINTS = 500
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 16, 26, 30
_GREY, _GRID = "#7d7d78", "#b5b5ae"
_SERIES = (
    # history key, title, class, colour, dashes
    ("loss", "training", "curve-train", "#1f8a70", ""),
    ("eval_loss", "evaluation", "curve-eval", "#c2643c", "5 4"),
)

Point = tuple[float, float]


def loss_curve_svg(
    history: Iterable[dict],
    *,
    width: int = 640,
    height: int = 230,
    last: int = 0,
    legend: bool = True,
) -> str:
    """Draw training and evaluation loss over steps.

    `history` has a row per measurement: `step` with `loss` and/or `eval_loss`, in any order.
    Values that are missing or not finite are left out; nothing to draw gives a picture saying so.
    `last` is the step that a training under way will end with: its place is left free.
    """
    rows = [row for row in history if isinstance(row, dict)]
    series = {key: _points(rows, key) for key, *_ in _SERIES}
    drawn = [point for points in series.values() for point in points]
    if not drawn:
        return _frame(width, height, "Loss curve: no measurements yet", [_empty(width, height)])
    scale = _Scale(drawn, width, height, last=last, top=_TOP if legend else 10)
    parts = [*_grid(scale), *(_legend(series) if legend else [])]
    for key, _, name, colour, dashes in _SERIES:
        parts += _curve(scale, series[key], name, colour, dashes)
    return _frame(width, height, _summary(series), parts)


class _Scale:
    """Maps steps and losses to places in the picture."""

    def __init__(
        self, points: Sequence[Point], width: int, height: int, *, last: int, top: int
    ) -> None:
        steps, losses = [x for x, _ in points], [y for _, y in points]
        self.first, self.now = min(steps), max(steps)
        self.last = max(self.now, last)
        self.ticks = _ticks(min(losses), max(losses))
        self.low, self.high = self.ticks[0], self.ticks[-1]
        self.left, self.right = _LEFT, width - _RIGHT
        self.top, self.bottom = top, height - _BOTTOM

    def x(self, step: float) -> float:
        span = (self.last - self.first) or 1
        return self.left + (step - self.first) / span * (self.right - self.left)

    def y(self, loss: float) -> float:
        share = (loss - self.low) / (self.high - self.low)
        return self.bottom - share * (self.bottom - self.top)


def _points(rows: Sequence[dict], key: str) -> list[Point]:
    """Return (step, value) in order, thinned to at most MAX_POINTS; the last one always stays."""
    found = sorted((row["step"], row[key]) for row in rows if _is_drawable(row, key))
    if len(found) <= MAX_POINTS:
        return found
    every = math.ceil(len(found) / (MAX_POINTS - 1))
    return [*found[:-1:every], found[-1]]


def _is_drawable(row: dict, key: str) -> bool:
    values = (row.get("step"), row.get(key))
    return all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        for value in values
    )


def _ticks(low: float, high: float) -> list[float]:
    """Return three to seven round values that enclose [low, high]."""
    span = (high - low) or max(abs(high), 1e-6)
    size = 10 ** math.floor(math.log10(span / 4))
    step = next((size * n for n in (1, 2, 5) if span / (size * n) <= 5), size * 10)
    start, end = math.floor(low / step), math.ceil(high / step)
    return [n * step for n in range(start, max(end, start + 1) + 1)]


def _frame(width: int, height: int, label: str, parts: list[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="loss-curve" viewBox="0 0 {width} {height}"'
        f' width="{width}" height="{height}" role="img" aria-label="{escape(label)}"'
        f' font-family="system-ui, sans-serif" font-size="11">{"".join(parts)}</svg>'
    )


def _summary(series: dict[str, list[Point]]) -> str:
    said = [
        f"{title} from {points[0][1]:.3g} to {points[-1][1]:.3g}"
        for key, title, *_ in _SERIES
        if (points := series[key])
    ]
    return f"Loss curve: {'; '.join(said)}"


def _empty(width: int, height: int) -> str:
    return _labels([(width / 2, height / 2, "no measurements yet")], anchor="middle")


def _labels(texts: Iterable[tuple[float, float, str]], *, anchor: str = "start") -> str:
    """Return texts that share their look; `texts` holds (x, y, words)."""
    inside = "".join(f'<text x="{x:g}" y="{y:.4g}">{escape(words)}</text>' for x, y, words in texts)
    return f'<g class="curve-label" text-anchor="{anchor}" fill="{_GREY}">{inside}</g>'


def _grid(scale: _Scale) -> list[str]:
    digits = max(0, min(6, -math.floor(math.log10(scale.ticks[1] - scale.ticks[0]))))
    heights = [scale.y(tick) for tick in scale.ticks]
    rules = "".join(f"M{scale.left} {y:.4g}H{scale.right}" for y in heights)
    if scale.now < scale.last:
        rules += f"M{scale.x(scale.now):.4g} {scale.top}V{scale.bottom}"
    grid = f'<path class="curve-grid" stroke="{_GRID}" stroke-opacity="0.5" d="{rules}"/>'
    below = scale.bottom + 20
    beside = [
        (scale.left - 8, y + 4, f"{tick:.{digits}f}")
        for y, tick in zip(heights, scale.ticks, strict=True)
    ]
    if scale.last > scale.first:
        beside.append((scale.right, below, f"{scale.last:g}"))
    first = _labels([(scale.left, below, f"step {scale.first:g}")])
    return [grid, _labels(beside, anchor="end"), first]


def _legend(series: dict[str, list[Point]]) -> list[str]:
    parts, x = [], _LEFT
    for key, title, name, colour, dashes in _SERIES:
        if series[key]:
            points = f"{x},12 {x + 22},12"
            parts.append(_line(points, name, colour, dashes))
            parts.append(_labels([(x + 28, 16, title)]))
            x += 110
    return parts


def _curve(scale: _Scale, points: list[Point], name: str, colour: str, dashes: str) -> list[str]:
    """Return a line, or a dot where there is one measurement only."""
    if not points:
        return []
    placed = [(scale.x(step), scale.y(loss)) for step, loss in points]
    if len(placed) == 1:
        x, y = placed[0]
        return [f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>']
    return [_line(" ".join(f"{x:.4g},{y:.4g}" for x, y in placed), name, colour, dashes)]


def _line(points: str, name: str, colour: str, dashes: str) -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<polyline class="{name}" fill="none" stroke="{colour}" stroke-width="2"'
        f' stroke-linejoin="round"{dashed} points="{points}"/>'
    )
