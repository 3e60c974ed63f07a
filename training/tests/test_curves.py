"""The loss curve: valid XML from any history, nothing a strict CSP would block."""

import math
import re
from xml.etree import ElementTree

import pytest

from training.curves import MAX_POINTS, loss_curve_svg

SVG = "{http://www.w3.org/2000/svg}"
HISTORY = [
    {"step": 0, "eval_loss": 2.0},
    {"step": 1, "loss": 1.9},
    {"step": 2, "loss": 1.5},
    {"step": 3, "loss": 1.0, "eval_loss": 1.2},
]


def lines(svg: str, name: str) -> list[list[tuple[float, float]]]:
    """Return the points of the curves (not the legend's keys) of one class."""
    root = ElementTree.fromstring(svg)
    found = [
        [tuple(map(float, point.split(","))) for point in line.get("points").split()]
        for line in root.iter(f"{SVG}polyline")
        if line.get("class") == name
    ]
    return found[1:]


def test_a_falling_loss_is_a_line_that_goes_down():
    (points,) = lines(loss_curve_svg(HISTORY), "curve-train")
    heights = [y for _, y in points]
    assert len(points) == 3 and heights == sorted(heights)  # y grows downwards
    (evaluation,) = lines(loss_curve_svg(HISTORY), "curve-eval")
    assert evaluation[0][0] < evaluation[1][0]


def test_the_order_of_the_rows_does_not_matter():
    assert loss_curve_svg(HISTORY) == loss_curve_svg(HISTORY[::-1])


def test_every_point_lies_inside_the_picture():
    svg = loss_curve_svg([{"step": n, "loss": math.sin(n) * 9} for n in range(99)], width=300)
    assert all(0 <= x <= 300 and 0 <= y <= 230 for x, y in lines(svg, "curve-train")[0])


@pytest.mark.parametrize(
    "history",
    [
        [],
        [{"step": 1, "loss": math.nan}, {"step": 2, "loss": math.inf}],
        [{"step": None, "loss": 1.0}, {"loss": 2.0}, "nonsense", {"step": 1, "loss": "<b>"}],
    ],
)
def test_without_measurements_the_picture_says_so(history):
    svg = loss_curve_svg(history)
    assert "no measurements yet" in svg and "<b>" not in svg
    ElementTree.fromstring(svg)


@pytest.mark.parametrize("loss", [0, 1.25, 1e-9, 1e9, -3])
def test_a_single_measurement_is_a_dot(loss):
    root = ElementTree.fromstring(loss_curve_svg([{"step": 5, "loss": loss}]))
    assert len(list(root.iter(f"{SVG}circle"))) == 1


def test_a_long_history_is_thinned_and_keeps_its_last_point():
    svg = loss_curve_svg([{"step": n, "loss": 1 + n} for n in range(10_000)])
    (points,) = lines(svg, "curve-train")
    assert len(points) <= MAX_POINTS
    assert points[-1][0] == 640 - 16
    assert len(svg) < 12_000


def test_it_has_no_style_no_script_and_no_link():
    svg = loss_curve_svg(HISTORY)
    assert not re.search(r"style|script|href|\son\w+=", svg)


def test_it_tells_a_screen_reader_what_it_shows():
    label = ElementTree.fromstring(loss_curve_svg(HISTORY)).get("aria-label")
    assert label == "Loss curve: training from 1.9 to 1; evaluation from 2 to 1.2"


def test_a_training_under_way_leaves_room_for_its_last_steps():
    svg = loss_curve_svg(HISTORY, last=30)
    (points,) = lines(svg, "curve-train")
    assert points[-1][0] < 46 + (640 - 46) / 5
    assert ">30</text>" in svg


def test_without_its_legend_the_page_says_what_the_lines_are():
    svg = loss_curve_svg(HISTORY, legend=False)
    assert ">training</text>" not in svg
    assert len(list(ElementTree.fromstring(svg).iter(f"{SVG}polyline"))) == 2
