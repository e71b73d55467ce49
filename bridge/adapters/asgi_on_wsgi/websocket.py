"""One WebSocket behind a WSGI host that gives its socket away: the host's side (A40).

The host has read the opening handshake as a request like any other, and its thread duplicates the
socket before anything else, while that is certainly open. The app decides: if it refuses, that is
an ordinary response; if it accepts, the event loop takes the duplicate over, and the host's thread
only waits until the connection is over. Then it ends as if the client had broken the connection
off, which makes every host close it without writing anything.

There is one duplicate, and the side that takes it has decided: the loop, that the WebSocket opens;
the host's thread, when the time is up or the client has left, that it never will. The app's side
is `websocket_app_side`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from bridge.adapters.asgi_on_wsgi.host_quirks import has_ended, websocket_help, websocket_socket
from bridge.adapters.asgi_on_wsgi.instance import AppInstance
from bridge.adapters.asgi_on_wsgi.websocket_app_side import WebSocketAppSide
from bridge.asgi.scope import websocket_scope_from_environ
from bridge.errors import AppError
from bridge.http.error_response import error_response
from bridge.loops.descriptors import Duplicate
from bridge.loops.waiters import waiter
from bridge.types import Environ, StartResponse, TextHeaders
from bridge.websocket.handshake import HandshakeParser

#: The largest message that is taken, in bytes.
MAX_SIZE = 16 * 1024 * 1024
#: Seconds between two looks of the host's thread at the time and at the client.
TICK = 1.0


class WebSocketExchange:
    """One opening handshake, and the WebSocket that may come of it."""

    def __init__(
        self, instance: AppInstance, environ: Environ, start_response: StartResponse
    ) -> None:
        """Check the handshake. Raises `RequestError` (400, 426)."""
        self._instance = instance
        self._environ = environ
        self._start_response = start_response
        self._waiter = waiter()
        self._socket = websocket_socket(environ)
        if self._socket is not None:
            self._scope = websocket_scope_from_environ(environ, instance.lifespan.state)
            self._handshake = HandshakeParser(MAX_SIZE, compress=True).check(
                self._scope["headers"], has_body=_has_body(environ)
            )
            self._scope["subprotocols"] = self._handshake.subprotocols.copy()

    def respond(self) -> Iterable[bytes]:
        """Serve the WebSocket; gives a body if it does not open, else raises at its end."""
        given = self._socket
        if given is None:
            head, body = error_response(501, websocket_help(self._environ))
            return self._refuse(*head.text, [body])
        duplicate = Duplicate(given.fileno())
        blocking = os.get_blocking(given.fileno())
        app = WebSocketAppSide(
            self._instance, self._scope, self._handshake, duplicate, self._waiter.wake
        )
        try:
            self._instance.thread.submit(app.start)
            self._wait(given, app, duplicate)
        except BaseException as error:  # the time is up, or the host's thread or greenlet is ended
            app.leave(timed_out=isinstance(error, AppError))
            raise
        finally:
            duplicate.close()
            if app.connection is not None and app.connection.gone.done():
                with suppress(OSError):  # the host has closed it
                    os.set_blocking(given.fileno(), blocking)  # shared with the duplicate
        if app.connection is not None:
            raise _client_gone()
        if app.failure is not None:
            raise app.failure
        return self._refuse(*app.denial, app.denial_body)

    def _wait(self, given: Any, app: WebSocketAppSide, duplicate: Duplicate) -> None:
        """Return when the app has refused, or when the connection is over.

        Raises `AppError` if the time is up, and `BrokenPipeError` if the client has left.
        """
        waited = 0.0
        limit = self._instance.settings.response_timeout
        while not app.over:
            if self._waiter.wait(TICK) or app.decided:
                continue
            waited += TICK
            timed_out = waited >= limit
            if (timed_out or has_ended(given)) and duplicate.close():
                if timed_out:
                    raise AppError(f"the app did not answer a WebSocket within {limit} s")
                raise _client_gone()

    def _refuse(self, status: str, headers: TextHeaders, body: list[bytes]) -> Iterable[bytes]:
        self._start_response(status, headers.copy())
        return body


def _has_body(environ: Environ) -> bool:
    return (
        environ.get("CONTENT_LENGTH") not in (None, "", "0") or "HTTP_TRANSFER_ENCODING" in environ
    )


def _client_gone() -> BrokenPipeError:
    """Make what ends the host's call: it closes the connection, and writes nothing."""
    return BrokenPipeError(errno.EPIPE, "the WebSocket is over")
