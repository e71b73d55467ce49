"""What `asgi-bridge cutover status` prints (M3)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

from bridge.errors import pluralize
from bridge.server.control.text import duration

_HEAD: Final = (
    *("route", "mode", "share", "old", "errors", "p95", "new", "errors", "p95"),
    *("differences", "state"),
)
#: What stands for a figure that there is none of.
_NONE: Final = "-"


def status_lines(status: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a table, and below it what is wrong."""
    table = [_HEAD, *(_row(each) for each in status["routes"])]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        yield "  ".join(cells).rstrip()
    if "started" in status:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(status["started"]))
        where = f" of {', '.join(status['listeners'])}" if status["listeners"] else ""
        yield f"counted since the start{where} at {since}"
    for route in status["routes"]:
        if route["reason"]:
            yield f"route {route['route']}: {route['reason']}"
        if route["not_kept"]:
            yield f"route {route['route']} is so until the server ends: {route['not_kept']}"
    yield from not_started(status)
    for conflict in status.get("conflicts", ()):
        yield f"{'hint' if conflict['is_hint'] else 'warning'}: {conflict['text']}"
    late = [str(each["pid"]) for each in status["workers"] if not each["follows"]]
    if late:
        yield f"{len(late)} of {_workers(status)} not up to date yet: {', '.join(late)}"
    for each in status["workers"]:
        if each["error"]:
            yield f"worker {each['pid']}: {each['error']}"


def not_started(status: dict[str, Any]) -> Iterator[str]:
    """Yield the line that says where the new app did not start, if there is one."""
    if status["new_failed"]:
        failed = sum(each["new_failed"] for each in status["workers"])
        yield (
            f"the new app did not start in {failed} of {_workers(status)}, where the old one "
            f"answers all: {status['new_failed']}"
        )


def warnings_of(status: dict[str, Any], name: str) -> Iterator[str]:
    """Yield what whoever has switched the route `name` is to know."""
    mode = next((each["mode"] for each in status["routes"] if each["route"] == name), "old")
    if mode != "old":
        yield from not_started(status)
    own = [
        each["text"]
        for each in status.get("conflicts", ())
        if not each["is_hint"]
        and each["text"].split(" ")[:2] in (["route", name], ["route", f"{name}:"])
    ]
    yield from own
    if own and mode != "old":
        yield f"to go back: asgi-bridge cutover set {name} old"


def _workers(status: dict[str, Any]) -> str:
    return pluralize(len(status["workers"]), "worker")


def _row(route: dict[str, Any]) -> tuple[str, ...]:
    share = _NONE if route["share"] is None else f"{route['share']:g} %"
    copies = route["copies"]
    differences = _NONE if copies is None else str(copies.get("different", 0))
    return (
        *(route["route"], route["mode"], share),
        *_side(route["old"]),
        *_side(_with_rescued(route["new"], route["rescued"])),
        differences,
        _state(route),
    )


def _with_rescued(new: dict[str, Any], rescued: int) -> dict[str, Any]:
    """Count what the old app has answered instead as failed requests of the new one: they are."""
    return {**new, "requests": new["requests"] + rescued, "errors": new["errors"] + rescued}


def _side(side: dict[str, Any]) -> tuple[str, str, str]:
    requests, p95 = side["requests"], side["p95"]
    if not requests:
        return "0", _NONE, _NONE
    percent = f"{100 * side['errors'] / requests:.1f} %"
    return f"{requests}", percent, _NONE if p95 is None else _seconds(p95)


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _state(route: dict[str, Any]) -> str:
    """Say how gate and steps stand."""
    gate, steps = route["gate"], route["steps"]
    if steps == "rolled back":
        return "rolled back"
    parts = [f"gate {gate}"] if gate else []
    if steps == "climbs":
        parts.append(f"next step in {duration(route['seconds_left'])}")
    elif steps == "waits":
        parts.append("next step when the gate holds")
    elif steps:
        parts.append(steps)
    return ", ".join(parts)
