"""Pictures in numbers: lengths of examples, and which passages have any. Pure code, no database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BARS = 24
CELLS = 120
WIDTH, HEIGHT, GAP = 480, 90, 2


@dataclass(frozen=True)
class Bar:
    """Examples of `low` to `high` tokens, with the place of their bar in the picture."""

    low: int
    high: int
    count: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Cell:
    """A stretch of a document: `passages` in a row, and how many of them have examples."""

    x: float
    width: float
    passages: int
    covered: int
    examples: int
    css: str


def histogram(counts: Mapping[int, int], *, bars: int = BARS) -> list[Bar]:
    """Return bars of equal width over the lengths; empty without examples.

    `counts` gives examples by token count. The rarest 1 % of long ones share the last bar, so that
    one very long example does not flatten all others.
    """
    if not counts:
        return []
    low, top = min(counts), max(counts)
    high = max(percentile(counts, 99), low)
    step = max(1, -(-(high - low + 1) // bars))
    number = -(-(high - low + 1) // step)
    heights = [0] * number
    for length, count in counts.items():
        heights[min(number - 1, (length - low) // step)] += count
    width, most = WIDTH / number, max(heights)
    return [
        Bar(
            low=low + place * step,
            high=top if place == number - 1 else low + (place + 1) * step - 1,
            count=count,
            x=round(place * width, 1),
            y=round(HEIGHT - (tall := _tall(count, most)), 1),
            width=round(width - GAP, 1),
            height=tall,
        )
        for place, count in enumerate(heights)
    ]


def _tall(count: int, most: int) -> float:
    return round(max(1.5, HEIGHT * count / most), 1) if count else 0


def percentile(counts: Mapping[int, int], percent: int) -> int:
    """Return the smallest value that `percent` of all do not exceed; 0 without any."""
    left = -(-sum(counts.values()) * percent // 100)
    for value in sorted(counts):
        left -= counts[value]
        if left <= 0:
            return value
    return 0


def strip(numbers: Sequence[int], *, cells: int = CELLS) -> list[Cell]:
    """Return a document as a strip; `numbers` are the examples of each passage in order.

    A long document has several passages in a cell; its colour is of the examples a passage.
    """
    if not numbers:
        return []
    total = min(cells, len(numbers))
    edges = [place * len(numbers) // total for place in range(total + 1)]
    width = WIDTH / total
    return [
        _cell(numbers[first:last], round(place * width, 1), width)
        for place, (first, last) in enumerate(zip(edges, edges[1:], strict=False))
    ]


def _cell(numbers: Sequence[int], x: float, width: float) -> Cell:
    covered, examples = sum(number > 0 for number in numbers), sum(numbers)
    gap = GAP if width > 6 else 0.5
    css = "c6" if not covered else ("c1" if examples >= 3 * len(numbers) else "c2")
    if covered and covered < len(numbers):
        css = "c2"
    return Cell(x, round(width - gap, 1), len(numbers), covered, examples, css)
