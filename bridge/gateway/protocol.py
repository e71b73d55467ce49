"""What gateways and workers write to each other, as bytes (rules L9, L13).

A *session* is one request or one WebSocket of a gateway, by a number of its own. A request goes to
the queue of all workers (`keys.py` says how it is taken). After it was taken, both sides write
*packets* to each other's queue; all frames of one turn of the loop for one process leave as one
packet:

    request   msgpack [version, gateway, shared, own, session, events]
    packet    msgpack [version, sender, [frame, ...]]
    frame     [gateway, session, number, kind, payload]

A scope is in two parts, so that what many scopes have in common is packed once, and unpacked once:

    shared    a binary: msgpack of the scope, without what is in `own`
    own       `OWN`: the values of these keys; or None, if all is in `shared`
    events    a list of the first events for the app; or a binary: the whole body

What is `shared` must not change from request to request: it is kept. So an extension that says
something of one request says it by the session's number.

`number` counts the frames of a session in one direction, from 0: a gap means that Redis has lost
something, and ends the session. `TAKEN` is the first frame of a worker, and the gateway writes
none before it. Events are ASGI 3 messages as they are. A whole response that is there at once is
one frame, `ANSWER`: it stands for `TAKEN`, the events of the response and `END`.

Consumers of ASGI 1 get one message each, on whichever worker is there. A gateway that can make
these messages says so in the scope, by the extension `CONSUMERS`: {"replies": its queue of the
channel layer}. A worker calls its consumer at once with a request whose body is there; the reply
channel is named by that queue and the session (`consumer_content.py`). A first reply that is a
whole response goes to the gateway like that of any app. If there is none soon, the gateway is told:
`TAKEN` with `CONSUMER`, an event of the type `CONSUMERS` with what it must know (`Found.told`) and
"called": true; later, perhaps, such events with a whole "reply", or with "tells_apart" if the
consumer is to be told of the end of its request; `END` when the call is over.

Any other request for a consumer is handed back: `TAKEN` with `CONSUMER`, the event without
"called", `END`. Each message is a request of its own then:

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

import reprlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

import msgpack

from bridge.caches import BoundedDict
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

#: Extensions that work between two processes: what else the gateway's host offers stays there.
EXTENSIONS: Final = frozenset(
    {
        "http.response.early_hint",
        "http.response.trailers",
        "websocket.http.response",
        "tls",
        CONSUMERS,
    }
)

#: What is different in each request, in this order.
OWN: Final = ("method", "path", "raw_path", "query_string", "headers", "client")
_OWN_SET: Final = frozenset(OWN)

#: Keys of a scope that stay in the gateway: they are of its process, or cannot be written.
_LOCAL_KEYS: Final = ("state", "app", "router", "endpoint")
#: How a request begins: a list of six, the first of which is the version.
_BEGIN: Final[bytes] = b"\x96" + msgpack.packb(VERSION)
#: The most of what is shared that is kept, each of so many bytes at most.
_MOST_SHARED: Final = 256
_LONGEST_SHARED: Final = 512


#: What the values of a scope must be, if they are there, and not None.
_KINDS_OF_VALUES: Final[dict[str, type]] = {
    **dict.fromkeys(("method", "path", "root_path", "scheme", "http_version"), str),
    **dict.fromkeys(("raw_path", "query_string"), bytes),
    **dict.fromkeys(("asgi", "extensions", "state"), dict),
    "subprotocols": list,
}

#: What scopes have in common, as it was read.
_KEPT: Final[BoundedDict[bytes, Scope]] = BoundedDict(_MOST_SHARED)


class UnreadablePacket(ValueError):
    """What stands in Redis is not of this protocol, or of another version of it."""


class UnreadableRequest(UnreadablePacket):
    """A request that nothing can run, and of which is known who has asked."""

    def __init__(self, text: str, gateway: str, session: int) -> None:
        super().__init__(text)
        self.gateway = gateway
        self.session = session


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


#: A frame without names, which costs less to make.
FrameParts: TypeAlias = tuple[str, int, int, int, Any]

#: Makes a frame of its parts; `Frame._make` is slower.
_new_frame: Final[Callable[[tuple[Any, ...]], Frame]] = partial(tuple.__new__, Frame)


class Packet(NamedTuple):
    """Frames from one process to another."""

    sender: str
    frames: list[Frame]


class RequestWriter:
    """Encodes the requests of one gateway; in one thread.

    The parts of a request, but for the last, can be kept for another that begins in the same way.
    """

    def __init__(self, gateway: str) -> None:
        self._pack: Callable[[Any], bytes] = msgpack.Packer().pack
        self._begin: bytes = _BEGIN + self._pack(gateway)

    def begin(self, scope: Scope) -> bytes:
        """Encode all but the end. Raises TypeError if the scope cannot be written."""
        scope = {name: value for name, value in scope.items() if name not in _LOCAL_KEYS}
        own = None
        if scope["type"] == "http" and scope.keys() >= _OWN_SET:
            own = tuple([scope.pop(name) for name in OWN])
        return self.own(self.shared(scope), own)

    def shared(self, scope: Scope) -> bytes:
        """Begin requests whose scopes have this in common."""
        return self._begin + self._pack(self._pack(scope))

    def own(self, shared: bytes, values: tuple[Any, ...] | None) -> bytes:
        """Go on with what a request does not share: the values of `OWN`."""
        return shared + self._pack(values)

    def end(self, own: bytes, session: int, events: bytes | list[Message]) -> bytes:
        """Return a whole request."""
        return b"".join((own, self._pack(session), self._pack(events)))


def encode_request(request: Request) -> bytes:
    """Encode a request. Raises TypeError if its scope has something that cannot be written."""
    writer = RequestWriter(request.gateway)
    return writer.end(writer.begin(request.scope), request.session, request.events)


def decode_request(data: bytes) -> Request:
    """Decode a request.

    Raises `UnreadablePacket`; `UnreadableRequest` if only the request itself is malformed.
    """
    gateway = session = None
    try:
        _, gateway, shared, own, session, events = _unpack(data, 6)
        if type(shared) is not bytes:
            raise UnreadablePacket("it has no scope")
        kept = _KEPT.get(shared)
        scope = _read_shared(shared) if kept is None else _copy(kept)
        if own is not None:
            _add_own(scope, own)
        if type(events) is bytes:
            events = [{"type": "http.request", "body": events, "more_body": False}]
        elif type(events) is tuple:
            events = [_message(each) for each in events]
        else:
            raise UnreadablePacket("it has no events")
        return Request(_name(gateway), _number(session), scope, events)
    except UnreadablePacket as error:
        if not isinstance(gateway, str) or type(session) is not int or session < 0:
            raise
        raise UnreadableRequest(str(error), gateway, session) from error


def _add_own(scope: Scope, own: Any) -> None:
    """Add what a request does not share with others."""
    try:
        method, path, raw_path, query, headers, client = own
        b"".join(dict(headers))  # raises if these are no pairs
    except (TypeError, ValueError) as error:
        raise UnreadablePacket(f"its scope is malformed: {error}") from error
    if type(method) is not str or type(path) is not str or type(query) is not bytes:
        raise UnreadablePacket(f"it is malformed: {_shown(method)} {_shown(path)} {_shown(query)}")
    scope["method"] = method
    scope["path"] = path
    scope["raw_path"] = raw_path
    scope["query_string"] = query
    scope["headers"] = list(headers)
    scope["client"] = client


def _read_shared(data: bytes) -> Scope:
    """Read what scopes have in common, and keep it if it may come again."""
    scope = _msgpack(data, use_list=True)
    if type(scope) is not dict or type(scope.get("type")) is not str:
        raise UnreadablePacket(f"its scope is {_shown(scope)}")
    for name, kind in _KINDS_OF_VALUES.items():
        value = scope.get(name)
        if value is not None and type(value) is not kind:
            raise UnreadablePacket(f"in its scope {name} is {_shown(value)}, not {kind.__name__}")
    try:
        if "headers" in scope:
            scope["headers"] = [(name, value) for name, value in scope["headers"]]
        for key in ("client", "server"):
            if scope.get(key) is not None:
                scope[key] = tuple(scope[key])
    except (TypeError, ValueError) as error:
        raise UnreadablePacket(f"its scope is malformed: {error}") from error
    offered = scope.get("extensions")
    if offered:
        scope["extensions"] = {name: offered[name] for name in offered if name in EXTENSIONS}
    if len(data) <= _LONGEST_SHARED and _is_shallow(scope):
        _KEPT.store(data, _copy(scope))
    return scope


def _is_shallow(scope: Scope) -> bool:
    """Whether `_copy` copies all that an app may change."""
    match scope:
        case {"asgi": dict(asgi), "extensions": dict(extensions), **rest}:
            inner: list[Any] = [*rest.values(), *asgi.values()]
            for about in extensions.values():
                if type(about) is not dict:
                    return False
                inner += about.values()
            return not any(isinstance(each, dict | list) for each in inner)
    return False


def _copy(scope: Scope) -> Scope:
    copy = scope.copy()
    copy["asgi"] = copy["asgi"].copy()
    copy["extensions"] = {name: about.copy() for name, about in copy["extensions"].items()}
    return copy


def encode_packet(sender: str, frames: Iterable[FrameParts]) -> bytes:
    """Encode a packet. Raises TypeError if a payload cannot be written."""
    packed: bytes = msgpack.packb([VERSION, sender, list(frames)])
    return packed


def decode_packet(data: bytes) -> Packet:
    """Decode a packet. Raises `UnreadablePacket`."""
    _, sender, frames = _unpack(data, 3)
    if type(frames) is not tuple:
        raise UnreadablePacket("it has no frames")
    return Packet(_name(sender), [_frame(each) for each in frames])


def _msgpack(data: bytes, *, use_list: bool) -> Any:
    try:
        return msgpack.unpackb(data, use_list=use_list)
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise UnreadablePacket(f"it is no msgpack: {error!r}") from error


def _unpack(data: bytes, length: int) -> tuple[Any, ...]:
    """Unpack `length` parts; lists in them are tuples, as pairs of headers have to be."""
    found = _msgpack(data, use_list=False)
    if type(found) is not tuple or not found:
        raise UnreadablePacket(f"it is {_shown(found)}, and should be a list")
    if found[0] != VERSION:
        raise UnreadablePacket(
            f"it has version {_shown(found[0])}, and this release reads {VERSION}: run the same "
            "release of asgi-bridge everywhere, or give each its own prefix"
        )
    if len(found) != length:
        raise UnreadablePacket(f"it has {len(found)} parts, and should have {length}")
    return found


def _frame(found: Any) -> Frame:
    if type(found) is not tuple or len(found) != 5:
        raise UnreadablePacket(f"a frame is {_shown(found)}")
    gateway, session, number, kind, payload = found
    if kind == ANSWER:
        if type(payload) is not tuple or len(payload) != 3:
            raise UnreadablePacket(f"a response is {_shown(payload)}")
        if type(payload[1]) is not tuple or type(payload[2]) is not bytes:
            raise UnreadablePacket(f"a response has no headers, or no body: {_shown(payload)}")
    elif kind == EVENTS:
        if type(payload) is not tuple:
            raise UnreadablePacket("a frame has no list of events")
        found = (gateway, session, number, kind, [_message(each) for each in payload])
    elif kind == CREDIT:
        _number(payload)
    elif kind == TAKEN:
        if payload not in (SESSION, CONSUMER):
            raise UnreadablePacket(f"a frame says that {_shown(payload)} runs on the worker")
    elif kind not in _KINDS:
        raise UnreadablePacket(f"a frame is of the unknown kind {_shown(kind)}")
    if type(gateway) is not str or type(session) is not int or type(number) is not int:
        raise UnreadablePacket(
            f"a frame is of {_shown(gateway)}, {_shown(session)}, {_shown(number)}"
        )
    return _new_frame(found)


def _shown(found: Any) -> str:
    """Show what has come, however large it is, or deep."""
    return reprlib.repr(found)[:60]


def _name(found: Any) -> str:
    if not isinstance(found, str) or not found:
        raise UnreadablePacket(f"a process is named {_shown(found)}")
    return found


def _number(found: Any) -> int:
    if type(found) is not int or found < 0:
        raise UnreadablePacket(f"a number is {_shown(found)}")
    return found


def _message(found: Any) -> Message:
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise UnreadablePacket(f"an event is {_shown(found)}")
    for name, value in found.items():
        if type(value) is tuple:
            found[name] = list(value)
    return found
