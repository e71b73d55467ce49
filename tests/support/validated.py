"""`wsgiref.validate.validator` around an app: whatever it finds becomes an error that is seen.

Its assertions become a 500, its warnings are made errors, and what it can only print (an iterable
that was never closed) is in the host's log, where `complaints` finds it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from wsgiref.validate import WSGIWarning, validator

from bridge.types import (
    ASGIApp,
    Environ,
    Message,
    Receive,
    Scope,
    Send,
    StartResponse,
    WSGIApp,
)


def validated(app: WSGIApp) -> WSGIApp:
    """`app` with the validator between it and its host, both of which it watches."""
    warnings.simplefilter("error", WSGIWarning)
    watched = validator(app)

    def wsgi(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return watched(environ, start_response)

    return wsgi


def typed(app: ASGIApp) -> ASGIApp:
    """`app` with a Content-Type on every response: the validator insists, HTTP does not."""

    async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
        async def add_and_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                fields = list(message.get("headers", ()))
                if b"content-type" not in dict(fields):
                    fields.append((b"content-type", b"text/plain"))
                message = {**message, "headers": fields}
            await send(message)

        await app(scope, receive, add_and_send)

    return asgi


def opaque(app: ASGIApp) -> ASGIApp:
    """`app` as a function that shows nothing of it: our server cannot take it apart."""

    async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return asgi


def complaints(log: str) -> list[str]:
    """The lines of a host's log that the validator has written or caused.

    On a busy machine the watchdog may tell of a call that took long, and show where the loop's
    thread stood: that this was in the validator is no complaint.
    """
    signs = ("wsgiref/validate.py", "WSGIWarning", "Iterator garbage collected")
    told = re.sub(r"(?m)^.*\bthe event loop .*\bblocked\b.*\n(?:  .*\n)*", "", log)
    return [line for line in told.splitlines() if any(sign in line for sign in signs)]
