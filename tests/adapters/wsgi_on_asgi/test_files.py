"""Files that the host sends by itself."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from bridge.adapters.wsgi_on_asgi.files import PATH_SEND, ZERO_COPY_SEND, file_message
from bridge.types import Environ, StartResponse, WSGIApp
from tests.adapters.wsgi_on_asgi.asking import (
    ask,
)

PATHSEND = {"extensions": {"http.response.pathsend": {}}, "pathsend": True}


ZEROCOPY = {"extensions": {"http.response.zerocopysend": {}}, "pathsend": True}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.bin"
    path.write_bytes(bytes(range(256)) * 1000)
    return path


def file_app(path: Path, **how: Any) -> WSGIApp:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        opened = path.open("rb")
        opened.seek(how.get("position", 0))
        headers = [("Content-Length", str(how["length"]))] if "length" in how else []
        start_response("200 OK", headers)
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](opened)
        return wrapped

    return app


@pytest.mark.parametrize("extensions", [PATHSEND, ZEROCOPY])
def test_files_go_in_pieces_if_nothing_is_said(runner: str, file: Path, extensions: Any) -> None:
    """W41: a middleware between host and app sees their bytes, whatever the host offers."""
    client = ask(file_app(file), runner=runner, extensions=extensions["extensions"])
    assert {message["type"] for message in client.sent[1:]} == {"http.response.body"}
    assert client.body == file.read_bytes()


def test_pathsend(waiting_runner: str, file: Path) -> None:
    """W41: a whole file goes out by its path, if the host offers that."""
    client = ask(file_app(file), runner=waiting_runner, **PATHSEND)
    assert client.sent == [
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", b"256000")],
        },
        {"type": "http.response.pathsend", "path": str(file)},
    ]


@pytest.mark.parametrize("how", [{"position": 7}, {"length": 1000}, {"position": 7, "length": 9}])
def test_part_of_a_file(runner: str, file: Path, how: dict[str, int]) -> None:
    """W41: a part of a file cannot go by its path; position and Content-Length are respected."""
    client = ask(file_app(file, **how), runner=runner, **PATHSEND)
    start = how.get("position", 0)
    whole = file.read_bytes()[start:]
    assert client.body == whole[: how.get("length")]
    assert client.headers[b"content-length"] == str(len(client.body)).encode()


@pytest.mark.parametrize("extensions", [PATHSEND, ZEROCOPY])
def test_a_device_is_no_file(waiting_runner: str, extensions: Any) -> None:
    """W41: a host is asked to send regular files only; others are read by us."""
    client = ask(file_app(Path("/dev/null")), runner=waiting_runner, **extensions)
    assert [message["type"] for message in client.sent] == [
        "http.response.start",
        "http.response.body",
    ]


def test_zero_copy(waiting_runner: str, file: Path) -> None:
    """W41: a part of a file goes out without copying, if the host offers that."""
    how = {"position": 7, "length": 1000}
    client = ask(file_app(file, **how), runner=waiting_runner, **ZEROCOPY)
    message = client.sent[1]
    assert isinstance(message.pop("file"), int)
    assert message == {"type": "http.response.zerocopysend", "offset": 7, "count": 1000}
    assert len(client.sent) == 2


@pytest.mark.parametrize("extensions", [{}, PATHSEND])
def test_file_without_a_path(runner: str, extensions: Any) -> None:
    """W41: a file that has no path goes out in chunks."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        opened = tempfile.TemporaryFile()  # noqa: SIM115
        opened.write(b"x" * 200_000)
        opened.seek(0)
        start_response("200 OK", [])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](opened)
        return wrapped

    assert ask(app, runner=runner, **extensions).body == b"x" * 200_000


def test_file_that_was_removed(tmp_path: Path) -> None:
    """W41: a path that is no longer the open file's is not used."""
    path = tmp_path / "old"
    path.write_bytes(b"the open one")

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        opened = path.open("rb")
        path.rename(tmp_path / "elsewhere")
        path.write_bytes(b"another one!")
        start_response("200 OK", [])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](opened)
        return wrapped

    assert ask(app, **PATHSEND).body == b"the open one"


@pytest.mark.parametrize("closed", [True, False])
def test_what_is_no_file_of_the_system(closed: bool) -> None:
    """W41: a file in memory, or one that is closed, cannot be sent by the host."""
    memory = io.BytesIO(b"abc")
    if closed:
        memory.close()
    assert file_message(memory, 3, (ZERO_COPY_SEND,)) is None
    assert file_message(object(), 3, (ZERO_COPY_SEND,)) is None


def test_the_message_for_a_file(file: Path) -> None:
    """W41: without a count all of it; nothing for a device, or for a path that is gone."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        opened.seek(1)
        message = file_message(opened, None, (ZERO_COPY_SEND,))
        assert message is not None
        assert (message["offset"], message["count"]) == (1, size - 1)
        assert file_message(opened, None, (PATH_SEND,)) is None
        opened.seek(0)
        assert file_message(opened, size, ()) is None
        assert file_message(opened, size, (PATH_SEND,)) is not None
        file.unlink()
        assert file_message(opened, size, (PATH_SEND,)) is None
    with Path(os.devnull).open("rb") as device:
        assert file_message(device, 1, (ZERO_COPY_SEND,)) is None
