"""Apps of every kind mounted side by side (rules D).

A `Dispatcher` is an ordinary ASGI app. It finds the mount that takes a request (`http.mounts`), and
passes the connection on with ``root_path`` moved along, as the ASGI specification and PEP 3333
want it: ``path`` stays whole, a WSGI child finds the prefix in ``SCRIPT_NAME`` and the rest in
``PATH_INFO``.

A server that makes a handler of its own for each app asks for `routes` once, and then `match`
for each request; `MountedApp.rebase` says what a child is told of its place.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from bridge.adapters.wsgi_on_asgi.settings import read_settings
from bridge.arguments.checks import Check, check_mounting
from bridge.arguments.kinds import Kind, check_kind, detect
from bridge.arguments.values import VALUE_TYPES
from bridge.asgi.lifespan import Lifespan, answer_for_all
from bridge.caches import Memo, key_up_to
from bridge.detect import as_asgi
from bridge.errors import ConfigError, UnsupportedScope, shown
from bridge.fallback import Fallback
from bridge.http.mounts import MountTable, parse_mount_key
from bridge.http.paths import strip_prefix, without_root
from bridge.log import logger
from bridge.types import ASGIApp, Environ, Message, RawHeaders, Receive, Scope, Send
from bridge.wsgi.environ import environ_from_scope
from bridge.wsgi_to_asgi import WsgiToAsgi

# WebOb takes 2.5 MB, so it is loaded for the first predicate or 404, and not by every server.
if TYPE_CHECKING:
    import webob

Predicate: TypeAlias = Callable[["webob.Request"], bool]


# ------------------------------------------------------------- mounts and routes


@dataclass(frozen=True)
class Mount:
    """An app to be mounted, if there is more to say of it than its prefix.

    `kind` as for `as_asgi`; `when`, called with the `webob.Request` (without its body), says
    whether this mount takes it, else the next one at the same prefix is asked, then shorter
    prefixes; `keep_prefix` overrides the dispatcher's; `strip_prefix` takes the prefix off
    ``path``, for ASGI apps that look at nothing else (Falcon, Sanic, python-socketio);
    `settings` are those of `WsgiToAsgi`.
    Raises `ConfigError` for a value that is not allowed.
    """

    app: Any
    kind: str | None = None
    when: Predicate | None = None
    keep_prefix: bool | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    strip_prefix: bool = False

    def __post_init__(self) -> None:
        """Refuse what is not allowed, in the words of the command line."""
        _KEEP_PREFIX.read(self.keep_prefix, "keep_prefix")
        _STRIP_PREFIX.read(self.strip_prefix, "strip_prefix")
        if self.keep_prefix and self.strip_prefix:
            raise ConfigError(
                "keep_prefix and strip_prefix are both set; keep_prefix leaves path and root_path "
                "as they are, strip_prefix takes the prefix off path: choose one"
            )
        if self.when is not None and not callable(self.when):
            raise ConfigError(
                f"when is {shown(self.when)}; allowed is a function that takes the request and "
                "says whether this app is for it"
            )
        if not isinstance(self.settings, Mapping):
            raise ConfigError(
                f"settings is {shown(self.settings)}; allowed is a dictionary, such as "
                "{'threads': 4}"
            )
        read_settings(self.settings, "Mount")


_KEEP_PREFIX = Check(type=VALUE_TYPES["bool"], optional=True)
_STRIP_PREFIX = Check(type=VALUE_TYPES["bool"])


class MountedApp:
    """One mounted app: `app` as it was given, of what `kind`, and as ASGI 3 (`asgi`).

    `prefix` is ``""`` for ``/`` and has no slash at its end; `host` is ``""`` for every host, a
    name, or ``*.name``. `state` is what the app's own lifespan has filled. `served` is what takes
    requests and WebSockets: `asgi`, or what takes the prefix off ``path`` before it.
    """

    def __init__(
        self,
        key: str,
        mount: Mount,
        keep_prefix: bool,
        settings: Mapping[str, Any],
        name: str = "",
    ) -> None:
        self.host, self.prefix = parse_mount_key(key)
        self.name = name or f"app mounted at {key}"
        self.app = mount.app
        self.kind: Kind = check_kind(mount.kind) or _detect(self.name, mount.app)
        self.asgi: ASGIApp = as_asgi(mount.app, mount.kind, **{**settings, **mount.settings})
        #: How long its requests may take, if it is told; for ASGI apps it is for a server to see.
        self.timeout_request: float | None = read_settings(
            {**settings, **mount.settings}, "Mount"
        ).get("timeout_request")
        self.when = mount.when
        self.keep_prefix = keep_prefix if mount.keep_prefix is None else mount.keep_prefix
        self.served = self.asgi
        if mount.strip_prefix:
            self.keep_prefix = False
            # Ours know their place, and would take the prefix off once more.
            if not isinstance(self.asgi, WsgiToAsgi | Dispatcher):
                self.served = _path_only(self.asgi)
        self.state: dict[str, Any] = {}
        #: What a file calls the app, such as ``shop.asgi:app``; empty if it was given as an object.
        self.target = ""

    def use_state(self, state: dict[str, Any]) -> None:
        """Have requests see `state`, which the app's lifespan fills."""
        self.state = state

    def rebase(self, path: str, root_path: str) -> tuple[str, str]:
        """Return ``path`` and ``root_path`` for the child, from those of the dispatcher (D1).

        Hosts that know their `root_path` from a setting only may leave it out of `path`; a
        child always finds it there, as the specification wants.
        """
        if self.keep_prefix:
            return path, root_path
        root, rest = strip_prefix(path, root_path)
        return root + rest, root + self.prefix

    def child_scope(self, scope: Scope) -> Scope:
        """Make the child's own scope: a copy with its place and its state (D1, D3)."""
        child = scope.copy()
        child["path"], child["root_path"] = self.rebase(scope["path"], scope.get("root_path", ""))
        if self.state:
            child["state"] = {**scope.get("state", {}), **self.state}
        return child

    def __repr__(self) -> str:
        return f"<MountedApp {self.host}{self.prefix or '/'} -> {self.kind} {self.app!r}>"


def _path_only(app: ASGIApp) -> ASGIApp:
    """Wrap `app` so that its ``path`` is only what is below its place (D9)."""

    async def without_place(scope: Scope, receive: Receive, send: Send) -> None:
        scope["path"], raw_path = without_root(
            scope["path"], scope.get("raw_path"), scope["root_path"]
        )
        if raw_path is not None:
            scope["raw_path"] = raw_path
        await app(scope, receive, send)

    return without_place


def _detect(name: str, app: object) -> Kind:
    try:
        return detect(app, 'Mount(app, kind="...")')
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


# ------------------------------------------------------------- the app


class Dispatcher:
    """Mount apps of any kind by prefix, by host, or by what a request is like.

    `mounts` maps ``"/prefix"`` or ``"host.name/prefix"`` (``*.name`` for every host below it) to
    an app, a `Mount`, or a list of these, asked in order. Routes of a host go before those of a
    wildcard, and these before those of every host. `keep_prefix=True` leaves the scopes as they
    are. `fallback=[new, old]` takes what no mount does: see `Fallback`. Other keyword arguments
    are the settings of `WsgiToAsgi`, of which each WSGI child gets one of its own.

    Raises `ConfigError` for a key that is no place, an app of no kind, and a setting's value that
    is not allowed.
    """

    def __init__(
        self,
        mounts: Mapping[str, Any] | None = None,
        *,
        keep_prefix: bool = False,
        fallback: Sequence[Any] | None = None,
        **settings: Any,
    ) -> None:
        check_mounting(mounts, fallback)
        _KEEP_PREFIX.read(keep_prefix, "keep_prefix")
        settings = read_settings(settings, "Dispatcher")
        self.routes: list[MountedApp] = [
            MountedApp(key, mount, keep_prefix, settings)
            for key, mount in _each_mount(mounts or {})
        ]
        if fallback:
            chain = Fallback(fallback, **settings)
            self.routes.append(MountedApp("/", Mount(chain), keep_prefix, {}))
        if not self.routes:
            raise ConfigError('nothing is mounted: pass {"/prefix": app}')
        self._table = table = MountTable(self.routes)
        #: Whether `match` looks at the host, and at the request.
        self.uses_host, self.uses_request = table.uses_host, table.uses_request
        #: If it looks at neither: how many characters of a path it looks at.
        self.deciding = table.deciding

    def match(
        self, path: str, host: str = "", environ: Callable[[], Environ] | None = None
    ) -> MountedApp | None:
        """Return the route that takes `path`, the part of it below the dispatcher's own place.

        `host` is the Host field, needed if `uses_host`; `environ` makes the request's environ, and
        is called if a route has a predicate (`uses_request`).
        """
        request = None
        if self.uses_request and environ is not None:
            from webob import Request

            request = functools.cache(lambda: Request(environ()))
        return self._table.find(path, host, request)

    def with_apps(self, other: Callable[[ASGIApp], ASGIApp]) -> Dispatcher:
        """Return one with the same places, and in each what `other` makes of its app."""
        dispatcher = copy(self)
        dispatcher.routes = [copy(route) for route in self.routes]
        for route in dispatcher.routes:
            same, route.asgi = route.served is route.asgi, other(route.asgi)
            if same:
                route.served = route.asgi
        dispatcher._table = MountTable(dispatcher.routes)
        return dispatcher

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the connection on to the app that is mounted at its path."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        route = self.route_of(scope)
        if route is None:
            await _refuse(scope, send)
        elif scope["type"] == "websocket":
            await serve_websocket(route, scope, receive, send)
        else:
            await route.served(route.child_scope(scope), receive, send)

    def route_of(self, scope: Scope) -> MountedApp | None:
        """Return the route that takes a request or WebSocket; None if nothing is mounted there."""
        if scope["type"] not in ("http", "websocket"):
            raise UnsupportedScope(
                f"a Dispatcher takes http, websocket and lifespan scopes, not {scope['type']!r}"
            )
        rest = strip_prefix(scope["path"], scope.get("root_path", ""))[1]
        host = first_field(scope, b"host") if self.uses_host else ""
        return self.match(rest, host, lambda: environ_from_scope(scope))

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run each app's own lifespan, once even if mounted twice, with its own state (D3)."""
        children: dict[int, Lifespan] = {}
        names: dict[int, str] = {}
        for route in self.routes:
            known = children.get(id(route.asgi))
            route.use_state(known.state if known else dict(scope.get("state", {})))
            if known is None:
                children[id(route.asgi)] = Lifespan(
                    route.asgi, startup_timeout=None, shutdown_timeout=None, state=route.state
                )
                names[id(route.asgi)] = route.name
        named = {names[app]: lifespan for app, lifespan in children.items()}
        await answer_for_all(named, receive, send)

    def __repr__(self) -> str:
        return f"Dispatcher({self.routes!r})"


def _each_mount(mounts: Mapping[str, Any]) -> Iterator[tuple[str, Mount]]:
    for key, given in mounts.items():
        for one in given if isinstance(given, list | tuple) else [given]:
            yield key, one if isinstance(one, Mount) else Mount(one)


def first_field(scope: Scope, wanted: bytes) -> str:
    """Return the first field of that name, empty if there is none."""
    for name, value in scope.get("headers", ()):
        if name.lower() == wanted:
            return str(value.decode("latin-1"))
    return ""


# ------------------------------------------------------------- no app, or one that refuses


def _not_found(accept: str) -> tuple[RawHeaders, bytes]:
    """Return fields and body of the 404 in the type that an Accept field prefers (D7)."""
    from webob import Request
    from webob.exc import HTTPNotFound

    response = Request.blank("/", accept=accept).get_response(HTTPNotFound())
    response.vary = ("Accept",)
    fields = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in response.headerlist
    ]
    return fields, response.body


_NOT_FOUND: Memo[str, tuple[RawHeaders, bytes]] = Memo(_not_found, key_up_to(256), 64)


async def _refuse(scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close"})  # before it is accepted: 403
        return
    fields, body = _NOT_FOUND[first_field(scope, b"accept")[:256]]
    await send({"type": "http.response.start", "status": 404, "headers": list(fields)})
    shown = b"" if scope.get("method") == "HEAD" else body
    await send({"type": "http.response.body", "body": shown})


async def serve_websocket(route: MountedApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Run the child; refuse if it says nothing at all, or that it takes no WebSockets (D4)."""
    silent = True

    async def watched_receive() -> Message:
        nonlocal silent
        message = await receive()
        if message["type"] == "websocket.disconnect":
            silent = False  # the client is gone
        return message

    async def watched_send(message: Message) -> None:
        nonlocal silent
        silent = False
        await send(message)

    try:
        await route.served(route.child_scope(scope), watched_receive, watched_send)
    except UnsupportedScope as error:
        if not silent:
            raise
        logger.warning("refused a WebSocket at %r: %s: %s", scope["path"], route.name, error)
    if silent:
        await send({"type": "websocket.close"})
