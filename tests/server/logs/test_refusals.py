"""What is refused: each in the log at debug level, and their number once a minute."""

from __future__ import annotations

import logging
import re
from contextlib import ExitStack

import pytest

from bridge.errors import Overloaded, RequestError
from bridge.server.logs.refusals import HANDSHAKE, REPORT_INTERVAL, Refusals
from tests.conftest import StartHost
from tests.support.hosts import BRIDGE_WORKER, Command, bridge, gunicorn
from tests.support.raw import Client, request
from tests.support.waiting import eventually

HELLO = "tests.support.apps.hello:asgi"
WAYS = "tests.support.apps.wsgi_ways:app"
CLIENT = ("192.0.2.1", 1)


def refuse(refusals: Refusals) -> None:
    refusals.note(CLIENT, RequestError("no Host"), b"GET / HTTP/1.1")
    refusals.note(CLIENT, Overloaded("full"))
    refusals.note(CLIENT, RequestError("no Host"))
    refusals.note(CLIENT, "unknown\x85 \x1b[31m\nca", what=HANDSHAKE)


def test_one_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """S6: the first refusal is told at the next second, those of the next minute at its end."""
    caplog.set_level(logging.INFO, "bridge.error")
    refusals = Refusals()
    refusals.tick(1000.0)
    assert caplog.messages == []
    refuse(refusals)
    refusals.tick(1001.0)
    (line,) = caplog.messages
    assert "refused: 2 x 400 Bad Request, 1 x 503 Service Unavailable, 1 x failed TLS" in line
    assert "The last was 192.0.2.1:1: unknown\\x85 \\x1b[31m\\nca." in line
    refuse(refusals)
    refuse(refusals)
    refusals.tick(1000.0 + REPORT_INTERVAL)
    assert len(caplog.messages) == 1
    refusals.tick(1001.0 + REPORT_INTERVAL)
    assert "4 x 400 Bad Request" in caplog.messages[1]
    refusals.tick(1001.0 + 3 * REPORT_INTERVAL)
    refusals.report()
    assert len(caplog.messages) == 2


def test_the_rest_is_told_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """S6: what was not told yet is told when the server stops."""
    caplog.set_level(logging.INFO, "bridge.error")
    refusals = Refusals()
    refuse(refusals)
    refusals.report()
    assert len(caplog.messages) == 1


def test_each_at_debug_level(caplog: pytest.LogCaptureFixture) -> None:
    """S6: at debug level each has a line with peer, reason and the first bytes, escaped."""
    caplog.set_level(logging.DEBUG, "bridge.error")
    Refusals().note(CLIENT, RequestError("too long; raise --x", 414), b"GET /\x1b" + b"a" * 200)
    (line,) = caplog.messages
    assert "refused (414 " in line
    assert "192.0.2.1:1: too long; raise --x; it began with b'GET /\\x1baaa" in line
    assert len(line) < 250


@pytest.mark.parametrize(
    "command", [bridge(HELLO), gunicorn(HELLO, worker=BRIDGE_WORKER)], ids=["bridge", "gunicorn"]
)
def test_refusals_leave_a_trace(start_host: StartHost, command: Command) -> None:
    """S6: at the default level the log says how many were refused, and why."""
    host = start_host(command)
    with Client(host.connect()) as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert client.response().status == 400
    eventually(lambda: "refused: 1 x 400 Bad Request" in host.log())
    with Client(host.connect()) as client:
        client.send(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 101 + b"\r\n")
        assert client.response().status == 431
    host.stop()
    assert "refused: 1 x 431 Request Header Fields Too Large" in host.log()
    assert host.log().count("refused: ") == 2


def test_a_full_pool_is_counted(start_host: StartHost) -> None:
    """S6, W52: a full pool is told with all that is refused, not in a line for each request."""
    limits = ("--threads=1", "--queue-limit=1", "--no-access-log")
    host = start_host(bridge(WAYS, *limits))
    with ExitStack() as clients:
        asking = [clients.enter_context(Client(host.connect())) for _ in range(20)]
        for client in asking:
            client.send(request("/sleep?1"))
        statuses = [client.response().status for client in asking]
    host.stop()
    refused = statuses.count(503)
    assert refused > 0
    told = re.findall(r"refused: (\d+) x 503 Service Unavailable", host.log())
    assert sum(map(int, told)) == refused
    assert "WARNING" not in host.log()


@pytest.mark.parametrize(
    ("client", "name"),
    [
        (("192.0.2.1", 80), "192.0.2.1:80"),
        (("::1", 80), "[::1]:80"),
        (None, "a client without an address"),
    ],
)
def test_who_was_refused(client: object, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """S6: the client stands in the log as people write its address."""
    caplog.set_level("INFO", "bridge.error")
    refusals = Refusals()
    refusals.note(client, RequestError("no Host"))
    refusals.report()
    assert f"The last was {name}: no Host." in caplog.text
