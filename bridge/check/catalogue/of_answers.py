"""What becomes of a request, whatever kind of app answers it."""

from __future__ import annotations

from typing import Final

from bridge.check.catalogue.entry import (
    ALL_WAYS,
    Entry,
)

#: What a stream costs, by kind of app: the `cost` of `endless`.
WSGI_STREAM: Final = "Streams of WSGI apps hold a thread each: see --stream-limit."
ASGI_STREAM: Final = "Each client of it costs a task on the event loop, and no thread."

ANSWERS: Final[dict[str, Entry]] = {
    "raises": Entry(
        "error",
        "{request} raises {error}",
        "Whatever serves it, the client gets a 500.",
        fails=ALL_WAYS,
    ),
    "status-5xx": Entry(
        "error",
        "{request} is answered {status}{why}",
        "See whether the app has here what it needs: its settings, its database.",
        fails=ALL_WAYS,
    ),
    "logged": Entry(
        "note",
        "it logs an error: {error}",
        "The response did not show it.",
    ),
    "hangs": Entry(
        "error",
        "{request} is not answered within {seconds:g} s",
        "It was given up. If it needs longer, raise --time-limit; end such requests by "
        "--timeout-request.",
        care=ALL_WAYS,
    ),
    "endless": Entry(
        "note",
        "{request} streams: after {pieces} the check has left, as a client does",
        "{cost}",
    ),
}
