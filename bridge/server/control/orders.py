"""The orders that a running server takes, and what it says of itself (O3, O8).

`Supervision` is the face of whatever runs the workers. An order that cannot be carried out raises
`OrderFailed`, with one line that says why, and what to do.

An order is one line of JSON, ``{"order": "scale", "number": 4}``; the answer to it is another:
``{"ok": true, "result": ...}`` or ``{"ok": false, "error": "one line"}``.
"""

from __future__ import annotations

import json
from asyncio import Future
from typing import Any, Final, Protocol, TypeAlias, TypedDict

#: More processes than this are a mistake in typing: they would take the memory of the machine.
MOST_WORKERS: Final = 1000


class OrderFailed(Exception):
    """An order is impossible, or has failed; the text is one line for whoever gave it."""


class ServerStatus(TypedDict):
    """What a server says of itself as a whole; every value can be written as JSON."""

    pid: int
    version: str
    #: ``module:attr``, or the mounts: ``/=old:app, /api=new:app``.
    app: str
    #: As in the banner: ``http://127.0.0.1:8000``, ``unix:/run/app.sock``.
    listeners: list[str]
    #: When it was started, in seconds since 1970.
    started: float
    #: 1 at the start; one more with each reload.
    generation: int
    #: How many workers there should be.
    wanted: int
    #: ``starting``, ``serving``, ``reloading``, ``draining`` or ``stopping``.
    state: str
    #: Requests since the start, those of workers that are gone included.
    served: int
    #: Requests a second, over the last seconds.
    rate: float


class WorkerStatus(TypedDict):
    """What a server knows of one worker; None: not known (yet, or on this system)."""

    slot: int
    pid: int
    generation: int
    #: ``starting``, ``started``, ``serving``, ``retiring`` or ``killed``.
    state: str
    #: Seconds since it was forked.
    age: float
    served: int
    connections: int
    websockets: int
    #: Requests in progress.
    busy: int
    #: Seconds by which its event loop is late.
    lag: float | None
    #: Bytes of memory.
    rss: int | None
    #: Seconds of CPU time since it was forked.
    cpu: float | None


class Supervision(Protocol):
    """What carries the orders out. Every method is called on its loop, and returns at once.

    What takes time gives a future, not a coroutine: the supervisor forks between two runs of its
    loop, and a suspended task would be thrown away in the child, with its `finally` blocks.
    """

    def status(self) -> ServerStatus:
        """Describe the server."""
        ...

    def workers(self) -> list[WorkerStatus]:
        """Describe each worker, by slot and generation."""
        ...

    def reload(self) -> Future[str]:
        """Replace all workers by new ones; a line that says what was done, when it is done.

        The future raises `OrderFailed` if the old version stays, with the reason.
        """
        ...

    def scale(self, number: int) -> str:
        """Have `number` workers from now on; return a line. Raises `OrderFailed`."""
        ...

    def reopen_logs(self) -> str:
        """Open log files again, here and in each worker; return a line."""
        ...

    def stacks(self) -> Future[dict[int, str]]:
        """Collect the stacks of every thread and task of each worker, by pid."""
        ...

    def metrics(self) -> str:
        """Return all figures in Prometheus' text format. Raises `OrderFailed` if none are kept."""
        ...

    def routes(self) -> dict[str, Any]:
        """Describe the routes of the cutover, and how they go. Raises `OrderFailed`."""
        ...

    def switch(self, route: str, mode: str, share: object, by: str) -> Future[str]:
        """Switch a route in each worker, and in its file; a line. Raises `OrderFailed`.

        The log says what it was before, and `by` whom it was switched.
        """
        ...

    def stop(self) -> str:
        """Begin to stop, as SIGTERM does; return a line."""
        ...


# ------------------------------------------------------------- from a line to an answer

#: What can be written as JSON.
Result: TypeAlias = Any

#: The orders, as they are named on the socket and on the command line.
ORDERS: Final = (
    *("status", "workers", "reload", "scale", "reopen-logs", "threads", "metrics", "stop"),
    *("routes", "switch"),
)
#: Those that change something: the log says who gave them, and whether they were refused.
CHANGING: Final = frozenset({"reload", "scale", "reopen-logs", "stop", "switch"})


def read_order(line: bytes) -> dict[str, Any]:
    """Read an order. Raises `OrderFailed` if it is none, or cannot be."""
    try:
        order = json.loads(line)
    except (ValueError, RecursionError):
        raise OrderFailed(f"that is no JSON: {line[:40]!r}; {_EXAMPLE}") from None
    if not isinstance(order, dict) or not isinstance(order.get("order"), str):
        raise OrderFailed(f"that is no order: {line[:40]!r}; {_EXAMPLE}")
    if order["order"] not in ORDERS:
        raise OrderFailed(f"there is no order {order['order'][:40]!r}; {_KNOWN}")
    if order["order"] == "scale":
        _check_number(order.get("number"))
    if order["order"] == "switch" and not all(
        isinstance(order.get(name), str) for name in ("route", "mode")
    ):
        raise OrderFailed('a switch has a route and a mode: {"route": "invoices", "mode": "new"}')
    return order


def carry_out(
    order: dict[str, Any], supervision: Supervision, by: str = ""
) -> Result | Future[Result]:
    """Carry out what `read_order` has read; a future if it takes time. Raises `OrderFailed`.

    `by` is for the log, who has given it: `` over the control socket by process 12 of user 0``.
    """
    match order["order"]:
        case "status":
            return {**supervision.status(), "workers": supervision.workers()}
        case "workers":
            return supervision.workers()
        case "reload":
            return supervision.reload()
        case "scale":
            return supervision.scale(order["number"])
        case "reopen-logs":
            return supervision.reopen_logs()
        case "threads":
            return supervision.stacks()
        case "metrics":
            return supervision.metrics()
        case "routes":
            return supervision.routes()
        case "switch":
            return supervision.switch(order["route"], order["mode"], order.get("share"), by)
        case _:
            return supervision.stop()


def _check_number(number: object) -> None:
    if type(number) is not int:
        raise OrderFailed(f"scale needs a whole number of workers, and not {number!r:.40}")
    if number < 1:
        raise OrderFailed(
            f"cannot scale to {number}: one worker at least has to serve; to end all: ctl stop"
        )
    if number > MOST_WORKERS:
        raise OrderFailed(
            f"cannot scale to {number}: {MOST_WORKERS} workers are the most, since each is a "
            "process with memory of its own; about one for each CPU is usual"
        )


_EXAMPLE: Final = 'an order is one line such as {"order": "status"}'
_KNOWN: Final = f"the orders are {', '.join(ORDERS)}"
