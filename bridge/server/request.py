"""A request as data: its line, its fields, and what those of them mean that the server acts on.

`http1/parser.py` makes it from bytes.
"""

from __future__ import annotations

from typing import Final, TypeAlias
from urllib.parse import unquote_to_bytes

from bridge.errors import RequestError
from bridge.http.headers import content_length, is_token, list_members
from bridge.server.proxy.forwarded import FORWARDING_HEADERS, Forwarded, Resolved
from bridge.types import Address, ServerAddress

#: `Request.length` of a chunked body.
CHUNKED: Final = -1

# What a field does to the server; plain numbers, for they are compared for every line.
NO_EFFECT: Final = 0
HOST: Final = 1
CONTROL: Final = 2

#: The fields that the server acts on, `Host` aside.
CONTROL_FIELDS: Final = FORWARDING_HEADERS | {
    b"content-length",
    b"transfer-encoding",
    b"connection",
    b"upgrade",
    b"expect",
}


#: A field as ``(name, value)``, and `NO_EFFECT`, `HOST` or `CONTROL`.
Line: TypeAlias = tuple[tuple[bytes, bytes], int]


def read_line(line: bytes) -> Line:
    """Split a field line; whether it is well formed is not checked here."""
    name, _, value = line.partition(b":")
    name, value = name.lower(), value.strip(b" \t")
    if name == b"host":
        return (name, value), HOST
    if name not in CONTROL_FIELDS or (name == b"connection" and value.lower() == b"keep-alive"):
        return (name, value), NO_EFFECT  # the default of HTTP/1.1; 1.0 never takes the fast path
    return (name, value), CONTROL


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
        #: An earlier head had this line, and field lines that were all known.
        self.seen_before = False
        #: The host that an absolute-form target names; it replaces that of the Host field.
        self.authority: bytes | None = None
        #: Fast path: HTTP/1.1, not HEAD, and a target in origin form or ``*``.
        self.fast = False
        #: llhttp does not know the method or the target, and has to be fed another line.
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
    requests do not need are class attributes, set only if a field asks for it; the others have no
    default in the class, which makes them faster (see `Exchange`).
    """

    #: Fast path: the line is `RequestTarget.fast`, and no field has an effect.
    fast: bool
    #: Fast path of the response: HTTP/1.1, not HEAD, and the connection goes on.
    keep_alive_fast: bool
    #: The same object stands for each head of the same bytes, so what is made of it may be kept.
    cached: bool
    #: Bytes of body that follow, or `CHUNKED`.
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
    #: It has a Forwarded or X-Forwarded-* field.
    forwarded = False
    #: What those say, if the peer is trusted (S32).
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

    # --------------------------------------------------------- what its line and fields ask for

    def apply_control_fields(self) -> None:
        """Leave the fast path: act on the version and on each field. Raises `RequestError`."""
        self.fast = False
        if not self.line.http11:
            self.http11 = False
            self.close = True
        for name, value in self.headers:
            if name in CONTROL_FIELDS:
                self._apply_control_field(name, value)
        if self.upgrade:
            self._apply_upgrade()
        if self.close or not self.http11 or self.method == "HEAD":
            self.keep_alive_fast = False

    def replace_host(self, host: bytes) -> None:
        """Use the host of an absolute-form target, not that of the field (RFC 9112 §3.2.2)."""
        self.headers = [(name, host if name == b"host" else value) for name, value in self.headers]

    def resolve(
        self,
        proxies: Forwarded,
        client: Address | None,
        scheme: str,
        server: ServerAddress | None,
    ) -> None:
        """Note what a trusted proxy says (S32); the arguments are the connection's own.

        Raises `RequestError`.
        """
        self.resolved = proxies.resolve(self.headers, client, scheme, server)

    def _apply_control_field(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            self.length = content_length(value)
        elif name == b"transfer-encoding":
            self._apply_codings()
        elif name == b"connection":
            self._apply_connection(value)
        elif name == b"expect":
            if value.lower() != b"100-continue":
                raise RequestError(f"Expect is {value[:80]!r}; only 100-continue is known", 417)
            self.expects_continue = self.http11
        elif name in FORWARDING_HEADERS:
            self.forwarded = True

    def _apply_codings(self) -> None:
        """Note that the body is chunked, or refuse its coding (RFC 9112 §6.1, §6.3)."""
        if not self.http11:
            raise RequestError("Transfer-Encoding in an HTTP/1.0 request")
        value = b",".join(value for name, value in self.headers if name == b"transfer-encoding")
        *others, last = (coding.strip(b" \t") for coding in value.lower().split(b","))
        if last != b"chunked" or not all(map(_is_coding, others)):
            raise RequestError(f"Transfer-Encoding is {value[:80]!r}; only chunked is known")
        if others:
            raise RequestError(f"Transfer-Encoding is {value[:80]!r}; only chunked is known", 501)
        self.length = CHUNKED

    def _apply_connection(self, value: bytes) -> None:
        options = list_members(value)
        if b"close" in options:
            self.close = True
        elif b"keep-alive" in options and not self.http11:
            # A close in another Connection field wins, wherever it stands.
            others = b",".join(value for name, value in self.headers if name == b"connection")
            self.close = b"close" in list_members(others)
        if b"upgrade" in options:
            self.upgrade = self.http11

    def _apply_upgrade(self) -> None:
        """See whether a WebSocket is among the protocols asked for (RFC 9110 §7.8: a list)."""
        named = b",".join(value for name, value in self.headers if name == b"upgrade")
        self.websocket = self.method == "GET" and b"websocket" in list_members(named)
