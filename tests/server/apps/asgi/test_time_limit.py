"""`timeout_request` for ASGI apps on the server: what is cancelled, and what is left alone."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import pytest

from bridge import ClientDisconnected, Dispatcher, Mount
from tests.support.raw import Closed, request
from tests.support.serving import Served, served
from tests.support.waiting import eventually

#: Seconds.
SHORT = 0.2


class App:
    """An ASGI app with a path for each way to take too long."""

    def __init__(self) -> None:
        self.ends: list[str] = []
        self.file = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        name = scope["path"].rpartition("/")[2] or "ok"
        try:
            await getattr(self, name)(scope, receive, send)
        except BaseException as error:
            self.ends.append(type(error).__name__)
            raise

    async def ok(self, scope: Any, receive: Any, send: Any, body: bytes = b"ok") -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def hangs(self, scope: Any, receive: Any, send: Any) -> None:
        await self.deeper()

    async def deeper(self) -> None:
        await asyncio.sleep(3600)

    async def half(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        await self.deeper()

    async def events(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(40):
            await send({"type": "http.response.body", "body": b"event", "more_body": True})
            await asyncio.sleep(SHORT / 10)
        await send({"type": "http.response.body", "body": b"end"})

    async def finishes(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self.deeper()
        except asyncio.CancelledError:
            await self.ok(scope, receive, send, b"in time")

    async def returns(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self.deeper()
        except asyncio.CancelledError:
            pass

    async def fails(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self.deeper()
        finally:
            raise ValueError("the app's own")

    async def swallows(self, scope: Any, receive: Any, send: Any) -> None:
        for _ in range(2):
            try:
                await asyncio.sleep(2)
            except asyncio.CancelledError:
                pass
        await self.ok(scope, receive, send, b"late")

    async def after(self, scope: Any, receive: Any, send: Any) -> None:
        await self.ok(scope, receive, send)
        await asyncio.sleep(4 * SHORT)
        self.ends.append("background")

    async def uploads(self, scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass
        await self.ok(scope, receive, send)

    async def sends_file(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.pathsend", "path": self.file})


def ask(server: Served, path: str) -> Any:
    with server.connect() as client:
        client.send(request(path))
        return client.response()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


def test_a_request_that_hangs(caplog: pytest.LogCaptureFixture) -> None:
    """R2: the app is cancelled, the answer is 504, and the log names the line that it awaits."""
    app = App()
    with served(app, timeout_request=SHORT) as server:
        with server.connect() as client:
            client.send(request("/hangs"))
            assert [ask(server, "/").status for _ in range(64)] == [200] * 64
            assert client.response().status == 504
            client.send(request("/"))
            assert client.response().body == b"ok", "the connection goes on"
    assert app.ends == ["CancelledError"]
    [text] = warnings(caplog)
    assert "GET /hangs of the app has run for" in text
    assert "in App.deeper" in text.partition("\n")[0]
    assert text.index("in App.hangs") < text.rindex("in App.deeper")


def test_half_a_response_is_cut() -> None:
    """R2: a response that has begun, and hangs, is cut visibly."""
    with served(App(), timeout_request=SHORT) as server, server.connect() as client:
        client.send(request("/half"))
        with pytest.raises((Closed, ConnectionResetError)):
            client.response()


def test_what_goes_on_is_left_alone() -> None:
    """R2: a stream of events, and what an app does after its response, may take any time."""
    app = App()
    with served(app, timeout_request=SHORT) as server:
        assert ask(server, "/after").body == b"ok"
        assert ask(server, "/events").body.endswith(b"eventend")
        eventually(lambda: app.ends == ["background"])


def test_an_app_that_ends_in_time(caplog: pytest.LogCaptureFixture) -> None:
    """R2: an app that is cancelled may finish its response; one that only returns gets 504."""
    app = App()
    with served(app, timeout_request=SHORT) as server:
        assert ask(server, "/finishes").body == b"in time"
        assert ask(server, "/returns").status == 504
        assert app.ends == []
        assert len(warnings(caplog)) == 2
        assert ask(server, "/fails").status == 504
        assert len(warnings(caplog)) == 3, "what it raises since then is no news"


def test_an_app_that_does_not_end(caplog: pytest.LogCaptureFixture) -> None:
    """R2: an app that swallows the cancellation is answered without it, and is told so."""
    app = App()
    with served(app, timeout_request=SHORT) as server:
        assert ask(server, "/swallows").status == 504
        eventually(lambda: app.ends == [ClientDisconnected.__name__])
    texts = warnings(caplog)
    assert len(texts) == 2
    assert "could not be interrupted within 1 s" in texts[1]


def test_a_client_that_does_not_upload() -> None:
    """R2: waiting for a request's body counts."""
    with served(App(), timeout_request=SHORT) as server, server.connect() as client:
        client.send(b"POST /uploads HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx")
        assert client.response().status == 504


def test_a_client_that_leaves() -> None:
    """R2: a client that leaves meanwhile changes nothing: the app is cancelled."""
    app = App()
    with served(app, timeout_request=SHORT) as server:
        with server.connect() as client:
            client.send(request("/hangs"))
        eventually(lambda: app.ends == ["CancelledError"])
        assert ask(server, "/").status == 200


def test_slow_clients_are_not_the_apps_fault(tmp_path: Path) -> None:
    """R2: how long a client takes for a file is for other limits."""
    app = App()
    file = tmp_path / "large"
    file.write_bytes(b"x" * 30_000_000)
    app.file = str(file)
    with served(app, timeout_request=SHORT, pathsend=True) as server, server.connect() as client:
        client.send(request("/sends_file"))
        time.sleep(5 * SHORT)  # the client takes nothing for longer than the app may take
        assert len(client.response().body) == 30_000_000
    assert app.ends == []


def test_each_mount_has_its_own(caplog: pytest.LogCaptureFixture) -> None:
    """R2: a mount's value holds for it alone; the log names the mount; 0 is off."""
    hurried, patient = App(), App()
    mounts = {
        "/a": Mount(hurried, settings={"timeout_request": SHORT}),
        "/b": Mount(patient, settings={"timeout_request": 0}),
    }
    with served(Dispatcher({"/": Dispatcher(mounts)}), timeout_request=60) as server:
        with server.connect() as other:
            other.send(request("/b/events"))
            assert ask(server, "/a/hangs").status == 504
            assert other.response().status == 200
    assert "of app mounted at /a has run" in warnings(caplog)[0]


def test_it_is_off_by_default() -> None:
    """R2: without the setting no request is watched."""
    with served(App()) as server, server.connect() as client:
        client.send(request("/events"))
        assert client.response().body.endswith(b"end")
