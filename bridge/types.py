"""Type aliases for the terms of both specifications (PEP 3333, ASGI 3). No code runs here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Protocol, TypeAlias

#: An ASGI connection scope (ASGI, "Connection Scope").
Scope: TypeAlias = dict[str, Any]
#: An ASGI event, received or sent.
Message: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Header fields as in ASGI and on the wire: ``(name, value)`` in bytes.
RawHeaders: TypeAlias = list[tuple[bytes, bytes]]
#: Header fields as in WSGI: ``(name, value)`` in native strings.
TextHeaders: TypeAlias = list[tuple[str, str]]

#: A client: host and port.
Address: TypeAlias = tuple[str, int]
#: A server: host and port, or the path of a Unix socket and None (ASGI, ``server``).
ServerAddress: TypeAlias = tuple[str, int | None]

#: A WSGI environ (PEP 3333, "environ Variables").
Environ: TypeAlias = dict[str, Any]
ExcInfo: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)
Write: TypeAlias = Callable[[bytes], object]


class StartResponse(Protocol):
    """The ``start_response`` callable that a server hands to a WSGI app."""

    def __call__(
        self, status: str, headers: TextHeaders, exc_info: ExcInfo | None = None, /
    ) -> Write:
        """Begin a response; returns ``write``. Pass `exc_info` only while handling an error."""


WSGIApp: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]
