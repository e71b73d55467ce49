"""The output side of a connection, on real sockets: back-pressure, limits of time, its ends."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
from collections.abc import Callable, Iterator

import pytest
import trustme

from bridge.errors import ClientDisconnected
from bridge.limits import HIGH_WATER
from bridge.server.config.config import Config
from bridge.server.state import ServerState
from bridge.server.transport.output import LINGER, Output, gathered, unsent
from bridge.types import Receive, Scope, Send
from tests.support.in_loop import InLoop, Talk, in_loop, tcp_pair

#: More than any socket takes at once.
MUCH = b"x" * 20_000_000


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Not called: no request is sent."""


@pytest.fixture
def server() -> Iterator[InLoop]:
    with in_loop(app) as server:
        yield server


@pytest.fixture(params=[False, True], ids=["unix", "tcp"])
def talk(server: InLoop, request: pytest.FixtureRequest) -> Iterator[Talk]:
    talk = server.run(server.open(tcp=request.param))
    yield talk
    if not talk.protocol.output.closed:
        talk.protocol.output.abort()
        server.run(until(talk, lambda: talk.protocol.output.closed))
    talk.sock.close()


async def until(talk: Talk, holds: Callable[[], object]) -> None:
    """Read until that holds."""
    while not holds():
        await talk.turn()


def ended(server: InLoop, talk: Talk) -> bytes:
    """All that came, up to the end."""
    server.run(until(talk, lambda: talk.ended))
    return bytes(talk.answer)


# ------------------------------------------------------------- writing


def test_the_socket_and_the_transport(server: InLoop, talk: Talk) -> None:
    """W39: bytes go straight to the socket if nothing waits before them; the order holds."""
    output = talk.protocol.output
    output.write_through([b"a"])
    output.write_through([b"<", MUCH, b">"])
    assert output.paused
    output.write_through([b"b"])
    output.write_late([b"c"])
    output.write_parts([b"d", b"e"])
    output.close(lingering=False)
    assert ended(server, talk) == b"a<" + MUCH + b">bcde"
    output.write_late([b"to nobody"])
    assert output.direct_writer() is None


def test_what_is_copied() -> None:
    """S10: small parts become one, large ones stay as they are."""
    assert gathered([]) == (b"",)
    assert gathered([b"a", b"", b"b"]) == (b"ab",)
    assert gathered([MUCH]) == (MUCH,)
    assert gathered([b"a", MUCH]) == [b"a", MUCH]


def test_what_is_left() -> None:
    """W39: of a large response that does not fit, what waits for the client is not copied."""
    parts = [b"head", b"", MUCH, b"end"]
    assert unsent(parts, 0) == [b"head", MUCH, b"end"]
    assert unsent(parts, 3) == [b"d", MUCH, b"end"]
    for sent, left in ((4, MUCH), (5, MUCH[1:])):
        rest, end = unsent(parts, sent)
        assert (rest, end) == (left, b"end")
        assert rest is MUCH or (isinstance(rest, memoryview) and rest.obj is MUCH)
    again = unsent(unsent(parts, 5), 10)
    assert again == [MUCH[11:], b"end"]
    assert unsent(again, len(MUCH) - 11 + 2) == [b"d"]
    assert unsent(again, len(MUCH) - 11 + 3) == []


def test_parts_on_a_loop_that_takes_one() -> None:
    """S10: they arrive the same."""

    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        output = Output(ServerState(Config(app="x:y"), loop))
        transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, theirs)
        output.open(transport)
        output.write_parts([b"d", b"e"])
        output.break_off()
        reader, writer = await asyncio.open_connection(sock=ours)
        data = await reader.read()
        writer.close()
        return data

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        assert runner.run(main()) == b"de"


def test_a_writer_is_made_once(talk: Talk) -> None:
    """W25: it is kept until it is given back."""
    output = talk.protocol.output
    writer = output.direct_writer()
    assert writer is not None
    assert output.direct_writer() is writer
    output.release_writer()
    assert output.direct_writer() is not writer


def test_no_descriptors_left(server: InLoop, talk: Talk) -> None:
    """S2: then the transport writes, which has one."""
    output = talk.protocol.output
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        output.write_through([b"all ", b"the same"])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    output.close(lingering=False)
    assert ended(server, talk) == b"all the same"


# ------------------------------------------------------------- back-pressure


def test_waiting_for_room(server: InLoop, talk: Talk) -> None:
    """S12: who writes much waits until the client has taken it, or all of it."""
    output = talk.protocol.output

    async def main() -> None:
        await output.drained()
        await output.emptied()
        for wait in (output.drained, output.emptied):
            output.transport.write(MUCH)
            waiting = asyncio.ensure_future(wait())
            await asyncio.sleep(0)
            assert not waiting.done()
            await until(talk, waiting.done)
            waiting.result()
        assert output.transport.get_write_buffer_size() == 0
        output.transport.write(b"x" * (HIGH_WATER // 2))
        assert not output.paused

    server.run(main())


def test_waiting_for_a_client_that_goes(server: InLoop, talk: Talk) -> None:
    """S12: it ends with the connection, and so does each wait after it."""
    output = talk.protocol.output

    async def main() -> None:
        output.transport.write(MUCH)
        waiting = [asyncio.ensure_future(wait()) for wait in (output.drained, output.emptied)]
        await asyncio.sleep(0)
        output.abort()
        for each in (*waiting, output.drained(), output.emptied()):
            with pytest.raises(ClientDisconnected):
                await each

    server.run(main())


# ------------------------------------------------------------- the ends


def test_lingering(server: InLoop, talk: Talk) -> None:
    """S2: a client that goes on sending has its answer, and some time; then it is cut."""
    output, state = talk.protocol.output, server.state
    output.transport.write(b"answer")
    output.limit_lingering(1)
    assert not output.end_at
    output.close(lingering=True)
    assert ended(server, talk) == b"answer"
    now = state.clock()
    assert output.check_timeouts(now, None) == ""
    assert not output.transport.is_closing()
    output.check_timeouts(now + LINGER + 1, None)
    assert output.transport.is_closing()
    output.close(lingering=False)
    server.run(until(talk, lambda: output.closed))
    output.close(lingering=True)


def test_lingering_goes_on_while_the_client_takes_something(server: InLoop, talk: Talk) -> None:
    """S2: a lingering connection is not cut while bytes wait, if that is not limited."""
    output, state = talk.protocol.output, server.state
    output.transport.write(MUCH)
    output.close(lingering=True)
    output.check_timeouts(state.clock() + LINGER + 1, None)
    assert not output.transport.is_closing()
    output.limit_lingering(1)
    output.check_timeouts(state.clock() + 2, None)
    assert output.transport.is_closing()


def test_reset(server: InLoop, talk: Talk) -> None:
    """S14, W36: a client on TCP can tell that the end is none."""
    talk.protocol.output.transport.write(MUCH)
    talk.protocol.output.reset()
    assert len(ended(server, talk)) < len(MUCH)


def test_abort_beside_a_thread(server: InLoop, talk: Talk) -> None:
    """S12: a thread that still has a writer writes no more."""
    output = talk.protocol.output
    writer = output.direct_writer()
    assert writer is not None
    output.abort()
    with pytest.raises(ClientDisconnected):
        writer.send(b"x")
    assert ended(server, talk) == b""


# ------------------------------------------------------------- slow clients


def test_a_client_that_takes_nothing(server: InLoop, talk: Talk) -> None:
    """S2: it is cut after `timeout_write`, and the reason says how much waited."""
    output, now, limit = talk.protocol.output, server.state.clock(), server.config.timeout_write
    output.transport.write(MUCH)
    assert output.check_timeouts(now, 0) == ""
    assert output.check_timeouts(now + limit, 0) == ""
    assert "timeout-write" in output.check_timeouts(now + limit + 1, 0)
    assert len(ended(server, talk)) < len(MUCH)


def test_a_client_that_catches_up(server: InLoop, talk: Talk) -> None:
    """S2: what it did not take for a while counts no more when it has taken everything."""
    output, now, limit = talk.protocol.output, server.state.clock(), server.config.timeout_write
    for start in (now, now + 2 * limit):
        talk.answer.clear()
        output.transport.write(MUCH)
        assert output.check_timeouts(start, start) == ""
        assert output.check_timeouts(start + limit, start) == ""
        server.run(until(talk, lambda: len(talk.answer) == len(MUCH)))
        assert output.check_timeouts(start + limit + 1, start) == ""


def test_a_client_that_has_all_that_the_kernel_had(talk: Talk) -> None:
    """S2: if the kernel holds nothing for it, what waits is the server's own business."""
    output = talk.protocol.output
    output.file_waits = True
    for now in (0.0, 1e6, 2e6):
        assert output.check_timeouts(now, None) == ""
    output.file_waits = False


# ------------------------------------------------------------- TLS


@pytest.mark.parametrize("way", ["close", "transport", "lingering", "abort"])
def test_the_ends_of_an_encrypted_connection(server: InLoop, way: str) -> None:
    """S31: all that was written arrives, and no client is waited for that says no goodbye."""
    ca, size = trustme.CA(), 1_000_000
    ours, theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    ca.issue_cert("localhost").configure_cert(ours)
    ca.configure_trust(theirs)
    sock, accepted = tcp_pair()
    sock.settimeout(60)
    connection = server._connection()
    output = connection.output

    def take(client: ssl.SSLSocket) -> int:
        came = 0
        while came < size:
            came += len(client.recv(size))
        return came

    async def main() -> None:
        client, _ = await asyncio.gather(
            asyncio.to_thread(theirs.wrap_socket, sock, server_hostname="localhost"),
            server.loop.connect_accepted_socket(lambda: connection, accepted, ssl=ours),
        )
        assert output.tls
        assert output.direct_writer() is None
        output.write_through([b"x" * size])
        if way == "close":
            output.close(lingering=False)
        elif way == "transport":
            output.transport.close()
            output.check_timeouts(server.state.clock(), None)
        elif way == "lingering":
            output.close(lingering=True)
            output.end_within(0)
        assert await asyncio.to_thread(take, client) == size
        if way == "lingering":
            while output.transport.get_write_buffer_size():
                await asyncio.sleep(0)
            output.check_timeouts(server.state.clock() + 1, None)
        elif way == "abort":
            output.abort()
        while not output.closed:  # though the client, which is idle, does not look
            await asyncio.sleep(0)
        client.close()

    server.run(asyncio.wait_for(main(), 60))


def test_the_limits_of_an_encrypted_connection_that_is_closed(server: InLoop) -> None:
    """S2: nothing is looked for once it has ended."""
    talk = server.run(server.open())
    output = talk.protocol.output
    output.tls = True  # as far as its end goes
    output.close(lingering=False)
    assert ended(server, talk) == b""
    server.run(asyncio.sleep(0.1))  # its look is due meanwhile, and finds nothing to end
    assert output.closed
    talk.sock.close()
