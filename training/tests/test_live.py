"""The newest numbers of a run: right, and small however long it runs."""

import json
import random

import pytest

from training import live


def metric(step: int, **values) -> dict:
    return {"type": "metric", "step": step, "total": 10**6, "epoch": step / 100} | values


def curve_of(steps: list[int]) -> list[list[float]]:
    curve = None
    for step in steps:
        curve = live.add_point(curve, step, step / 7)
    return curve["points"]


@pytest.mark.parametrize("seed", range(20))
def test_a_thinned_curve_keeps_its_ends_its_order_and_its_values(seed):
    chance = random.Random(seed)
    steps = sorted(chance.sample(range(chance.choice((100, 5000))), chance.randint(1, 100)))
    steps += range(steps[-1] + 1, steps[-1] + chance.choice((1, 2000)))
    points = curve_of(steps)
    shown = [step for step, _ in points]
    assert (shown[0], shown[-1]) == (steps[0], steps[-1])
    assert len(points) <= live.MAX_POINTS
    assert shown == sorted(set(shown))
    assert all(value == pytest.approx(step / 7, rel=1e-4) for step, value in points)
    gaps = [b - a for a, b in zip(shown[:-1], shown[1:-1], strict=False)]
    if len(steps) > live.MAX_POINTS and gaps:
        assert max(gaps) <= 4 * (steps[-1] - steps[0]) / live.MAX_POINTS + max(
            b - a for a, b in zip(steps, steps[1:], strict=False)
        ), "no part of the curve is left out"


def test_a_short_curve_is_not_thinned():
    assert [step for step, _ in curve_of(list(range(live.MAX_POINTS)))] == list(range(60))


def test_steps_that_are_measured_again_take_the_place_of_the_old_ones():
    curve = None
    for step, value in [(1, 5.0), (2, 4.0), (3, 3.0), (2, 3.9)]:
        curve = live.add_point(curve, step, value)
    assert curve["points"] == [[1, 5.0], [2, 3.9]]


def test_every_evaluation_of_a_usual_run_stays():
    now = {}
    for step in range(0, 3001):
        values = {"loss": 1.0} | ({"eval_loss": 2.0} if step % 375 == 0 else {})
        now = live.absorb(now, [metric(step, **values)])
    assert [step for step, _ in now["eval_loss_curve"]["points"]] == list(range(0, 3001, 375))


def test_it_is_as_large_after_twenty_thousand_steps_as_after_a_thousand():
    now, sizes = {}, {}
    values = {"loss": 1.23456789, "learning_rate": 0.000123456789, "tokens_per_second": 3410.4}
    for step in range(1, 20_001):
        now = live.absorb(now, [metric(step, **values)])
        if step in (1000, 20_000):
            sizes[step] = len(json.dumps(now))
    assert sizes[20_000] <= 1.3 * sizes[1000] < 5000


def test_the_argument_is_left_alone_so_that_a_refused_write_changes_nothing():
    before = live.absorb({}, [metric(1, loss=1.0)])
    copy = json.loads(json.dumps(before))
    live.absorb(before, [metric(2, loss=0.5, eval_loss=2.0)])
    assert before == copy


@pytest.mark.parametrize(
    "event",
    [
        {"type": "metric"},
        {"type": "metric", "step": "7", "loss": 1.0},
        {"type": "metric", "step": float("nan"), "loss": 1.0},
        {"type": "log", "text": "x"},
    ],
)
def test_what_is_no_measurement_changes_nothing(event):
    assert live.absorb({}, [event]) == {}


def test_a_loss_that_is_no_number_is_left_out():
    now = live.absorb({}, [metric(1, loss=float("inf"), eval_loss="<b>")])
    assert "loss" not in now and "eval_loss" not in now


def test_an_unknown_phase_is_none_and_a_known_one_brings_the_steps():
    assert live.absorb({}, [{"type": "phase", "phase": "<b>"}])["phase"] == ""
    now = live.absorb({}, [{"type": "phase", "phase": "train", "total": 60}])
    assert (now["phase"], now["total"]) == ("train", 60)
