"""HAR files."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.cutover.shadow.records import RecordedRequest
from bridge.cutover.shadow.replay.har import entries_of, is_websocket, request_from
from bridge.cutover.shadow.replay.recording import BrokenEntry


def entry(url: str = "https://shop.example/a", method: str = "GET", **more: Any) -> dict[str, Any]:
    """An entry, as a browser writes it."""
    return {"request": {"method": method, "url": url, "headers": [], **more}}


def test_a_request_is_read() -> None:
    """M13: method, address and fields are read; HTTP/2's own fields are left out."""
    headers = [
        {"name": ":method", "value": "GET"},
        {"name": ":authority", "value": "shop.example"},
        {"name": "Accept", "value": "*/*"},
    ]
    assert request_from(
        entry("https://me@shop.example:8443/a b/\u00e4?q=%20x y#part", "get", headers=headers)
    ) == RecordedRequest(
        "GET",
        "/a%20b/%C3%A4",
        "q=%20x%20y",
        (("host", "shop.example:8443"), ("accept", "*/*")),
        scheme="https",
    )
    own = entry(headers=[{"name": "Host", "value": "other.example"}])
    assert request_from(own).headers == (("host", "other.example"),)
    assert request_from(entry("http://shop.example")).path == "/"


@pytest.mark.parametrize(
    ("data", "body"),
    [
        ({"mimeType": "text/plain", "text": "caf\u00e9"}, "caf\u00e9".encode()),
        ({"text": "iVBO", "encoding": "base64"}, b"\x89PN"),
        ({"text": "iVBO", "_encoding": "base64"}, b"\x89PN"),
        ({"params": [{"name": "a", "value": "1 2"}, {"name": "b", "value": "&"}]}, b"a=1+2&b=%26"),
        ({"text": ""}, b""),
        (None, b""),
    ],
)
def test_bodies_are_read(data: object, body: bytes) -> None:
    """M13: a body is text, base64, or the parameters of a form."""
    assert request_from(entry(method="POST", postData=data)).body == body


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("x", "no request"),
        ({}, "no request"),
        ({"request": {"method": "GET"}}, "no url"),
        (entry(method=""), "no method"),
        (entry("http://["), "its url is none"),
        (entry("data:text/plain,x"), "not one of http"),
        (entry("/a"), "not one of http"),
        (entry(headers={}), "are no list"),
        (entry(headers=[{"name": "a"}]), "has no name or no value"),
        (entry(headers=["a"]), "has no name or no value"),
        (entry(postData="x"), "no object"),
        (entry(postData={"text": "%", "encoding": "base64"}), "no base64"),
        (
            entry(
                postData={
                    "mimeType": "multipart/form-data",
                    "params": [{"name": "a", "value": "1"}],
                }
            ),
            "form in parts",
        ),
    ],
)
def test_broken_entries_say_why(broken: object, why: str) -> None:
    """M13: an entry that cannot be asked again says what is wrong with it."""
    with pytest.raises(BrokenEntry, match=why):
        request_from(broken)


def test_websockets_are_known() -> None:
    """M13: a WebSocket is told by its type, its address, or its status."""
    assert is_websocket({"_resourceType": "websocket"})
    assert is_websocket(entry("wss://shop.example/chat"))
    assert is_websocket({**entry(), "response": {"status": 101}})
    assert not is_websocket({**entry(), "response": {"status": 200}})
    assert not is_websocket("x")


def test_what_is_no_har_is_told() -> None:
    """M13: a HAR has a log with entries."""
    assert entries_of({"log": {"entries": [1]}}) == [1]
    for other in ({}, {"log": []}, {"log": {"entries": {}}}):
        assert entries_of(other) is None
