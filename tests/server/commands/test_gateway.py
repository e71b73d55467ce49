"""`asgi-bridge gateway`, a process of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import httpx
import pytest

from bridge.gateway.session import LOST
from tests.conftest import StartHost
from tests.support import hosts
from tests.support.gateways import new_prefix, until, worker_of
from tests.support.hosts import ADDRESS, Command, Host
from tests.support.redis import needs_redis, redis_server, redis_url

__all__ = ["redis_server"]

pytestmark = needs_redis


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command with these arguments, until it ends."""
    command = [sys.executable, "-m", "bridge", "gateway", *arguments]
    return subprocess.run(command, cwd=hosts.ROOT, capture_output=True, text=True, timeout=60)


def gateway(url: str, prefix: str, *options: str) -> Command:
    """The command, on a port of its own."""
    place = (f"--host={ADDRESS}", "--port={port}")
    argv = ("-m", "bridge", "gateway", f"--channels={url}", f"--channels-prefix={prefix}")
    return hosts.python("bridge", *argv, *place, *options)


def test_it_serves_what_workers_answer(redis_server: Host, start_host: StartHost) -> None:
    """L9, P2: it has its sockets, and an end, as a server that runs an app."""
    prefix = new_prefix()
    host = start_host(gateway(redis_url(redis_server), prefix, "--timeout-queue=0.5"))

    async def main() -> None:
        async with (
            worker_of(redis_url(redis_server), prefix) as worker,
            httpx.AsyncClient() as http,
        ):
            asked = asyncio.ensure_future(http.get(host.url("/a?b=c")))
            request, session = await worker.take()
            assert (request.scope["path"], request.scope["query_string"]) == ("/a", b"b=c")
            await worker.answer(session)
            assert (await asked).text == "hello"
            assert (await http.get(host.url("/"))).status_code == 503

    asyncio.run(main())
    assert host.stop() == 0
    assert "uses Redis at" in host.log()
    assert "secret" not in host.log()


def test_it_is_killed(redis_server: Host, start_host: StartHost) -> None:
    """L10: what workers do for a gateway that is gone is ended."""
    prefix = new_prefix()
    host = start_host(gateway(redis_url(redis_server), prefix))

    async def main() -> None:
        async with (
            worker_of(redis_url(redis_server), prefix) as worker,
            httpx.AsyncClient() as http,
        ):
            asked = asyncio.ensure_future(http.get(host.url("/")))
            _, session = await worker.take()
            host.kill()
            await until(lambda: session.over)
            assert session.over is not None
            assert session.over.how == LOST
            with pytest.raises(httpx.TransportError):
                await asked

    asyncio.run(main())


def test_an_app_that_a_file_names_is_not_its(redis_server: Host, start_host: StartHost) -> None:
    """L9: gateways and workers can share one file of settings."""
    command = gateway(redis_url(redis_server), new_prefix(), "--timeout-queue=0.2")
    host = start_host(command.with_env(BRIDGE_MOUNT="/=wsgi:nothing:app", BRIDGE_LIFESPAN="off"))
    assert httpx.get(host.url("/")).status_code == 503


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "no channels are named; say where the workers are asked: --channels redis://"),
        (["--channels", "redis://h", "--timeout-queue", "0"], 2, "a number of seconds, at least 0"),
        (["--channels", "redis://h", "module:app"], 2, "a gateway runs no app (seen: module:app)"),
        (["--channels", "redis://h", "--threads", "3"], 2, "No such option"),
        (["--channels", "localhost:6379"], 3, "redis://host:port/number"),
        (["--channels", "redis://127.0.0.1:1"], 3, "does not answer"),
    ],
)
def test_mistakes(arguments: list[str], code: int, said: str) -> None:
    """L13: what is wrong is said in one line, with what to do; 3 if Redis does not answer."""
    ended = run(*arguments, "--port=0")
    assert ended.returncode == code
    assert said in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
