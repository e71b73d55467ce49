"""Build an ASGI scope from a WSGI environ (ASGI "HTTP Connection Scope", PEP 3333; A1-A3).

WSGI passes bytes as text: every environ string has one byte per character (latin-1, PEP 3333
"Unicode Issues"). ASGI wants most of them as bytes, and the two paths as UTF-8 text. Not all hosts
keep this rule; what a host gets wrong is corrected here, and is never an error of the request.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any
from urllib.parse import quote_from_bytes

from bridge.asgi.versions import HTTP_VERSION, WEBSOCKET_VERSION
from bridge.caches import BoundedDict, Memo, key_up_to
from bridge.http.headers import content_length, list_members
from bridge.http.paths import PATH_CHARACTERS, mount_point
from bridge.http.schemes import DEFAULT_PORTS, WEBSOCKET_SCHEMES
from bridge.types import Address, Environ, RawHeaders, Scope, ServerAddress

_MAY_BE_EMPTY = (b"content-type", b"content-length")
#: Environ key that shows what a host can do -> name of the ASGI extension.
_EXTENSIONS = {
    "wsgi.early_hints": "http.response.early_hint",
    "wsgi.file_wrapper": "http.response.pathsend",
}
_HTTP_VERSIONS = {"HTTP/1.0": "1.0", "HTTP/1.1": "1.1", "HTTP/2.0": "2", "HTTP/2": "2"}


def _header_name(key: str) -> bytes:
    """Return the header field that an environ key stands for; empty if it stands for none."""
    if key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        name = key
    elif key.startswith("HTTP_") and key not in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"):
        name = key[5:]
    else:
        return b""
    return name.replace("_", "-").lower().encode("latin-1", "replace")


#: Environ key -> lower-case header name, or ``b""`` for keys that are not header fields.
_HEADER_NAMES: Memo[str, bytes] = Memo(_header_name, key_up_to(64))


def environ_bytes(text: str) -> bytes:
    """Return the bytes that an environ string stands for.

    Also works for hosts that decoded them some other way (UTF-8, the file system's encoding).
    """
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        pass
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def _headers(environ: Environ, layout: _Layout) -> RawHeaders:
    """Return the request's fields: names in lower case, in the host's order.

    Empty ``CONTENT_TYPE`` and ``CONTENT_LENGTH`` mean that the client sent none (RFC 3875 §4.1).
    """
    try:
        headers = [(name, environ[key].encode("latin-1")) for name, key in layout.fields]
    except UnicodeEncodeError:
        headers = [(name, environ_bytes(environ[key])) for name, key in layout.fields]
    if layout.may_be_empty:
        headers = [field for field in headers if field[1] or field[0] not in _MAY_BE_EMPTY]
    return headers


def _paths(environ: Environ) -> tuple[str, bytes, str]:
    """Return ``path``, ``raw_path`` and ``root_path`` of the scope.

    ``path`` is the whole path, including the mount point. Bytes that are not UTF-8 become U+FFFD
    in it; ``raw_path`` has them unchanged.
    """
    script_name: str = environ.get("SCRIPT_NAME") or ""
    path_info: str = environ.get("PATH_INFO") or ""
    if script_name:
        script_name = mount_point(script_name)
    whole = script_name + path_info or "/"
    target: str | None = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if whole.isascii():
        path, root_path = whole, script_name
    else:
        path = environ_bytes(whole).decode("utf-8", "replace")
        root_path = environ_bytes(script_name).decode("utf-8", "replace")
    if target:
        return path, _path_of_target(environ_bytes(target)), root_path
    return path, quote_from_bytes(environ_bytes(whole), PATH_CHARACTERS).encode("ascii"), root_path


def _path_of_target(target: bytes) -> bytes:
    """Return the path of a request target in origin or absolute form (RFC 9112 §3.2)."""
    path = target.partition(b"?")[0]
    if path[:1] != b"/" and b"://" in path:
        _, slash, rest = path.partition(b"://")[2].partition(b"/")
        path = slash + rest or b"/"
    return path


def body_length(environ: Environ) -> int | None:
    """Return how many bytes of body the host gives; None: read to the end (A10).

    Raises `RequestError` (400) if ``CONTENT_LENGTH`` is not a number (A2).
    """
    text: str = environ.get("CONTENT_LENGTH") or ""
    if text:
        return content_length(environ_bytes(text))
    return None if environ.get("wsgi.input_terminated") else 0


def is_websocket_handshake(environ: Environ) -> bool:
    """Whether the request is the opening handshake of a WebSocket (RFC 6455 §4.2.1)."""
    return (
        environ.get("REQUEST_METHOD") == "GET"
        and b"websocket" in list_members(environ_bytes(environ.get("HTTP_UPGRADE", "")))
        and b"upgrade" in list_members(environ_bytes(environ.get("HTTP_CONNECTION", "")))
    )


# ------------------------------------------------------------- caches

#: The keys that `_compute_template` uses, besides REQUEST_METHOD.
_TEMPLATE_KEYS = (
    "SCRIPT_NAME",
    "PATH_INFO",
    "RAW_URI",
    "REQUEST_URI",
    "QUERY_STRING",
    "SERVER_PROTOCOL",
    "SERVER_NAME",
    "SERVER_PORT",
    "wsgi.url_scheme",
)
#: Longer keys of an environ, and longer request targets, are not cached.
_LONGEST_KEYS = 4096
_LONGEST_TARGET = 256


class _Layout:
    """What follows from the keys of an environ alone, without their values.

    One object is shared by all environs with the same keys in the same order; it never changes.
    """

    __slots__ = ("extensions", "fields", "may_be_empty", "values")

    def __init__(self, environ: Environ) -> None:
        #: The header fields, in the host's order: their names and their keys.
        self.fields = [(name, key) for key in environ if (name := _HEADER_NAMES[key])]
        #: Whether there are fields that some hosts set to "" if the client did not send them.
        self.may_be_empty = "CONTENT_TYPE" in environ or "CONTENT_LENGTH" in environ
        #: What this host can do beyond the plain specification (A24).
        self.extensions = [name for key, name in _EXTENSIONS.items() if key in environ]
        #: Gets the values from which a template is made, and by which it is cached.
        keys = [key for key in _TEMPLATE_KEYS if key in environ]
        self.values = itemgetter("REQUEST_METHOD", "REQUEST_METHOD", *keys)  # two make a tuple


_LAYOUTS: BoundedDict[tuple[str, ...], _Layout] = BoundedDict(256)
_TEMPLATES: BoundedDict[tuple[_Layout, tuple[object, ...]], Scope] = BoundedDict(512)


def _compute_layout(keys: tuple[str, ...], environ: Environ) -> _Layout:
    layout = _Layout(environ)
    if sum(map(len, keys)) <= _LONGEST_KEYS:
        _LAYOUTS.store(keys, layout)
    return layout


def _compute_template(key: tuple[_Layout, tuple[object, ...]], environ: Environ) -> Scope:
    """Make a scope without what differs between two requests for the same target."""
    path, raw_path, root_path = _paths(environ)
    query = environ_bytes(environ.get("QUERY_STRING") or "")
    scheme: str = environ.get("wsgi.url_scheme", "http")
    template = {
        "type": "http",
        "asgi": HTTP_VERSION,
        "http_version": _HTTP_VERSIONS.get(environ.get("SERVER_PROTOCOL", ""), "1.1"),
        "method": environ["REQUEST_METHOD"].upper(),
        "scheme": scheme,
        "path": path,
        "raw_path": raw_path,
        "query_string": query,
        "root_path": root_path,
        "headers": [],
        "client": None,
        "server": _server(environ.get("SERVER_NAME") or "", environ.get("SERVER_PORT"), scheme),
        "extensions": {},
    }
    if len(raw_path) + len(query) <= _LONGEST_TARGET:
        _TEMPLATES.store(key, template)
    return template


# ------------------------------------------------------------- the scope


def scope_from_environ(environ: Environ, state: dict[str, Any] | None = None) -> Scope:
    """Make the ``http`` scope of a request on a WSGI host.

    `state` is the lifespan's; the request gets a shallow copy. ``extensions`` has ``wsgi.environ``
    (the environ itself, A3), and what this host can do beyond the specification (A24).
    """
    keys = tuple(environ)
    layout = _LAYOUTS.get(keys) or _compute_layout(keys, environ)
    key = layout, layout.values(environ)
    scope = (_TEMPLATES.get(key) or _compute_template(key, environ)).copy()
    scope["asgi"] = HTTP_VERSION.copy()
    scope["headers"] = _headers(environ, layout)
    scope["client"] = _client(environ)
    scope["extensions"] = extensions = {"wsgi.environ": environ}
    for name in layout.extensions:
        extensions[name] = {}
    if state is not None:
        scope["state"] = state.copy()
    return scope


def websocket_scope_from_environ(environ: Environ, state: dict[str, Any] | None = None) -> Scope:
    """Make the ``websocket`` scope of a handshake (ASGI, "WebSocket Connection Scope")."""
    scope = scope_from_environ(environ, state)
    del scope["method"]
    scope["type"] = "websocket"
    scope["asgi"] = WEBSOCKET_VERSION.copy()
    scope["scheme"] = WEBSOCKET_SCHEMES.get(scope["scheme"], "ws")
    offered = environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "").split(",")
    scope["subprotocols"] = [name.strip() for name in offered if name.strip()]
    scope["extensions"] = {"wsgi.environ": environ, "websocket.http.response": {}}
    return scope


def _client(environ: Environ) -> Address | None:
    """Return the client's address; port 0 if the host gives no port, None if it gives nothing."""
    host: str = environ.get("REMOTE_ADDR") or ""
    return (host, _as_port(environ.get("REMOTE_PORT")) or 0) if host else None


def _server(name: str, port: object, scheme: str) -> ServerAddress | None:
    """Return the server's address; a Unix socket's path has port None (ASGI, ``server``)."""
    if not name:
        return None
    number = _as_port(port)
    if number is not None:
        return name, number
    if name.startswith(("/", "unix:")):
        return name.removeprefix("unix:"), None
    return name, DEFAULT_PORTS.get(scheme, 80)


def _as_port(value: object) -> int | None:
    """Read a port as hosts write it: a number, digits, or nothing."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() else None
    return value if isinstance(value, int) else None
