"""The access log of a running server: one line for each request, whatever the request was."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.conftest import StartHost
from tests.support.hosts import Host, bridge
from tests.support.raw import Client

HELLO = "tests.support.apps.hello"
CONNECTION = "tests.support.apps.connection"


def wait_for(condition: Callable[[], bool]) -> None:
    """Until a line that is on its way is in the file; the test fails where it never is."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "the line never came"
        time.sleep(0.01)


def lines(host: Host, count: int, form: str = "") -> list[str]:
    """The lines of the access log that have this form, once there are `count`."""

    def found() -> list[str]:
        text = host.log()
        logged = [line for line in text.split("\n")[:-1] if " [" not in line.split('"')[0]]
        return [line for line in logged if re.search(form, line)]

    wait_for(lambda: len(found()) >= count)
    return found()


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_default(start_host: StartHost, kind: str) -> None:
    """S50: each request is a line on standard output, in order of the answers."""
    host = start_host(bridge(f"{HELLO}:{kind}"))
    with httpx.Client() as client:
        for at in range(3):
            client.get(host.url(f"/%20{at}?q={at}"))
        client.head(host.url("/head"))
    logged = lines(host, 4)
    pattern = r'127\.0\.0\.1:\d+ - "(GET|HEAD) (\S+) HTTP/1\.1" 200 OK'
    found = [re.fullmatch(pattern, line) for line in logged]
    assert [match and match[2] for match in found] == [
        "/%200?q=0",
        "/%201?q=1",
        "/%202?q=2",
        "/head",
    ]


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_off(start_host: StartHost, kind: str) -> None:
    """S50: an access log that is off writes nothing."""
    host = start_host(bridge(f"{HELLO}:{kind}", "--no-access-log"))
    assert httpx.get(host.url("/")).status_code == 200
    assert host.stop() == 0
    assert '"GET' not in host.log()


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_json(start_host: StartHost, kind: str) -> None:
    """S50: a JSON line has what was asked and answered, and how long it took."""
    host = start_host(bridge(f"{HELLO}:{kind}", "--access-log-format", "json"))
    httpx.get(host.url("/a?b"), headers={"User-Agent": 'a"b\\'})

    def entries() -> list[str]:
        return [line for line in host.log().splitlines() if line.startswith("{")]

    wait_for(lambda: len(entries()) == 1)
    entry = json.loads(entries()[0])
    assert entry["target"] == "/a?b"
    assert entry["status"] == 200
    assert entry["bytes"] == 13
    assert entry["user_agent"] == 'a"b\\'
    assert entry["host"] == f"127.0.0.1:{host.port}"
    assert 0 <= entry["duration"] < 10


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_gunicorn_atoms(start_host: StartHost, kind: str) -> None:
    """S50: Gunicorn's atoms, response fields included, on a format of one's own."""
    format = "line=%(m)s %(U)s %(q)s %(s)s %(B)s %({x-note}o)s %({X-Ask}i)s %(h)s %(D)s"
    host = start_host(bridge(f"{CONNECTION}:{kind}", "--access-log-format", format))
    body = httpx.get(host.url("/p?q=1"), headers={"X-Ask": "why"}).content
    wait_for(lambda: "line=" in host.log())
    line = re.search(r"line=(.*)", host.log())
    assert line is not None
    assert re.fullmatch(rf"GET /p q=1 200 {len(body)} noted why 127\.0\.0\.1 \d+", line[1])


def test_the_client_behind_a_proxy(start_host: StartHost) -> None:
    """S50, S32: behind a trusted proxy the line names the client, request by request."""
    for kind in ("asgi", "wsgi"):
        host = start_host(bridge(f"{HELLO}:{kind}"))
        with httpx.Client() as client:
            client.get(host.url("/"), headers={"X-Forwarded-For": "203.0.113.9:77"})
            client.get(host.url("/"))
        first, second = lines(host, 2, r' - "GET / HTTP/1\.1" \d+')
        assert first.startswith('203.0.113.9:77 - "GET / ')
        assert second.startswith("127.0.0.1:")


def test_log_injection(start_host: StartHost) -> None:
    """S50: a request cannot write lines of its own, nor end a quoted part early."""
    host = start_host(bridge(f"{HELLO}:asgi", "--access-log-format", "combined"))
    httpx.get(host.url("/%0d%0aforged"), headers={"User-Agent": 'x" 500 "', "Referer": "\\"})
    wait_for(lambda: "forged" in host.log())
    line = next(line for line in host.log().splitlines() if "forged" in line)
    assert '"GET /%0d%0aforged HTTP/1.1" 200 13 ' in line
    assert line.endswith(r'"x\x22 500 \x22"')


def test_refused_requests_are_told_at_debug(start_host: StartHost) -> None:
    """S6, S50: a request that is none is a line at debug level: peer, reason, first bytes."""
    host = start_host(bridge(f"{HELLO}:asgi", "--log-level", "debug"))
    with host.connect() as sock:
        sock.sendall(b"\x16\x03\x01nonsense\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 400 ")
    wait_for(lambda: "nonsense" in host.log())
    line = next(line for line in host.log().splitlines() if "nonsense" in line)
    assert "DEBUG" in line
    assert "127.0.0.1" in line
    assert r"\x16\x03\x01" in line


def test_log_config(start_host: StartHost, tmp_path: Path) -> None:
    """S50: with a configuration of one's own, the lines go where it says."""
    config, log = tmp_path / "log.toml", tmp_path / "access.log"
    config.write_text(
        f"""
        [handlers.file]
        class = "logging.FileHandler"
        filename = "{log}"
        [loggers."bridge.access"]
        handlers = ["file"]
        """
    )
    host = start_host(bridge(f"{HELLO}:wsgi", "--log-config", str(config)))
    httpx.get(host.url("/here"))
    wait_for(lambda: "/here" in log.read_text())
    assert "/here" not in host.log()


def test_level_silences(start_host: StartHost) -> None:
    """S50: with --log-level warning neither the banner nor requests are logged."""
    host = start_host(bridge(f"{HELLO}:asgi", "--log-level", "warning"))
    assert httpx.get(host.url("/")).status_code == 200
    assert host.stop() == 0
    assert host.log() == ""


def test_nothing_is_lost_at_the_end(start_host: StartHost) -> None:
    """S50: the lines of the last requests are written before the server ends."""
    host = start_host(bridge(f"{HELLO}:wsgi"))
    with httpx.Client() as client:
        for _ in range(50):
            client.get(host.url("/last"))
        host.stop()
    assert host.log().count('"GET /last ') == 50


def test_what_browsers_do_not_encode(start_host: StartHost) -> None:
    """S4, S50: quotes, backslashes and raw bytes in a query do not end a line or its quotes."""
    host = start_host(bridge(f"{HELLO}:asgi"))
    with Client(host.connect()) as client:
        client.send(b'GET /a|b%?"\\\x85\x9b" HTTP/1.1\r\nHost: x\r\n\r\n')
        assert client.response().status == 200
    (line,) = lines(host, 1)
    assert '"GET /a|b%?\\x22\\x5c\\x85\\x9b\\x22 HTTP/1.1"' in line
