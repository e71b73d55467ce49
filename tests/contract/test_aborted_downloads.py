"""Clients that go away in the middle of a download wedge nothing.

The fault that this guards against: each client that leaves costs a thread for ever, and after as
many as there are threads nothing is answered any more.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import pytest

from tests.conftest import StartHost
from tests.support import hosts
from tests.support.hosts import Command, Host

ABORTS = 1000
APP = "tests.support.apps.downloads"

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset, and at once


def abort(host: Host, number: int) -> None:
    """Begin a download, take a little, and leave: by a reset or by an orderly close."""
    with host.connect() as client:
        client.sendall(b"GET /endless HTTP/1.1\r\nHost: example.com\r\n\r\n")
        # Some leave before the first byte, some with the response on its way.
        if number % 4:
            assert client.recv(1 << (number % 16))
        if number % 2:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def count(host: Host) -> dict[str, int]:
    """What the app answers to a health check, which has to be within seconds."""
    connection = HTTPConnection(host.address, host.port, timeout=10)
    try:
        connection.request("GET", "/count")
        answer = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    assert isinstance(answer, dict)
    return answer


HOSTS = {
    "bridge-thread": hosts.bridge(f"{APP}:wsgi", "--threads=4", "--no-access-log"),
    "bridge-greenlet": hosts.bridge(f"{APP}:wsgi", "--runner=greenlet", "--no-access-log"),
    "bridge-inline": hosts.bridge(f"{APP}:wsgi", "--runner=inline", "--no-access-log"),
    "bridge-asgi": hosts.bridge(f"{APP}:native", "--no-access-log"),
    "uvicorn": hosts.uvicorn(f"{APP}:asgi"),
    "hypercorn": hosts.hypercorn(f"{APP}:asgi"),
    "gunicorn": hosts.gunicorn(f"{APP}:through_wsgi"),
    "waitress": hosts.waitress(f"{APP}:through_wsgi"),
}


@pytest.mark.parametrize("command", HOSTS.values(), ids=HOSTS)
def test_a_thousand_aborted_downloads_leave_nothing_behind(
    command: Command, start_host: StartHost
) -> None:
    """W37 W40 A26 S12: a health check is answered, and every stream has been closed, once."""
    host = start_host(command)
    with ThreadPoolExecutor(8) as clients:
        for _ in clients.map(abort, [host] * ABORTS, range(ABORTS)):
            pass
    counted = count(host)
    deadline = time.monotonic() + 20
    while counted["closed"] < counted["opened"] and time.monotonic() < deadline:
        time.sleep(0.05)
        counted = count(host)
    assert counted["closed"] == counted["opened"]
    assert counted["opened"] > ABORTS / 2, "most of the clients got as far as the app"
    assert "Traceback" not in host.log(), "a client that leaves is no error"
