"""Shape and order of the messages that an ASGI app sends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.asgi import messages
from bridge.asgi.messages import (
    DENYING,
    HTTP,
    OPEN,
    OVER,
    STREAMING,
    TRAILING,
    WAITING,
    WEBSOCKET,
    check_body,
    hint_links,
    message_type,
    next_phase,
)
from bridge.errors import IllegalMessage

START = {"type": "http.response.start", "status": 200}
END = {"type": "http.response.body"}
MORE = {"type": "http.response.body", "more_body": True}
PATHSEND = {"type": "http.response.pathsend", "path": "/x"}
HINT = {"type": "http.response.early_hint", "links": []}
TRAILERS = {"type": "http.response.trailers", "headers": []}


def run(*sent: dict[str, Any], grammar: Any = HTTP, trailers: bool = False) -> str:
    phase: str = WAITING
    for message in sent:
        phase = next_phase(grammar, phase, message, trailers=trailers)
    return phase


class TestOrder:
    @pytest.mark.parametrize(
        ("sent", "phase"),
        [
            ((), WAITING),
            ((START,), STREAMING),
            ((START, END), OVER),
            ((START, MORE), STREAMING),
            ((START, MORE, MORE, END), OVER),
            ((HINT, HINT, START, END), OVER),
            ((START, PATHSEND), OVER),
        ],
    )
    def test_legal(self, sent: tuple[dict[str, Any], ...], phase: str) -> None:
        """A20: every legal order is accepted."""
        assert run(*sent) == phase

    @pytest.mark.parametrize(
        ("sent", "says"),
        [
            ((END,), "'http.response.body' was sent before the response starts"),
            ((PATHSEND,), "was sent before the response starts"),
            ((START, START), "'http.response.start' was sent in the body"),
            ((START, HINT), "was sent in the body, when 'http.response.body'"),
            ((START, END, END), "was sent after the end, when nothing may be sent"),
            ((START, END, START), "was sent after the end"),
            ((START, PATHSEND, END), "was sent after the end"),
            ((START, MORE, END, END), "was sent after the end"),
            ((START, END, TRAILERS), "was sent after the end"),
            (({"type": "http.response.pause"},), "unknown message type 'http.response.pause'"),
        ],
    )
    def test_illegal(self, sent: tuple[dict[str, Any], ...], says: str) -> None:
        """A21: an illegal order raises an error that says what was sent, when, and what may be."""
        assert run(*sent[:-1])
        with pytest.raises(IllegalMessage) as caught:
            run(*sent)
        assert says in str(caught.value)

    def test_trailers(self) -> None:
        """A20 A21: announced trailers follow the body, and only they."""
        assert run(START, END, trailers=True) == TRAILING
        assert run(START, PATHSEND, trailers=True) == TRAILING
        assert run(START, END, {**TRAILERS, "more_trailers": True}, trailers=True) == TRAILING
        assert run(START, END, TRAILERS, trailers=True) == OVER
        with pytest.raises(IllegalMessage, match="before the trailers"):
            run(START, END, END, trailers=True)

    def test_websocket(self) -> None:
        """A21 A40: the order of a WebSocket's messages, accepted and refused."""
        accept, send, close = (
            {"type": f"websocket.{kind}"} for kind in ("accept", "send", "close")
        )
        refuse = {"type": "websocket.http.response.start", "status": 403}
        body = {"type": "websocket.http.response.body"}
        assert run(accept, send, grammar=WEBSOCKET) == OPEN
        assert run(accept, send, close, grammar=WEBSOCKET) == OVER
        assert run(close, grammar=WEBSOCKET) == OVER
        assert run(refuse, {**body, "more_body": True}, grammar=WEBSOCKET) == DENYING
        assert run(refuse, body, grammar=WEBSOCKET) == OVER
        for illegal in [(send,), (accept, accept), (accept, refuse), (close, send), (refuse, send)]:
            with pytest.raises(IllegalMessage, match="was sent"):
                run(*illegal, grammar=WEBSOCKET)

    @given(st.lists(st.sampled_from([START, END, MORE, PATHSEND, HINT, TRAILERS])), st.booleans())
    def test_nothing_follows_the_end(self, sent: list[dict[str, Any]], trailers: bool) -> None:
        """A21: of any sequence the legal part has at most one start, and nothing after its end."""
        phase: str = WAITING
        accepted: list[str] = []
        for message in sent:
            try:
                phase = next_phase(HTTP, phase, message, trailers=trailers)
            except IllegalMessage:
                break
            accepted.append(message["type"])
            assert phase != OVER or message in (END, PATHSEND, TRAILERS)
        assert accepted.count("http.response.start") <= 1

    @pytest.mark.parametrize("message", [None, 1, "start", [], {}, {"status": 200}])
    def test_not_a_message(self, message: Any) -> None:
        """A21: what is no message at all is an IllegalMessage too, not a KeyError from inside."""
        with pytest.raises(IllegalMessage, match="is a dict with a 'type'"):
            message_type(message)

    def test_type_that_is_no_text(self) -> None:
        """A21: the type of a message is text."""
        with pytest.raises(IllegalMessage, match="is a str"):
            message_type({"type": 5})


class TestBody:
    @pytest.mark.parametrize(
        ("message", "body"),
        [
            ({}, b""),
            ({"body": b"x"}, b"x"),
            ({"body": bytearray(b"x")}, b"x"),
            ({"body": memoryview(b"xyz")[1:]}, b"yz"),
        ],
    )
    def test_bytes(self, message: dict[str, Any], body: bytes) -> None:
        """A20: the body may be left out; bytes-like objects come out as bytes."""
        checked = check_body(message)
        assert checked == body
        assert type(checked) is bytes

    @pytest.mark.parametrize("body", ["x", None, 5, [b"x"]])
    def test_anything_else(self, body: Any) -> None:
        """A21: a body that is not bytes is named by its type."""
        with pytest.raises(IllegalMessage, match=type(body).__name__):
            check_body({"body": body})


class TestHints:
    @pytest.mark.parametrize(
        ("links", "listed"),
        [
            (None, []),
            ([], []),
            ([b"</a>; rel=preload"], [b"</a>; rel=preload"]),
            ((b"a", b"b"), [b"a", b"b"]),
            (iter([b"a"]), [b"a"]),
        ],
    )
    def test_links(self, links: Any, listed: list[bytes]) -> None:
        """A24: any iterable of links will do; without links there is none."""
        assert hint_links({**HINT, "links": links}) == listed
        assert hint_links({"type": HINT["type"]}) == []

    @pytest.mark.parametrize("links", [b"</a>", "</a>", {b"a": b"b"}, 5])
    def test_anything_else(self, links: Any) -> None:
        """A21: one link that is no list, above all, is an error of the app's."""
        with pytest.raises(IllegalMessage, match="must be an iterable of bytes"):
            hint_links({**HINT, "links": links})


def test_every_type_is_in_a_grammar() -> None:
    """A21: the names that this module exports are the types that its tables know."""
    known = {kind for grammar in (HTTP, WEBSOCKET) for phase in grammar.values() for kind in phase}
    named = {
        value
        for name, value in vars(messages).items()
        if name.isupper() and isinstance(value, str) and "." in value
    }
    assert named == known
