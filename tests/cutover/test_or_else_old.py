"""The new app of a route with `rescue`."""

from __future__ import annotations

import pytest

from bridge.cutover.or_else_old import OrElseOld
from bridge.cutover.sides import mounted
from bridge.types import ASGIApp, Receive, Scope, Send
from tests.support.in_process import http, websocket


def app(side: str, fails: bool = False) -> ASGIApp:
    """An app that tells its side, or raises."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if fails:
            raise ValueError(side)
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": side.encode()})

    return answer


def either(told: list[Exception], *, fails: bool) -> OrElseOld:
    """Both, of which the new one may fail; each says who it is."""
    sides = {"old": mounted("old", app("old"), {}), "new": mounted("new", app("new", fails), {})}
    return OrElseOld(sides, lambda side: [(b"x-by", side.encode())], told.append)


@pytest.mark.parametrize(("fails", "side"), [(False, "new"), (True, "old")])
def test_a_safe_request_is_answered_by_one_of_both(fails: bool, side: str) -> None:
    """M22: the field says which; what the new one raised is told."""
    told: list[Exception] = []
    answer = http(either(told, fails=fails), "/")
    assert (answer.status, answer.headers, answer.body) == (200, {"x-by": side}, side.encode())
    assert [str(error) for error in told] == ["new"] * fails


def test_other_requests_and_websockets_are_the_new_ones() -> None:
    """M22: what it raises is raised."""
    told: list[Exception] = []
    assert http(either(told, fails=False), "/", method="POST").headers == {"x-by": "new"}
    (accepted,) = websocket(either(told, fails=False), "/")
    assert accepted["headers"] == [(b"x-by", b"new")]
    with pytest.raises(ValueError, match="new"):
        http(either(told, fails=True), "/", method="POST")
    assert told == []
