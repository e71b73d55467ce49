"""One judge of the heads of responses: the same head fares alike on every host (A21, S10, W34)."""

from __future__ import annotations

import pytest

from tests.conftest import StartHost
from tests.contract.asgi_on_wsgi.hosts import own, uwsgi
from tests.support import hosts
from tests.support.apps.heads import ASGI, WSGI
from tests.support.hosts import BRIDGE_WORKER, Command, Host

APPS = "tests.support.apps.heads"
#: uWSGI sends no Content-Length of its own; the others may, where the app gave none.
ASGI_HOSTS: dict[str, Command] = {
    "bridge": hosts.bridge(f"{APPS}:app"),
    "worker": hosts.gunicorn(f"{APPS}:app", worker=BRIDGE_WORKER),
    "gthread": hosts.gunicorn(f"{APPS}:on_wsgi"),
    "gevent": hosts.gunicorn(f"{APPS}:on_wsgi", worker="gevent"),
    "waitress": hosts.waitress(f"{APPS}:on_wsgi"),
    "cheroot": hosts.cheroot(f"{APPS}:on_wsgi"),
    "werkzeug": own("werkzeug", f"{APPS}:on_wsgi"),
    "wsgiref": own("wsgiref", f"{APPS}:on_wsgi"),
    "uwsgi": uwsgi(f"{APPS}:on_wsgi"),
}
WSGI_HOSTS: dict[str, Command] = {
    "bridge": hosts.bridge(f"{APPS}:wsgi_app"),
    "uvicorn": hosts.uvicorn(f"{APPS}:on_asgi"),
    "hypercorn": hosts.hypercorn(f"{APPS}:on_asgi"),
}


def get(host: Host, path: str) -> tuple[int, list[bytes], bytes]:
    """Status, lengths and body, from a host that may speak HTTP/1.0."""
    with host.connect() as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        data = b"".join(iter(lambda: raw.recv(65536), b""))
    head, _, body = data.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    named = [field.partition(b":") for field in fields]
    lengths = [value.strip() for name, _, value in named if name.lower() == b"content-length"]
    if any(name.lower() == b"transfer-encoding" for name, _, _ in named):
        body = body.partition(b"\r\n")[2].partition(b"\r\n")[0]
    return int(line.split()[1]), lengths, body


def judged(host: Host, number: int) -> tuple[str, int, list[bytes], bytes]:
    """What the app heard; and the status, the lengths and the body that its client got."""
    got = get(host, f"/{number}")
    return get(host, "/said")[2].decode(), *got


@pytest.mark.parametrize("host", ASGI_HOSTS)
def test_asgi(host: str, shared_host: StartHost) -> None:
    """A21 S10: what one host takes the others take, and one length at most goes out."""
    server = shared_host(ASGI_HOSTS[host])
    for number, (name, (status, _, taken)) in enumerate(ASGI.items()):
        said, got, lengths, body = judged(server, number)
        assert said == ("taken" if taken else "IllegalMessage"), name
        assert (got, body) == ((status, b"x") if taken else (200, b"refused")), name
        assert lengths in ([], [b"%d" % len(body)]), name


@pytest.mark.parametrize("host", WSGI_HOSTS)
def test_wsgi(host: str, shared_host: StartHost) -> None:
    """W34 W36: the same for the heads of WSGI apps, on our server and behind ASGI."""
    server = shared_host(WSGI_HOSTS[host])
    for number, (name, (_, _, taken)) in enumerate(WSGI.items()):
        said, got, lengths, body = judged(server, number)
        assert said == ("taken" if taken else "IllegalResponse"), name
        assert (got, body) == (200, b"x" if taken else b"refused"), name
        assert lengths == [b"%d" % len(body)], name
