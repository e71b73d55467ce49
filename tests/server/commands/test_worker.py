"""`asgi-bridge worker` as a process: what it says, its signals, its exit codes (L9, L13)."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bridge.channels import MemoryLayer, RedisLayer, get_channel_layer, set_channel_layer
from bridge.errors import ConfigError
from bridge.server.commands.worker import WorkerProcess
from bridge.server.config.config import Config
from tests.support.apart import gateway, worker, worker_command
from tests.support.hosts import ROOT, Host, start
from tests.support.redis import needs_redis, redis, redis_url
from tests.support.waiting import eventually

pytestmark = needs_redis

HELLO = "tests.support.apps.hello:asgi"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A Redis for these tests."""
    with start(redis()) as store:
        yield redis_url(store)


def ended(url: str, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A worker that ends by itself."""
    command = worker_command(url, *options)
    return subprocess.run(
        command.argv,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


# ------------------------------------------------------------- start


def test_what_it_says_at_the_start(url: str) -> None:
    """L9 S51: which app, of which kind, from which Redis, how many at a time."""
    with worker(url, "tests.support.apps.hello:wsgi", "--threads", "3") as host:
        said = host.log()
        assert "serving tests.support.apps.hello:wsgi (WSGI, 3 threads)" in said
        assert re.search(r"taking requests from Redis at 127.0.0.1:\d+, database 0, ", said)
        assert "up to 100 requests at a time" in said
    with worker(url, HELLO, "--limit-concurrency", "7") as host:
        assert "up to 7 requests at a time" in host.log()


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ((), 2, "no app is named; say module:attr"),
        ((HELLO, "--port", "1"), 2, "No such option"),
        ((HELLO, "--threads", "many"), 2, "--threads is 'many'"),
        (("nowhere:app",), 3, "there is no module 'nowhere'"),
        (("tests.support.apps.apart:no_app",), 3, "has no attribute 'no_app'"),
    ],
)
def test_what_does_not_start(url: str, options: tuple[str, ...], code: int, said: str) -> None:
    """L13: the exit codes are those of `serve`, and a line says what to do."""
    done = ended(url, *options)
    assert done.returncode == code
    assert said in done.stderr


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("redis://127.0.0.1:1", 3, "Redis at 127.0.0.1:1, database 0 does not answer"),
        ("http://127.0.0.1", 2, "the address of Redis, 'http://127.0.0.1', is wrong"),
    ],
)
def test_a_redis_that_is_none(url: str, code: int, said: str) -> None:
    """L13: an address that cannot be one is wrong usage; one that does not answer is said."""
    done = ended(url, HELLO)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_no_channels() -> None:
    """L13: a worker without a Redis has nothing to do."""
    with pytest.raises(ConfigError, match="say where the requests come from: --channels redis://"):
        WorkerProcess(Config(app=HELLO))


def test_an_app_that_fails_at_its_startup(url: str, tmp_path: Path) -> None:
    """L13: 3, and the app's own words."""
    (tmp_path / "failing.py").write_text(
        "async def app(scope, receive, send):\n"
        "    await receive()\n"
        "    await send({'type': 'lifespan.startup.failed', 'message': 'no database'})\n"
    )
    done = ended(url, "failing:app", "--app-dir", str(tmp_path))
    assert done.returncode == 3
    assert "no database" in done.stderr


# ------------------------------------------------------------- signals

SLOW = """
import asyncio, sys
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive(); await send({"type": "lifespan.startup.complete"})
        await receive(); print("shut down", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    print("begun", flush=True)
    try:
        await asyncio.sleep(float(scope["path"][1:]))
    except asyncio.CancelledError:
        print("cancelled", flush=True)
        raise
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"done"})
"""


@pytest.fixture
def slow(tmp_path: Path) -> tuple[str, ...]:
    """The options for an app whose requests take as many seconds as their paths say."""
    (tmp_path / "slow.py").write_text(SLOW)
    return ("slow:app", "--app-dir", str(tmp_path))


async def _get(front: Host, path: str) -> int:
    async with httpx.AsyncClient(timeout=60) as client:
        return (await client.get(front.url(path))).status_code


def _stop_in_the_middle(front: Host, back: Host, path: str, signals: list[int]) -> int:
    """Send signals while a request runs, each when the one before has been seen; its status."""

    async def main() -> int:
        asked = asyncio.create_task(_get(front, path))
        await asyncio.to_thread(eventually, lambda: "begun" in back.log())
        for number in signals:
            back.process.send_signal(number)
            await asyncio.to_thread(
                eventually, lambda: "stopping" in back.log() or back.process.poll() is not None
            )
        return await asked

    return asyncio.run(main())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_under_way_is_finished(url: str, slow: tuple[str, ...], number: int) -> None:
    """L9 P2: a signal, and the request that runs is answered; then the lifespan ends."""
    with start(gateway(url)) as front, worker(url, *slow) as back:
        assert _stop_in_the_middle(front, back, "/0.5", [number]) == 200
        assert back.process.wait(20) == 0
        said = back.log()
        assert said.index("stopping: 1 request still under way") < said.index("shut down")
        assert said.rstrip().endswith("stopped")


def test_a_second_sigint_cuts(url: str, slow: tuple[str, ...]) -> None:
    """L9 P2: at once; the gateway answers 502."""
    with start(gateway(url)) as front, worker(url, *slow) as back:
        both = [signal.SIGINT, signal.SIGINT]
        assert _stop_in_the_middle(front, back, "/50", both) == 502
        assert back.process.wait(20) == 0
        assert "cancelled" in back.log()


def test_what_takes_too_long_is_cut(url: str, slow: tuple[str, ...]) -> None:
    """L9 P2: after --timeout-graceful-shutdown."""
    options = (*slow, "--timeout-graceful-shutdown", "0.2")
    with start(gateway(url)) as front, worker(url, *options) as back:
        assert _stop_in_the_middle(front, back, "/50", [signal.SIGTERM]) == 502
        assert back.process.wait(20) == 0
        assert "cut 1 request still under way" in back.log()


def test_its_figures(url: str) -> None:
    """SIGUSR2: how much runs, how much it has taken, and the pools of WSGI apps."""
    options = ("tests.support.apps.hello:wsgi", "--channels-prefix", "figures")
    with (
        start(gateway(url, "--channels-prefix", "figures")) as front,
        worker(url, *options) as back,
    ):
        assert httpx.get(front.url("/")).status_code == 200
        back.process.send_signal(signal.SIGUSR2)
        eventually(lambda: "0 requests under way, 1 taken" in back.log())
        eventually(lambda: "the app: " in back.log())


def test_a_worker_in_a_program(url: str) -> None:
    """L9: told to stop in Python; a stop that is cancelled cuts, and leaves nothing behind."""

    async def main() -> None:
        process = WorkerProcess(Config(app=HELLO, channels=url, channels_prefix="program"))
        process.log_stats()  # nothing has started: nothing is said
        serving = asyncio.create_task(process.serve())
        async with asyncio.timeout(30):
            while not process.orders.serving:
                await asyncio.sleep(0.01)  # the pace of asking
            assert isinstance(get_channel_layer(), RedisLayer)
            process.request_stop()
            await serving
        assert not process.worker.bus.up
        assert not isinstance(get_channel_layer(), RedisLayer)

    asyncio.run(main())


def test_a_stop_that_is_cancelled(url: str) -> None:
    """L9 P2: it cuts, and is over when nothing is left."""

    async def main() -> None:
        process = WorkerProcess(Config(app=HELLO, channels=url, channels_prefix="cancelled"))
        await process.start()
        own = MemoryLayer()
        set_channel_layer(own)  # the app's own choice stays
        stopping = asyncio.create_task(process.stop(5))
        await asyncio.sleep(0)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        assert not process.worker.bus.up
        assert process.orders.cut.is_set()
        assert get_channel_layer() is own
        set_channel_layer(None)

    asyncio.run(main())
