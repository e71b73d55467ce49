"""Build the WSGI environ of a request (PEP 3333, "environ Variables"; W1-W10). Pure.

The adapter, which has an ASGI scope, calls `environ_from_scope`. The server, which has the parsed
request itself, copies a base (`base_environ`, once per connection) and calls the parts:
`split_path`, `server_name_port`, `add_headers`. Both ways give the same environ.

Text in an environ is *native text*: each character stands for one byte (latin-1), so bytes that
are not UTF-8 are passed on unchanged (PEP 3333, "Unicode Issues").
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from io import TextIOBase
from typing import Any, TextIO
from urllib.parse import quote

from bridge import accelerator
from bridge.caches import Memo, always, key_up_to
from bridge.http.headers import content_length
from bridge.http.paths import PATH_CHARACTERS, split_path
from bridge.http.schemes import DEFAULT_PORTS, HTTP_SCHEMES
from bridge.types import Environ, Scope
from bridge.wsgi.file_wrapper import FileWrapper


class _NullStream(TextIOBase):
    """A text stream that discards what is written."""

    def write(self, text: str) -> int:
        return len(text)


#: ``wsgi.errors`` of a process without standard error, such as a daemon.
NULL_STREAM: Any = _NullStream()


def error_stream() -> TextIO:
    """Return ``wsgi.errors``: standard error if the process has one, else `NULL_STREAM`."""
    return sys.stderr or NULL_STREAM


def base_environ(*, multithread: bool, multiprocess: bool, scheme: str = "http") -> Environ:
    """Make the keys that are the same for every request of a host (W9); each request copies them.

    The caller must set `wsgi.input` and `wsgi.errors`.
    """
    return {
        "SCRIPT_NAME": "",
        "SERVER_SOFTWARE": "asgi-bridge",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": HTTP_SCHEMES.get(scheme, scheme),
        "wsgi.multithread": multithread,
        "wsgi.multiprocess": multiprocess,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
    }


#: The keys that every request sets, on every host.
_KEYS_OF_EACH_REQUEST = (
    *("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "RAW_URI", "REQUEST_URI"),
    *("asgi.scope", "bridge.disconnected", "wsgi.input"),
)


def with_placeholders(base: Environ, *more: str) -> Environ:
    """Copy `base`, and add the keys that each request sets, and `more`, as None.

    The environ of a request is a copy of this: a dict that has its keys already need not grow.
    """
    return dict.fromkeys((*_KEYS_OF_EACH_REQUEST, *more)) | base


#: The base for a host that runs apps in threads, and maybe in several processes.
BASE_ENVIRON: Environ = base_environ(multithread=True, multiprocess=True)


def environ_from_scope(scope: Scope, base: Environ = BASE_ENVIRON) -> Environ:
    """Make the environ of an ``http`` or ``websocket`` scope, without `wsgi.input` and `errors`.

    Raises `RequestError` (400) if Content-Length is malformed or has different values (W8).
    """
    environ = base.copy()
    scheme = scope.get("scheme") or "http"
    environ["wsgi.url_scheme"] = HTTP_SCHEMES.get(scheme, scheme)
    environ["REQUEST_METHOD"] = scope.get("method", "GET")
    environ["SERVER_PROTOCOL"] = "HTTP/" + scope.get("http_version", "1.1")

    path, raw_path = scope["path"], scope.get("raw_path")
    root_path = scope.get("root_path") or scope.get("app_root_path") or ""
    environ["SCRIPT_NAME"], environ["PATH_INFO"] = split_path(path, raw_path, root_path)
    query = environ["QUERY_STRING"] = scope.get("query_string", b"").decode("latin-1")
    target = raw_path.decode("latin-1") if raw_path else quote(path, safe=PATH_CHARACTERS)
    if query and "?" not in target:
        target = f"{target}?{query}"
    environ["RAW_URI"] = environ["REQUEST_URI"] = target

    add_headers(environ, scope.get("headers", ()))
    if "CONTENT_LENGTH" in environ:
        sent = environ["CONTENT_LENGTH"].encode("latin-1")
        environ["CONTENT_LENGTH"] = str(content_length(sent))
    environ["SERVER_NAME"], environ["SERVER_PORT"] = server_name_port(
        scope.get("server"), environ.get("HTTP_HOST"), scheme
    )
    add_client(environ, scope.get("client"))
    environ["asgi.scope"] = scope
    return environ


# ------------------------------------------------------------- addresses


def add_client(environ: Environ, client: tuple[str, int | None] | list[str | int] | None) -> None:
    """Set ``REMOTE_ADDR`` and ``REMOTE_PORT``; without a client, neither is set (W7)."""
    if client and client[0]:
        environ["REMOTE_ADDR"] = client[0]
        if client[1] is not None:
            environ["REMOTE_PORT"] = str(client[1])


def server_name_port(
    server: tuple[str, int | None] | list[str | int | None] | None, host: str | None, scheme: str
) -> tuple[str, str]:
    """Return ``SERVER_NAME`` and ``SERVER_PORT``, always as text (W6).

    A server without a port is a Unix socket: name and port are then taken from the Host field
    (`host`), else they are ``localhost`` and the scheme's default port. An IPv6 address is in
    brackets, as in a URL (RFC 3875 §4.1.14).
    """
    if server and server[0] and server[1] is not None:
        return _ADDRESSES[server[0], server[1]]
    port = str(DEFAULT_PORTS.get(scheme, 80))
    if not host:
        return "localhost", port
    name, colon, tail = host.rpartition(":")
    if not colon or tail.endswith("]"):
        return host, port
    return name or "localhost", (tail if tail.isdecimal() and tail.isascii() else port)


def _compute_address(given: tuple[str | int, str | int]) -> tuple[str, str]:
    name = str(given[0])
    return (f"[{name}]" if ":" in name and name[0] != "[" else name), str(given[1])


#: Host and port of a server -> the same as text. A server has few addresses.
_ADDRESSES: Memo[tuple[str | int, str | int], tuple[str, str]] = Memo(_compute_address, always, 256)


# ------------------------------------------------------------- header fields


def _compute_key(name: bytes) -> str:
    """Return the environ key of a request field; empty if the field is dropped (W8)."""
    if b"_" in name:  # it would have the same key as the name with a dash
        return ""
    key = name.upper().replace(b"-", b"_").decode("latin-1")
    if key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        return key
    return "" if key == "PROXY" else "HTTP_" + key  # HTTP_PROXY configures clients (httpoxy)


#: Request field name, in any case -> environ key; empty: drop the field.
ENVIRON_KEYS: Memo[bytes, str] = Memo(_compute_key, key_up_to(64))


def add_headers(environ: Environ, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Add request fields to `environ`, repeated ones joined, in linear time (W8).

    Raises `RequestError` (400) if repeated Content-Length fields differ.
    """
    keys = ENVIRON_KEYS
    if accelerator.add_headers is not None and type(headers) is list:
        added = accelerator.add_headers(environ, headers, keys)
        if added == len(headers):
            return
        headers = headers[added:]
    repeated: dict[str, list[str]] | None = None
    for name, value in headers:
        key = keys[name]
        if key not in environ:
            if key:
                environ[key] = value.decode("latin-1")
            continue
        if repeated is None:
            repeated = {}
        if key not in repeated:
            repeated[key] = [environ[key]]
        repeated[key].append(value.decode("latin-1"))
    if repeated is not None:
        _join(environ, repeated)


def pop_transfer_encoding(environ: Environ) -> bool:
    """Remove Transfer-Encoding from `environ` (W8); return whether it was there.

    The host has decoded the body. An app that saw the field would decode the body again
    (PEP 3333, "Other HTTP Features"; RFC 3875 §4.2).
    """
    return environ.pop("HTTP_TRANSFER_ENCODING", None) is not None


def _join(environ: Environ, repeated: dict[str, list[str]]) -> None:
    for key, values in repeated.items():
        if key == "CONTENT_LENGTH":
            environ[key] = str(content_length(",".join(values).encode("latin-1")))
        else:
            environ[key] = ("; " if key == "HTTP_COOKIE" else ",").join(values)
