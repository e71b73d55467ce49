"""Apps mounted side by side (rules D)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route as StarletteRoute

from bridge.asgi.lifespan import Lifespan
from bridge.dispatcher import Dispatcher, Mount
from bridge.errors import ConfigError, LifespanFailed, UnsupportedScope
from bridge.types import ASGIApp, Environ, Receive, Scope, Send, StartResponse
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.support.in_process import http, http_scope, talk, websocket


def asgi(name: str) -> ASGIApp:
    """An ASGI app that tells its name and its place."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen = {"name": name, "root_path": scope["root_path"], "path": scope["path"]}
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": json.dumps(seen)})
            return
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": json.dumps(seen).encode()})

    return app


def wsgi(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """A WSGI app that tells its place."""
    start_response("200 OK", [])
    return [json.dumps([environ["SCRIPT_NAME"], environ["PATH_INFO"]]).encode()]


def seen(app: ASGIApp, path: str, **scope: Any) -> Any:
    """What the child that took the request tells; None for a 404."""
    answer = http(app, path, **scope)
    return json.loads(answer.body) if answer.status == 200 else None


# ------------------------------------------------------------- D1: which, and where


MOUNTED = Dispatcher(
    {"/": asgi("root"), "/api": asgi("api"), "/api/v2/": asgi("v2"), "/a/b": asgi("ab")}
)


@pytest.mark.parametrize(
    ("path", "name", "root_path"),
    [
        ("/", "root", ""),
        ("", "root", ""),
        ("*", "root", ""),
        ("/api", "api", "/api"),
        ("/api/", "api", "/api"),
        ("/api/x", "api", "/api"),
        ("/apix", "root", ""),
        ("/ap", "root", ""),
        ("/api/v2", "v2", "/api/v2"),
        ("/api/v2/x/y", "v2", "/api/v2"),
        ("/api/v22", "api", "/api"),
        ("/api/v1/v2", "api", "/api"),
        ("/a", "root", ""),
        ("/a/b", "ab", "/a/b"),
        ("/a//b", "root", ""),
        ("//api", "root", ""),
        ("/x" * 4000, "root", ""),
    ],
)
def test_the_longest_prefix_wins_at_segment_boundaries(
    path: str, name: str, root_path: str
) -> None:
    """D1: the child gets the whole path, and root_path moved along."""
    assert seen(MOUNTED, path) == {"name": name, "root_path": root_path, "path": path}


@given(
    st.lists(st.text("ab/", max_size=4).map(lambda s: "/" + s.strip("/")), min_size=1, max_size=6),
    st.text("ab/", max_size=12).map(lambda s: "/" + s),
)
def test_match_agrees_with_the_definition(prefixes: list[str], path: str) -> None:
    """D1: for any mounts and any path, the match is the longest prefix at a boundary."""
    unique = {prefix.rstrip("/"): prefix for prefix in prefixes}
    dispatcher = Dispatcher({prefix: asgi(prefix) for prefix in unique.values()})
    fitting = [p for p in unique if path == p or path.startswith(p + "/")]
    route = dispatcher.match(path)
    assert (route.prefix if route else None) == max(fitting, key=len, default=None)


def test_a_wsgi_child_finds_its_place_in_script_name_and_path_info() -> None:
    """D1: the shift is PEP 3333's for a WSGI child, bytes outside ASCII unharmed."""
    app = Dispatcher({"/old": wsgi, "/": asgi("root")})
    assert seen(app, "/old/x") == ["/old", "/x"]
    assert seen(app, "/old") == ["/old", ""]
    assert seen(app, "/old/é") == ["/old", "/é".encode().decode("latin-1")]


def test_root_paths_add_up() -> None:
    """D1: below a root_path of the host, and through nested dispatchers."""
    inner = Dispatcher({"/x": asgi("x"), "/": wsgi})
    app = Dispatcher({"/in": inner})
    x = {"name": "x", "root_path": "/host/in/x", "path": "/host/in/x/y"}
    assert seen(app, "/host/in/x/y", root_path="/host") == x
    assert seen(app, "/host/in/x/y", root_path="/host/") == x
    assert seen(app, "/host/in/z", root_path="/host") == ["/host/in", "/z"]
    assert seen(app, "/hostin/x", root_path="/host") is None


def test_a_host_that_leaves_root_path_out_of_path_is_understood() -> None:
    """D1: the child finds its root_path in its path all the same."""
    app = Dispatcher({"/api": asgi("api"), "/old": wsgi})
    api = {"name": "api", "root_path": "/host/api", "path": "/host/api/y"}
    assert seen(app, "/api/y", root_path="/host") == api
    assert seen(app, "/old/y", root_path="/host") == ["/host/old", "/y"]


def test_keep_prefix_leaves_the_scope_alone() -> None:
    """D1: with keep_prefix, of the dispatcher or of one mount, the place is not moved."""
    app = Dispatcher({"/a": asgi("a"), "/b": Mount(wsgi, keep_prefix=False)}, keep_prefix=True)
    assert seen(app, "/h/a/x", root_path="/h") == {
        "name": "a",
        "root_path": "/h",
        "path": "/h/a/x",
    }
    assert seen(app, "/b/x") == ["/b", "/x"]


def test_a_child_cannot_change_the_scope_of_its_host() -> None:
    """D1: the child's scope is its own."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope.clear()

    scope = http_scope("/a/x")
    before = dict(scope)
    asyncio.run(talk(Dispatcher({"/a": app}), scope, []))
    assert scope == before


HOSTS = Dispatcher(
    {
        "Api.example.com/": asgi("api"),
        "*.example.com/": asgi("wild"),
        "*.example.com/only": asgi("only"),
        "[::1]/": asgi("six"),
        "/": asgi("any"),
        "/only": asgi("any-only"),
    }
)


@pytest.mark.parametrize(
    ("host", "path", "name"),
    [
        (b"api.example.com", "/", "api"),
        (b"API.EXAMPLE.COM:8000", "/only", "api"),
        (b"api.example.com.", "/", "api"),
        (b"www.example.com", "/", "wild"),
        (b"a.b.example.com", "/only/x", "only"),
        (b"example.com", "/only", "any-only"),
        (b"badexample.com", "/", "any"),
        (b"[::1]:8000", "/", "six"),
        (b"[::1]", "/", "six"),
        (b"", "/", "any"),
        (b"\xff:x:y", "/", "any"),
        (b"a." * 30_000 + b"example.com", "/", "any"),
    ],
)
def test_routing_by_host(host: bytes, path: str, name: str) -> None:
    """D1: a name before a wildcard before every host; case, port and final dot do not count."""
    headers = [(b"accept", b"*/*"), (b"Host", host)]
    assert seen(HOSTS, path, headers=headers)["name"] == name
    without = seen(HOSTS, "/", headers=[])
    assert without["name"] == "any"


def test_a_host_that_nothing_is_mounted_for() -> None:
    """D1: routes of other hosts do not count; what is mounted shows itself."""
    app = Dispatcher({"one.example.com/x": asgi("one")})
    assert seen(app, "/x", headers=[(b"host", b"two.example.com")]) is None
    assert "<MountedApp one.example.com/x -> asgi3" in repr(app)


def test_routing_by_what_a_request_is_like() -> None:
    """D1: a predicate gets a webob.Request; if it says no, the next route is asked."""
    app = Dispatcher(
        {
            "/x": Mount(asgi("posted"), when=lambda request: request.method == "POST"),
            "/": [
                Mount(asgi("german"), when=lambda request: request.params.get("hl") == "de"),
                asgi("rest"),
            ],
        }
    )
    assert seen(app, "/x", method="POST")["name"] == "posted"
    assert seen(app, "/x")["name"] == "rest"
    assert seen(app, "/x", query_string=b"hl=de")["name"] == "german"
    assert app.match("/x") is app.routes[-1], "without a request no predicate holds"


# ------------------------------------------------------------- D2: of any kind


def test_children_of_every_kind() -> None:
    """D2: ASGI 3, ASGI 2, WSGI and nested dispatchers are told apart and run side by side."""

    class Asgi2:
        def __init__(self, scope: Scope) -> None:
            self.scope = scope

        async def __call__(self, receive: Receive, send: Send) -> None:
            await asgi("asgi2")(self.scope, receive, send)

    app = Dispatcher(
        {"/3": asgi("asgi3"), "/2": Asgi2, "/w": wsgi, "/d": Dispatcher({"/": asgi("nested")})}
    )
    assert [route.kind for route in app.routes] == ["asgi3", "asgi2", "wsgi", "asgi3"]
    names = [seen(app, path + "/x")["name"] for path in ("/3", "/2", "/d")]
    assert names == ["asgi3", "asgi2", "nested"]
    assert seen(app, "/w/x") == ["/w", "/x"]


def test_each_wsgi_child_has_a_runner_of_its_own() -> None:
    """D2: the dispatcher's settings go to each WSGI child, a mount's own go before them."""
    app = Dispatcher({"/a": wsgi, "/b": Mount(wsgi, settings={"threads": 3})}, threads=2)
    a, b = (route.asgi for route in app.routes)
    assert isinstance(a, WsgiToAsgi)
    assert isinstance(b, WsgiToAsgi)
    assert a.runner is not b.runner
    assert (a.app, b.app) == (wsgi, wsgi)
    assert (a.runner.threads, b.runner.threads) == (2, 3)


def test_an_explicit_kind_wins_and_an_unsure_one_names_its_mount() -> None:
    """D2: `Mount(kind=...)` is believed; without it a doubt is an error that names the mount."""

    def unsure(*args: Any) -> list[bytes]:
        return wsgi(*args)

    assert seen(Dispatcher({"/a": Mount(unsure, kind="wsgi")}), "/a/x") == ["/a", "/x"]
    with pytest.raises(ConfigError, match=r"app mounted at /a: cannot tell .*Mount\(app, kind="):
        Dispatcher({"/a": unsure})


@pytest.mark.parametrize(
    ("mounts", "text"),
    [
        ({}, "nothing is mounted"),
        ({"api": asgi("a")}, r"cannot mount at 'api'"),
        ({"example.com:80/": asgi("a")}, r"without a port"),
        ({"a.*.com/": asgi("a")}, r"no host name"),
        ({"/a": [asgi("a"), asgi("b")]}, r"would never be asked"),
        ({"/a": asgi("a"), "/a/": asgi("b")}, r"mounted at /a/ would never be asked"),
    ],
)
def test_a_mount_that_cannot_work_is_refused_at_the_start(mounts: Any, text: str) -> None:
    """D1: a key that is no place, and an app that nothing can reach, are errors at start-up."""
    with pytest.raises(ConfigError, match=text):
        Dispatcher(mounts)


def test_an_unknown_scope_is_refused_clearly() -> None:
    """D4: a scope that is neither http nor websocket nor lifespan is named in the error."""
    with pytest.raises(UnsupportedScope, match="'telnet'"):
        asyncio.run(talk(MOUNTED, {"type": "telnet"}, []))


# ------------------------------------------------------------- D3: lifespan and state


def living(name: str, log: list[str], *, fail: str = "") -> Starlette:
    """A Starlette app that logs its life and answers with its state."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        if fail == "start":
            raise OSError(f"{name} has no database")
        log.append(f"{name} up")
        yield {"name": name}
        log.append(f"{name} down")
        if fail == "stop":
            raise OSError(f"{name} does not stop")

    async def tell(request: Any) -> JSONResponse:
        return JSONResponse(request.scope["state"])

    return Starlette(routes=[StarletteRoute("/", tell)], lifespan=lifespan)


async def live(app: ASGIApp, *paths: str, state: dict[str, Any] | None = None) -> list[Any]:
    """Start, ask for the state at each path, stop."""
    lifespan = Lifespan(app, mode="on", state=state)
    await lifespan.startup()
    told = []
    for path in paths:
        scope = http_scope(path, state=lifespan.state.copy())
        received = [{"type": "http.request"}]
        told.append(json.loads((await talk_alone(app, scope, received)).body))
    await lifespan.shutdown()
    return told


async def talk_alone(app: ASGIApp, scope: Scope, received: Any) -> Any:
    """As `talk`, when lifespan tasks may be there."""
    from_app: list[Any] = []

    async def receive() -> Any:
        return received.pop(0) if received else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        from_app.append(message)

    await app(scope, receive, send)

    class Told:
        body = b"".join(m.get("body", b"") for m in from_app)

    return Told


def test_lifespans_run_in_order_and_in_reverse_with_state_of_their_own() -> None:
    """D3: a child that knows no lifespan is fine; the host's state is seen, siblings' is not."""
    log: list[str] = []
    inner = Dispatcher({"/c": living("c", log)})
    app = Dispatcher(
        {"/a": living("a", log), "/b": living("b", log), "/w": wsgi, "/n": asgi("n"), "/i": inner}
    )
    told = asyncio.run(live(app, "/a/", "/b/", "/i/c/", state={"host": "h"}))
    assert told == [{"host": "h", "name": name} for name in "abc"]
    assert log == ["a up", "b up", "c up", "c down", "b down", "a down"]


def test_an_app_mounted_twice_lives_once() -> None:
    """D3: two places, one lifespan, one state."""
    log: list[str] = []
    app = living("a", log)
    told = asyncio.run(live(Dispatcher({"/a": app, "/b": app}), "/a/", "/b/"))
    assert told == [{"name": "a"}] * 2
    assert log == ["a up", "a down"]


def test_a_dispatcher_can_live_again() -> None:
    """D3: each lifespan of the host is a new one for the children."""
    log: list[str] = []
    app = Dispatcher({"/": living("a", log)})
    for _ in range(2):
        assert asyncio.run(live(app, "/")) == [{"name": "a"}]
    assert log == ["a up", "a down"] * 2


def test_a_child_that_fails_to_start_names_itself() -> None:
    """D3: those before it are shut down, those after it are not started."""
    log: list[str] = []
    app = Dispatcher(
        {"/a": living("a", log), "/b": living("b", log, fail="start"), "/c": living("c", log)}
    )
    with pytest.raises(LifespanFailed, match=r"(?s)app mounted at /b: .*b has no database"):
        asyncio.run(live(app))
    assert log == ["a up", "a down"]


def test_a_child_that_fails_to_stop_names_itself_and_the_others_stop() -> None:
    """D3: every started child gets its shutdown, whatever the others do."""
    log: list[str] = []
    app = Dispatcher({"/a": living("a", log), "/b": living("b", log, fail="stop")})
    with pytest.raises(LifespanFailed, match=r"(?s)app mounted at /b: .*does not stop"):
        asyncio.run(live(app))
    assert log == ["a up", "b up", "b down", "a down"]


def test_a_start_that_is_given_up_stops_the_children(caplog: pytest.LogCaptureFixture) -> None:
    """D3: if the host stops waiting, started children are shut down, the hung one is named."""
    log: list[str] = []

    async def hangs(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    app = Dispatcher({"/a": living("a", log), "/h": hangs})

    async def run() -> None:
        with pytest.raises(LifespanFailed, match="within"):
            await Lifespan(app, startup_timeout=0.05).startup()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())
    assert log == ["a up", "a down"]
    assert "app mounted at /h: was still starting" in caplog.text


# ------------------------------------------------------------- D4: WebSockets


def test_websockets_go_to_the_child() -> None:
    """D4: with its place, as HTTP requests do."""
    accept, told = websocket(MOUNTED, "/api/ws")
    assert accept == {"type": "websocket.accept"}
    place = {"name": "api", "root_path": "/api", "path": "/api/ws"}
    assert json.loads(told["text"]) == place


async def raises(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("only HTTP here")


async def unsupported(scope: Scope, receive: Receive, send: Send) -> None:
    raise UnsupportedScope("http only")


async def returns(scope: Scope, receive: Receive, send: Send) -> None:
    return


@pytest.mark.parametrize("child", [returns, unsupported, wsgi])
def test_a_child_that_takes_no_websocket_refuses(child: Any) -> None:
    """D4: returning, saying so and being a WSGI app all come to a closed handshake (403)."""
    (close,) = websocket(Dispatcher({"/x": child}), "/x")
    assert close["type"] == "websocket.close"


def test_a_child_that_raises_is_no_refusal() -> None:
    """D4: its error is raised on, for the host's 500, as without a dispatcher."""
    with pytest.raises(ValueError, match="only HTTP here"):
        websocket(Dispatcher({"/x": raises}), "/x")
    with pytest.raises(ValueError, match="only HTTP here"):
        websocket(Dispatcher({"/x": Dispatcher({"/y": raises})}), "/x/y")


def test_one_line_of_the_log_tells_of_a_refusal(caplog: pytest.LogCaptureFixture) -> None:
    """D4: an app that takes no such scope is no error."""
    for child in (unsupported, wsgi):
        websocket(Dispatcher({"/x": child}), "/x/a\nb")
    declined, of_wsgi = caplog.records
    assert (declined.levelname, declined.exc_info) == ("WARNING", None)
    assert declined.message == (r"refused a WebSocket at '/x/a\nb': app mounted at /x: http only")
    assert (of_wsgi.levelname, of_wsgi.exc_info) == ("WARNING", None)
    assert of_wsgi.message.startswith(r"refused a WebSocket at '/x/a\nb': the WSGI app takes none")


def test_a_websocket_that_nothing_is_mounted_for_is_refused() -> None:
    """D4: no route, no WebSocket."""
    assert websocket(Dispatcher({"/x": raises}), "/y") == [{"type": "websocket.close"}]


def test_an_error_after_the_handshake_is_the_childs_own() -> None:
    """D4: only silence is taken for a refusal; a client that left is told nothing."""

    async def later(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        raise ValueError("later")

    with pytest.raises(ValueError, match="later"):
        websocket(Dispatcher({"/": later}), "/")

    async def left(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "websocket.disconnect":
            pass

    async def later_unsupported(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await unsupported(scope, receive, send)

    with pytest.raises(UnsupportedScope):
        websocket(Dispatcher({"/": later_unsupported}), "/")

    gone = {"type": "websocket.disconnect", "code": 1006}
    assert websocket(Dispatcher({"/": left}), "/", gone) == []


# ------------------------------------------------------------- D7: no match


@pytest.mark.parametrize(
    ("accept", "content_type", "start"),
    [
        (b"text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=UTF-8", b"<html>"),
        (b"application/json", "application/json", b"{"),
        (b"text/plain", "text/plain; charset=UTF-8", b"404 Not Found"),
        (b"image/png", "text/plain; charset=UTF-8", b"404 Not Found"),
        (b"\xff;;;=", "text/html; charset=UTF-8", b"<html>"),
        (None, "text/plain; charset=UTF-8", b"404 Not Found"),
    ],
)
def test_no_match_is_a_404_in_the_preferred_type(
    accept: bytes | None, content_type: str, start: bytes
) -> None:
    """D7: HTML, JSON or text, as the Accept field asks; a malformed one does no harm."""
    headers = [(b"accept", accept)] if accept is not None else []
    answer = http(Dispatcher({"/x": wsgi}), "/<script>", headers=headers)
    assert answer.status == 404
    assert answer.headers["content-type"] == content_type
    assert answer.headers["vary"] == "Accept"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.body.lstrip().startswith(start)
    assert b"script" not in answer.body


def test_a_head_request_gets_no_body_of_the_404() -> None:
    """D7: the fields are those of a GET."""
    got, head = (http(Dispatcher({"/x": wsgi}), "/", method=m) for m in ("GET", "HEAD"))
    assert head.headers == got.headers
    assert head.body == b""


# ------------------------------------------------------------- D9: apps that look at path alone


async def tells_path(scope: Scope, receive: Receive, send: Send) -> None:
    told = json.dumps([scope["root_path"], scope["path"], scope["raw_path"].decode()]).encode()
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": told.decode()})
        return
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": told})


def test_strip_prefix_takes_the_prefix_off_the_path() -> None:
    """D9: and leaves it in root_path; for WebSockets, too, and whatever the dispatcher keeps."""
    mount = Mount(tells_path, strip_prefix=True)
    for app in (Dispatcher({"/a": mount}), Dispatcher({"/a": mount}, keep_prefix=True)):
        assert json.loads(http(app, "/a/x", raw_path=b"/a/%78").body) == ["/a", "/x", "/%78"]
        _, told = websocket(app, "/a", raw_path=b"/a")
        assert json.loads(told["text"]) == ["/a", "/", "/"]


def test_strip_prefix_without_a_raw_path() -> None:
    """D9: hosts need not tell it (ASGI, ``raw_path`` is optional)."""
    app = Dispatcher({"/a": Mount(knows_raw_path, strip_prefix=True)})
    scope = http_scope("/a/x")
    del scope["raw_path"]
    answer = asyncio.run(talk(app, scope, []))
    assert json.loads(answer.body) == ["/x", False]


async def knows_raw_path(scope: Scope, receive: Receive, send: Send) -> None:
    told = json.dumps([scope["path"], "raw_path" in scope]).encode()
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": told})


def test_strip_prefix_changes_nothing_for_apps_that_know_their_place() -> None:
    """D9: a WSGI app and a dispatcher find the rest themselves, also if it repeats the prefix."""
    inner = Dispatcher({"/a": Mount(tells_path, strip_prefix=True)})
    app = Dispatcher({"/a": Mount(inner, strip_prefix=True), "/w": Mount(wsgi, strip_prefix=True)})
    assert json.loads(http(app, "/a/a/x", raw_path=b"/a/a/x").body) == ["/a/a", "/x", "/x"]
    assert http(app, "/w/w/x").body == http(Dispatcher({"/w": wsgi}), "/w/w/x").body


def test_keep_and_strip_prefix_contradict_each_other() -> None:
    """D9: that is said when the mount is made; what is no bool, too."""
    with pytest.raises(ConfigError, match="choose one"):
        Mount(tells_path, keep_prefix=True, strip_prefix=True)
    with pytest.raises(ConfigError, match="strip_prefix"):
        Mount(tells_path, strip_prefix="maybe")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="when is '/api'; allowed is a function"):
        Mount(tells_path, when="/api")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"settings is .*; allowed is a dictionary"):
        Mount(tells_path, settings=["threads"])  # type: ignore[arg-type]


def test_a_fallback_takes_what_no_mount_does() -> None:
    """D5: `fallback=[new, old]` stands at ``/``, behind all mounts."""
    app = Dispatcher({"/a": asgi("a")}, fallback=[asgi("new"), asgi("old")])
    assert seen(app, "/a/x")["name"] == "a"
    assert seen(app, "/b")["name"] == "new"
    assert seen(Dispatcher(fallback=[asgi("new")]), "/")["name"] == "new"
