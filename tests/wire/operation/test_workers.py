"""Several workers as a user has them: `asgi-bridge serve --workers N`, its signals and its faults.

Each test runs the real command, with an app in a folder of its own whose files it changes.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.conftest import StartHost
from tests.support.hosts import ENV, ROOT, Host, bridge, free_port
from tests.support.load import Load, short_pauses
from tests.support.processes import children
from tests.support.programs import serve_to_the_end
from tests.support.waiting import eventually

WSGI = """
import os, time
VERSION = "one"

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow":
        time.sleep(0.2)
    if path == "/leak":
        kept.append(b"x" * 64 * 2**20)
    body = {"/pid": str(os.getpid())}.get(path, VERSION).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

kept = []
"""
ASGI = """
import asyncio, os, time
VERSION = "one"

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/block":
        deaf_and_blind()
    if scope["path"] == "/slow":
        await asyncio.sleep(0.2)
    body = {"/pid": str(os.getpid())}.get(scope["path"], VERSION).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

def deaf_and_blind():
    time.sleep(600)
"""
RUNS_A_PROGRAM = """
import asyncio, sys

async def app(scope, receive, send):
    program = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    body = str(await asyncio.wait_for(program.wait(), 60)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""
BOTH = pytest.mark.parametrize("source", [WSGI, ASGI], ids=["wsgi", "asgi"])


class Shop:
    """An app in a folder, served by several workers."""

    def __init__(self, folder: Path, start_host: StartHost) -> None:
        self.folder = folder
        self._start_host = start_host
        self._host: Host | None = None

    @property
    def host(self) -> Host:
        assert self._host is not None, "it has not been started"
        return self._host

    def write(self, source: str) -> None:
        """Put another version of the app there; its caches must not hide it."""
        shutil.rmtree(self.folder / "__pycache__", ignore_errors=True)
        (self.folder / "shop.py").write_text(source)

    def start(self, *options: str, workers: int = 2, source: str = WSGI) -> Host:
        self.write(source)
        command = bridge(
            "shop:app", "--app-dir", str(self.folder), "--workers", str(workers), *options
        )
        self._host = self._start_host(replace(command, cwd=self.folder))
        for number in range(1, workers + 1):
            self.wait_for(f"serves ({number} of {workers})")
        return self._host

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.host.process.pid, number)

    def wait_for(self, line: str, times: int = 1) -> None:
        eventually(lambda: self.host.log().count(line) >= times, 60)

    def wait_for_workers(self, number: int) -> set[int]:
        """Wait until there are so many workers, and nothing else is under way."""
        eventually(lambda: len(self.workers()) == number, 60)
        return self.workers()

    def workers(self) -> set[int]:
        return children(self.host.process.pid)

    def get(self, path: str = "/") -> str:
        response = httpx.get(self.host.url(path), timeout=60)
        assert response.status_code == 200
        return response.text


def lives(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:  # it is gone, perhaps just now
        return False


@pytest.fixture
def shop(tmp_path: Path, start_host: StartHost) -> Shop:
    return Shop(tmp_path, start_host)


def under_load(
    host: Host, change: Callable[[Load], object], paths: list[str], clients: int = 12
) -> Load:
    """Run `change` in a thread while clients send requests; what they saw."""

    async def run() -> Load:
        load = Load(host, paths, short_pauses)
        async with load.running(clients):
            await load.more(100)
            await asyncio.to_thread(change, load)
            await load.more(100)
        return load

    load = asyncio.run(run())
    assert load.failed == []
    return load


# ------------------------------------------------------------- P1: start, crash, end


@BOTH
def test_several_processes_serve(shop: Shop, source: str) -> None:
    """P1, P2: the process that was started serves nothing itself; SIGTERM ends all, with 0."""
    host = shop.start(workers=3, source=source)
    pids = shop.workers()
    assert int(shop.get("/pid")) in pids
    assert host.log().count("running on") == 1
    assert host.log().count("serving shop:app") == 1
    assert host.log().count("3 workers, each a process, watched by this one; ") == 1
    shop.signal(signal.SIGTERM)
    assert host.process.wait(30) == 0
    assert not any(map(lives, pids))


def test_an_app_hears_that_a_process_of_its_own_has_ended(shop: Shop) -> None:
    """P1: a worker is told of its children, as one process that serves alone is."""
    host = shop.start("--lifespan", "off", workers=2, source=RUNS_A_PROGRAM)
    assert httpx.get(host.url("/"), timeout=70).text == "0"


def test_a_worker_that_is_killed_is_replaced(shop: Shop) -> None:
    """P1: the others serve meanwhile."""
    shop.start()
    victim = min(shop.workers())
    os.kill(victim, signal.SIGKILL)
    shop.wait_for(f"worker {victim}: was killed by SIGKILL")
    eventually(lambda: len(shop.workers() - {victim}) == 2)
    assert shop.get() == "one"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nothing_of_that_name", "nothing_of_that_name"),
        ("app = 1/0", "ZeroDivisionError"),
        ("def app(:", "SyntaxError"),
        (ASGI.replace("startup.complete", "startup.failed"), "startup"),
    ],
    ids=["import", "error", "syntax", "lifespan"],
)
def test_an_app_that_cannot_start_ends_with_3(tmp_path: Path, source: str, said: str) -> None:
    """P1: its error is told once, however many workers there should be."""
    (tmp_path / "shop.py").write_text(source)
    ended = serve_to_the_end(tmp_path, "shop:app", "--workers=4")
    assert ended.returncode == 3
    assert said in ended.stderr
    assert len([line for line in ended.stderr.splitlines() if line.startswith("Error: ")]) == 1
    assert " ERROR: " not in ended.stderr  # no second line for one fault
    assert "supervisor.py" not in ended.stderr


def test_one_worker_is_the_process_that_was_started(start_host: StartHost) -> None:
    """P12: there is no other."""
    host = start_host(bridge("tests.support.apps.hello:wsgi", "--workers", "1"))
    assert children(host.process.pid) == set()


# ------------------------------------------------------------- P3: reload


@BOTH
def test_a_reload_under_load_loses_nothing(shop: Shop, source: str) -> None:
    """P3: keep-alive clients see old and new versions, and no failure."""
    host = shop.start(source=source)

    def reload(load: Load) -> None:
        for number in (1, 2, 3):
            shop.write(source.replace('"one"', f'"version {number}"'))
            shop.signal(signal.SIGHUP)
            shop.wait_for("reloaded: 2 new workers", number)

    load = under_load(host, reload, ["/", "/slow"])
    assert {"one", "version 3"} <= load.bodies.keys()
    shop.wait_for_workers(2)


def test_a_version_that_cannot_start_leaves_the_old_one(shop: Shop) -> None:
    """P3: it says so, and the next one that can is taken."""
    host = shop.start()
    before = shop.workers()
    for number, broken in enumerate(("app = 1/0", "def app(:"), 1):
        shop.write(broken)
        under_load(host, lambda _: shop.signal(signal.SIGHUP), ["/"], clients=4)
        shop.wait_for("the reload was given up, and the old workers serve on", number)
    assert "ZeroDivisionError" in host.log()
    eventually(lambda: shop.workers() == before)
    shop.write(WSGI.replace('"one"', '"mended"'))
    shop.signal(signal.SIGHUP)
    shop.wait_for("reloaded: 2 new workers")
    eventually(lambda: shop.workers().isdisjoint(before))
    assert shop.get() == "mended"


def test_settings_are_read_again(shop: Shop) -> None:
    """P3: what the supervisor has itself stays; a wrong file changes nothing."""
    file = shop.folder / "bridge.toml"
    file.write_text("server-header = true\n")
    host = shop.start("-c", str(file))
    assert "server" in httpx.get(host.url("/")).headers
    file.write_text("server-header = nonsense\n")
    shop.signal(signal.SIGHUP)
    shop.wait_for("no reload, the workers stay as they are")
    file.write_text("server-header = false\nbacklog = 5\n")
    shop.signal(signal.SIGHUP)
    shop.wait_for("reloaded: 2 new workers")
    assert "backlog changed, and cannot change at a reload: restart the server" in host.log()
    eventually(lambda: "server" not in httpx.get(host.url("/")).headers)


def test_a_reload_while_the_server_starts(shop: Shop) -> None:
    """P3: with an import that takes a while: whichever is there first serves."""
    gate = shop.folder / "gate"
    held = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)\n"
    shop.write(held + WSGI)
    port = free_port()
    log = shop.folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "bridge", "serve", "shop:app", "-w2", f"--port={port}"],
            cwd=shop.folder,
            env={**os.environ, **ENV, "PYTHONPATH": str(ROOT)},
            stderr=output,
            stdout=output,
        )
    try:
        eventually(lambda: len(children(process.pid)) == 1)
        process.send_signal(signal.SIGHUP)
        eventually(lambda: len(children(process.pid)) == 2)
        gate.touch()
        eventually(lambda: "reloaded: " in log.read_text(), 60)
        eventually(lambda: len(children(process.pid)) == 2, 60)
        assert httpx.get(f"http://127.0.0.1:{port}/").text == "one"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


# ------------------------------------------------------------- P4: replacement


def test_workers_are_replaced_after_so_many_requests(shop: Shop) -> None:
    """P4: under load, without a failure."""
    host = shop.start("--max-requests", "150", "--max-requests-jitter", "50")
    load = under_load(host, lambda _: shop.wait_for("max_requests: ", 4), ["/pid"])
    assert len(load.bodies) > 2
    shop.wait_for_workers(2)


def test_a_worker_that_has_grown_is_replaced(shop: Shop) -> None:
    """P4: its memory is looked at once a second."""
    host = shop.start("--max-rss", "120M", workers=1)
    (before,) = shop.workers()
    load = under_load(host, lambda _: [shop.get("/leak") for _ in range(2)], ["/pid"], clients=4)
    assert str(before) in load.bodies
    shop.wait_for(f"worker {before} is to be replaced (max_rss: ")
    eventually(lambda: not lives(before))
    assert shop.get("/pid") != str(before)


def test_a_worker_that_has_served_long_enough_is_replaced(shop: Shop) -> None:
    """P4: one worker alone has a supervisor then."""
    shop.start("--max-lifetime", "1s", workers=1)
    (before,) = shop.workers()
    shop.wait_for("max_lifetime: ")
    eventually(lambda: not lives(before))
    assert shop.get() == "one"


def test_a_worker_that_gets_a_sigterm_is_replaced(shop: Shop) -> None:
    """P4: under load, without a failure."""
    host = shop.start()
    victim = min(shop.workers())

    def terminate(load: Load) -> None:
        os.kill(victim, signal.SIGTERM)
        eventually(lambda: not lives(victim))

    under_load(host, terminate, ["/", "/slow"])
    assert f"worker {victim} is to be replaced (SIGTERM)" in host.log()
    assert len(shop.wait_for_workers(2)) == 2


# ------------------------------------------------------------- P5: signals


def test_the_number_of_workers_changes_by_signals(shop: Shop) -> None:
    """P5: under load, without a failure."""
    host = shop.start()

    def change(load: Load) -> None:
        shop.signal(signal.SIGTTIN)
        shop.wait_for_workers(3)
        for number in (2, 1):
            shop.signal(signal.SIGTTOU)
            shop.wait_for(f"from now on: {number} ")
        shop.wait_for_workers(1)

    under_load(host, change, ["/", "/slow"])


def test_log_files_are_opened_again_in_all_workers(shop: Shop) -> None:
    """P5: SIGUSR1, after a rotation."""
    access = shop.folder / "access.log"
    shop.start("--access-log-file", str(access))
    assert shop.get() == "one"
    # Lines are written in batches: the first is to be in the old file.
    eventually(lambda: access.exists() and access.read_text().count("GET / ") == 1)
    access.rename(shop.folder / "access.log.1")
    shop.signal(signal.SIGUSR1)
    shop.wait_for("opened again: ", 3)  # the supervisor, too
    for _ in range(8):
        shop.get()
    eventually(lambda: access.exists() and access.read_text().count("GET / ") == 8)


def test_the_figures_of_all_workers_are_logged(shop: Shop) -> None:
    """P5: SIGUSR2; with the stacks of threads and tasks, also of one whose loop is blocked."""
    soon = ("--timeout-graceful-shutdown=1", "--timeout-shutdown=1")
    host = shop.start(*soon, workers=3, source=ASGI)
    with pytest.raises(httpx.TimeoutException):
        httpx.get(host.url("/block"), timeout=1)
    shop.signal(signal.SIGUSR2)
    for pid in shop.workers():
        shop.wait_for(f"worker {pid} stands here:")
    assert len(re.findall(r"INFO: \d+ connections?, \d+ requests? served", host.log())) == 2
    assert "deaf_and_blind" in host.log()


# ------------------------------------------------------------- P6: blocked workers


def test_a_blocked_worker_is_reported_and_replaced(shop: Shop) -> None:
    """P6: with the line that blocks it; the others serve on."""
    host = shop.start("--timeout-worker", "2s", source=ASGI)
    with pytest.raises(httpx.HTTPError):
        httpx.get(host.url("/block"), timeout=60)
    shop.wait_for("is blocked: its event loop has stood still for")
    shop.wait_for("deaf_and_blind")
    shop.wait_for_workers(2)
    assert shop.get() == "one"


def test_a_worker_that_starts_slowly_is_left_alone(shop: Shop) -> None:
    """P6: whatever its limit is when it serves."""
    slow = "import time\ntime.sleep(7)\n"
    host = shop.start("--timeout-worker", "3s", workers=2, source=slow + WSGI)
    assert shop.get() == "one"
    assert "blocked" not in host.log()
    assert "killing" not in host.log()


# ------------------------------------------------------------- P2, P7: the end


@pytest.mark.parametrize("path", ["/slow", "/block"])
def test_workers_end_with_their_supervisor(shop: Shop, path: str) -> None:
    """P7: whatever has killed it, and whatever they do."""
    host = shop.start(source=ASGI)
    pids = shop.workers()
    asking = subprocess.Popen(
        [sys.executable, "-c", f"import urllib.request as u; u.urlopen({host.url(path)!r})"],
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(0.5)  # it is asked meanwhile; if not yet, less is shown
        os.kill(host.process.pid, signal.SIGKILL)
        host.process.wait(30)
        eventually(lambda: not any(map(lives, pids)), 20)
    finally:
        asking.kill()
        asking.wait()


def test_a_worker_that_starts_ends_with_its_supervisor(shop: Shop) -> None:
    """P7: while it imports the app, too."""
    host = shop.start()
    before = shop.workers()
    shop.write("import time\ntime.sleep(600)")
    shop.signal(signal.SIGHUP)
    eventually(lambda: len(shop.workers()) == 3)
    pids = shop.workers()
    assert pids > before
    os.kill(host.process.pid, signal.SIGKILL)
    host.process.wait(30)
    eventually(lambda: not any(map(lives, pids)), 20)


@pytest.mark.parametrize("broken", ["import time\ntime.sleep(600)", ""], ids=["import", "blocked"])
def test_a_second_sigint_ends_everything(shop: Shop, broken: str) -> None:
    """P2: a slow import, a blocked loop; the code says that it was interrupted."""
    host = shop.start(source=ASGI)
    if broken:
        shop.write(broken)
        shop.signal(signal.SIGHUP)
        eventually(lambda: len(shop.workers()) == 3)
    else:
        asking = host.connect()
        asking.sendall(b"GET /block HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(1)
    pids = shop.workers()
    shop.signal(signal.SIGINT)
    time.sleep(0.2)  # else both are one signal
    if host.process.poll() is None:
        shop.signal(signal.SIGINT)
    assert host.process.wait(30) in ({0, 130, -2} if broken else {130})
    assert not any(map(lives, pids))
    if not broken:
        asking.close()


# ------------------------------------------------------------- P7: as PID 1

UNSHARE = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc")


def can_unshare() -> bool:
    try:
        return subprocess.run([*UNSHARE, "true"], capture_output=True, timeout=20).returncode == 0
    except OSError:
        return False


@pytest.fixture
def first_process(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path, int]]:
    """A server that is PID 1 of its namespace, as in a container; its log and port."""
    if not can_unshare():
        pytest.skip("this system does not allow namespaces of processes (unshare)")
    orphans = WSGI.replace(
        "    body = ",
        "    if path == '/orphan':\n"
        "        os.system('(sh -c \"sleep 0.1; exit 3\" &)')\n"
        "    body = ",
    )
    (tmp_path / "shop.py").write_text(orphans)
    port, log = free_port(), tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [
                *UNSHARE,
                sys.executable,
                "-m",
                "bridge",
                "serve",
                "shop:app",
                "-w2",
                f"--port={port}",
            ],
            cwd=tmp_path,
            env={**os.environ, **ENV, "PYTHONPATH": str(ROOT)},
            stderr=output,
            stdout=output,
        )
    try:
        eventually(lambda: "running on" in log.read_text(), 60)
        yield process, log, port
    finally:
        for pid in children(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait()


def test_as_pid_1_orphans_are_reaped(
    first_process: tuple[subprocess.Popen[bytes], Path, int],
) -> None:
    """P7: their exit codes, 3 among them, are nobody's; the server goes on, and stops with 0."""
    process, log, port = first_process
    (supervisor,) = children(process.pid)
    assert re.search(r"\[1\] INFO: asgi-bridge running on", log.read_text())
    eventually(lambda: len(children(supervisor)) == 2)
    for _ in range(5):
        assert httpx.get(f"http://127.0.0.1:{port}/orphan").text == "one"
    time.sleep(0.3)  # the orphans end; if later, the next line waits
    eventually(lambda: len(children(supervisor)) == 2)
    assert httpx.get(f"http://127.0.0.1:{port}/").text == "one"
    os.kill(supervisor, signal.SIGTERM)
    assert process.wait(30) == 0
