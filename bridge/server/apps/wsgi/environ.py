"""The environ of a request on the server (PEP 3333; W1-W10), by the rules of `wsgi/environ.py`.

It is made in three steps, so that a handler can keep what comes again: what all requests to one
place have in common (`place_environ`), what follows from the request's head (`fill_environ`), and
the slow path (`complete_environ`).
"""

from __future__ import annotations

from bridge.http.paths import split_native_path, split_path
from bridge.server.exchange import Connection
from bridge.server.proxy.forwarded import Resolved
from bridge.server.request import Request
from bridge.types import Environ
from bridge.wsgi.environ import (
    add_client,
    add_headers,
    pop_transfer_encoding,
    server_name_port,
    with_placeholders,
)


def place_environ(base: Environ, connection: Connection, prefix: str) -> Environ:
    """Make what is the same for every request that comes to the place of `connection`.

    `base` is the handler's own, `prefix` the path at which its app is mounted.
    """
    environ = with_placeholders(base, "wsgi.early_hints")
    identity = connection.identity
    scheme, server = identity.place.scheme, identity.place.server
    environ["wsgi.url_scheme"] = scheme
    environ["SCRIPT_NAME"] = split_path("/", None, connection.identity.root_path + prefix)[0]
    if server is not None and server[1] is not None:
        name_port = server_name_port(server, None, scheme)
        environ["SERVER_NAME"], environ["SERVER_PORT"] = name_port
    return environ


def fill_environ(base: Environ, connection: Connection, request: Request, prefix: str) -> Environ:
    """Copy `base`, and add what follows from the request's head."""
    environ = base.copy()
    environ["REQUEST_METHOD"] = request.method
    environ["RAW_URI"] = environ["REQUEST_URI"] = request.target.decode("latin-1")
    environ["QUERY_STRING"] = request.query.decode("latin-1")
    environ["PATH_INFO"] = path = request.native_path
    if connection.identity.root_path or prefix or path == "*":
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = split_native_path(
            path, connection.identity.root_path, prefix
        )
    add_headers(environ, request.headers)
    pop_transfer_encoding(environ)
    if "SERVER_NAME" not in environ:
        environ["SERVER_NAME"], environ["SERVER_PORT"] = server_name_port(
            None, environ.get("HTTP_HOST"), environ["wsgi.url_scheme"]
        )
    return environ


def complete_environ(environ: Environ, request: Request) -> None:
    """Slow path: set what HTTP/1.0 changes, and what a trusted proxy says."""
    if not request.http11:
        environ["SERVER_PROTOCOL"] = "HTTP/1.0"
        del environ["wsgi.early_hints"]
    if request.resolved is not None:
        _set_addresses(environ, request.resolved)


def _set_addresses(environ: Environ, resolved: Resolved) -> None:
    """Set the client, the scheme and the server that a trusted proxy names (S32)."""
    client, scheme, server = resolved
    for key in ("REMOTE_ADDR", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT"):
        environ.pop(key, None)
    add_client(environ, client)
    environ["wsgi.url_scheme"] = scheme
    environ["SERVER_NAME"], environ["SERVER_PORT"] = server_name_port(
        server, environ.get("HTTP_HOST"), scheme
    )
