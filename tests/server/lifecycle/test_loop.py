"""The server's loop: what an app sees of it before it runs, and how it ends (S65, P2)."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from bridge.errors import ConfigError
from bridge.server import Config, Server, serve
from bridge.server.lifecycle.loop import complete, own_loop
from bridge.server.lifecycle.orders import Orders
from tests.conftest import StartHost
from tests.support.hosts import bridge
from tests.support.raw import Client

#: Wants to be imported while no loop runs: one for `asyncio.run`, one that makes a task already.
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
    """S65: nor if the server is started on a loop: ``await Server(config).serve()``."""
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
    """S61: a program that runs a loop already is told what to write there."""

    async def main() -> None:
        for run in (lambda: serve("no_such:app"), Server(Config(app="no_such:app")).run):
            with pytest.raises(ConfigError, match=r"await Server\(Config\(app=app\)\).serve\(\)"):
                run()

    asyncio.run(main())


# ------------------------------------------------------------- its end


def orders(seconds: float) -> Orders:
    """Orders of a server that has stopped, with so much time left."""
    made = Orders(Config())
    made.stop_within(seconds)
    return made


def test_a_loop_ends_with_its_tasks() -> None:
    """P2: what an app has left on the loop is cancelled and cleans up, and the loop is closed."""
    seen: list[str] = []

    async def left_behind() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            seen.append("cleaned up")

    async def main() -> asyncio.Task[None]:
        task = asyncio.ensure_future(left_behind())
        await asyncio.sleep(0)
        return task

    told = orders(10)
    with own_loop(told) as loop:
        told.attach_loop(loop)
        task = complete(loop, main())
    assert seen == ["cleaned up"]
    assert task.cancelled()
    assert loop.is_closed()
    told.soon(told.stop.set)  # there is no loop any more that would refuse this


# asyncio's own thread, which waits for that one, finds the loop closed at last.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("cut", [False, True], ids=["no time", "cut"])
def test_a_thread_that_hangs(cut: bool, caplog: pytest.LogCaptureFixture) -> None:
    """P2: it is left behind when time is over, or at an order to cut."""
    before, go_on = threading.enumerate(), threading.Event()
    told = orders(30 if cut else 0)

    async def main() -> None:
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def hangs() -> None:
            loop.call_soon_threadsafe(begun.set)
            go_on.wait(30)

        loop.run_in_executor(None, hangs)
        await begun.wait()
        if cut:
            loop.call_later(0.05, told.cut.set)

    try:
        with own_loop(told) as loop:
            complete(loop, main())
        assert "left threads behind that the app has started and that do not end" in caplog.text
    finally:
        go_on.set()
        for thread in threading.enumerate():
            if thread not in before:
                thread.join(20)


def test_a_task_that_exits() -> None:
    """S14: `SystemExit` of an app's task ends that task only; that of the server ends the run."""

    async def exits() -> None:
        raise SystemExit(3)

    async def main() -> str:
        task = asyncio.ensure_future(exits())
        await asyncio.wait([task])
        with pytest.raises(SystemExit):
            task.result()
        return "served"

    with own_loop(orders(1)) as loop:
        assert complete(loop, main()) == "served"
        with pytest.raises(SystemExit):
            complete(loop, exits())
