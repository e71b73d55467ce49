"""Apps of every kind mounted side by side (rules D).

A `Dispatcher` is an ordinary ASGI app. It finds the mount whose prefix is the longest one that the
path has, at a segment boundary, and passes the connection on with ``root_path`` moved along, as
the ASGI specification and PEP 3333 have it: ``path`` stays whole, a WSGI child finds the prefix in
``SCRIPT_NAME`` and the rest in ``PATH_INFO``.

A server that makes a handler of its own for each app asks for `routes` once, and then `match`
for each request; `Route.shift` says what a child is told of its place.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from bridge.adapters.wsgi_on_asgi.settings import read_settings
from bridge.arguments.checks import KINDS, Check, check_mounting
from bridge.arguments.kinds import Kind, check_kind, detect
from bridge.asgi.lifespan import Lifespan, answer_for_all
from bridge.caches import Memo, key_up_to
from bridge.detect import as_asgi
from bridge.errors import ConfigError, UnsupportedScope
from bridge.fallback import Fallback
from bridge.http.paths import place, strip_prefix, without_root
from bridge.types import ASGIApp, Environ, Message, RawHeaders, Receive, Scope, Send
from bridge.wsgi.environ import environ_from_scope
from bridge.wsgi_to_asgi import WsgiToAsgi

# WebOb takes 2.5 MB, so it is loaded for the first predicate or 404, and not by every server.
if TYPE_CHECKING:
    import webob

Predicate: TypeAlias = Callable[["webob.Request"], bool]

logger = logging.getLogger("bridge.error")

#: Characters of a host name (RFC 1035 §2.3.4); a longer one is nobody's.
_LONGEST_HOST = 253


# ------------------------------------------------------------- what is mounted where


@dataclass(frozen=True)
class Mount:
    """An app to be mounted, where there is more to say of it than its prefix.

    `kind` as for `as_asgi`; `when`, asked with the `webob.Request` (without its body), says
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
                f"when is {self.when!r}; allowed is a function that takes the request and says "
                "whether this app is for it"
            )
        if not isinstance(self.settings, Mapping):
            raise ConfigError(f"settings is {self.settings!r}; allowed is a dictionary")
        read_settings(self.settings, "Mount")


_KEEP_PREFIX = Check(kind=KINDS["bool"], optional=True)
_STRIP_PREFIX = Check(kind=KINDS["bool"])


class Route:
    """One mounted app: `app` as it was given, of what `kind`, and as ASGI 3 (`asgi`).

    `prefix` is ``""`` for ``/`` and has no slash at its end; `host` is ``""`` for every host, a
    name, or ``*.name``. `state` is what the app's own lifespan has filled. `served` is what takes
    requests and WebSockets: `asgi`, or what takes the prefix off ``path`` before it.
    """

    def __init__(self, key: str, mount: Mount, keep_prefix: bool, settings: Mapping[str, Any]):
        self.host, self.prefix = _split_key(key)
        self.name = f"app mounted at {key}"
        self.app = mount.app
        self.kind: Kind = check_kind(mount.kind) or _detect(self.name, mount.app)
        self.asgi: ASGIApp = as_asgi(mount.app, mount.kind, **{**settings, **mount.settings})
        self.when = mount.when
        self.keep_prefix = keep_prefix if mount.keep_prefix is None else mount.keep_prefix
        self.served = self.asgi
        if mount.strip_prefix:
            self.keep_prefix = False
            # What is ours knows where it is; it would take the prefix off once more.
            if not isinstance(self.asgi, WsgiToAsgi | Dispatcher):
                self.served = _path_only(self.asgi)
        self.state: dict[str, Any] = {}

    def shift(self, path: str, root_path: str) -> tuple[str, str]:
        """``path`` and ``root_path`` as the child gets them, from those of the dispatcher (D1).

        Hosts that know their `root_path` from a setting only may leave it out of `path`; a
        child always finds it there, as the specification wants.
        """
        if self.keep_prefix:
            return path, root_path
        root, rest = strip_prefix(path, root_path)
        return root + rest, root + self.prefix

    def child_scope(self, scope: Scope) -> Scope:
        """A scope of the child's own: a copy with its place and its state (D1, D3)."""
        child = scope.copy()
        child["path"], child["root_path"] = self.shift(scope["path"], scope.get("root_path", ""))
        if self.state:
            child["state"] = {**scope.get("state", {}), **self.state}
        return child

    def __repr__(self) -> str:
        return f"<Route {self.host}{self.prefix or '/'} -> {self.kind} {self.app!r}>"


def _path_only(app: ASGIApp) -> ASGIApp:
    """`app`, told in ``path`` what is below its place only."""

    async def below(scope: Scope, receive: Receive, send: Send) -> None:
        scope["path"], raw_path = without_root(
            scope["path"], scope.get("raw_path"), scope["root_path"]
        )
        if raw_path is not None:
            scope["raw_path"] = raw_path
        await app(scope, receive, send)

    return below


def _detect(name: str, app: object) -> Kind:
    try:
        return detect(app, 'Mount(app, kind="...")')
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def _split_key(key: str) -> tuple[str, str]:
    """The host and the prefix of a mount's key, ``/prefix`` or ``host/prefix``."""
    if not isinstance(key, str):
        raise ConfigError(f"{key!r} is no place to mount an app: write /prefix, as text")
    host, slash, prefix = key.partition("/")
    if not slash:
        raise ConfigError(
            f"{key!r} is no place to mount an app: write /prefix, or host.name/prefix"
        )
    if _host_name(host) != host.lower() or "*" in host.removeprefix("*."):
        raise ConfigError(
            f"{host!r} in {key!r} is no host name to mount an app at: write name or *.name, "
            "without a port"
        )
    return host.lower(), place(slash + prefix)


def _host_name(host: str) -> str:
    """The name in a Host field: lower case, without port and final dot."""
    name, colon, port = host.lower().rpartition(":")
    if not colon or port.endswith("]"):
        name = host.lower()
    return name.removesuffix(".")


class _Table:
    """The routes of one host name, found by prefix."""

    def __init__(self) -> None:
        self._at: dict[str, list[Route]] = {}
        self._longest = 0

    def add(self, route: Route) -> None:
        there = self._at.setdefault(route.prefix, [])
        if there and there[-1].when is None:
            raise ConfigError(
                f"{route.name} would never be asked: {there[-1].app!r} takes everything there"
            )
        there.append(route)
        self._longest = max(self._longest, len(route.prefix))

    def find(self, path: str, request: Callable[[], webob.Request] | None = None) -> Route | None:
        """The route with the longest prefix; its cost does not grow with the path's length."""
        prefix = path
        if len(path) > self._longest:
            cut = path.rfind("/", 0, self._longest + 1)
            prefix = path[:cut] if cut > 0 else ""
        while True:
            for route in self._at.get(prefix, ()):
                if route.when is None or (request is not None and route.when(request())):
                    return route
            if not prefix:
                return None
            prefix = prefix[: max(prefix.rfind("/"), 0)]


# ------------------------------------------------------------- the app


class Dispatcher:
    """Mount apps of any kind by prefix, by host, or by what a request is like.

    `mounts` maps ``"/prefix"`` or ``"host.name/prefix"`` (``*.name`` for every host below it) to
    an app, a `Mount`, or a list of these, asked in order. Routes of a host go before those of a
    wildcard, and these before those of every host. `keep_prefix=True` leaves the scopes as they
    are. `fallback=[new, old]` takes what no mount does: see `Fallback`. Other keyword arguments
    are the settings of `WsgiToAsgi`, of which each WSGI child gets one of its own.

    Raises `ConfigError` for a place or an app that is none, and for a setting's value that is not
    allowed.
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
        self.routes: list[Route] = [
            Route(key, mount, keep_prefix, settings) for key, mount in _each(mounts or {})
        ]
        if fallback:
            chain = Fallback(fallback, **settings)
            self.routes.append(Route("/", Mount(chain), keep_prefix, {}))
        if not self.routes:
            raise ConfigError('nothing is mounted: pass {"/prefix": app}')
        self._everywhere = _Table()
        self._tables = {"": self._everywhere}
        for route in self.routes:
            self._tables.setdefault(route.host, _Table()).add(route)
        #: Whether `match` looks at the host, and at the request.
        self.by_host = len(self._tables) > 1
        self.by_request = any(route.when for route in self.routes)
        self._by_path = not self.by_host and not self.by_request
        self._found: Memo[str, Route | None] = Memo(self._everywhere.find, key_up_to(64))

    def match(
        self, path: str, host: str = "", environ: Callable[[], Environ] | None = None
    ) -> Route | None:
        """The route that takes `path`, the part of it below the dispatcher's own place.

        `host` is the Host field, wanted where `by_host`; `environ` makes the request's environ,
        called where a route has a predicate (`by_request`).
        """
        if self._by_path:
            return self._found[path]
        request = None
        if self.by_request and environ is not None:
            from webob import Request

            request = functools.cache(lambda: Request(environ()))
        if not self.by_host:
            return self._everywhere.find(path, request)
        for name in _host_keys(_host_name(host)):
            table = self._tables.get(name)
            route = table.find(path, request) if table else None
            if route is not None:
                return route
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the connection on to the app that is mounted at its path."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        route = self._route(scope)
        if route is None:
            await _nowhere(scope, send)
        elif scope["type"] == "websocket":
            await _websocket(route, scope, receive, send)
        else:
            await route.served(route.child_scope(scope), receive, send)

    def _route(self, scope: Scope) -> Route | None:
        if scope["type"] not in ("http", "websocket"):
            raise UnsupportedScope(
                f"a Dispatcher takes http, websocket and lifespan scopes, not {scope['type']!r}"
            )
        rest = strip_prefix(scope["path"], scope.get("root_path", ""))[1]
        host = _field(scope, b"host") if self.by_host else ""
        return self.match(rest, host, lambda: environ_from_scope(scope))

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Each app's own lifespan, once also where it is mounted twice, with its own state (D3)."""
        children: dict[int, Lifespan] = {}
        names: dict[int, str] = {}
        for route in self.routes:
            known = children.get(id(route.asgi))
            route.state = known.state if known else dict(scope.get("state", {}))
            if known is None:
                children[id(route.asgi)] = Lifespan(
                    route.asgi, startup_timeout=None, shutdown_timeout=None, state=route.state
                )
                names[id(route.asgi)] = route.name
        named = {names[app]: lifespan for app, lifespan in children.items()}
        await answer_for_all(named, receive, send)

    def __repr__(self) -> str:
        return f"Dispatcher({self.routes!r})"


def _each(mounts: Mapping[str, Any]) -> Iterator[tuple[str, Mount]]:
    for key, given in mounts.items():
        for one in given if isinstance(given, list | tuple) else [given]:
            yield key, one if isinstance(one, Mount) else Mount(one)


def _host_keys(name: str) -> Iterator[str]:
    """Where routes for a host may stand: its name, wildcards from the longest on, every host."""
    if len(name) <= _LONGEST_HOST:
        yield name
        labels = name.split(".")
        for at in range(1, len(labels)):
            yield "*." + ".".join(labels[at:])
    yield ""


def _field(scope: Scope, wanted: bytes) -> str:
    """The first field of that name, empty where there is none."""
    for name, value in scope.get("headers", ()):
        if name.lower() == wanted:
            return str(value.decode("latin-1"))
    return ""


# ------------------------------------------------------------- no app, or one that refuses


def _not_found(accept: str) -> tuple[RawHeaders, bytes]:
    """Fields and body of the 404 in the type that an Accept field prefers (D7)."""
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


async def _nowhere(scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close"})  # before it is accepted: 403
        return
    fields, body = _NOT_FOUND[_field(scope, b"accept")[:256]]
    await send({"type": "http.response.start", "status": 404, "headers": list(fields)})
    shown = b"" if scope.get("method") == "HEAD" else body
    await send({"type": "http.response.body", "body": shown})


async def _websocket(route: Route, scope: Scope, receive: Receive, send: Send) -> None:
    """Run the child; where it says nothing at all, or that it takes none, refuse (D4)."""
    silent = True

    async def note_and_receive() -> Message:
        nonlocal silent
        message = await receive()
        if message["type"] == "websocket.disconnect":
            silent = False  # there is nobody to say it to
        return message

    async def note_and_send(message: Message) -> None:
        nonlocal silent
        silent = False
        await send(message)

    try:
        await route.served(route.child_scope(scope), note_and_receive, note_and_send)
    except UnsupportedScope as error:
        if not silent:
            raise
        logger.warning("refused a WebSocket at %r: %s: %s", scope["path"], route.name, error)
    if silent:
        await send({"type": "websocket.close"})
