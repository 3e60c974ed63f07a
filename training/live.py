"""The newest numbers of a running training and a thinned curve: small however long it runs.

Pure: events of the engine in, one plain dictionary out. It is stored with the run, so that a page
that follows a training reads one row.
"""

import math

MAX_POINTS = 60
NEWESTROWS = 10
PHASES = ("start", "load", "check", "baseline", "train", "evaluate", "save", "done")
_NUMBERS = ("step", "total", "epoch", "learning_rate", "tokens_per_second", "peak_bytes")
ROW = ("step", "epoch", "loss", "eval_loss", "learning_rate")


def absorb(live: dict, events: list[dict]) -> dict:
    """Return `live` brought up to date by `events`; the argument stays as it was."""
    live = dict(live)
    for event in events:
        if event.get("type") == "phase":
            _absorb_phase(live, event)
        elif event.get("type") == "metric":
            _absorb_metric(live, event)
    return live


def _absorb_phase(live: dict, event: dict) -> None:
    live["phase"] = event.get("phase") if event.get("phase") in PHASES else ""
    if live["phase"] == "train" and _is_number(event.get("total")):
        live["total"] = event["total"]


def _absorb_metric(live: dict, event: dict) -> None:
    step = event.get("step")
    if not _is_number(step):
        return
    live |= {name: event[name] for name in _NUMBERS if _is_number(event.get(name))}
    for name, before in (("loss", None), ("eval_loss", "eval_before")):
        if _is_number(event.get(name)):
            live[name] = event[name]
            live[f"{name}_curve"] = add_point(live.get(f"{name}_curve"), step, event[name])
            if before and before not in live:
                live[before] = event[name]
    live["rows"] = _with_row(live.get("rows") or [], event)


def add_point(curve: dict | None, step: float, value: float) -> dict:
    """Return the curve with one more point, at most MAX_POINTS of them.

    The first and the newest are always there; those between stand at least `stride` steps apart,
    which doubles when there are too many. A step measured again, after a restart from a
    checkpoint, takes the place of everything from it on.
    """
    curve = curve or {"stride": 0, "points": []}
    points = [point for point in curve["points"] if point[0] < step]
    stride = curve["stride"]
    if len(points) > 1 and points[-1][0] - points[-2][0] < stride:
        points.pop()
    points.append([step, _rounded(value)])
    if len(points) > MAX_POINTS:
        points = [*points[:-1:2], points[-1]]
        stride = points[1][0] - points[0][0]
    return {"stride": stride, "points": points}


def curve_rows(live: dict) -> list[dict]:
    """Return the points as rows with `step` and `loss` or `eval_loss`."""
    return [
        {"step": step, name: value}
        for name in ("loss", "eval_loss")
        for step, value in (live.get(f"{name}_curve") or {}).get("points", [])
    ]


def _with_row(rows: list[dict], event: dict) -> list[dict]:
    """Return the newest measurements, one row a step."""
    step = event["step"]
    row = {name: event[name] for name in ROW if _is_number(event.get(name))}
    if rows and rows[-1]["step"] == step:
        row = rows[-1] | row
    return [*(each for each in rows if each["step"] < step), row][-NEWESTROWS:]


def _rounded(value: float) -> float:
    """Keep five digits: more than a curve shows, and no more than a row needs."""
    return float(f"{value:.5g}")


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
