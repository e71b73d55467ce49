"""The new app of a route with `rescue`."""

from __future__ import annotations

import pytest

from bridge.cutover.or_else_old import OrElseOld
from bridge.cutover.sides import mounted
from bridge.types import ASGIApp, RawHeaders, Receive, Scope, Send
from tests.support.in_process import http, websocket


def app(side: str, fails: bool = False, status: int = 200) -> ASGIApp:
    """An app that tells its side, or raises."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if fails:
            raise ValueError(side)
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": side.encode()})

    return answer


def either(
    told: list[Exception], *, fails: bool, status: int = 200, old_has: bool = False
) -> OrElseOld:
    """Both, of which the new one may fail; each says who it is. `status` is that of the old one."""
    sides = {
        "old": mounted("old", app("old", status=status), {}),
        "new": mounted("new", app("new", fails), {}),
    }

    def fields(side: str) -> RawHeaders:
        return [(b"x-by", side.encode())]

    return OrElseOld(sides, fields, told.append, lambda scope: old_has)


@pytest.mark.parametrize(("fails", "side"), [(False, "new"), (True, "old")])
def test_a_safe_request_is_answered_by_one_of_both(fails: bool, side: str) -> None:
    """M22: the field says which; what the new one raised is told."""
    told: list[Exception] = []
    answer = http(either(told, fails=fails), "/")
    assert (answer.status, answer.headers, answer.body) == (200, {"x-by": side}, side.encode())
    assert [str(error) for error in told] == ["new"] * fails


def test_an_old_app_that_has_no_such_view_is_no_help() -> None:
    """M22: the client gets a 500 of the new side, and the host what was raised."""
    told: list[Exception] = []
    with pytest.raises(ValueError, match="new"):
        http(either(told, fails=True, status=404), "/")
    assert told == []
    answer = http(either(told, fails=True, status=404, old_has=True), "/")
    assert (answer.status, answer.headers) == (404, {"x-by": "old"})
    assert len(told) == 1


def test_other_requests_and_websockets_are_the_new_ones() -> None:
    """M22: what it raises is raised."""
    told: list[Exception] = []
    assert http(either(told, fails=False), "/", method="POST").headers == {"x-by": "new"}
    (accepted,) = websocket(either(told, fails=False), "/")
    assert accepted["headers"] == [(b"x-by", b"new")]
    with pytest.raises(ValueError, match="new"):
        http(either(told, fails=True), "/", method="POST")
    assert told == []
