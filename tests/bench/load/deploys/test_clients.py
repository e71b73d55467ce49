"""Clients that overlook a lost request prove nothing: each kind of failure is shown to them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bench.load.deploys import clients, mixture
from bench.load.deploys.clients import Board, Client
from bench.load.deploys.outcome import Failure, Kill, Outcome
from bench.load.deploys.sockets import SocketClient

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]
UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nX-Worker: 7\r\n\r\n"


def answer(head: bytes, *fields: str, body: bytes | None = None) -> bytes:
    """The right answer to a request of the kind ``fast``, or another body."""
    kind, number = head.split()[1].split(b"/")[-2:]
    body = b"%s %s" % (kind, number) if body is None else body
    lines = ["HTTP/1.1 200 OK", "X-Worker: 7", *fields, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def run(behave: Behaviour, make: Callable[[Board], Client], until: Callable[[Outcome], Any]) -> Any:
    """What one client has seen of a server that does with each head what `behave` says."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await behave(reader, writer, head)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def main() -> Outcome:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            board = Board("127.0.0.1", server.sockets[0].getsockname()[1])
            client = make(board)
            board.check()
            client.connect()
            async with asyncio.timeout(20):
                while not until(board.outcome):
                    await asyncio.sleep(0.01)
                board.stopping = True
                client.leave()
                await board.all_home.wait()
        return board.outcome

    return asyncio.run(main())


def fast(board: Board) -> Client:
    return Client(board, "fast", mixture._get("/fast"))


def socket_client(board: Board) -> Client:
    return SocketClient(board, "", 0.001)


def failed(behave: Behaviour, make: Callable[[Board], Client] = fast) -> Failure:
    """The first failure that a client notes."""
    first: Failure = run(behave, make, lambda outcome: outcome.failures).failures[0]
    return first


async def good(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    writer.write(answer(head))


def test_right_answers() -> None:
    """Whole, in pieces and in chunks: all of them are counted, and nothing fails."""
    count = 0

    async def behave(reader: Any, writer: asyncio.StreamWriter, head: bytes) -> None:
        nonlocal count
        count += 1
        whole = answer(head)
        if count % 3 == 1:
            for place in range(0, len(whole), 20):
                writer.write(whole[place : place + 20])
                await asyncio.sleep(0.001)
        elif count % 3 == 2:
            body = whole.partition(b"\r\n\r\n")[2]
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfast\r\n")
            await asyncio.sleep(0.001)
            writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body) - 4, body[4:]))
        else:
            writer.write(whole)

    outcome = run(behave, fast, lambda outcome: outcome.answers["fast"] >= 30)
    assert outcome.failures == []
    assert outcome.idle == outcome.told == 0


def test_told_to_close() -> None:
    """``Connection: close`` is obeyed, and a connection that ends while idle is no failure."""

    async def close(reader: Any, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(answer(head, "Connection: close"))

    assert run(close, fast, lambda outcome: outcome.told >= 3).failures == []

    async def idle(reader: Any, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(answer(head))
        writer.close()

    def patient(board: Board) -> Client:
        return Client(board, "fast", mixture._get("/fast"), pause=5)

    assert run(idle, patient, lambda outcome: outcome.idle >= 2).failures == []


def test_no_byte_came() -> None:
    """The connection ends instead of an answer: on a new one, and on one that was used."""

    async def at_once(reader: Any, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.close()

    failure = failed(at_once)
    assert (failure.kind, failure.reused, failure.worker) == ("no byte", False, "")

    def after_one() -> Behaviour:
        heads: list[bytes] = []

        async def behave(reader: Any, writer: asyncio.StreamWriter, head: bytes) -> None:
            heads.append(head)
            if len(heads) == 1:
                writer.write(answer(head))
            else:
                writer.transport.abort()

        return behave

    failure = failed(after_one())
    assert (failure.kind, failure.reused, failure.worker) == ("no byte", True, "7")


def test_cut_in_the_middle() -> None:
    """The connection ends after some of the answer, of a known length or in chunks."""

    async def behave(reader: Any, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(answer(head)[:-1])
        writer.close()

    assert (failed(behave).kind, failed(behave).worker) == ("cut", "7")

    async def in_chunks(reader: Any, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfast\r\n")
        writer.close()

    assert failed(in_chunks).kind == "cut"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (lambda head: answer(head, body=b"fast 0"), "wrong"),
        (lambda head: answer(head) + b"and more", "wrong"),
        (lambda head: b"HTTP/1.1 200 OK\r\n\r\nfast 1", "wrong"),
        (lambda head: answer(head).replace(b"200 OK", b"503 No"), "status"),
    ],
)
def test_wrong_answers(said: Callable[[bytes], bytes], kind: str) -> None:
    """Another body than that of this very request, one without an end, a status of an error."""

    async def behave(reader: Any, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(said(head))

    assert failed(behave).kind == kind


def test_refused_and_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens; or nobody answers in time."""
    monkeypatch.setattr(clients, "PATIENCE", 0.1)

    async def behave(reader: Any, writer: Any, head: bytes) -> None:
        await reader.read()

    assert failed(behave).kind == "timeout"

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

        async def main() -> Outcome:
            board = Board("127.0.0.1", port)
            client = fast(board)
            client.connect()
            while len(board.outcome.failures) < 2:
                await asyncio.sleep(0.01)
            board.ending = True
            await board.all_home.wait()
            return board.outcome

        kinds = {failure.kind for failure in asyncio.run(main()).failures}
    assert kinds == {"refused"}


# ------------------------------------------------------------- WebSockets


def test_messages_come_back() -> None:
    """Each is echoed; the server asks for a pong now and then, and closes with 1012: no failure."""

    async def behave(reader: asyncio.StreamReader, writer: Any, head: bytes) -> None:
        writer.write(UPGRADED)
        for _ in range(3):
            size = (await reader.readexactly(2))[1] & 0x7F
            text = (await reader.readexactly(4 + size))[4:]
            writer.write(bytes((0x81, size)) + text)
        writer.write(b"\x89\x01p")
        while (await reader.readexactly(1))[0] != 0x8A:
            size = (await reader.readexactly(1))[0] & 0x7F
            await reader.readexactly(4 + size)
        await reader.readexactly(6)
        writer.write(b"\x88\x02\x03\xf4")
        await reader.read()

    outcome = run(behave, socket_client, lambda outcome: outcome.restarted >= 2)
    assert outcome.failures == []
    assert outcome.answers["messages"] >= 6


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (UPGRADED + b"\x88\x02\x03\xf3", "WebSocket"),
        (UPGRADED + b"\x81\x01x", "WebSocket"),
        (UPGRADED, "WebSocket"),
        (b"HTTP/1.1 503 No\r\n\r\n", "status"),
        (b"", "no byte"),
    ],
)
def test_failures_of_websockets(said: bytes, kind: str) -> None:
    """Another code, another message, no closing frame, no WebSocket."""

    async def behave(reader: asyncio.StreamReader, writer: Any, head: bytes) -> None:
        writer.write(said)
        await writer.drain()
        if len(said) > len(UPGRADED):
            await reader.read()
        writer.close()

    assert failed(behave, socket_client).kind == kind


# ------------------------------------------------------------- what is counted apart


def failure(kind: str = "cut", **others: Any) -> Failure:
    values: dict[str, Any] = {
        "what": "fast", "begun": 9.0, "ended": 10.1, "opened": 5.0, "reused": True, "worker": "7",
        "detail": "", **others,
    }  # fmt: skip
    return Failure(kind, **values)


def test_what_is_counted_apart() -> None:
    """In flight on a worker that was killed; unanswered, or refused, after the final SIGTERM."""
    here = [failure(), failure("no byte", worker=""), failure("WebSocket")]
    others = [
        failure(worker="8"),
        failure(opened=10.05),
        failure(ended=13.0),
        failure("wrong"),
        failure("refused"),
    ]
    tally = Outcome({}, here + others).tally([Kill(7, 10.0)])
    assert (tally.killed, tally.lost, tally.going) == (here, others, [])
    assert tally.kinds() == "3 cut, 1 wrong, 1 refused"

    late = [failure("no byte", begun=10.05)]
    lost = [failure("no byte"), failure(begun=10.05)]
    tally = Outcome({}, [*late, *lost, failure("refused")]).tally(told=10.0)
    assert (tally.going, tally.lost) == (late, lost)
    assert "a used connection of worker 7" in str(late[0])
