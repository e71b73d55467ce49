"""The server's loop: what an app sees of it before it runs (S65)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bridge.errors import ConfigError
from bridge.server import Config, Server, serve
from tests.conftest import StartHost
from tests.support.hosts import bridge
from tests.support.raw import Client

#: Wants to be imported where no loop runs: one for `asyncio.run`, one that makes a task already.
WANTS_NO_LOOP = """
import asyncio
async def found(): return "found"
ANSWER = asyncio.run(found())
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError("none")
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": ANSWER.encode()})
def make():
    asyncio.run(found())
    return app
"""


@pytest.mark.parametrize(
    "options",
    [
        ["no_loop:app"],
        ["no_loop:make", "--factory"],
        ["--mount", "/=no_loop:app", "--mount", "/x=wsgi:tests.support.apps.hello:wsgi"],
    ],
    ids=["app", "factory", "mount"],
)
def test_no_loop_runs_while_an_app_is_imported(
    tmp_path: Path, start_host: StartHost, options: list[str]
) -> None:
    """S65: an app may use ``asyncio.run`` when it is imported, as under any other program."""
    (tmp_path / "no_loop.py").write_text(WANTS_NO_LOOP)
    host = start_host(bridge(*options, "--app-dir", str(tmp_path), "--lifespan=off"))
    with Client(host.connect()) as client:
        assert client.get("/").body == b"found"


def test_no_loop_is_seen_where_one_runs(tmp_path: Path) -> None:
    """S65: nor where the server is started on a loop: ``await Server(config).serve()``."""
    (tmp_path / "no_loop_here.py").write_text(WANTS_NO_LOOP)
    server = Server(Config(app="no_loop_here:make", factory=True, app_dir=str(tmp_path), port=0))

    async def main() -> None:
        serving = asyncio.ensure_future(server.serve())
        while not server.addresses:
            await asyncio.sleep(0.01)
            assert not serving.done()
        assert asyncio.get_running_loop() is serving.get_loop()
        server.request_stop()
        await serving

    asyncio.run(main())


def test_the_loop_of_an_import_is_the_one_that_serves(
    tmp_path: Path, start_host: StartHost
) -> None:
    """S65: what an app gives to ``asyncio.get_event_loop()`` at its import runs later."""
    (tmp_path / "early_task.py").write_text(
        "import asyncio\n"
        "done = asyncio.Event()\n"
        "async def work(): done.set()\n"
        "task = asyncio.get_event_loop().create_task(work())\n"
        "async def app(scope, receive, send):\n"
        "    await done.wait()\n"
        "    await send({'type': 'http.response.start', 'status': 200})\n"
        "    await send({'type': 'http.response.body', 'body': b'ran'})\n"
    )
    host = start_host(bridge("early_task:app", "--app-dir", str(tmp_path), "--lifespan=off"))
    with Client(host.connect()) as client:
        assert client.get("/").body == b"ran"


def test_a_loop_that_runs_already() -> None:
    """S61: who has a loop already is told what to write there."""

    async def main() -> None:
        for run in (lambda: serve("no_such:app"), Server(Config(app="no_such:app")).run):
            with pytest.raises(ConfigError, match=r"await Server\(Config\(app=app\)\).serve\(\)"):
                run()

    asyncio.run(main())
