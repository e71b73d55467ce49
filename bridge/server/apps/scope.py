"""The HTTP scope of a request on the server (ASGI, "HTTP Connection Scope"; S13).

It is made in three steps, so that a handler can keep what comes again: what all requests to one
place have in common (`base_scope`), what follows from the request line (`fill_scope`), and what no
other request may see (`complete_scope`).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from bridge.asgi.versions import HTTP_VERSION
from bridge.http.paths import strip_prefix
from bridge.server.exchange import Connection
from bridge.server.request import Request
from bridge.types import Scope


def http_scope(
    connection: Connection, request: Request, state: dict[str, Any], prefix: str = ""
) -> Scope:
    """Make the scope of a request to an app below `prefix`; `state` is the lifespan's."""
    scope = fill_scope(base_scope(connection, prefix), request)
    complete_scope(scope, connection, request, state)
    return scope


def base_scope(connection: Connection, prefix: str) -> Scope:
    """Make what the scopes of all requests to one place have in common, with room for the rest."""
    identity = connection.identity
    base: Scope = {
        "type": "http",
        "asgi": None,
        "http_version": "1.1",
        "method": None,
        "scheme": identity.place.scheme,
        "path": None,
        "raw_path": None,
        "query_string": None,
        "root_path": identity.root_path + prefix,
        "headers": None,
        "client": None,
        "server": identity.place.server,
        "state": None,
        "extensions": None,
    }
    return base


def fill_scope(base: Scope, request: Request) -> Scope:
    """Copy `base`, and add what follows from the request line."""
    scope = base.copy()
    scope["method"] = request.method
    scope["path"] = request.path
    scope["raw_path"] = request.raw_path
    scope["query_string"] = request.query
    return scope


def complete_scope(
    scope: Scope, connection: Connection, request: Request, state: dict[str, Any]
) -> None:
    """Add what is this request's own: an app may change all of its scope, so nothing is shared."""
    scope["asgi"] = HTTP_VERSION.copy()
    scope["headers"] = request.headers.copy()
    identity = connection.identity
    scope["client"] = identity.client
    scope["state"] = state.copy()
    scope["extensions"] = {"http.response.early_hint": {}, "http.response.trailers": {}}
    if identity.needs_full_scope or not request.fast:
        _complete_slow(scope, connection, request)


def _complete_slow(scope: Scope, connection: Connection, request: Request) -> None:
    """Slow path: add TLS, the root path, HTTP/1.0, and what a trusted proxy says."""
    if connection.state.config.pathsend:
        scope["extensions"]["http.response.pathsend"] = {}
    identity = connection.identity
    if identity.tls is not None:
        tls = scope["extensions"]["tls"] = identity.tls.copy()
        tls["client_cert_chain"] = tls["client_cert_chain"].copy()
    if identity.root_path:
        _add_root_path(scope, identity.root_path)
    if not request.http11:
        scope["http_version"] = "1.0"
    if request.resolved is not None:
        scope["client"], scope["scheme"], scope["server"] = request.resolved


def _add_root_path(scope: Scope, root_path: str) -> None:
    """Put back what the proxy before us took off the path (ASGI, "root_path")."""
    path = scope["path"]
    root, rest = strip_prefix(path, root_path)
    if rest == path != "*":  # `OPTIONS *` asks for no path
        scope["path"] = root + path
        scope["raw_path"] = quote(root).encode("ascii") + scope["raw_path"]
