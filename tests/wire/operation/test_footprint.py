"""What a worker and an idle connection keep in memory: what they use, and no more."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from bridge.server.http1.connection import Http1Connection
from tests.support.serving import Served, served

#: Large, and needed by few apps or few requests.
HEAVY = (
    *("webob", "websockets", "greenlet", "bridge.asgi_to_wsgi"),
    *("logging.config", "tempfile", "encodings.idna"),
)


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """Says who asks."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": repr(scope["client"]).encode()})


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    """Says who asks."""
    body = repr((environ["REMOTE_ADDR"], int(environ["REMOTE_PORT"]))).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_a_worker_loads_what_it_uses(kind: str) -> None:
    """PERFORMANCE, memory: what few apps need is not loaded before it is needed."""
    code = (
        "import asyncio, sys, bridge.server.cli; from bridge.server.server import Config, Server;"
        f"server = Server(Config(app='tests.support.apps.hello:{kind}', port=0));"
        "server.request_stop(); asyncio.run(server.serve());"
        f"print(*(module for module in {HEAVY} if module in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_a_dispatcher_loads_webob_for_those_who_ask_for_it() -> None:
    """PERFORMANCE, memory: mounts that look at path and host only need no WebOb; `when` does."""
    code = (
        "import sys; from bridge import Dispatcher, Mount;"
        "from tests.support.apps.hello import asgi, wsgi;"
        "from tests.support.in_process import http;"
        "plain = Dispatcher({'/': asgi, '/w': wsgi, 'a.example/': asgi});"
        "print(http(plain, '/').status, http(plain, '/w').status, 'webob' in sys.modules);"
        "asking = Dispatcher({'/': [Mount(asgi, when=lambda request: False), asgi]});"
        "print(http(asking, '/').status, 'webob' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["200", "200", "False", "200", "True"]


@pytest.mark.parametrize("app", [asgi, wsgi])
def test_connections_share_what_their_requests_have_in_common(app: Any) -> None:
    """PERFORMANCE, memory: one base for all connections to a place, and yet each has its client."""
    with served(app) as server, server.connect() as one, server.connect() as other:
        answers = {one.get().body, other.get().body}
        first, second = server.server.state.connections
        assert isinstance(first, Http1Connection)
        assert isinstance(second, Http1Connection)
        assert first.identity.place is second.identity.place
        assert answers == {
            repr(first.identity.client).encode(),
            repr(second.identity.client).encode(),
        }


@pytest.mark.parametrize("app", [asgi, wsgi])
def test_an_idle_connection_forgets_and_answers_again(app: Any) -> None:
    """PERFORMANCE, memory: what an idle connection lets go, its next request makes anew."""
    with served(app) as server, server.connect() as client:
        answers = [client.get().body]
        (connection,) = server.server.state.connections
        assert isinstance(connection, Http1Connection)
        _check_later(server, connection)
        assert connection.output.writer is None
        answers.append(client.get().body)
        assert answers == [repr(connection.identity.client).encode()] * 2


def _check_later(server: Served, connection: Http1Connection) -> None:
    """Have the server look at the connection as it does some seconds after its last request."""

    def busy() -> bool:
        connection.check_timeouts(connection.phase_since + 10)
        return connection.exchange is not None or connection.output.writer is not None

    while server.call(busy):
        pass  # the thread that has answered is about to end its exchange
