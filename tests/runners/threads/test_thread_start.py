"""Threads are started if they will run, and refused clearly if they would not."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from bridge.errors import AppLoadError, Overloaded
from bridge.runners import Runner
from bridge.runners.threads.runner import ThreadRunner
from bridge.runners.threads.thread_start import check_threads
from tests.conftest import StartHost
from tests.runners.jobs import Call, run_with, until
from tests.support import hosts
from tests.support.waiting import eventually

PATCHED = "tests.support.apps.gevent_patched:app"


def ran(command: hosts.Command) -> tuple[int, str]:
    """The exit code of a server that does not start, and what it said."""
    argv = [word.replace("{port}", str(hosts.free_port())) for word in command.argv]
    ended = subprocess.run(
        argv,
        cwd=command.cwd,
        env={**os.environ, "PYTHONPATH": str(hosts.ROOT), **hosts.ENV, **command.env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return ended.returncode, ended.stdout


def test_patched_by_gevent() -> None:
    """W52, S11: an app that gevent has patched is refused at the start, with what to do."""
    code, said = ran(hosts.bridge(PATCHED))
    assert code == 3
    assert "Error: gevent has put greenlets in the place of threads" in said
    assert "gunicorn -k gevent" in said


def test_patched_by_gevent_as_a_gunicorn_worker(start_host: StartHost) -> None:
    """W52: Gunicorn loads the app before there is a loop, which then runs its greenlets too."""
    host = start_host(hosts.gunicorn(PATCHED, worker="bridge.server.gunicorn.BridgeWorker"))
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda _: httpx.get(host.url()).text, range(20))
    assert set(answers) == {"done"}
    assert host.stop() == 0


def test_patched_by_gevent_behind_another_server() -> None:
    """W52, W54: behind uvicorn the lifespan's startup fails with the same words."""
    code, said = ran(hosts.uvicorn("tests.support.apps.gevent_patched:asgi"))
    assert code == 3
    assert "gevent has put greenlets in the place of threads" in said


@pytest.mark.parametrize("runner", ["greenlet", "inline"])
def test_patched_by_gevent_without_threads(runner: str, start_host: StartHost) -> None:
    """W52: if no thread is needed such an app is served, and the server stops when told."""
    host = start_host(hosts.bridge(f"--runner={runner}", PATCHED))
    assert [httpx.get(host.url()).text for _ in range(3)] == ["done"] * 3
    assert host.stop() == 0


def test_patched_late(start_host: StartHost) -> None:
    """W52: an app that patches at a request goes on with the threads there are, and stops."""
    host = start_host(hosts.bridge(PATCHED).with_env(PATCH="late"))
    with httpx.Client(base_url=host.url()) as client:
        assert client.get("/").text == "done"
        assert client.get("/patch").text == "done"
        assert client.get("/").text == "done"
    assert host.stop() == 0


def test_patched_while_it_runs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """W52: without a thread left from before, requests are refused, and the log says why."""

    async def main(runner: Runner) -> None:
        call = Call(int)
        runner.submit(call)
        await call.done
        await until(lambda: runner.stats()[:2] == (0, 0))  # its thread has ended
        with monkeypatch.context() as patch:
            patch.setattr(
                "bridge.runners.threads.thread_start.threads_replaced_by", lambda: "gevent"
            )
            for _ in range(3):
                refused = Call(int)
                runner.submit(refused)
                with pytest.raises(Overloaded, match="no thread"):
                    await refused.done
        assert sum("gunicorn -k gevent" in each.getMessage() for each in caplog.records) == 1

    run_with(ThreadRunner(2, idle_timeout=0.01), main)


def test_patched_by_eventlet(monkeypatch: pytest.MonkeyPatch) -> None:
    """W52: eventlet's patching is told as well; what it has not patched is fine."""
    patcher = ModuleType("eventlet.patcher")
    patched: set[str] = {"socket"}
    patcher.is_monkey_patched = patched.__contains__  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "eventlet.patcher", patcher)
    loop = asyncio.new_event_loop()
    try:
        check_threads(loop)
        patched.add("thread")
        with pytest.raises(AppLoadError, match=r"eventlet has put .* eventlet\.wsgi"):
            check_threads(loop)
    finally:
        loop.close()


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="a limit from outside is of Linux")
def test_shortage_over_the_wire(start_host: StartHost) -> None:
    """W52: while the system has no memory for threads a request gets a 503; then it is served."""
    host = start_host(hosts.bridge("--threads=2", "tests.support.apps.wsgi_rules:wsgi"))
    pid = host.process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_AS)
    size = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
    with httpx.Client(base_url=host.url()) as client:
        # Less than the stack of one thread, which is 8 MiB.
        resource.prlimit(pid, resource.RLIMIT_AS, (size + 4 * 2**20, hard))
        for _ in range(3):
            assert client.get("/hello").status_code == 503
        resource.prlimit(pid, resource.RLIMIT_AS, (hard, hard))
        for _ in range(3):
            assert client.get("/hello").text == "Hello, world!"
    assert "threads can be started again" in host.log()


def test_queue_timeout_over_the_wire(start_host: StartHost) -> None:
    """W52: with `--queue-timeout` what gets no thread in time is answered 503 with Retry-After."""
    options = ("--threads=1", "--queue-timeout=0.1", "--stream-limit=0")
    host = start_host(hosts.bridge(*options, "tests.support.apps.wsgi_rules:wsgi"))
    with httpx.Client(base_url=host.url()) as client:
        with client.stream("GET", "/slowly?queue_timeout") as running:
            next(running.iter_bytes())
            waited = client.get("/hello")
            assert (waited.status_code, waited.headers["retry-after"]) == (503, "1")
        eventually(lambda: "which is queue_timeout" in host.log())
