"""The server runs the app's lifespan, as its options say; each server is a real process."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.conftest import StartHost
from tests.support import hosts
from tests.support.hosts import Command
from tests.support.waiting import eventually


def living(life: str, *options: str) -> Command:
    """Our server with the app that lives so."""
    return hosts.bridge("tests.support.apps.living:app", *options).with_env(LIFE=life)


def test_each_request_sees_the_state_in_a_copy_of_its_own(start_host: StartHost) -> None:
    """S13 S40: what startup put into the state is there, what another request put is not."""
    host = start_host(living("good"))
    with httpx.Client() as client:
        assert [client.get(host.url()).json() for _ in range(2)] == [{"db": "open"}] * 2
    assert host.stop() == 0
    said = host.log()
    assert said.index("called") < said.index("running on") < said.index("stopping")
    assert said.splitlines().count("stopped") == 1


@pytest.mark.parametrize(("mode", "calls"), [("auto", 1), ("off", 0)])
def test_an_app_that_knows_no_lifespan_is_served(
    mode: str, calls: int, start_host: StartHost
) -> None:
    """S40: `auto` asks once and goes on without; `off` does not ask."""
    host = start_host(living("unaware", f"--lifespan={mode}"))
    assert httpx.get(host.url()).status_code == 200
    assert host.stop() == 0
    assert host.log().count("called") == calls
    assert "Traceback" not in host.log()


@pytest.mark.parametrize(
    ("life", "option", "said"),
    [
        ("unaware", "--lifespan=on", "only http here"),
        ("hangs", "--timeout-startup=0.2", "did not answer lifespan.startup within 0.2 s"),
    ],
)
def test_a_start_that_fails_ends_the_server_with_its_reason(
    life: str, option: str, said: str
) -> None:
    """S40: exit code 3, in `on` also for an app that knows no lifespan, and in time."""
    command = living(life, option)
    ended = subprocess.run(
        [word.format(port=0) for word in command.argv],
        cwd=command.cwd,
        env={**os.environ, **command.env},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ended.returncode, said in ended.stderr) == (3, True), ended.stderr


@pytest.mark.parametrize(
    ("life", "said"),
    [
        ("fails at the end", "the queue is not flushed"),
        ("hangs at the end", "did not answer lifespan.shutdown within 0.2 s"),
    ],
)
def test_a_shutdown_that_fails_is_reported(life: str, said: str, start_host: StartHost) -> None:
    """S40: with the app's message, or with the time that it had; and the server ends."""
    host = start_host(living(life, "--timeout-shutdown=0.2"))
    assert host.stop() == 1  # not 3, which tells supervisors to give up
    assert said in host.log()


#: What Starlette does: it sends the traceback, and raises on.
FRAMEWORK = """
import asyncio, traceback
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        phase = "startup"
        try:
            {start}
            await send({{"type": "lifespan.startup.complete"}})
            phase = "shutdown"
            await asyncio.wait_for(receive(), {time})
        except BaseException:
            failed = f"lifespan.{{phase}}.failed"
            await send({{"type": failed, "message": traceback.format_exc()}})
            raise
    await send({{"type": "http.response.start", "status": 200}})
    await send({{"type": "http.response.body", "body": b"served"}})
"""


@pytest.mark.parametrize(
    "options", [["framework:app"], ["--mount", "/x=framework:app"]], ids=["app", "mount"]
)
def test_a_startup_that_fails_shows_its_traceback_once(tmp_path: Path, options: list[str]) -> None:
    """S40: where the app sends it and raises its error on, as Starlette does."""
    start = "raise RuntimeError('no database\\nat all')"
    (tmp_path / "framework.py").write_text(FRAMEWORK.format(start=start, time=9))
    command = hosts.bridge(*options, "--app-dir", str(tmp_path))
    ended = subprocess.run(
        [word.format(port=0) for word in command.argv],
        cwd=command.cwd,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 3
    assert ended.stderr.count("Traceback (most recent call last)") == 1
    assert ended.stderr.count("raise RuntimeError") == 1
    said = ended.stderr.splitlines()[-2:]
    assert said[0].startswith("Error: ")
    assert said[0].endswith("RuntimeError: no database")
    assert said[1] == "at all"


def test_a_lifespan_that_ends_in_the_middle(tmp_path: Path, start_host: StartHost) -> None:
    """S40: the app's own error is told, and no rule that its framework has broken; it is served."""
    (tmp_path / "framework.py").write_text(FRAMEWORK.format(start="pass", time=0.01))
    host = start_host(hosts.bridge("framework:app", "--app-dir", str(tmp_path)))
    eventually(lambda: "ended in the middle" in host.log())
    assert httpx.get(host.url()).text == "served"
    assert host.stop() == 0
    assert host.log().count("\nTimeoutError") == 1
    assert "IllegalMessage" not in host.log()
