"""What gateways and workers write to each other, as bytes (rules L9, L13).

A *session* is one request or one WebSocket of a gateway, by a number of its own. A request goes to
the queue of all workers (`keys.py` says how it is taken). After it was taken, both sides write
*packets* to each other's queue; all frames of one turn of the loop for one process leave as one
packet:

    request   msgpack [version, gateway, session, scope, events]
    packet    msgpack [version, sender, [frame, ...]]
    frame     [gateway, session, number, kind, payload]

`number` counts the frames of a session in one direction, from 0: a gap means that Redis has lost
something, and ends the session. `TAKEN` is the first frame of a worker, and the gateway writes
none before it. Events are ASGI 3 messages as they are. A whole response that is there at once is
one frame, `ANSWER`: it stands for `TAKEN`, the events of the response and `END`.

Consumers of ASGI 1 get one message each, on whichever worker is there. A gateway that can make
these messages says so in the scope, by the extension `CONSUMERS`. A worker whose app is a consumer
then hands the request back: `TAKEN` with `CONSUMER`, one event of the type `CONSUMERS` with what
the gateway must know (`Found.told`), `END`. Each message is a request of its own then:

    scope     {"type": "consumer", "channel": "websocket.receive", "content": {...}}, and
              "more_body": true if the rest of a request's body follows, as events `http.request`,
              "mount": where the consumer is, as the worker has said it

`content["reply_channel"]` is a channel of the gateway; replies go there by the channel layer, from
whichever process. `END` comes when the call is over.

=========  ================  ===================================================================
kind       direction         payload
=========  ================  ===================================================================
`EVENTS`   both              a list of ASGI messages: what the app sends, or is to receive
`CREDIT`   both              an int: so many bytes more may be sent to the writer of this
`TAKEN`    worker, gateway   `SESSION` or `CONSUMER`: what the worker runs
`END`      worker, gateway   None, or the text of the error with which the app ended
`CANCEL`   both              None: the session is over. The client has gone; or the process that
                             writes it has lost the session. Its number is not looked at
`ANSWER`   worker, gateway   [status, headers, body], of a request for HTTP: the only frame of its
                             session
=========  ================  ===================================================================
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgpack

from bridge.types import Message, Scope

VERSION: Final = 1

EVENTS: Final = 0
CREDIT: Final = 1
TAKEN: Final = 2
END: Final = 3
CANCEL: Final = 4
ANSWER: Final = 5
_KINDS: Final = range(6)

#: What runs on the worker: an app that keeps the session, or consumers that get one message each.
SESSION: Final = "session"
CONSUMER: Final = "consumer"
#: The extension of gateways that make the messages of consumers; and the type of an event.
CONSUMERS: Final = "bridge.consumers"

#: Keys of a scope that stay in the gateway: they are of its process, or cannot be written.
_OWN_KEYS: Final = ("state", "app", "router", "endpoint")


class UnreadablePacket(ValueError):
    """What stands in Redis is not of this protocol, or of another version of it."""


class Request(NamedTuple):
    """A request or WebSocket that waits for a worker."""

    gateway: str
    session: int
    scope: Scope
    #: The first events for the app: the start of the body.
    events: list[Message]


class Frame(NamedTuple):
    """One step of a session."""

    gateway: str
    session: int
    number: int
    kind: int
    payload: Any


#: Makes a frame of a list of its parts.
_new_frame: Final = Frame._make


class Packet(NamedTuple):
    """Frames from one process to another."""

    sender: str
    frames: list[Frame]


def encode_request(request: Request) -> bytes:
    """Encode a request. Raises TypeError if its scope has something that cannot be written."""
    scope = request.scope.copy()
    for key in _OWN_KEYS:
        scope.pop(key, None)
    packed: bytes = msgpack.packb(
        [VERSION, request.gateway, request.session, scope, request.events]
    )
    return packed


def decode_request(data: bytes) -> Request:
    """Decode a request. Raises `UnreadablePacket`."""
    _, gateway, session, scope, events = _unpack(data, 5)
    if not isinstance(scope, dict) or not isinstance(events, list):
        raise UnreadablePacket("it has no scope, or no events")
    headers = scope.get("headers", [])
    try:
        scope["headers"] = [(name, value) for name, value in headers]
        for key in ("client", "server"):
            if scope.get(key) is not None:
                scope[key] = tuple(scope[key])
    except (TypeError, ValueError) as error:
        raise UnreadablePacket(f"its scope is malformed: {error}") from error
    return Request(_name(gateway), _number(session), scope, [_message(each) for each in events])


def encode_packet(sender: str, frames: Iterable[Frame]) -> bytes:
    """Encode a packet. Raises TypeError if a payload cannot be written."""
    packed: bytes = msgpack.packb([VERSION, sender, list(frames)])
    return packed


def decode_packet(data: bytes) -> Packet:
    """Decode a packet. Raises `UnreadablePacket`."""
    _, sender, frames = _unpack(data, 3)
    if not isinstance(frames, list):
        raise UnreadablePacket("it has no frames")
    return Packet(_name(sender), [_frame(each) for each in frames])


def _unpack(data: bytes, length: int) -> list[Any]:
    try:
        found = msgpack.unpackb(data)
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise UnreadablePacket(f"it is no msgpack: {error!r}") from error
    if not isinstance(found, list) or not found:
        raise UnreadablePacket(f"it is {found!r:.60}, and should be a list")
    if found[0] != VERSION:
        raise UnreadablePacket(
            f"it has version {found[0]!r:.20}, and this release reads {VERSION}: run the same "
            "release of asgi-bridge everywhere, or give each its own prefix"
        )
    if len(found) != length:
        raise UnreadablePacket(f"it has {len(found)} parts, and should have {length}")
    return found


def _frame(found: Any) -> Frame:
    if type(found) is not list or len(found) != 5:
        raise UnreadablePacket(f"a frame is {found!r:.60}")
    gateway, session, number, kind, payload = found
    if kind == EVENTS:
        if type(payload) is not list:
            raise UnreadablePacket("a frame has no list of events")
        for each in payload:
            _message(each)
    elif kind == CREDIT:
        _number(payload)
    elif kind == TAKEN:
        if payload not in (SESSION, CONSUMER):
            raise UnreadablePacket(f"a frame says that {payload!r:.20} runs on the worker")
    elif kind == ANSWER:
        if type(payload) is not list or len(payload) != 3 or type(payload[2]) is not bytes:
            raise UnreadablePacket(f"a response is {payload!r:.60}")
    elif kind not in _KINDS:
        raise UnreadablePacket(f"a frame is of the unknown kind {kind!r:.20}")
    _name(gateway)
    _number(session)
    _number(number)
    return _new_frame(found)


def _name(found: Any) -> str:
    if not isinstance(found, str) or not found:
        raise UnreadablePacket(f"a process is named {found!r:.60}")
    return found


def _number(found: Any) -> int:
    if type(found) is not int or found < 0:
        raise UnreadablePacket(f"a number is {found!r:.60}")
    return found


def _message(found: Any) -> Message:
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise UnreadablePacket(f"an event is {found!r:.60}")
    return found
