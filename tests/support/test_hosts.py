"""The helper that starts real servers does what the other tests rely on."""

from __future__ import annotations

import httpx
import pytest

from tests.support import hosts

ASGI = "tests.support.apps.hello:asgi"
WSGI = "tests.support.apps.hello:wsgi"


@pytest.mark.parametrize(
    "command",
    [
        hosts.uvicorn(ASGI),
        hosts.hypercorn(ASGI),
        hosts.gunicorn(WSGI),
        hosts.gunicorn(WSGI, worker="sync"),
        hosts.gunicorn(WSGI, worker="gevent"),
        hosts.waitress(WSGI),
        hosts.cheroot(WSGI),
    ],
    ids=lambda command: command.name,
)
def test_a_host_answers_when_start_returns_and_is_gone_afterwards(command: hosts.Command) -> None:
    """A host takes requests as soon as `start` gives it, and none after the block."""
    with hosts.start(command) as host:
        assert httpx.get(host.url()).text == "Hello, world!"
    assert host.process.returncode is not None
    with pytest.raises(OSError):
        host.connect()


def test_a_host_that_does_not_start_says_why() -> None:
    """The error of a failed start has the server's own words."""
    with pytest.raises(hosts.HostError, match="no_such_module"):
        with hosts.start(hosts.uvicorn("no_such_module:app")):
            pass


def test_a_host_is_ended_when_the_test_fails() -> None:
    """An exception inside the block ends the server too."""
    with pytest.raises(ZeroDivisionError):
        with hosts.start(hosts.waitress(WSGI)) as host:
            raise ZeroDivisionError
    assert host.process.returncode is not None
