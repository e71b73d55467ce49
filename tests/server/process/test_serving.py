"""`bridge.serve` and `Server` with several processes; each program is one of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bridge.errors import ConfigError
from bridge.server import Config, Server
from bridge.server.process.serving import supervise
from tests.support import hosts
from tests.support.waiting import eventually


class Program:
    """A Python program that runs, and what it prints."""

    def __init__(self, folder: Path, source: str) -> None:
        self.port = hosts.free_port()
        self._log = folder / "log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", source.replace("PORT", str(self.port))],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": f"{folder}:{hosts.ROOT}"},
                stderr=log,
                stdout=log,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def get(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self.port}/").text

    def wait_for(self, line: str) -> None:
        eventually(lambda: line in self.log or self.process.poll() is not None, 60)
        assert line in self.log

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        return self.process.wait(60)


Start = Callable[[str], Program]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Program] = []

    def start(source: str) -> Program:
        started.append(Program(tmp_path, source))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


OBJECT = """
import os
import bridge

def app(environ, start_response):
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]

bridge.serve(app, workers=2, port=PORT)
print("served")
"""


def test_an_app_that_is_an_object_is_served_by_several(start: Start) -> None:
    """P1, P3: a fork needs no name of it; but without one it cannot be loaded again."""
    program = start(OBJECT)
    program.wait_for("running on")
    assert int(program.get()) != program.process.pid
    program.signal(signal.SIGHUP)
    program.wait_for("no reload, the workers stay as they are: the app was given as an object")
    assert program.get()
    program.signal(signal.SIGINT)
    assert program.end() == 0
    assert program.log.endswith("served\n")


def test_an_app_with_a_name_is_loaded_again(start: Start, tmp_path: Path) -> None:
    """P3: the settings stay, the code is that of now."""
    source = "def app(environ, start_response):\n start_response('200 OK', [])\n return [b'%s']\n"
    (tmp_path / "versions.py").write_text(source % "one")
    program = start("import bridge; bridge.serve('versions:app', workers=2, port=PORT)")
    program.wait_for("running on")
    assert program.get() == "one"
    (tmp_path / "versions.py").write_text(source % "second")
    program.signal(signal.SIGHUP)
    program.wait_for("reloaded: 2 new workers")
    eventually(lambda: program.get() == "second")
    program.signal(signal.SIGTERM)
    assert program.end() == 0


@pytest.mark.parametrize(
    ("app", "error", "said"),
    [
        ("'nowhere:app'", "AppLoadError", "there is no module 'nowhere'"),
        ("'os:getcwd', lifespan='on', interface='asgi3'", "AppLoadError", "TypeError"),
        ("'builtins:len', interface='asgi3', ssl_certfile='no.pem'", "ConfigError", "no.pem"),
    ],
)
def test_what_workers_fail_of_is_raised(start: Start, app: str, error: str, said: str) -> None:
    """P1: in the program that has called it, when no worker is left."""
    program = start(
        f"import bridge\ntry: bridge.serve({app}, workers=2, port=PORT)\n"
        "except bridge.BridgeError as error: print('raised', type(error).__name__, error)"
    )
    assert program.end() == 0
    assert f"raised {error}" in program.log
    assert said in program.log


def test_one_process_is_that_which_has_called(start: Start) -> None:
    """P12: without a supervisor there is no fork."""
    program = start(OBJECT.replace("workers=2", "workers=1"))
    program.wait_for("running on")
    assert int(program.get()) == program.process.pid
    program.signal(signal.SIGTTIN)
    program.wait_for("SIGTTIN: this process serves alone; for more workers, start it with -w 2")
    program.signal(signal.SIGTERM)
    assert program.end() == 0


def test_one_process_tells_where_it_stands(start: Start) -> None:
    """P5: figures, threads and tasks, as each of several workers."""
    program = start(OBJECT.replace("workers=2", "workers=1"))
    program.wait_for("running on")
    assert program.get()

    def counted() -> bool:
        program.signal(signal.SIGUSR2)  # a thread counts a request when the client has its answer
        return "1 request served" in program.log

    eventually(counted, pause=0.5)
    program.wait_for(f"process {program.process.pid} stands here:\nthread ")
    program.wait_for("thread MainThread")
    program.signal(signal.SIGTERM)
    assert program.end() == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"workers": 4}, "workers is 4"),
        ({"max_requests": 9}, "max_requests is 9"),
        ({"reload": True}, "reload is True"),
        ({"control_socket": "/run/c"}, "control_socket is /run/c"),
    ],
)
def test_a_running_loop_cannot_be_forked(settings: dict[str, Any], said: str) -> None:
    """P1: that is told, with what to do."""
    config = Config(app="app:app", **settings)
    with pytest.raises(ConfigError, match=f"in a running loop: {said}; call Server"):
        asyncio.run(Server(config).serve())

    async def run() -> None:
        supervise(config)

    with pytest.raises(ConfigError, match="an event loop runs here already"):
        asyncio.run(run())


def test_serving_on_a_running_loop_in_one_process() -> None:
    """P12: as before."""

    async def main() -> None:
        server = Server(Config(app=lambda environ, start_response: [], port=0))
        serving = asyncio.ensure_future(server.serve())
        while not server.addresses:
            await asyncio.sleep(0.01)
        server.request_stop()
        await serving

    asyncio.run(main())


def test_a_module_that_serves_itself_when_it_is_imported(tmp_path: Path) -> None:
    """P1: it is told what to write, instead of a server within a worker."""
    (tmp_path / "shop.py").write_text(
        "import bridge\n"
        "def app(environ, start_response): ...\n"
        "bridge.serve('shop:app', port=0, workers=2)\n"
    )
    ended = subprocess.run(
        [sys.executable, "shop.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{hosts.ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert 'put that below: if __name__ == "__main__":' in ended.stderr


CUTOVER = """
import bridge
from tests.support.apps import hello

app = bridge.Cutover(hello.wsgi, lambda environ, start: [], routes=FILE)
bridge.serve(app, port=PORT)
"""


def test_a_process_that_takes_no_orders_says_how_its_routes_are_switched(
    start: Start, tmp_path: Path
) -> None:
    """M3: a cutover that the code has made, with its routes there, or in a file."""
    (tmp_path / "routes.toml").write_text("")
    for routes, says in (
        ("[]", "the routes are in the code of the app; `asgi-bridge cutover set` reaches a server"),
        ("'routes.toml'", "cutover set ROUTE MODE --file "),
    ):
        program = start(CUTOVER.replace("FILE", routes))
        program.wait_for("running on")
        program.wait_for(says)
        program.signal(signal.SIGTERM)
        assert program.end() == 0
