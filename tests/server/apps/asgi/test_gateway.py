"""A gateway on our own server: the short way of whole responses, and all others."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bridge.dispatcher import Dispatcher, Mount
from bridge.gateway import protocol
from bridge.gateway.front.gateway import Gateway
from bridge.gateway.protocol import Frame
from bridge.types import Receive, Scope, Send
from tests.support.gateways import ScriptedWorker, new_prefix, piece, start, until, worker_of
from tests.support.hosts import Host
from tests.support.in_loop import InLoop, in_loop
from tests.support.raw import request
from tests.support.redis import needs_redis, redis_server, redis_url

__all__ = ["redis_server"]

pytestmark = needs_redis

OK = [200, [(b"content-length", b"5"), (b"x-a", b"1")], b"hello"]


class Visitor:
    """A client of the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def say(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)

    def say_no_more(self) -> None:
        """Send FIN."""
        self._writer.write_eof()

    async def hears(self, *, body: bool = True) -> tuple[int, dict[str, str], bytes]:
        """The next response, whose length is told."""
        async with asyncio.timeout(20):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *lines = head.split("\r\n")[:-2]
            fields = dict(each.lower().split(": ", 1) for each in lines)
            size = int(fields["content-length"]) if body else 0
            return int(line.split()[1]), fields, await self._reader.readexactly(size)

    async def rest(self) -> bytes:
        """All that comes, to the end of the connection."""
        return await asyncio.wait_for(self._reader.read(), 20)

    def leave(self) -> None:
        """Reset the connection, if it is open."""
        if self._writer.is_closing():
            return
        linger = struct.pack("ii", 1, 0)
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._writer.transport.abort()


class Site:
    """A server with a gateway, and a worker whose steps a test says."""

    def __init__(self, server: InLoop, gateway: Gateway, worker: ScriptedWorker) -> None:
        self.server = server
        self.gateway = gateway
        self.worker = worker
        self._visitors: list[Visitor] = []

    async def visitor(self) -> Visitor:
        """A client that has connected."""
        talk = await self.server.open(tcp=True)
        visitor = Visitor(*await asyncio.open_connection(sock=talk.sock))
        self._visitors.append(visitor)
        return visitor

    async def close(self) -> None:
        """Have all clients leave; nothing of them is left."""
        for visitor in self._visitors:
            visitor.leave()
        state = self.server.state
        await until(lambda: not (state.connections or state.tasks or self.gateway.bus.sessions))

    async def answer(self, *answer: Any) -> Scope:
        """Take a request, and answer it by one frame; return its scope."""
        found, session = await self.worker.read_and_claim()
        session.write(protocol.ANSWER, answer or OK)
        return found.scope


def run(
    host: Host,
    test: Callable[[Site], Awaitable[None]],
    mount: Callable[[Gateway], Any] = lambda gateway: gateway,
    about: dict[str, Any] | None = None,
    **settings: Any,
) -> None:
    """Have `test` talk to a gateway; `about` are settings of its server."""
    gateway = Gateway(redis_url(host), prefix=new_prefix(), **settings)
    with in_loop(mount(gateway), **(about or {})) as server:

        async def main() -> None:
            await gateway.open()
            try:
                async with worker_of(redis_url(host), gateway.bus.keys.prefix) as worker:
                    site = Site(server, gateway, worker)
                    try:
                        await test(site)
                    finally:
                        await site.close()
            finally:
                await gateway.close()

        server.run(main())


def test_a_whole_response(redis_server: Host) -> None:
    """L9: it leaves as the worker has sent it; a client that repeats itself gets it each time."""

    async def test(site: Site) -> None:
        visitor = await site.visitor()
        for number in range(3):
            visitor.say(request("/a?b"))
            scope = await site.answer()
            assert (scope["path"], scope["query_string"]) == ("/a", b"b")
            status, fields, body = await visitor.hears()
            assert (status, fields["x-a"], body) == (200, "1", b"hello")
            assert number == 2 or site.server.state.served == number + 1
        assert not site.server.state.tasks

    run(redis_server, test)


REQUESTS = {
    "plain": request("/%C3%A4/b?c=d", "X-A: 1", "X-A: 2"),
    "a body": request("/", "Content-Length: 4", method="POST") + b"body",
    "HEAD": request(method="HEAD"),
    "HTTP/1.0": b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
    "a proxy": request("/", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https"),
}


@pytest.mark.parametrize("about", [{}, {"root_path": "/root"}, {"pathsend": True}])
@pytest.mark.parametrize("mounted", [False, True])
@pytest.mark.parametrize("kind", REQUESTS)
def test_workers_see_what_they_see_of_other_hosts(
    redis_server: Host, kind: str, mounted: bool, about: dict[str, Any]
) -> None:
    """L9: the short way makes the same scope and body as the way by ASGI."""
    seen = []

    async def test(site: Site) -> None:
        visitor = await site.visitor()
        visitor.say(REQUESTS[kind].replace(b" /", b" /mounted/") if mounted else REQUESTS[kind])
        found, session = await site.worker.read_and_claim()
        for end in ("client", "server"):
            host, port = found.scope[end]
            found.scope[end] = (host, type(port))  # each time another
        assert found.scope["extensions"].pop(protocol.CONSUMERS)  # of each gateway
        seen.append((found.scope, found.events))
        session.write(protocol.ANSWER, OK)
        assert (await visitor.hears(body=kind != "HEAD"))[0] == 200

    def by_asgi(gateway: Gateway) -> Any:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await gateway(scope, receive, send)

        return app

    def mount(wrap: Callable[[Gateway], Any]) -> Callable[[Gateway], Any]:
        return lambda gateway: Dispatcher({"/mounted": wrap(gateway)})

    for wrap in (lambda gateway: gateway, by_asgi):
        run(redis_server, test, mount(wrap) if mounted else wrap, about)
    assert seen[0] == seen[1]


def test_one_gateway_at_two_places(redis_server: Host) -> None:
    """L9, D6: a client that repeats itself gets to the place that takes it each time."""
    inner = itertools.cycle([True, False])

    async def test(site: Site) -> None:
        visitor = await site.visitor()
        seen = []
        for _ in range(6):
            visitor.say(request("/a/b/c"))
            seen.append((await site.answer())["root_path"])
            await visitor.hears()
        assert seen == ["/a/b", "/a"] * 3

    def mount(gateway: Gateway) -> Any:
        return Dispatcher({"/a": gateway, "/a/b": Mount(gateway, when=lambda _: next(inner))})

    run(redis_server, test, mount)


def test_clients_that_do_not_wait(redis_server: Host) -> None:
    """S1 L9: pipelined requests are answered in order, each when the one before is."""

    async def test(site: Site) -> None:
        visitor = await site.visitor()
        visitor.say(request("/0") + request("/1") + request("/2"))
        for number in range(3):
            body = b"%d" % number
            scope = await site.answer(200, [(b"content-length", b"1")], body)
            assert scope["path"] == f"/{number}"
            assert (await visitor.hears())[2] == body

    run(redis_server, test)


def test_a_client_that_sends_no_more(redis_server: Host) -> None:
    """S1 L9: it is still there, and gets its answers."""

    async def test(site: Site) -> None:
        visitor = await site.visitor()
        visitor.say(request("/0") + request("/1"))
        visitor.say_no_more()
        for _ in range(2):
            await site.answer()
            assert (await visitor.hears())[2] == b"hello"
        assert await visitor.rest() == b""

    run(redis_server, test)


def test_responses_that_need_more_than_the_fast_path(redis_server: Host) -> None:
    """S10 L9: without a length, to HEAD, with a status without a body, with a wrong length."""

    async def test(site: Site) -> None:
        visitor = await site.visitor()
        visitor.say(request())
        await site.answer(200, [], b"hello")
        assert (await visitor.hears())[2] == b"hello"
        visitor.say(request(method="HEAD"))
        await site.answer()
        assert (await visitor.hears(body=False))[1]["content-length"] == "5"
        visitor.say(request())
        await site.answer(204, [], b"")
        assert (await visitor.hears(body=False))[0] == 204
        visitor.say(request())
        await site.answer(200, [(b"content-length", b"9")], b"short")
        assert (await visitor.rest()).endswith(b"\r\n\r\nshort")

    run(redis_server, test)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((99, [], b""), "status is 99"),
        (("200", [], b""), "status is '200'"),
        ((None, [], b""), "status is None"),
        ((200, [3], b""), "3"),
        ((200, [(b"a b", b"")], b""), "a b"),
        ((200, [(b"a", b"b\r\nc: d")], b""), "c: d"),
        ((200, [(b"a", "b")], b""), "'b'"),
        ((200, [{}], b""), "{}"),
        ((200, [(b"content-length", b"1"), (b"content-length", b"2")], b""), "Content-Length"),
    ],
)
def test_workers_that_lie(
    redis_server: Host, caplog: pytest.LogCaptureFixture, answer: Any, said: str
) -> None:
    """L13: what is no response is a 502, told in the log, and the connection goes on."""

    async def test(site: Site) -> None:
        visitor = await site.visitor()
        visitor.say(request("/lie"))
        await site.answer(*answer)
        assert (await visitor.hears())[0] == 502
        assert "GET /lie: " in caplog.text
        assert f"{site.worker.bus.name} has sent a malformed response: " in caplog.text
        assert said in caplog.text
        visitor.say(request("/lie"))
        await site.answer()
        assert (await visitor.hears())[0] == 200

    run(redis_server, test)


@pytest.mark.parametrize(
    ("events", "said", "ends"),
    [
        ([start(99), {"type": "http.response.body"}], "status is 99", b"Bad Gateway\n"),
        ([{"type": "http.response.body"}], "before the response starts", b"Bad Gateway\n"),
        ([{"type": "websocket.accept"}], "websocket.accept", b"Bad Gateway\n"),
        (
            [start(), {"type": "http.response.body", "body": b"a", "more_body": True}, start()],
            "was sent",
            b"1\r\na\r\n",
        ),
    ],
)
def test_workers_that_lie_in_pieces(
    redis_server: Host, caplog: pytest.LogCaptureFixture, events: Any, said: str, ends: bytes
) -> None:
    """L13: 502, or the response is cut, in one line of the log; and the worker is told."""

    async def test(site: Site) -> None:
        visitor = await site.visitor()
        visitor.say(request("/lie", "Connection: close"))
        _, session = await site.worker.take()
        session.write(protocol.EVENTS, events)
        assert (await visitor.rest()).endswith(ends)
        await until(lambda: session.over)

    run(redis_server, test)
    (line,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert line.getMessage().startswith("GET /lie: its worker has sent a malformed response: ")
    assert said in line.getMessage()
    assert line.exc_info is None


def test_an_answer_of_another(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L13: a packet that is none, and a response for nobody, are dropped; a gap is a 502."""

    async def test(site: Site) -> None:
        visitor = await site.visitor()
        visitor.say(request())
        found, session = await site.worker.read_and_claim()
        bus, name = site.worker.bus, site.gateway.bus.name
        for number, payload in ((found.session + 1, OK), (found.session, [200, []])):
            bus.post(name, Frame(name, number, 0, protocol.ANSWER, payload))
            await until(lambda: not bus.outbox._due)
        session.write(protocol.ANSWER, [*OK[:2], b"right"])
        assert (await visitor.hears())[2] == b"right"
        assert "a response is (200, ())" in caplog.text
        visitor.say(request())
        found, session = await site.worker.read_and_claim()
        bus.post(name, Frame(name, found.session, 1, protocol.ANSWER, OK))
        session.leave()
        assert (await visitor.hears())[0] == 502
        assert "frame 1 came, and 0 was due" in caplog.text

    run(redis_server, test)


def test_a_response_in_pieces(redis_server: Host) -> None:
    """L9: a worker that takes its time has a session; the app gets the body, and then the end."""

    async def test(site: Site) -> None:
        visitor = await site.visitor()
        for _ in range(2):
            visitor.say(request("/", "Content-Length: 4", method="POST") + b"body")
            found, session = await site.worker.take()
            assert found.events == [piece(b"body", more=False)]
            await session.send(start(200, (b"content-length", b"10")))
            part = {"type": "http.response.body", "body": b"first", "more_body": True}
            await session.send(part)
            await session.send({**part, "more_body": False})
            assert (await visitor.hears())[2] == b"firstfirst"
        visitor.say(request())
        _, session = await site.worker.take()
        session.write(protocol.END, "it raised")
        assert (await visitor.hears())[0] == 500
        visitor.say(request())
        _, session = await site.worker.take()
        await until(lambda: site.server.state.tasks)
        visitor.leave()
        await until(lambda: session.over)
        assert session.over is not None
        assert session.over.how == protocol.CANCEL
        await until(lambda: not site.server.state.tasks)

    run(redis_server, test)


@pytest.mark.parametrize(
    "data",
    [
        request("/", "Content-Length: 9", method="POST") + b"part",
        request("/", "Content-Length: 9", "Expect: 100-continue", method="POST"),
        request("/", "Transfer-Encoding: chunked", method="POST") + b"4\r\npart\r\n",
    ],
)
def test_a_body_that_is_not_here(redis_server: Host, data: bytes) -> None:
    """L9: it follows as it comes."""

    async def test(site: Site) -> None:
        visitor = await site.visitor()
        visitor.say(data)
        _, session = await site.worker.take()
        if b"chunked" in data:
            visitor.say(b"5\r\n rest\r\n0\r\n\r\n")
        elif b"Expect" not in data:
            visitor.say(b" rest")
        body, more = b"", True
        reading = asyncio.ensure_future(session.read())
        if b"Expect" in data:
            async with asyncio.timeout(20):
                assert (
                    await visitor._reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
                )
            visitor.say(b"part rest")
        while more:
            event = await asyncio.wait_for(reading, 20)
            body, more = body + event["body"], event["more_body"]
            reading = asyncio.ensure_future(session.read())
        reading.cancel()
        assert body == b"part rest"
        await site.worker.answer(session)
        assert b"hello" in await visitor._reader.readuntil(b"hello")

    run(redis_server, test)


def test_a_consumer(redis_server: Host) -> None:
    """L9: a request that its worker hands back is one of a consumer, as under other hosts."""

    async def test(site: Site) -> None:
        visitor = await site.visitor()
        visitor.say(request())
        found, session = await site.worker.take_consumers()
        channel = found.scope["content"]["reply_channel"]
        await site.worker.layer.send(channel, {"status": 200, "content": b"hello"})
        session.write(protocol.END, None)
        assert (await visitor.hears())[2] == b"hello"

    run(redis_server, test)


# ------------------------------------------------------------- nobody answers


def test_nobody_takes_it(redis_server: Host) -> None:
    """L10: 503 when its time is up, and at once if as many wait as may."""

    async def test(site: Site) -> None:
        first, second = await site.visitor(), await site.visitor()
        first.say(request())
        await until(lambda: all(each.entry for each in site.gateway.requests._waiting.values()))
        second.say(request())
        for visitor in (second, first):
            status, fields, _ = await visitor.hears()
            assert (status, fields["retry-after"]) == (503, "1")
        link, requests = site.worker.bus.link, site.worker.bus.keys.requests
        assert await link.call("XLEN", requests) == 0
        first.say(request())
        await site.answer()
        assert (await first.hears())[0] == 200

    run(redis_server, test, queue_limit=1, timeout_queue=0.5)


def test_its_worker_dies(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L10: 502, if it has read the request and not said so."""

    async def test(site: Site) -> None:
        visitor = await site.visitor()
        visitor.say(request())
        await site.worker.read()
        await site.worker.die()
        assert (await visitor.hears())[0] == 502
        assert f"{site.worker.bus.name}, which was to run it, is gone" in caplog.text

    run(redis_server, test)


def test_redis_is_lost(redis_server: Host) -> None:
    """L10: 503 for what waits, and for what comes; then all goes on."""

    async def test(site: Site) -> None:
        visitor, late = await site.visitor(), await site.visitor()
        visitor.say(request())
        await until(lambda: site.gateway.bus.sessions)
        back = asyncio.Event()
        site.gateway.bus.on_back.append(back.set)
        site.gateway.bus.link.lose("is gone, this test says")
        late.say(request())
        for each in (visitor, late):
            status, fields, _ = await each.hears()
            assert (status, fields["retry-after"]) == (503, "1")
        await asyncio.wait_for(back.wait(), 20)
        link, requests = site.worker.bus.link, site.worker.bus.keys.requests
        while await link.call("XLEN", requests):
            await asyncio.sleep(0.01)  # the pace of asking, nothing depends on it
        visitor.say(request())
        await site.answer()
        assert (await visitor.hears())[0] == 200

    run(redis_server, test)


@pytest.mark.parametrize("how", ["its app", "its worker", "redis"])
def test_a_response_that_is_cut(
    redis_server: Host, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """L10: a response that has begun, and cannot be ended, is cut; one line of the log says why."""

    async def test(site: Site) -> None:
        visitor = await site.visitor()
        visitor.say(request())
        _, session = await site.worker.take()
        await session.send(start(200, (b"content-length", b"10")))
        await session.send({"type": "http.response.body", "body": b"first", "more_body": True})
        assert (await visitor.hears(body=False))[0] == 200
        if how == "its app":
            session.write(protocol.END, "it raised")
        elif how == "its worker":
            session.write(protocol.CANCEL, None)
        else:
            site.gateway.bus.link.lose("is gone, this test says")
        assert await visitor.rest() == b"first"
        await until(lambda: site.gateway.bus.up)

    run(redis_server, test)
    lines = [each for each in caplog.records if each.getMessage().startswith("GET /")]
    assert [each.exc_info for each in lines] == [None]


def test_redis_refuses_what_is_asked(redis_server: Host, caplog: pytest.LogCaptureFixture) -> None:
    """L10: 503 for all that a Redis without memory refuses; who has left is not told."""

    async def test(site: Site) -> None:
        link, visitors = site.worker.bus.link, [await site.visitor() for _ in range(6)]
        await link.call("CONFIG", "SET", "maxmemory", "1")
        try:
            for each in visitors:
                each.say(request())
            await until(lambda: site.gateway.bus.sessions or not site.gateway.bus.up)
            visitors[0].leave()
            for each in visitors[1:]:
                assert (await each.hears())[0] == 503
        finally:
            await link.call("CONFIG", "SET", "maxmemory", "0")
        await until(lambda: site.gateway.bus.up)

    run(redis_server, test)
    assert "Traceback" not in caplog.text
    assert "never retrieved" not in caplog.text


def test_its_client_leaves(redis_server: Host) -> None:
    """L10: it is withdrawn, and has no place any more; so it is after a worker has it."""

    async def test(site: Site) -> None:
        link, requests = site.worker.bus.link, site.worker.bus.keys.requests
        for claimed in (False, True):
            visitor = await site.visitor()
            visitor.say(request())
            if claimed:
                _, session = await site.worker.read_and_claim()
            await until(lambda: site.gateway.bus.sessions and site.server.state.active)
            visitor.leave()
            await until(lambda: not site.server.state.active)
            assert site.gateway.bus.sessions == 0
            while await link.call("XLEN", requests):
                await asyncio.sleep(0.01)  # the pace of asking, nothing depends on it
            if claimed:
                session.write(protocol.ANSWER, OK)
        visitor = await site.visitor()
        visitor.say(request())
        await site.answer(201, [], b"")
        assert (await visitor.hears())[0] == 201

    run(redis_server, test, about={"limit_requests": 1})


def test_a_gateway_that_is_not_open(redis_server: Host) -> None:
    """L9: the first request opens it, if there is no lifespan."""

    async def test(site: Site) -> None:
        await site.gateway.close()
        visitor = await site.visitor()
        visitor.say(request())
        await site.answer()
        assert (await visitor.hears())[0] == 200

    run(redis_server, test)
