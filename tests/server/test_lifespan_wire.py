"""The server runs the app's lifespan, as its options say; each server is a real process."""

from __future__ import annotations

import os
import subprocess

import httpx
import pytest

from tests.conftest import StartHost
from tests.support import hosts
from tests.support.hosts import Command


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
    assert host.stop() != 0
    assert said in host.log()
