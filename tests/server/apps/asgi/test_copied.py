"""A route in mode ``shadow`` on our own server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from bridge import Cutover, Mount, Route
from bridge.server.apps.asgi.copied import without_claim
from bridge.server.request import Request
from bridge.types import Environ, Receive, Scope, Send, StartResponse
from tests.support.raw import request
from tests.support.serving import served
from tests.support.shadows import answering, copies_of, counted
from tests.support.waiting import eventually

ROUTES = [Route("a", "/a/{x}", mode="shadow"), Route("b", "/b", mode="new")]


def told(environ: Environ) -> bytes:
    """What both apps answer to a request: what they have seen of it."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
    return json.dumps([environ["PATH_INFO"], environ["QUERY_STRING"], body]).encode()


def wsgi(side: str) -> Any:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        app.seen.append(environ)  # type: ignore[attr-defined]
        start_response("200 OK", [("Content-Type", "application/json")])
        return [told(environ)]

    app.seen = []  # type: ignore[attr-defined]
    return app


def asgi(side: str) -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        app.seen.append(scope)  # type: ignore[attr-defined]
        body = (await receive())["body"].decode()
        path = scope["path"].removeprefix(scope["root_path"])
        text = json.dumps([path.encode().decode("latin-1"), scope["query_string"].decode(), body])
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": text.encode()})

    app.seen = []  # type: ignore[attr-defined]
    return app


APPS: dict[str, Any] = {
    "thread": lambda: Mount(wsgi("old")),
    "greenlet": lambda: Mount(wsgi("old"), settings={"runner": "greenlet"}),
    "inline": lambda: Mount(wsgi("old"), settings={"runner": "inline"}),
    "asgi": lambda: Mount(asgi("old")),
}


@pytest.mark.parametrize("new", [wsgi, asgi])
@pytest.mark.parametrize("old", APPS)
def test_copies_of_all_kinds(old: str, new: Any) -> None:
    """M10: whatever runs the two apps; also a GET with a body, and HEAD, and below a mount."""
    app = Cutover(APPS[old](), new("new"), ROUTES)
    with served(app, root_path="/site") as server, server.connect() as client:
        for each in (
            request("/site/a/1?x=1"),
            request("/site/a/%C3%BC", method="HEAD"),
            request("/a/2", "Content-Length: 4") + b"body",
            request("/a/3", "Transfer-Encoding: chunked") + b"4\r\nbody\r\n0\r\n\r\n",
            request("/a/4", "Content-Length: 4", method="POST") + b"body",
        ):
            client.send(each)
            answer = client.response("HEAD" if b"HEAD" in each else "GET")
            assert (answer.status, answer.value(b"x-served-by")) == (200, b"old")
        eventually(lambda: sum(counted(app).values()) == 4)
    if old == "asgi":
        assert counted(app) == {"equal": 4}
    else:  # a WSGI app's request with a body goes the plain way
        assert counted(app) == {"equal": 2, "dropped": 2}
        assert copies_of(app).reasons() == {"a": {"request-body": 2}}


def test_nobody_but_a_copy_says_that_it_is_one() -> None:
    """M10: a client's field of that name reaches neither app, in no mode."""
    old, new = wsgi("old"), wsgi("new")
    app = Cutover(old, new, ROUTES)
    with served(app) as server, server.connect() as client:
        for path in ("/a/1", "/b", "/none"):
            client.send(request(path, "X-Shadow: 1", "X-Other: 2"))
            client.response()
        eventually(lambda: counted(app) == {"equal": 1})
    seen = [
        (e["PATH_INFO"], e.get("HTTP_X_SHADOW"), e["HTTP_X_OTHER"]) for e in old.seen + new.seen
    ]
    assert sorted(seen, key=str) == [
        ("/a/1", "1", "2"),
        ("/a/1", None, "2"),
        ("/b", None, "2"),
        ("/none", None, "2"),
    ]


def test_without_a_claim_a_request_stays_the_same() -> None:
    """M10: nothing is copied for it."""
    plain = Request("GET", b"/", b"/", b"")
    assert without_claim(plain) is plain
    plain.headers = [(b"x-shadow", b"1"), (b"a", b"1")]
    plain.repeated = True
    other = without_claim(plain)
    assert (other.headers, other.repeated, plain.repeated) == ([(b"a", b"1")], False, True)


def test_a_new_app_that_hangs_keeps_nobody_waiting() -> None:
    """M10: neither a client nor the end of the server; what has no room goes the plain way."""
    never = threading.Event()

    def new(environ: Environ, start_response: StartResponse) -> list[bytes]:
        never.wait(20)
        raise AssertionError

    app = Cutover(wsgi("old"), new, ROUTES, shadow={"concurrency": 1}, threads=1)
    with served(app, lifespan="on") as server, server.connect() as client:
        for _ in range(20):
            client.send(request("/a/1"))
            assert client.response().status == 200
    reasons = copies_of(app).reasons()["a"]
    assert reasons["busy"] > 0
    assert reasons["stopped"] > 0
    assert sum(reasons.values()) == 20
    never.set()


def test_a_body_changes_no_answer_of_a_wsgi_app() -> None:
    """M10: its own reason and the spelling of its fields stay, as in mode ``old``."""

    def old(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 Fine", [("X-Mixed-Case", "1")])
        return [told(environ)]

    with served(Cutover(old, asgi("new"), ROUTES)) as server, server.connect() as client:
        client.send(request("/a/1", "Content-Length: 4", "Connection: close") + b"body")
        answer = client.rest()
    assert answer.startswith(b"HTTP/1.1 200 Fine\r\nX-Mixed-Case: 1\r\n")


def test_a_new_wsgi_app_that_hangs_on_the_loop_keeps_nobody_waiting() -> None:
    """M10: its copies run in threads, also if its clients are served by the loop itself."""
    never = threading.Event()

    def new(environ: Environ, start_response: StartResponse) -> list[bytes]:
        never.wait(20)
        raise AssertionError

    app = Cutover(
        wsgi("old"), new, ROUTES, shadow={"concurrency": 1, "timeout": 0.1}, runner="inline"
    )
    with served(app, lifespan="on") as server, server.connect() as client:
        client.send(request("/a/1"))
        assert client.response().status == 200
        eventually(lambda: counted(app) == {"failed": 1})
        client.send(request("/a/1"))
        assert client.response().status == 200
    assert not never.is_set()
    never.set()


def test_a_stream_and_a_client_that_leaves_are_not_copied() -> None:
    """M10: they hold no memory, and are counted."""

    def old(environ: Environ, start_response: StartResponse) -> Any:
        kind = "text/event-stream" if environ["PATH_INFO"] == "/a/events" else "text/plain"
        start_response("200 OK", [("Content-Type", kind)])
        if environ["PATH_INFO"] == "/a/long":
            return iter([b"x" * 65536] * 17)
        if environ["PATH_INFO"] == "/a/endless":
            return iter(lambda: b"x" * 65536, b"")
        return iter([b"data: 1\n\n", b"data: 2\n\n"])

    new = answering()
    app = Cutover(old, new, ROUTES)
    with served(app) as server:
        for path in ("/a/events", "/a/long"):
            with server.connect() as client:
                client.send(request(path))
                assert client.response().status == 200
        with server.connect() as client:
            client.send(request("/a/endless"))
            client.exactly(2 * 1024 * 1024)
        eventually(lambda: sum(counted(app).values()) == 3)
    assert copies_of(app).reasons() == {"a": {"stream": 1, "response-body": 2}}
    assert new.seen == []  # type: ignore[attr-defined]


class InMemory:
    """Has all its pieces, and no length, as a response of Django's."""

    def __iter__(self) -> Any:
        return iter([b"one", b"two"])

    def close(self) -> None:
        """Close nothing."""


class Pieces(list[bytes]):
    """A list that is none to `type`."""


#: All that an app may return, and what it must not.
RESULTS: dict[str, Callable[[], Any]] = {
    "list": lambda: [b"one", b"two"],
    "no-piece": list,
    "tuple": lambda: (b"one", b"two"),
    "list-of-its-own": lambda: Pieces([b"one", b"two"]),
    "one-piece": lambda: Pieces([b"one"]),
    "dict": lambda: {b"one": 1},
    "in-memory": InMemory,
    "iterator": lambda: iter([b"one", b"two"]),
    "generator": lambda: (each for each in (b"", b"one", b"two")),
    "bytes": lambda: b"one",
    "no-bytes": lambda: b"",
    "text": lambda: "one",
    "list-of-text": lambda: ["one"],
    "nothing": lambda: None,
    "raises": lambda: (1 // each for each in (0,)),
}


def bytes_of_all(mode: str) -> tuple[list[bytes], Cutover]:
    """What clients get for each of these, without the date."""

    def old(environ: Environ, start_response: StartResponse) -> Any:
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        result = RESULTS[environ["PATH_INFO"].removeprefix("/a/")]()
        if environ["QUERY_STRING"]:
            write(b"zero")
        return result

    app = Cutover(old, answering(), [Route("a", "/a/{x}", mode=mode)], shadow={"concurrency": 20})
    got = []
    with served(app) as server:
        for name in RESULTS:
            for method, query in (("GET", ""), ("HEAD", ""), ("GET", "?write")):
                with server.connect() as client:
                    client.send(request(f"/a/{name}{query}", "Connection: close", method=method))
                    lines = client.rest().split(b"\r\n")
                    got.append(b"\r\n".join(each for each in lines if b"date:" not in each.lower()))
        if mode == "shadow":
            eventually(lambda: sum(counted(app).values()) == len(got))
    return got, app


def test_a_client_of_a_wsgi_app_sees_no_difference() -> None:
    """M10: whatever the app returns, the answer is byte for byte that of mode ``old``."""
    plain, _ = bytes_of_all("old")
    copied, app = bytes_of_all("shadow")
    assert copied == plain
    # The errors are not copied. HEAD of a generator ends at its first piece, and is all the same.
    assert copies_of(app).reasons() == {"a": {"unfinished": 6 * 3}}
