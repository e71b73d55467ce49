"""What an ASGI app does, as it is driven, and what it would do to an event loop."""

from __future__ import annotations

from typing import Final

from bridge.check.catalogue.entry import (
    ASGI_TO_WSGI,
    ASGI_WAYS,
    Entry,
)

ASGI: Final[dict[str, Entry]] = {
    "illegal-message": Entry(
        "error",
        "{request}: it sends what ASGI does not allow: {what}",
        "Servers refuse such a message: the request fails.",
        fails=ASGI_WAYS,
    ),
    "no-response": Entry(
        "error",
        "{request}: it returns without {what}",
        "Send http.response.start, and a last http.response.body.",
        fails=ASGI_WAYS,
    ),
    "blocks-loop": Entry(
        "error",
        "it blocks the event loop",
        "Nothing else is served meanwhile. Await it (asyncio.sleep, httpx), or put it into a "
        "thread: await asyncio.to_thread(...).",
        care=ASGI_WAYS,
    ),
    "blocking-call": Entry(
        "warning",
        "an async function calls {what}, which blocks the event loop",
        "Nothing else is served meanwhile. Await it (asyncio.sleep, httpx), or put it into a "
        "thread: await asyncio.to_thread(...). (Read in the code, not seen to run.)",
        care=ASGI_WAYS,
    ),
    "one-thread": Entry(
        "warning",
        "{request} is answered only in the thread that has imported the app: {error}",
        "Servers run async views there. Sync views, threads and AsgiToWsgi are elsewhere: open in "
        "each request, or at the startup, what is opened at import.",
        fails=(ASGI_TO_WSGI,),
    ),
    "ignores-leaving": Entry(
        "warning",
        "{request} goes on when its client has left",
        "Stop at http.disconnect, or if send() raises: on its own it would go on for ever.",
        care=ASGI_WAYS,
    ),
    "ignores-cancel": Entry(
        "error",
        "{request} goes on when it is cancelled",
        "Let asyncio.CancelledError pass: a server cannot stop otherwise.",
        care=ASGI_WAYS,
    ),
    "no-lifespan": Entry(
        "note",
        "it knows no lifespan ({what})",
        "That is allowed: servers go on without it. --lifespan off does not ask at all.",
    ),
    "lifespan-raises": Entry(
        "warning",
        "its startup raises {error}, and says nothing",
        "Servers take this for an app without lifespan, and serve one that has not started. "
        "Start with --lifespan on, or mend the startup.",
        care=ASGI_WAYS,
    ),
    "lifespan-fails": Entry(
        "error",
        "its {phase} fails: {what}",
        "No server starts an app that says so.",
        fails=ASGI_WAYS,
    ),
    "lifespan-hangs": Entry(
        "error",
        "it does not answer lifespan.{phase} within {seconds:g} s",
        "A server waits for --timeout-{phase}, and then gives up. If the app takes every scope for "
        "a request, say --lifespan off.",
        care=ASGI_WAYS,
    ),
    "websocket": Entry("ok", "a WebSocket to / is {what}"),
    "websocket-raises": Entry(
        "note",
        "it does not know WebSockets, and raises {error}",
        "A client that asks for one gets an error. That is right for an app without WebSockets.",
    ),
    "websocket-hangs": Entry(
        "error",
        "it does not answer a WebSocket within {seconds:g} s",
        "Accept it or close it: a client waits for that.",
        care=ASGI_WAYS,
    ),
    "sockets-on-wsgi": Entry(
        "note",
        "it takes WebSockets, and not all WSGI servers can",
        "AsgiToWsgi has them on hosts that give their socket away, as Gunicorn does.",
        care=(ASGI_TO_WSGI,),
    ),
}
