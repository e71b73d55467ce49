"""The one small answer of our own, in every form that a host takes."""

from __future__ import annotations

import pytest

from bridge.errors import (
    AppError,
    BridgeError,
    ClientDisconnected,
    IllegalMessage,
    IllegalResponse,
    Overloaded,
    RequestError,
    SelfRequest,
)
from bridge.http.error_response import encode_error, error_response
from bridge.http.status import reason_phrase


class Upgrade(RequestError):
    """A refusal with fields: one of the message, one of the connection."""

    fields = ((b"upgrade", b"websocket"), (b"sec-websocket-version", b"13"))


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (RequestError("Host is b''"), 400, ": Host is b''"),
        (RequestError("read 9 bytes, limit is 8; raise --limit-x to allow more", 431), 431, None),
        (RequestError("read 9 bytes; lower timeout_x to allow that", 408), 408, ": read 9 bytes"),
        (RequestError("9 bytes; raise max_body_size to allow it", 413), 413, ": 9 bytes"),
        (RequestError("the protocol is b'HTTP/3.0'", 505), 505, ": the protocol is b'HTTP/3.0'"),
        (SelfRequest("it waits for itself"), 503, ": it waits for itself"),
        (Overloaded("9 of 9 threads are busy"), 503, ""),
        (ClientDisconnected("gone"), 499, ""),
        (AppError("secret"), 500, ""),
        (IllegalMessage("secret"), 500, ""),
        (IllegalResponse("secret"), 500, ""),
        (ValueError("secret"), 500, ""),
        (SystemExit("secret"), 500, ""),
        (404, 404, ""),
        (999, 999, ""),
    ],
)
def test_what_a_client_is_told(error: BaseException | int, status: int, told: str | None) -> None:
    """S6, W38: what the client did wrong, but neither settings nor anything from inside."""
    told = ": read 9 bytes, limit is 8" if told is None else told
    head, body = error_response(error)
    assert head.status_code == status
    assert body == f"{reason_phrase(status)}{told}\n".encode()
    fields = dict(head.raw_headers)
    assert fields[b"content-type"] == b"text/plain; charset=utf-8"
    assert fields[b"content-length"] == b"%d" % len(body)
    assert (b"retry-after" in fields) is (status == 503)


def test_other_words() -> None:
    """A40: a caller may know better words for the client than the status."""
    assert error_response(501, "go elsewhere").body == b"Not Implemented: go elsewhere\n"
    assert error_response(Overloaded("full"), "later").body == b"Service Unavailable: later\n"
    assert error_response(RequestError("this"), "that").body == b"Bad Request: that\n"


def test_any_text() -> None:
    """S6: a text that cannot be encoded is told as far as it can be."""
    assert error_response(RequestError("\udc80 \xe9")).body == "Bad Request: ? \xe9\n".encode()


def test_head() -> None:
    """RFC 9110 §9.3.2: the answer to HEAD has the same fields, and no body."""
    error = RequestError("malformed")
    whole, bare = error_response(error), error_response(error, is_head=True)
    assert bare.head.raw_headers == whole.head.raw_headers
    assert (bool(whole.body), bare.body) == (True, b"")
    assert encode_error(error, b"") == encode_error(error, b"", is_head=True) + whole.body


def test_forms() -> None:
    """S6, A2: the same in each form: bytes for HTTP/1, pairs of bytes for ASGI, text for WSGI."""
    head, body = error_response(Overloaded("full"))
    fields = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"20"),
        (b"retry-after", b"1"),
    ]
    assert head.raw_headers == fields
    assert head.text == (
        "503 Service Unavailable",
        [(name.decode(), value.decode()) for name, value in fields],
    )
    assert encode_error(Overloaded("full"), b"server: us\r\n") == b"".join(
        [
            b"HTTP/1.1 503 Service Unavailable\r\n",
            *[b"%b: %b\r\n" % field for field in fields],
            b"server: us\r\nconnection: close\r\n\r\n",
            body,
        ]
    )


def test_fields_of_the_connection() -> None:
    """RFC 9110 §15.5.22: a 426 says what to upgrade to; behind a host that is the host's to say."""
    error = Upgrade("version 12", 426)
    names = [name for name, _ in error_response(error).head.raw_headers]
    assert b"sec-websocket-version" in names
    assert b"upgrade" not in names
    head = encode_error(error, b"").partition(b"\r\n\r\n")[0]
    assert b"\r\nsec-websocket-version: 13\r\n" in head
    assert b"\r\nupgrade: websocket\r\n" in head


def test_an_error_of_our_own_without_a_status() -> None:
    """S6: what names no status is a 500."""
    assert error_response(BridgeError("x")).head.status_code == 500
