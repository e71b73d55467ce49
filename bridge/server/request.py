"""A request as data: its line, its fields, and what those of them mean that the server acts on.

`http1/parser.py` makes it from bytes.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote_to_bytes

from bridge.errors import RequestError
from bridge.http.headers import content_length, is_token, list_members
from bridge.server.proxy.forwarded import FORWARDING_HEADERS, Forwarded, Resolved
from bridge.types import Address, ServerAddress

#: `Request.length` of a chunked body.
CHUNKED: Final = -1

#: The fields that the server acts on, `Host` aside.
CONTROL_FIELDS: Final = FORWARDING_HEADERS | {
    b"content-length",
    b"transfer-encoding",
    b"connection",
    b"upgrade",
    b"expect",
}


def _is_coding(text: bytes) -> bool:
    """Whether `text` is a coding that may stand before ``chunked`` (RFC 9112 §7)."""
    name = text.partition(b";")[0].rstrip(b" \t")
    return is_token(name) and name != b"chunked"


class Request:
    """A request line and its fields, checked.

    Names are lower case, values bytes without blanks around them, in order. Attributes that most
    requests do not need are class attributes, set only if the line or a field asks for it; the
    others have no default in the class, which makes them faster (see `Exchange`).
    """

    #: ``GET``.
    method: str
    #: The target as it was sent, in origin form, or ``*``; its two parts, neither of them decoded.
    target: bytes
    raw_path: bytes
    query: bytes
    #: The path decoded, as UTF-8.
    path: str
    #: Fast path: HTTP/1.1, not HEAD, a target in origin form, and no field has an effect.
    fast: bool
    #: Fast path of the response: HTTP/1.1, not HEAD, and the connection goes on.
    keep_alive_fast: bool
    #: Bytes of body that follow, or `CHUNKED`.
    length: int
    #: The same head came more than once in a row on its connection: this object stands for each.
    repeated: bool
    #: If so: a handler, and what it makes of the head, to be copied for each of them.
    template: tuple[object, dict[str, Any]] | None
    #: True for HTTP/1.1, False for HTTP/1.0.
    http11 = True
    #: The host that an absolute-form target names; it replaces that of the Host field.
    authority: bytes | None = None
    #: llhttp does not know the method or the target.
    unknown_line = False
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

    def __init__(self, method: str, target: bytes, raw_path: bytes, query: bytes) -> None:
        self.method = method
        self.target = target
        self.raw_path = raw_path
        self.query = query
        if raw_path.find(b"%") < 0:
            self.path = raw_path.decode()
        else:
            self.path = unquote_to_bytes(raw_path).decode("utf-8", "replace")
        self.headers: list[tuple[bytes, bytes]] = []
        self.fast = self.keep_alive_fast = True
        self.length = 0
        self.repeated = False
        self.template = None

    @property
    def native_path(self) -> str:
        """The path decoded, one character for each byte (PEP 3333)."""
        path = self.path
        return path if path.isascii() else unquote_to_bytes(self.raw_path).decode("latin-1")

    @property
    def client(self) -> Address | None:
        """The client that a trusted proxy names; None if none does."""
        return None if self.resolved is None else self.resolved.client

    @property
    def shown(self) -> str:
        """Method and target for a line of a log, with what is beyond ASCII as ``\\xff`` (S50)."""
        return f"{self.method} {self.target.decode('ascii', 'backslashreplace')}"

    # --------------------------------------------------------- what its line and fields ask for

    def apply_control_fields(self) -> None:
        """Leave the fast path: act on the version and on each field. Raises `RequestError`."""
        self.fast = False
        self.close = not self.http11
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
