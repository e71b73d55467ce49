"""How a copied request says that it is one, and how no other request can (M10). Pure."""

from __future__ import annotations

from typing import Any, Final

from bridge.types import RawHeaders, Scope

#: The field of a copied request, for apps that see no scope. No client's request has it.
FIELD: Final = b"x-shadow"
#: The extension in the scope of a copied request.
EXTENSION: Final = "bridge.shadow"

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def without_claim(scope: Scope) -> Scope:
    """Return `scope` without X-Shadow fields of a client's; as it is, if there are none."""
    for name, _ in scope.get("headers", ()):
        if name.lower() == FIELD:
            if is_copy(scope):
                return scope
            return {**scope, "headers": without_field(scope["headers"])}
    return scope


def without_field(headers: RawHeaders) -> RawHeaders:
    """Return `headers` without X-Shadow."""
    return [field for field in headers if field[0].lower() != FIELD]


def is_copy(scope: Scope) -> bool:
    """Whether this is a copied request: only the scope says so, as a client can send any field."""
    return EXTENSION in (scope.get("extensions") or ())


def kept_scope(scope: Scope) -> Scope:
    """Copy the scope of a request for later: what its app puts into it is not in the copy."""
    return {
        key: value.copy() if type(value) in (list, dict) else value for key, value in scope.items()
    }


def copied_scope(scope: Scope, route: str, side: str) -> Scope:
    """Make the scope of a copied request from a kept one, for one of the two apps.

    Of the extensions only TLS is left: what a host offers to send is nothing for a copy.
    """
    extensions: dict[str, Any] = {EXTENSION: {"route": route, "side": side}}
    tls = (scope.get("extensions") or {}).get("tls")
    if tls is not None:
        extensions["tls"] = tls
    fields = [*without_field(scope["headers"]), (FIELD, b"1")]
    return {**scope, "headers": fields, "extensions": extensions}
