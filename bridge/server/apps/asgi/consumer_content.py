"""The content of ``http.request`` for ASGI 1 consumers, straight from the request (L4).

By the rules of `asgi1.http.request_content`, and in steps, as scopes are made (`apps/scope.py`).
"""

from __future__ import annotations

from typing import Final

from bridge.asgi1.http import plain_fields, request_content
from bridge.caches import BoundedDict
from bridge.server.apps.scope import base_scope, http_scope
from bridge.server.exchange import Connection
from bridge.server.request import Request
from bridge.server.state import Place
from bridge.types import Message as Content

#: The most places that the beginning of a content is kept for.
_MOST_PLACES: Final = 256


class Contents:
    """Makes contents for one handler, whose app is mounted at `prefix`."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._bases: BoundedDict[Place, Content] = BoundedDict(_MOST_PLACES)
        self._base_of = self._bases.get

    def make(self, connection: Connection, request: Request, body: bytes) -> Content:
        """Make the content, with room for the reply channel."""
        identity = connection.identity
        if identity.needs_full_scope or not request.fast:
            return request_content(http_scope(connection, request, {}, self._prefix), body)
        place = identity.place
        known = request.template
        if known is not None and known[0] is self:
            content = known[1].copy()
            content["headers"] = content["headers"].copy()
        else:
            content = (self._base_of(place) or self._new_base(connection)).copy()
            content["method"] = request.method
            content["path"] = request.path
            content["query_string"] = request.query
            content["headers"] = headers = plain_fields(request.headers)
            if request.repeated:
                request.template = (self, {**content, "headers": headers.copy()})
        content["body"] = body
        client, server = identity.client, place.server
        content["client"] = client and [*client]
        content["server"] = server and [*server]
        return content

    def _new_base(self, connection: Connection) -> Content:
        """Make what the contents of all requests to one place have in common."""
        base = request_content({**base_scope(connection, self._prefix), "headers": []}, b"")
        self._bases.store(connection.identity.place, base)
        return base
