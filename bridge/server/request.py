"""What a request's head says: the request line, the fields, and what of them is the server's.

`http1/parser.py` reads bytes; here is what they come to.
"""

from __future__ import annotations

from typing import Final, TypeAlias
from urllib.parse import unquote_to_bytes

from bridge.errors import RequestError
from bridge.http.headers import content_length, is_token, list_members
from bridge.server.proxy.forwarded import FORWARDING_HEADERS, Resolved
from bridge.types import Address

#: `Request.length` of a body whose end the chunks tell.
CHUNKED: Final = -1

# What a field says to the server; plain numbers, for they are compared for every line.
ORDINARY: Final = 0
HOST: Final = 1
SPECIAL: Final = 2

_SPECIAL = FORWARDING_HEADERS | {
    b"content-length",
    b"transfer-encoding",
    b"connection",
    b"upgrade",
    b"expect",
}


#: A field as ``(name, value)``, and what it says.
Line: TypeAlias = tuple[tuple[bytes, bytes], int]


def read_line(line: bytes) -> Line:
    """A field line, read; that it is one is not said yet."""
    name, _, value = line.partition(b":")
    name, value = name.lower(), value.strip(b" \t")
    if name == b"host":
        return (name, value), HOST
    if name not in _SPECIAL or (name == b"connection" and value.lower() == b"keep-alive"):
        return (name, value), ORDINARY  # HTTP/1.1 keeps alive anyway; 1.0 is never ordinary
    return (name, value), SPECIAL


def _is_coding(text: bytes) -> bool:
    """Whether `text` is a coding that may stand before ``chunked`` (RFC 9112 §7)."""
    name = text.partition(b";")[0].rstrip(b" \t")
    return is_token(name) and name != b"chunked"


class RequestTarget:
    """One request line. `target` is in origin form (or ``*``), as it was sent."""

    __slots__ = (
        "authority",
        "fast",
        "http11",
        "method",
        "native_path",
        "native_query",
        "native_target",
        "path",
        "query",
        "raw_path",
        "seen_before",
        "target",
        "unknown_method",
    )

    def __init__(self, method: str, target: bytes, http11: bool) -> None:
        self.method = method
        self.target = target
        #: True for HTTP/1.1, False for HTTP/1.0.
        self.http11 = http11
        #: It was part of a head of known lines before.
        self.seen_before = False
        #: The host that an absolute-form target names; it takes the place of the Host field.
        self.authority: bytes | None = None
        #: Nothing about the line asks for anything unusual.
        self.fast = False
        #: Whether llhttp does not know the method or the target, and has to be fed another line.
        self.unknown_method = False
        self.raw_path, _, self.query = target.partition(b"?")
        decoded = self.raw_path
        if decoded.find(b"%") >= 0:
            decoded = unquote_to_bytes(decoded)
        #: The path decoded: as UTF-8 (ASGI), and one character for each byte (WSGI).
        self.path = decoded.decode("utf-8", "replace")
        self.native_path = decoded.decode("latin-1")
        self.native_query = self.query.decode("latin-1")
        self.native_target = target.decode("latin-1")


class Request:
    """A request line and its fields, checked.

    Names are lower case, values bytes without blanks around them, in order. Attributes that most
    requests do not need are class attributes, set only where a field speaks of them; the others
    are not, which makes them faster (see `Exchange`).
    """

    #: None of the attributes that stand in the class is set, nor is the method HEAD.
    fast: bool
    #: HTTP/1.1, not HEAD, and the connection goes on: a response needs nothing special.
    keep_alive_fast: bool
    #: It will be given again for the same bytes: worth to be worked on.
    cached: bool
    #: Bytes of body that follow; `CHUNKED` where the body says so itself.
    length: int
    #: True for HTTP/1.1, False for HTTP/1.0.
    http11 = True
    #: The client will not use the connection again.
    close = False
    #: The client waits for 100 Continue (RFC 9110 §10.1.1).
    expects_continue = False
    #: The Connection field names Upgrade, which HTTP/1.0 does not have.
    upgrade = False
    #: It asks for a WebSocket (RFC 6455 §4.2.1).
    websocket = False
    #: Some proxy's word on the client is among the fields.
    forwarded = False
    #: What that word comes to, where the proxy is trusted (S32).
    resolved: Resolved | None = None

    def __init__(self, line: RequestTarget, headers: list[tuple[bytes, bytes]]) -> None:
        self.line = line
        self.method = line.method
        self.headers = headers
        self.fast = self.keep_alive_fast = True
        self.cached = False
        self.length = 0

    @property
    def target(self) -> bytes:
        """The target as it was sent, in origin form."""
        return self.line.target

    @property
    def client(self) -> Address | None:
        """The client that a trusted proxy names; None if none does."""
        return None if self.resolved is None else self.resolved.client

    @property
    def shown(self) -> str:
        """Method and target for a line of a log, with what is beyond ASCII as ``\\xff`` (S50)."""
        return f"{self.method} {self.line.target.decode('ascii', 'backslashreplace')}"

    def heed(self, name: bytes, value: bytes) -> None:
        """Note what a field says to the server. Raises `RequestError`."""
        if name == b"content-length":
            self.length = content_length(value)
        elif name == b"transfer-encoding":
            self._heed_codings()
        elif name == b"connection":
            self._heed_connection(value)
        elif name == b"expect":
            if value.lower() != b"100-continue":
                raise RequestError(f"Expect is {value[:80]!r}; only 100-continue is known", 417)
            self.expects_continue = self.http11
        elif name in FORWARDING_HEADERS:
            self.forwarded = True

    def _heed_codings(self) -> None:
        """Take the body for chunked, or refuse what it is coded in (RFC 9112 §6.1, §6.3)."""
        if not self.http11:
            raise RequestError("Transfer-Encoding in an HTTP/1.0 request")
        value = b",".join(value for name, value in self.headers if name == b"transfer-encoding")
        *others, last = (coding.strip(b" \t") for coding in value.lower().split(b","))
        if last != b"chunked" or not all(map(_is_coding, others)):
            raise RequestError(f"Transfer-Encoding is {value[:80]!r}; only chunked is known")
        if others:
            raise RequestError(f"Transfer-Encoding is {value[:80]!r}; only chunked is known", 501)
        self.length = CHUNKED

    def _heed_connection(self, value: bytes) -> None:
        options = list_members(value)
        if b"close" in options:
            self.close = True
        elif b"keep-alive" in options and not self.http11:
            # A close in another Connection field wins, wherever it stands.
            others = b",".join(value for name, value in self.headers if name == b"connection")
            self.close = b"close" in list_members(others)
        if b"upgrade" in options:
            self.upgrade = self.http11

    def heed_upgrade(self) -> None:
        """Note which protocol is asked for; of several we take the one that we know.

        Upgrade is a list (RFC 9110 §7.8), and may come in several fields.
        """
        named = b",".join(value for name, value in self.headers if name == b"upgrade")
        self.websocket = self.method == "GET" and b"websocket" in list_members(named)
