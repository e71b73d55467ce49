"""Recordings are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.cutover.shadow.replay import source
from bridge.cutover.shadow.replay.source import read_recording
from bridge.errors import ConfigError


def har(*requests: tuple[str, str], more: tuple[Any, ...] = ()) -> str:
    """A HAR with these methods and addresses."""
    entries = [{"request": {"method": method, "url": url}} for method, url in requests]
    return "\ufeff" + json.dumps({"log": {"entries": [*entries, *more]}})


def read(path: Path, text: str, host: str | None = None, unsafe: bool = False):
    """What is read of a file."""
    path.write_text(text)
    return read_recording(str(path), host, unsafe=unsafe)


PAGE = (
    ("GET", "https://shop.example/"),
    ("POST", "https://shop.example/orders"),
    ("GET", "https://cdn.example/x.js"),
    ("GET", "https://shop.example/a"),
)


def test_a_har_is_read_for_one_host(tmp_path: Path) -> None:
    """M13: of a HAR the requests to the first host count; all others are counted by reason."""
    more = ({"_resourceType": "websocket"}, {"request": {}})
    found = read(tmp_path / "har", har(*PAGE, more=more))
    assert [request.path for request in found.requests] == ["/", "/a"]
    assert dict(found.skipped) == {
        "WebSockets": 1,
        "broken": 1,
        "for the host cdn.example": 1,
        "POST, which is not safe to repeat (--unsafe)": 1,
    }
    assert found.broken == [f"entry 6 of {tmp_path / 'har'}: its request has no method or no url"]


def test_host_and_unsafe_are_the_callers_choice(tmp_path: Path) -> None:
    """M13: another host may be named, and unsafe methods are sent only if that is wished."""
    found = read(tmp_path / "har", har(*PAGE), "CDN.example")
    assert [request.path for request in found.requests] == ["/x.js"]
    found = read(tmp_path / "har", har(*PAGE), unsafe=True)
    assert [request.method for request in found.requests] == ["GET", "POST", "GET"]


def test_a_get_that_names_another_method_is_not_safe(tmp_path: Path) -> None:
    """M13: it is asked only if unsafe methods are wished."""
    text = har(("GET", "http://x/a?_method=DELETE"), ("GET", "http://x/b?_method=GET"))
    found = read(tmp_path / "har", text)
    assert [request.path for request in found.requests] == ["/b"]
    reason = "those that name another method, not safe to repeat (--unsafe)"
    assert dict(found.skipped) == {reason: 1}
    assert len(read(tmp_path / "har", text, unsafe=True).requests) == 2


def test_our_own_recording_is_read(tmp_path: Path) -> None:
    """M13: a recording of ours is read with its older parts; bad lines are named."""
    (tmp_path / "file.1").write_text('{"method": "GET", "target": "/old"}\n')
    lines = [
        '{"method": "GET", "target": "/new"}',
        "",
        "{",
        "[]",
        "[" * 100_000,
        '{"method": "POST", "target": "/cut", "truncated": true}',
        '{"method": "GET", "target": "/cut", "truncated": true}',
    ]
    found = read(tmp_path / "file", "\n".join(lines), unsafe=True)
    assert [request.path for request in found.requests] == ["/old", "/new", "/cut"]
    assert found.skipped["broken"] == 3
    assert found.skipped["the body is not in the recording as a whole"] == 1
    assert "it is no JSON" in found.broken[0]


def test_few_broken_entries_are_named(tmp_path: Path) -> None:
    """M13: of many broken entries some are named, and all are counted."""
    found = read(tmp_path / "har", har(("GET", "http://x/"), more=({},) * 50))
    assert (len(found.broken), found.skipped["broken"]) == (10, 50)


@pytest.mark.parametrize("text", ["x", "[]", '{"log": 1}', "\xff"])
def test_what_is_no_recording_is_an_error(tmp_path: Path, text: str) -> None:
    """M13: a file of something else is an error that says what is wanted."""
    with pytest.raises(ConfigError, match="neither a HAR nor a recording of ours"):
        read(tmp_path / "file", text)


def test_files_that_cannot_be_read_are_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M13: a file that is not there, or too large to be read, is an error."""
    with pytest.raises(ConfigError, match="is no file"):
        read_recording(str(tmp_path / "none"), None, unsafe=False)
    monkeypatch.setattr(source, "_MOST_BYTES", 3)
    with pytest.raises(ConfigError, match="too large"):
        read(tmp_path / "file", "12345")


def test_an_empty_recording_has_no_requests(tmp_path: Path) -> None:
    """M13: nothing recorded is nothing to ask."""
    assert read(tmp_path / "file", "").requests == []


def test_what_is_not_kept_is_counted(tmp_path: Path) -> None:
    """M13: the caller may leave out requests, for a reason that is told; none, and none is told."""
    found = read(tmp_path / "har", har(*PAGE))
    found.keep(lambda request: True, "not wanted")
    assert "not wanted" not in found.skipped
    found.keep(lambda request: request.path == "/a", "not wanted")
    assert [request.path for request in found.requests] == ["/a"]
    assert found.skipped["not wanted"] == 1
