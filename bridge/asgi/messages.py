"""ASGI messages that an app sends: their shape, and in which order they may come (A20, A21).

A request is in one phase at a time, and each phase allows few types of message; the tables `HTTP`
and `WEBSOCKET` are the whole grammar. A caller may check the most common messages (start, body)
itself, and use the tables only to say what was wrong:

    if kind == BODY and phase == STREAMING: ...
    else: raise out_of_order(HTTP, phase, kind)

Everything raised here is `IllegalMessage`, inside the app's own ``await send(...)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from bridge.errors import IllegalMessage
from bridge.types import Message

# ------------------------------------------------------------- types of message

START: Final = "http.response.start"
BODY: Final = "http.response.body"
TRAILERS: Final = "http.response.trailers"
EARLY_HINT: Final = "http.response.early_hint"
PATHSEND: Final = "http.response.pathsend"
DEBUG: Final = "http.response.debug"

ACCEPT: Final = "websocket.accept"
SEND: Final = "websocket.send"
CLOSE: Final = "websocket.close"
DENIAL_START: Final = "websocket.http.response.start"
DENIAL_BODY: Final = "websocket.http.response.body"

# ------------------------------------------------------------- phases

#: HTTP: no response yet; WebSocket: the handshake has no answer yet.
WAITING: Final = "before the response starts"
#: HTTP: the head is known, body may follow.
STREAMING: Final = "in the body"
#: HTTP: the body is whole, trailers were announced.
TRAILING: Final = "before the trailers"
#: WebSocket: accepted.
OPEN: Final = "while the WebSocket is open"
#: WebSocket: it is being refused by an HTTP response (ASGI, "WebSocket Denial Response").
DENYING: Final = "in the response that refuses the WebSocket"
#: Nothing may follow.
OVER: Final = "after the end"

Grammar: TypeAlias = Mapping[str, Mapping[str, str]]

#: phase -> type of message -> next phase. Where a flag of the message (`more_body`,
#: `more_trailers`) says that it was the last one, `next_phase` decides.
HTTP: Final[Grammar] = {
    WAITING: {START: STREAMING, EARLY_HINT: WAITING, DEBUG: WAITING},
    STREAMING: {BODY: STREAMING, PATHSEND: OVER, DEBUG: STREAMING},
    TRAILING: {TRAILERS: TRAILING, DEBUG: TRAILING},
    OVER: {},
}
WEBSOCKET: Final[Grammar] = {
    WAITING: {ACCEPT: OPEN, CLOSE: OVER, DENIAL_START: DENYING},
    OPEN: {SEND: OPEN, CLOSE: OVER},
    DENYING: {DENIAL_BODY: DENYING},
    OVER: {},
}

_MORE = {BODY: "more_body", DENIAL_BODY: "more_body", TRAILERS: "more_trailers"}


def next_phase(grammar: Grammar, phase: str, message: Message, *, trailers: bool = False) -> str:
    """Return the phase after `message`; raises `IllegalMessage` if it may not be sent now.

    `trailers`: the response's start announced them, so its body is followed by `TRAILING`.
    """
    kind = message_type(message)
    after = grammar[phase].get(kind)
    if after is None:
        raise out_of_order(grammar, phase, kind)
    flag = _MORE.get(kind)
    if flag is not None and not message.get(flag, False):
        return TRAILING if trailers and kind == BODY else OVER
    if trailers and kind == PATHSEND:
        return TRAILING
    return after


def message_type(message: Message) -> str:
    """Return the type of any message; raises `IllegalMessage` if it has none."""
    try:
        kind = message["type"]
    except (TypeError, KeyError):
        raise IllegalMessage(
            f"an ASGI message is a dict with a 'type', not {message!r:.200}"
        ) from None
    if not isinstance(kind, str):
        raise IllegalMessage(f"the type of an ASGI message is a str, not {kind!r:.200}")
    return kind


def out_of_order(grammar: Grammar, phase: str, kind: str) -> IllegalMessage:
    """Make the error for a message that is unknown, or known but not allowed in this phase."""
    if not any(kind in allowed for allowed in grammar.values()):
        return IllegalMessage(f"unknown message type {kind!r}; known: {_names(_all(grammar))}")
    allowed = _names(grammar[phase]) or "nothing"
    return IllegalMessage(f"{kind!r} was sent {phase}, when {allowed} may be sent")


def _all(grammar: Grammar) -> list[str]:
    return [kind for phase in grammar.values() for kind in phase]


def _names(kinds: Iterable[str]) -> str:
    return ", ".join(repr(kind) for kind in dict.fromkeys(kinds))


# ------------------------------------------------------------- status and header fields


def hint_links(message: Message) -> list[object]:
    """Return the links of an early hint as a list; they are checked later, as field values."""
    links = message.get("links")
    if links is None:
        return []
    if isinstance(links, (str, bytes, Mapping)) or not isinstance(links, Iterable):
        raise IllegalMessage(f"links are {links!r:.200}, and must be an iterable of bytes")
    return list(links)


# ------------------------------------------------------------- the body


def check_body(message: Message) -> bytes:
    """Return the piece of body in a message, ``b""`` if there is none."""
    body = message.get("body", b"")
    return body if type(body) is bytes else as_bytes(body)


def as_bytes(body: object) -> bytes:
    """Convert a bytes-like object to bytes; raises `IllegalMessage` for anything else."""
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    raise IllegalMessage(f"body is {type(body).__name__}, and must be bytes")
