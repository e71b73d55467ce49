"""The recorder."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from bridge.cutover.shadow.recorder import MOST_BODY, Recorder
from bridge.cutover.shadow.records import RecordedRequest
from bridge.cutover.shadow.replay.recording import request_from
from bridge.cutover.shadow.replay.source import read_recording
from bridge.errors import ConfigError
from bridge.types import Receive, Scope, Send
from tests.support.apps.hello import wsgi
from tests.support.in_process import http, http_scope, talk, websocket

FORM = [(b"host", b"shop.example"), (b"content-type", b"application/x-www-form-urlencoded")]


async def reading(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the body, and changes its scope as frameworks do."""
    scope["path"] = "/changed"
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def recorded(recorder: Recorder, path: Path) -> list[RecordedRequest]:
    """What is in the file."""
    recorder.writer.close()
    return read_recording(str(path), None, unsafe=True).requests


def test_requests_are_written_without_secrets(tmp_path: Path) -> None:
    """M13: what an app is asked is written, without secrets, and the app answers as ever."""
    path = tmp_path / "file"
    recorder = Recorder(wsgi, path)
    headers = [(b"host", b"shop.example"), (b"cookie", b"s=hunter2"), (b"accept", b"*/*")]
    answer = http(
        recorder, "/a b", headers=headers, raw_path=b"/a%20b", query_string=b"x=1&token=hunter2"
    )
    assert (answer.status, answer.body) == (200, b"Hello, world!")
    http(recorder, "/b", method="POST")
    http(recorder, "/c", headers=[(b"x-http-method-override", b"DELETE")])
    assert recorded(recorder, path) == [
        RecordedRequest(
            "GET",
            "/a%20b",
            "x=1&token=***",
            (("host", "shop.example"), ("cookie", "s=***"), ("accept", "*/*")),
        )
    ]
    assert repr(recorder).startswith("Recorder(")


def test_all_methods_can_be_recorded_with_their_bodies(tmp_path: Path) -> None:
    """M13: bodies are written if that is wished, up to 64 KiB, as far as the app reads them."""
    path = tmp_path / "file"
    recorder = Recorder(reading, path, all_methods=True)
    http(recorder, "/form", [b"user=me&pass", b"word=hunter2"], method="POST", headers=FORM)
    http(recorder, "/large", [b"x" * MOST_BODY, b"x"], method="PUT", headers=FORM)

    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("no")

    failing = Recorder(fails, path, all_methods=True)
    with pytest.raises(ValueError, match="no"):
        http(failing, "/fails", [b"a=1"], method="POST", headers=FORM)
    failing.writer.close()
    recorder.writer.close()
    found = {
        request.path: (request.method, request.body, request.truncated)
        for request in (request_of(line) for line in path.read_text().splitlines())
    }
    assert found == {
        "/form": ("POST", b"user=me&password=***", False),
        "/large": ("PUT", b"", True),
        "/fails": ("POST", b"", True),
    }


def test_a_get_that_names_another_method_is_recorded_with_others(tmp_path: Path) -> None:
    """M13: only if all methods are."""
    path = tmp_path / "file"
    recorder = Recorder(reading, path, all_methods=True)
    http(recorder, "/a", query_string=b"_method=DELETE")
    assert [request.path for request in recorded(recorder, path)] == ["/a"]


def request_of(line: str) -> RecordedRequest:
    """The request of one line."""
    return request_from(json.loads(line))


def test_websockets_and_copies_are_passed_on(tmp_path: Path) -> None:
    """M13: WebSockets are not recorded, nor what is only a copy of another request."""
    path = tmp_path / "file"

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close"})

    recorder = Recorder(app, path, kind="asgi3")
    assert websocket(recorder, "/") == [{"type": "websocket.close"}]
    copied = Recorder(reading, path)
    http(copied, "/", extensions={"bridge.shadow": {}})
    assert recorded(copied, path) == recorded(recorder, path) == []


def test_the_lifespan_ends_when_all_is_written(tmp_path: Path) -> None:
    """M13: the app has its lifespan, and at its end what waits is written."""
    path = tmp_path / "file"
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await reading(scope, receive, send)
            return
        for _ in range(2):
            message = await receive()
            seen.append(message["type"])
            await send({"type": f"{message['type']}.complete"})

    recorder = Recorder(app, path)

    async def live() -> None:
        messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        await talk(recorder, http_scope("/"), [{"type": "http.request", "body": b""}])
        await talk(recorder, {"type": "lifespan", "asgi": {"version": "3.0"}}, messages)

    asyncio.run(live())
    assert seen == ["lifespan.startup", "lifespan.shutdown"]
    assert len(path.read_text().splitlines()) == 1


def test_wrong_arguments_are_errors(tmp_path: Path) -> None:
    """M13: a file that cannot be written, and an app of no kind, are errors at once."""
    with pytest.raises(ConfigError, match="cannot be written"):
        Recorder(wsgi, tmp_path / "none" / "file")
    with pytest.raises(ConfigError):
        Recorder(5, tmp_path / "file")
