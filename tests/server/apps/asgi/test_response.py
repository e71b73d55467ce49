"""The body of an ASGI response that comes in pieces, and when the loop gets a turn."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.asgi.disconnect import DisconnectNotice
from bridge.errors import ClientDisconnected
from bridge.http.response_head import raw_head
from bridge.limits import MIN_UNCOPIED
from bridge.server.apps.asgi import response as room
from bridge.server.apps.asgi.response import OVER, STREAMING, TRAILING, AsgiStream
from bridge.server.http1.response import Response
from tests.server.apps.connections import request
from tests.server.http1.test_response import Connection, Defaults


class Wire(Connection):
    """A connection that keeps what is written; it has a transport, which may be closing."""

    def __init__(self) -> None:
        super().__init__()
        self.transport = self
        self.closing = self.closed = False

    def is_closing(self) -> bool:
        return self.closing

    @property
    def body(self) -> bytes:
        return b"".join(self.written).partition(b"\r\n\r\n")[2]


def stream(wire: Any, *fields: tuple[bytes, bytes], trailers: bool = False) -> AsgiStream:
    response = Response(request("GET / HTTP/1.1"), Defaults())
    response.start(raw_head(200, list(fields)), keep_alive=True, trailers=trailers)
    return AsgiStream(wire, response, trailers=trailers)


def test_pieces() -> None:
    """S10: each message is one write, the last ends the body, an empty one in between is none."""
    wire = Wire()
    body = stream(wire)
    assert [body.write(b"ab", more=True), body.write(b"", more=True)] == [STREAMING] * 2
    assert body.write(b"c", more=False) == OVER
    assert wire.body == b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    assert len(wire.written) == 2


def test_large_pieces_are_not_copied() -> None:
    """S12: the app's own bytes are what is written."""
    wire, piece = Wire(), b"x" * MIN_UNCOPIED
    stream(wire).write(piece, more=True)
    assert any(part is piece for part in wire.written)


def test_trailers_follow() -> None:
    """S10: a body whose trailers were announced is not the end."""
    wire = Wire()
    assert stream(wire, trailers=True).write(b"a", more=False) == TRAILING
    assert wire.body == b"1\r\na\r\n0\r\n"


def test_too_much_is_the_end() -> None:
    """W36, S10: what is beyond the declared length ends the response, trailers and all."""
    wire = Wire()
    assert stream(wire, (b"content-length", b"2")).write(b"abc", more=True) == OVER
    assert wire.body == b"ab"


@pytest.mark.parametrize(
    ("fields", "size", "sent"),
    [
        ([(b"content-length", b"5")], 5, b"hello"),
        ([], 5, b"5\r\nhello\r\n0\r\n\r\n"),
        ([(b"content-length", b"0")], 0, b""),
    ],
)
def test_files(
    fields: list[Any], size: int, sent: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S10: a file is framed like every other piece, and closed when it has been sent."""
    wire = Wire()

    async def send_file(output: Any, file: int, offset: int, count: int) -> None:
        output.write(os.pread(file, count, offset))

    monkeypatch.setattr(room, "send_file", send_file)
    (tmp_path / "file").write_bytes(b"hello")
    file = os.open(tmp_path / "file", os.O_RDONLY)
    assert asyncio.run(stream(wire, *fields).write_file(file, size)) == OVER
    assert wire.body == sent
    with pytest.raises(OSError):
        os.fstat(file)


def test_a_file_that_cannot_be_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S10: it is closed all the same, and the app hears why."""

    async def send_file(*args: Any) -> None:
        raise ClientDisconnected("gone")

    monkeypatch.setattr(room, "send_file", send_file)
    (tmp_path / "file").write_bytes(b"hello")
    file = os.open(tmp_path / "file", os.O_RDONLY)
    with pytest.raises(ClientDisconnected):
        asyncio.run(stream(Wire()).write_file(file, 5))
    with pytest.raises(OSError):
        os.fstat(file)


def test_when_the_loop_gets_a_turn() -> None:
    """S12: after so many bytes, after many empty messages, and when the client is leaving."""
    wire = Wire()
    body = stream(wire)

    async def turn() -> None:
        await body.give_turn(DisconnectNotice())

    assert not body.has_burst()
    body.write(b"x" * 40_000, more=True)
    assert body.has_burst()
    asyncio.run(turn())
    assert not body.has_burst()
    for _ in range(128):
        body.write(b"", more=True)
    assert body.has_burst()
    asyncio.run(turn())
    wire.closing = True
    assert body.has_burst()


@pytest.mark.parametrize("closed", [False, True])
def test_a_cancellation_in_that_turn(closed: bool) -> None:
    """S12: an app whose client is gone is cancelled at its next await, others at once."""
    wire = Wire()
    body = stream(wire)
    where: list[str] = []

    async def app(wait: Callable[[], Any]) -> None:
        try:
            await body.give_turn(DisconnectNotice())
        except asyncio.CancelledError:
            where.append("in send")
            raise
        try:
            await wait()
        except asyncio.CancelledError:
            where.append("behind it")
            raise

    async def main() -> None:
        task = asyncio.ensure_future(app(asyncio.Event().wait))
        await asyncio.sleep(0)
        wire.closed = closed
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(main())
    assert where == ["behind it" if closed else "in send"]
