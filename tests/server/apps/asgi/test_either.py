"""A request that the new app answers, or the old one instead, on our own server."""

from __future__ import annotations

from typing import Any

from bridge import Cutover, Route
from bridge.types import Environ, Receive, Scope, Send, StartResponse
from tests.support.raw import request
from tests.support.serving import served
from tests.support.waiting import eventually


def old(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """A WSGI app whose views are gone, if it is asked so."""
    gone = "gone" in environ["QUERY_STRING"]
    start_response("404 Not Found" if gone else "200 OK", [])
    return [b"old"]


async def new(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that fails below /broken."""
    if "broken" in scope["path"]:
        raise ValueError("broken")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"new"})


def test_the_figures_say_who_answered() -> None:
    """M2, M22: a rescued request is one of the old side, and others of the same handler are not."""
    cutover = Cutover(old, new, [Route("a", "/{x}", mode="new", rescue=True)])
    with served(cutover, metrics_bind="127.0.0.1:1") as server, server.connect() as client:
        for path, side in (("/fine", b"new"), ("/broken", b"old"), ("/fine", b"new")):
            client.send(request(path))
            assert client.response().value(b"x-served-by") == side
        client.send(request("/broken?gone"))
        answer = client.response()
        assert (answer.status, answer.value(b"x-served-by")) == (500, b"new")

        def totals(name: str) -> list[tuple[dict[str, Any], int]]:
            snapshot = server.call(server.server.figures)
            samples = [(labels, count) for labels, count in snapshot[name]["samples"] if count]
            return sorted(samples, key=str)

        eventually(
            lambda: (
                totals("bridge_cutover_requests_total")
                == [({"route": "a", "side": "new"}, 3), ({"route": "a", "side": "old"}, 1)]
            )
        )
        assert totals("bridge_requests_total") == [({"mount": "/"}, 4)]
        assert totals("bridge_cutover_rescued_requests_total") == [({"route": "a"}, 1)]
