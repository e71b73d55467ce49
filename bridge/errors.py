"""Every error of the toolkit. The type says whose fault it is, and has the HTTP status."""

from __future__ import annotations

import re
import types
from typing import Final


def pluralize(number: int, what: str) -> str:
    """Return a number with its noun, for people: ``1 request``, ``2 requests``."""
    if number == 1:
        return f"1 {what}"
    thing, of, rest = what.partition(" of ")
    return f"{number} {thing}s{of}{rest}"


def peer_name(client: object) -> str:
    """Return a client's address for people: ``127.0.0.1:4000``, ``[::1]:4000``."""
    if not isinstance(client, tuple):
        return "a client without an address"  # on a Unix socket, or gone too soon
    host, port = client[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


_ADDRESS: Final = re.compile(r" at 0x[0-9A-Fa-f]+")


def shown(thing: object) -> str:
    """Return what `thing` is, for people: no address, and no more than 80 characters of it.

    A function and a class have the names by which one finds them: ``the function shop.views.home``.
    """
    if isinstance(thing, types.FunctionType | types.MethodType | type):
        what = "class" if isinstance(thing, type) else type(thing).__name__
        return f"the {what} {thing.__module__}.{thing.__qualname__}"
    return f"{_ADDRESS.sub('', repr(thing)):.80}"


class BridgeError(Exception):
    """Base of all errors of the toolkit.

    `http.error_response` turns it into a response, if one is still possible.
    """

    #: The HTTP status of the response.
    status = 500
    #: Extra fields of the response, their names in lower case.
    fields: tuple[tuple[bytes, bytes], ...] = ()
    #: Whether the client is sent the error's text too, not only the status.
    public = False


class RequestError(BridgeError):
    """The client's fault: the request breaks a rule or a limit; the response says which."""

    status = 400
    public = True

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class ClientDisconnected(BridgeError, OSError):
    """The client is gone: what was read is incomplete, and nothing can be sent."""

    status = 499


class RequestCancelled(ClientDisconnected):
    """The request was cancelled while the app waited: the app should clean up and end."""


class RequestAnswered(ClientDisconnected):
    """The request was answered, or cut, without waiting for its app: nothing can be sent."""


#: The message with which a task is cancelled that has run for too long.
OVER_TIME: Final = "the request runs for longer than timeout_request"


class RequestTimeout(BridgeError):
    """The request has run for longer than `timeout_request` allows: clean up and end (R2).

    It is raised in the app's code, wherever that is, or waits.
    """

    status = 504

    def __init__(self, message: str = OVER_TIME) -> None:
        super().__init__(message)


class AppError(BridgeError):
    """The app's fault: it breaks PEP 3333 or the ASGI specification."""


class IllegalMessage(AppError):
    """An ASGI message that is malformed, unknown, or out of order."""


class IllegalResponse(AppError, AssertionError):
    """A WSGI response (status, headers, order of calls) that PEP 3333 does not allow."""


class UnsupportedScope(AppError):
    """An ASGI scope type that the app behind an adapter cannot take."""


class Overloaded(BridgeError):
    """A thread pool or the server is full: try again later (Retry-After)."""

    status = 503
    fields = ((b"retry-after", b"1"),)


class ChannelFull(BridgeError):
    """A channel has as many messages as its capacity allows: nothing was sent, try again later."""

    status = 503
    fields = ((b"retry-after", b"1"),)


class MessageTooLarge(BridgeError):
    """A message is larger than its channel layer takes: nothing was sent."""


class LayerUnavailable(BridgeError):
    """A channel layer cannot be reached now; the text says whether something may be lost."""

    status = 503
    fields = ((b"retry-after", b"1"),)


class SelfRequest(BridgeError):
    """An app waits for itself: every thread that could answer its request is waiting too.

    The response says so, because the client is the app itself.
    """

    status = 503
    fields = ((b"retry-after", b"1"),)
    public = True


class WaitNotPossible(BridgeError):
    """`bridge.await_` was called in a place where it cannot wait."""


class LifespanFailed(BridgeError):
    """An app's startup or shutdown failed; `phase` says which.

    The command line exits with 3 after ``startup``, and with 1 after ``shutdown``.
    """

    def __init__(self, message: str, phase: str = "startup") -> None:
        super().__init__(message)
        self.phase = phase


class ConfigError(BridgeError):
    """The operator's fault: a setting is wrong. The command line exits with 2."""


class NotOnAsyncio(BridgeError):
    """An adapter was called by a host whose event loop is not asyncio's, for example trio's."""

    def __init__(self, owner: str) -> None:
        super().__init__(
            f"{owner} runs on asyncio, and the host that calls it does not (does it run trio?); "
            "start the host with asyncio, as with hypercorn -k asyncio or -k uvloop, or "
            'anyio.run(..., backend="asyncio")'
        )


class AppLoadError(BridgeError):
    """The app could not be imported or started. The command line exits with 3."""
