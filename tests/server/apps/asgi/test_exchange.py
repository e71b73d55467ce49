"""An ASGI app that goes on when its client has left, or its response is over (S12)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import StartHost
from tests.support.events import event
from tests.support.hosts import BRIDGE_WORKER, Host, bridge, gunicorn
from tests.support.raw import Client, request
from tests.support.waiting import eventually

APP = "tests.support.apps.disconnects:app"
HOSTS = {
    "bridge": bridge(APP, "--lifespan=off"),
    "mounted": bridge("--mount", f"/={APP}", "--lifespan=off"),
    "worker": gunicorn(APP, "--access-logfile=-", worker=BRIDGE_WORKER),
}


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest, start_host: StartHost) -> Host:
    return start_host(HOSTS[request.param])


@pytest.fixture
def client(host: Host) -> Iterator[Client]:
    with Client(host.connect()) as client:
        yield client


def begins(host: Host, name: str) -> None:
    eventually(lambda: event(host, name) == "waits")


@pytest.mark.parametrize("closed", ["by reset", "by close"])
def test_send_after_the_app_was_told(host: Host, client: Client, closed: str) -> None:
    """S12: after http.disconnect, send() raises OSError, and there was no such response."""
    client.send(request("/told"))
    begins(host, "told")
    client.reset() if closed == "by reset" else client.sock.close()
    eventually(lambda: event(host, "told") == "OSError at message 1")
    assert '"GET /told HTTP/1.1" 200' not in host.log()


def test_an_answer_behind_a_stream_that_was_left(host: Host, client: Client) -> None:
    """S12: what an app sends then is no error of the app's, in whatever order."""
    client.send(request("/again"))
    begins(host, "again")
    client.sock.close()
    eventually(lambda: event(host, "again") == "OSError")
    assert event(host, "told") is None
    assert "Traceback" not in host.log()


def test_empty_pieces(host: Host, client: Client) -> None:
    """S12: who sends nothing, and does not ask, hears of it all the same."""
    client.send(request("/empty"))
    begins(host, "empty")
    while b"first" not in client.data:
        client.data += client.more()
    client.sock.close()
    eventually(lambda: event(host, "empty") == "OSError")


def test_a_whole_response_in_vain(host: Host, client: Client) -> None:
    """S12: a small response is taken as if the client had left a moment later; a stream is not."""
    sent = {"/none?0": "all sent", "/one?1": "all sent", "/two?2": "OSError at message 3"}
    for target in sent:
        with Client(host.connect()) as leaving:
            leaving.send(request(target))
            begins(host, target.partition("?")[0])
            leaving.reset()
    client.get("/go")
    for target, what in sent.items():
        name = target.partition("?")[0]
        eventually(lambda name=name: event(host, name) != "waits")  # type: ignore[misc]
        assert event(host, name) == what
    assert "/none" not in host.log()  # no line of an answer that nobody got


def test_a_listener_is_told_before_send_raises(host: Host, client: Client) -> None:
    """S12: a task in receive() hears of it first; where it cancels nobody, send() raises then."""
    client.send(request("/listening"))
    client.more()
    client.reset()
    eventually(lambda: event(host, "listening") == "told then OSError")


def test_receive_after_the_response(host: Host, client: Client) -> None:
    """S12: behind the response comes http.disconnect, and not the body that nobody read."""
    assert client.get("/events").status == 200
    client.send(request("/receives", method="POST", body=b"hello"))
    assert client.response().body == b"ok"
    eventually(lambda: event(host, "receives") == ",".join(["http.disconnect"] * 3))


def test_an_app_that_receives_for_ever(host: Host, client: Client) -> None:
    """S12: it does not keep the loop from others."""
    for _ in range(3):
        client.send(request("/spins"))
        assert client.response().body == b"ok"
    assert client.get("/events").status == 200
    client.get("/go")
