"""The ramp from an old app to a new one: each route has a switch that says who answers (rules M).

A `Cutover` is an ordinary ASGI app. On our own server it is only looked at, and each request goes
straight to the handler of its app (`server/apps/cutover.py`); the rules are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from bridge.adapters.wsgi_on_asgi.settings import read_settings
from bridge.arguments.checks import Check
from bridge.arguments.values import VALUE_TYPES
from bridge.asgi.lifespan import Lifespan, answer_for_all
from bridge.cutover.answer import Answer
from bridge.cutover.canary.hook import load_hook
from bridge.cutover.canary.live import (
    CountingCanary,
    LiveCanary,
    has_gate,
    refuse_many,
    workers_beside,
)
from bridge.cutover.conflicts.telling import Conflicts
from bridge.cutover.observed.flights import Flights
from bridge.cutover.observed.lifespan import USUAL_TIMEOUTS, NewLifespan
from bridge.cutover.observed.outcome import Outcome
from bridge.cutover.or_else_old import OrElseOld, serve
from bridge.cutover.route import CANARY, NEW, OLD, SHADOW, Route
from bridge.cutover.routes_file import RoutesFile
from bridge.cutover.shadow.copying.marks import without_claim
from bridge.cutover.sides import Canary, Choice, mounted_sides
from bridge.cutover.switches import Switches
from bridge.cutover.table import Table
from bridge.dispatcher import first_field
from bridge.errors import ConfigError, UnsupportedScope
from bridge.http.headers import is_token
from bridge.http.paths import strip_prefix
from bridge.log import logger
from bridge.types import Message, Receive, Scope, Send

if TYPE_CHECKING:
    from bridge.cutover.shadow.copying.copies import Copies
    from bridge.cutover.shadow.copying.settings import Shadow
    from bridge.cutover.shadow.copying.tap import Serve

#: The extension of a scope by which our server hears who answers a WebSocket: it sees only us.
SERVED: Final = "bridge.served"
_FLAG: Final = Check(type=VALUE_TYPES["bool"])
_OLD: Final = Choice(OLD)
_NEW: Final = Choice(NEW)


class Cutover:
    """Answer by `old` or by `new`, as each of `routes` says; what no route names goes to `old`.

    `old` and `new` are apps of any kind, told as in a `Dispatcher`, or a `Mount` for their kind and
    settings. `routes` is a list of `Route`; the first one that takes a request decides. It may be
    the path of a TOML file that has them, which is read again when it changes.

    `served_by` is the name of a response field that says who answered, ``old`` or ``new``; None
    for no such field. The lifespans of both apps run. If the new app fails to start, that is an
    error in the log, and all routes stay with the old app; with `require_new` the start fails.
    `canary` decides for routes in mode ``canary``. `shadow`, a dictionary, says how requests are
    copied for routes in mode ``shadow`` (`shadow/copying/settings.py`); None: as the file says.
    Other keyword arguments are the settings of `WsgiToAsgi`.

    Raises `ConfigError` for a value that is not allowed.
    """

    def __init__(
        self,
        old: Any,
        new: Any,
        routes: Iterable[Route] | str = (),
        *,
        served_by: str | None = "X-Served-By",
        require_new: bool = False,
        canary: Canary | None = None,
        shadow: Any = None,
        **settings: Any,
    ) -> None:
        settings = read_settings(settings, "Cutover")
        #: Both apps, by their side.
        self.sides = mounted_sides(old, new, settings)
        #: The name of the field that says who answered; empty: there is none.
        self.served_by = _field_name(served_by)
        #: The file of the routes; None if they were given in Python.
        self.file: RoutesFile | None = None
        if isinstance(routes, str):
            self.file = RoutesFile(routes)
            routes = self.file.routes()
        #: Copies of requests; None if no route is in mode ``shadow``, and none was.
        self.copies: Copies | None = None
        self._shadow = _read_shadow(shadow, self.file)
        #: How many processes would decide, each for itself.
        self._deciders = 1 if canary is not None else workers_beside()
        #: What is in force.
        self.switches = Switches(routes, self._prepare)
        self.canary = canary or self._own_canary()
        #: Says which routes will not go as they were meant, once the apps have started.
        self.conflicts = Conflicts(self)
        self.switches.changed = self.conflicts.routes_changed
        #: Requests of canaries that are on their way.
        self.flights = Flights(lambda *seen: self.canary.observe(*seen))
        #: Whether the canary wants to hear how requests went; a file may have a gate later.
        self.observed = bool(canary or self.file) or any(map(has_gate, self.table.routes))
        #: Whether the server says when the file is to be read again.
        self.told = False
        #: Why the new app gets no requests; empty if it may have some.
        self.new_failed = self._not_loaded = ""
        self._require_new: bool = _FLAG.read(require_new, "require_new")

    #: Seconds that the host gives the startup and the shutdown of both apps together; 0: any.
    timeouts: tuple[float, float] = USUAL_TIMEOUTS

    @property
    def table(self) -> Table:
        """The routes in force."""
        return self.switches.table

    def _own_canary(self) -> LiveCanary:
        """Make what decides in this process."""
        canary = LiveCanary(self.switches)
        if self.file is not None:
            canary.keep = partial(self.file.keep_old, self.switches)
        return canary

    def count_only(self) -> None:
        """Decide nothing here: somebody else does, for several processes, by what is counted."""
        self.observed, self._deciders = True, 1
        if type(self.canary) is LiveCanary:
            self.canary = CountingCanary(self.switches)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the connection on to the old or the new app."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if self.file is not None and not self.told:
            self.file.follow(self.switches)
        scope = without_claim(scope)
        route = self.route_of(scope)
        choice = self.choose(route, scope)
        if SERVED in scope.get("extensions", ()):
            scope["extensions"][SERVED]["tell"](route and route.name, choice.side)
        if route is None or route.mode != CANARY:
            await self._answer(route, choice, scope, receive, send)
            return
        outcome, started = Outcome(scope, receive, send), perf_counter()
        self.flights.begin(route, choice.side, started, outcome)
        error: BaseException | None = None
        try:
            await self._answer(route, choice, scope, outcome.receive, outcome.send, outcome)
        except BaseException as raised:
            error = raised
            raise
        finally:
            if self.flights.end(started) is not None:
                status, seconds = outcome.ended(error), outcome.seconds(started)
                self.canary.observe(route, choice.side, status, seconds)

    async def _answer(
        self,
        route: Route | None,
        choice: Choice,
        scope: Scope,
        receive: Receive,
        send: Send,
        outcome: Outcome | None = None,
    ) -> None:
        """Have the chosen app answer, or the old one instead."""
        if route is None or choice.side == OLD or not route.rescue:
            answer = Answer(scope, send, self.served_field(choice.side), choice.field)
            how: Serve = serve
            if route is not None and route.mode == SHADOW and self.copies is not None:
                how = self.copies.serving(route, scope, serve)
            await answer.run(how, self.sides[choice.side], scope, receive)
            return

        def tell(error: Exception) -> None:
            self.canary.rescued(route, error)
            if outcome is not None:
                outcome.rescued = True

        def made(side: str, send: Send) -> Answer:
            return Answer(scope, send, self.served_field(side), choice.field)

        either = OrElseOld(self.sides, self.served_field, tell, self._old_has)
        await either.run(scope, receive, send, made)

    def or_else_old(self, tell: Callable[[Exception], object]) -> OrElseOld:
        """Return the new app, as a route with `rescue` has it; the host says who answered."""
        return OrElseOld(self.sides, lambda side: [], tell, self._old_has)

    def _old_has(self, scope: Scope) -> bool:
        """Whether the old app is known to have a view for a request."""
        host = first_field(scope, b"host")
        return self.conflicts.old_has(_path_of(scope), scope["method"], host)

    def route_of(self, scope: Scope) -> Route | None:
        """Return the route that takes a request or WebSocket; None if none does."""
        if scope["type"] not in ("http", "websocket"):
            raise UnsupportedScope(
                f"a Cutover takes http, websocket and lifespan scopes, not {scope['type']!r}"
            )
        table = self.table
        host = first_field(scope, b"host") if table.uses_host else ""
        return table.find(_path_of(scope), scope.get("method", "GET"), host)

    def choose(self, route: Route | None, scope: Scope) -> Choice:
        """Say who answers a request of `route`; only a canary looks at `scope`."""
        if route is None or self.new_failed or route.mode in (OLD, SHADOW):
            return _OLD
        if route.mode == CANARY:
            return self.canary.choose(route, scope)
        return _NEW

    def _prepare(self, route: Route) -> None:
        """Load what a route needs. Raises `ConfigError` if it cannot be served here."""
        refuse_many(route, self._deciders)
        if route.canary is not None:
            try:
                load_hook(route.canary.on_rollback)
            except ConfigError as error:
                raise ConfigError(f"route {route.name}: {error}") from error
        if route.mode == SHADOW and self.copies is None:
            from bridge.cutover.shadow.copying.copies import Copies  # few need it

            self.copies = Copies(
                self.sides, self._shadow, lambda: self.table, lambda: self.new_failed
            )

    def reread(self) -> str:
        """Read the file of the routes again, and say in a line what is in force then.

        Raises `ConfigError`: then what was in force stays.
        """
        if self.file is None:
            raise ConfigError(
                "the routes of this Cutover were given in Python; to read them again, give the "
                'path of a TOML file: Cutover(old, new, "cutover.toml")'
            )
        self.file.reread(self.switches)
        return self.switches.summary()

    def served_field(self, side: str) -> list[tuple[bytes, bytes]]:
        """Return the field that says who answered, if there is to be one."""
        return [(self.served_by, side.encode())] if self.served_by else []

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the lifespans of both, each with its own state."""
        for app in self.sides.values():
            app.use_state(dict(scope.get("state", {})))
        old, new = self.sides[OLD], self.sides[NEW]
        self.new_failed = self._not_loaded
        children = {
            old.name: Lifespan(
                old.asgi, startup_timeout=None, shutdown_timeout=None, state=old.state
            ),
            new.name: NewLifespan(
                new, None if self._require_new else self._go_on_without_new, self.timeouts
            ),
        }

        async def watched() -> Message:
            message = await receive()
            if self.copies is not None:
                if message["type"] == "lifespan.shutdown":
                    await self.copies.stop()
                else:
                    self.copies.start()
            return message

        async def tell(message: Message) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                self.conflicts.begin()

        await answer_for_all(children, watched, tell)

    def new_not_loaded(self, error: Exception) -> None:
        """Have the old app answer everything: what stands for the new one could not be loaded."""
        self._not_loaded = str(error)
        self._go_on_without_new(error)

    def _go_on_without_new(self, error: Exception) -> None:
        self.new_failed = str(error)
        logger.error(
            "the new app did not start, so the old app answers everything: %s; "
            "require_new=True makes this the end of the start",
            error,
            exc_info=error.__cause__,
        )

    def __repr__(self) -> str:
        old, new = (self.sides[side].app for side in (OLD, NEW))
        return f"Cutover({old!r}, {new!r}, routes={[*self.table.routes]!r})"


def _path_of(scope: Scope) -> str:
    """Return the path of a request, as routes have it."""
    return strip_prefix(scope["path"], scope.get("root_path", ""))[1] or "/"


def _read_shadow(given: object, file: RoutesFile | None) -> Shadow | None:
    """Return the settings of copies; those of the file, if there are no others.

    None: there are none at all. Raises `ConfigError`.
    """
    if given is None and file is not None:
        given = file.shadow
    if given is None:
        return None
    from bridge.cutover.shadow.copying.settings import read_shadow  # few need it

    return read_shadow(given)


def _field_name(name: object) -> bytes:
    """Return the name of the field as it is sent; empty for none. Raises `ConfigError`."""
    if name is None or name == "":
        return b""
    if not isinstance(name, str) or not name.isascii() or not is_token(name.encode()):
        raise ConfigError(
            f"served_by is {name!r}; allowed is the name of a response field, such as X-Served-By, "
            "or None for no field"
        )
    return name.lower().encode()
