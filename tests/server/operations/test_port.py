"""The port of its own for monitors (O1, O2), and what may be wrong with it (O8)."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import ConfigError
from bridge.server import Config, Server
from bridge.server.metrics.snapshot import Family, Snapshot
from bridge.server.operations import port as operations_port
from bridge.server.operations.health import Health
from bridge.server.operations.port import OperationsPort, open_operations, operations
from tests.support.raw import Response, parse_responses, request

FIGURES: Snapshot = {"x_total": Family(type="counter", help="All.", samples=[[{"a": 'é"'}, 3]])}


async def connect(port: OperationsPort) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    (address,) = port.addresses
    if isinstance(address, str):
        return await asyncio.open_unix_connection(address.replace("@", "\0", 1))
    return await asyncio.open_connection(*address)


async def ask(port: OperationsPort, path: str, method: str = "GET") -> Response:
    reader, writer = await connect(port)
    writer.write(request(path, "Connection: close", method=method))
    data = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    (response,) = parse_responses(data, [method])
    return response


def with_port(
    test: Callable[[OperationsPort], Coroutine[Any, Any, None]],
    bind: str = "127.0.0.1:0",
    health: Health | None = None,
) -> None:
    async def main() -> None:
        ready = health or Health(lambda: True)
        async with operations(Config(metrics_bind=bind), ready, lambda: FIGURES) as port:
            await test(port)
        assert port.addresses == []

    # The supervisor's loop is not uvloop's.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())


def test_three_paths(caplog: pytest.LogCaptureFixture) -> None:
    """O1 O2: metrics and health, 404 for the rest; it says where."""
    caplog.set_level(logging.INFO, "bridge")

    async def test(port: OperationsPort) -> None:
        metrics = await ask(port, "/metrics")
        assert (metrics.status, metrics.body.decode()) == (
            200,
            '# HELP x_total All.\n# TYPE x_total counter\nx_total{a="é\\""} 3\n',
        )
        kind = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
        assert kind in metrics.fields
        assert (await ask(port, "/metrics", "HEAD")).body == b""
        assert (await ask(port, "/live")).status == 200
        assert (await ask(port, "/ready")).status == 200
        assert (await ask(port, "/")).status == 404
        assert (await ask(port, "/metrics", "DELETE")).status == 405

    with_port(test)
    assert caplog.messages[0].startswith("metrics and health: http://127.0.0.1:")


@pytest.mark.parametrize("name", ["path", "abstract"])
def test_on_a_unix_socket(name: str, tmp_path: Path) -> None:
    """O2: its file is there as long as it answers."""
    path = tmp_path / "metrics.sock"
    bind = f"unix:{path}" if name == "path" else f"unix:@{tmp_path}"

    async def test(port: OperationsPort) -> None:
        assert (await ask(port, "/live")).status == 200

    with_port(test, bind)
    assert not path.exists()


def test_not_ready() -> None:
    """O1: as long as nothing is served, and before a stop."""
    started = False

    async def test(port: OperationsPort) -> None:
        nonlocal started
        assert (await ask(port, "/ready")).status == 503
        started = True
        assert (await ask(port, "/ready")).status == 200
        health.drain()
        assert (await ask(port, "/ready")).status == 503
        assert (await ask(port, "/live")).status == 200

    health = Health(lambda: started)
    with_port(test, health=health)


def test_bad_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """O8: one that sends nothing, half a head or garbage is cut; too many of them get 503."""
    monkeypatch.setattr(operations_port, "PATIENCE", 1)
    monkeypatch.setattr(operations_port, "MOST_CONNECTIONS", 3)

    async def test(port: OperationsPort) -> None:
        async def begin(sent: bytes) -> asyncio.StreamReader:
            reader, writer = await connect(port)
            writers.append(writer)
            writer.write(sent)
            return reader

        writers: list[asyncio.StreamWriter] = []

        async def answer_to(sent: bytes) -> bytes:
            reader = await begin(sent)
            data = await reader.read()
            writers.pop().close()
            return data

        idle = [await begin(sent) for sent in (b"", b"", b"GET /live HT")]
        late = await begin(request("/live", "Connection: close"))
        assert (await late.read()).startswith(b"HTTP/1.1 503 ")
        silent, silent_too, half = [await each.read() for each in idle]
        while writers:
            writers.pop().close()
        assert silent == silent_too == b""
        assert half.startswith(b"HTTP/1.1 408 ")
        for sent, status in [
            (b"\x16\x03\x01\x00 nonsense\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nx: " + b"y" * 20000, 431),
        ]:
            assert (await answer_to(sent)).startswith(b"HTTP/1.1 %d " % status)
        assert (await ask(port, "/live")).status == 200

    with_port(test)


def test_those_that_are_connected_at_the_end() -> None:
    """O1: are cut; nothing holds the end."""

    async def main() -> None:
        figures: Snapshot = {}
        async with operations(
            Config(metrics_bind="127.0.0.1:0"), Health(lambda: True), lambda: figures
        ) as port:
            reader, writer = await connect(port)
            writer.write(request("/live"))
            await reader.readuntil(b"live\n")
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()

    asyncio.run(main())


def test_none_is_wanted() -> None:
    """O1: without `metrics_bind` there is no port."""

    async def main() -> None:
        async with operations(Config(), Health(lambda: True), dict) as port:
            assert port.addresses == []

    asyncio.run(main())


def test_an_address_in_use(caplog: pytest.LogCaptureFixture) -> None:
    """O8: one line says what to do, and the server goes on without."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        with caplog.at_level(logging.WARNING, logger="bridge"):
            assert open_operations(Config(metrics_bind=bind)) == []
    (line,) = caplog.messages
    assert line.startswith(f"no metrics, and no /live and /ready, at {bind}: another process")


def test_an_address_that_cannot_be_had() -> None:
    """O8: the line begins with the setting."""
    with pytest.raises(ConfigError, match=r"^metrics_bind: cannot listen on unix:/no/where"):
        open_operations(Config(metrics_bind="unix:/no/where"))


def test_a_process_that_serves_alone() -> None:
    """O1 O2: its loop answers, from before the app's startup to its end."""
    may_start, may_end = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await may_start.wait()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await may_end.wait()
        await send({"type": "lifespan.shutdown.complete"})

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = free.getsockname()
        bind = f"{address[0]}:{address[1]}"
        server = Server(Config(app=app, port=0, metrics_bind=bind))
        serving = asyncio.ensure_future(server.serve())

        async def status(path: str) -> int:
            async with asyncio.timeout(20):
                while True:
                    try:
                        reader, writer = await asyncio.open_connection(*address)
                        break
                    except ConnectionRefusedError:
                        await asyncio.sleep(0.01)
            writer.write(request(path, "Connection: close"))
            (response,) = parse_responses(await reader.read())
            writer.close()
            return response.status

        assert (await status("/live"), await status("/ready")) == (200, 503)
        may_start.set()
        while await status("/ready") == 503:
            pass
        assert await status("/metrics") == 200
        server.request_stop()
        while await status("/ready") == 200:
            pass
        assert await status("/live") == 200
        may_end.set()
        await asyncio.wait_for(serving, 20)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)

    asyncio.run(main())
