"""A request that several apps read (tests/test_fallback.py has more of it, through `Fallback`)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.asgi.reread import DISCONNECT, KeptRequest, LastReader, Reader, own_scope
from bridge.errors import NotOnAsyncio
from bridge.types import Message


def request_of(*messages: Message, kind: str = "http") -> KeptRequest:
    """A request with these messages, after which the client says nothing more."""
    coming = iter(messages)

    async def receive() -> Message:
        for message in coming:
            return message
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    return KeptRequest(receive, DISCONNECT[kind])


def piece(body: bytes, more: bool = False) -> Message:
    """One message of a body."""
    return {"type": "http.request", "body": body, "more_body": more}


@pytest.mark.parametrize("pieces", [[b""], [b"ab", b"", b"c"], [b"x" * 40_000] * 4])
def test_what_one_has_read_is_there_for_the_next(pieces: list[bytes]) -> None:
    """D5, M22: each app gets the whole body, and the last one what nobody has read yet."""
    messages = [piece(each, at < len(pieces)) for at, each in enumerate(pieces, 1)]

    async def body(reader: Reader, most: int = 1000) -> bytes:
        got = b""
        for _ in range(most):
            message = await reader.receive()
            got += message["body"]
            if not message["more_body"]:
                break
        return got

    async def run() -> None:
        request = request_of(*messages)
        first = await body(Reader(request), 1)
        assert first == pieces[0]
        assert await body(Reader(request)) == b"".join(pieces)
        assert await body(LastReader(request)) == b"".join(pieces)
        assert not request.gone
        request.close()

    asyncio.run(run())


def test_a_message_that_one_waits_for_goes_to_the_next() -> None:
    """D5: nothing is lost with an app whose turn is over."""

    async def run() -> None:
        arrives: asyncio.Queue[Message] = asyncio.Queue()
        request = KeptRequest(arrives.get, DISCONNECT["http"])
        first = Reader(request)
        waits = asyncio.ensure_future(first.receive())
        await asyncio.sleep(0)
        assert not request.gone
        first.dismiss()
        first.dismiss()
        assert await waits == {"type": "http.disconnect"}
        arrives.put_nowait(piece(b"late"))
        assert await LastReader(request).receive() == piece(b"late")
        request.close()

    asyncio.run(run())


def test_two_tasks_of_one_app_may_read() -> None:
    """D5: each message goes to one of them, and the other one waits on."""

    async def run() -> None:
        arrives: asyncio.Queue[Message] = asyncio.Queue()
        request = KeptRequest(arrives.get, DISCONNECT["http"])
        reader = Reader(request)
        both = [asyncio.ensure_future(reader.receive()) for _ in range(2)]
        await asyncio.sleep(0)
        for message in (piece(b"a", True), piece(b"b")):
            arrives.put_nowait(message)
        assert [await one for one in both] == [piece(b"a", True), piece(b"b")]
        request.close()

    asyncio.run(run())


def test_a_client_that_leaves_is_gone_for_all() -> None:
    """D5, M22: each app sees that it has left."""

    async def run() -> None:
        request = request_of({"type": "http.disconnect"})
        for reader in (Reader(request), Reader(request), LastReader(request)):
            assert (await reader.receive())["type"] == "http.disconnect"
            assert request.gone is not isinstance(reader, LastReader)
        request.close()

    asyncio.run(run())


def test_a_websocket_connects_for_each() -> None:
    """D5: the handshake is read by each app."""

    async def run() -> None:
        request = request_of({"type": "websocket.connect"}, kind="websocket")
        for kind in (Reader, LastReader):
            assert await kind(request).receive() == {"type": "websocket.connect"}
        request.close()

    asyncio.run(run())


def test_what_receive_raises_is_no_sign_of_a_client_that_left() -> None:
    """M22: a host that fails is raised to the app, which is not said to have no client."""

    async def run() -> None:
        async def receive() -> Message:
            raise OSError("broken")

        request = KeptRequest(receive, DISCONNECT["http"])
        with pytest.raises(OSError, match="broken"):
            await Reader(request).receive()
        assert not request.gone
        request.close()

    asyncio.run(run())


def test_other_loops_are_refused_in_words() -> None:
    """D5: a fallback runs on asyncio."""
    with pytest.raises(NotOnAsyncio, match="a fallback runs on asyncio"):
        Reader(request_of())


def test_a_scope_of_its_own_shares_no_list_or_dict() -> None:
    """D5, M22: what one app changes no other one sees; the state is its own, on the host's."""
    scope: dict[str, Any] = {"headers": [(b"a", b"b")], "extensions": {"x": {}}, "state": {"h": 1}}
    own = own_scope(scope, {"mine": 2})
    own["headers"].clear()
    own["extensions"]["x"]["y"] = 1
    assert scope == {"headers": [(b"a", b"b")], "extensions": {"x": {}}, "state": {"h": 1}}
    assert own["state"] == {"h": 1, "mine": 2}
    assert "state" not in own_scope({"type": "http"}, {})
