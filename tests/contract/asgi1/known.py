"""Where our server differs from the historic stack in a recorded talk, and why.

Talk -> place in it -> what is there here, and the reason. A row that does not differ any more fails
the test. Reasons begin with what they rest on: a fault of the old stack, a rule of HTTP or of
WebSockets that it breaks, or a promise of ours.
"""

from __future__ import annotations

from typing import Any

from tests.contract.asgi1.comparison import MISSING, Step
from tests.contract.asgi1.replay import TALKS

#: Talks in which a reply raises in the consumer that gives it, and so makes the response.
RAISING = frozenset(
    {
        "reply: a line end in a value",
        "reply, wrong: no status",
        "reply, wrong: a second status",
        "reply, wrong: content as text",
        "reply, wrong: a status as text",
    }
)

_UNTOLD = "a fault of daphne: it told of the end of a request that it had never told of"
_ABSOLUTE = "RFC 9112 §3.2.2: a server takes an absolute target, whose path is not all of it"
_MOUNTED = "W3, D8: the path of a scope begins with the root path, also if the proxy cut that off"


def _raised(response: str, why: str) -> dict[str, tuple[Any, str]]:
    """The rows of a 500 that takes the place of a response."""
    page = [[b"content-type", b"text/plain; charset=utf-8"]]
    told = {"status": 500, "fields": page, "body": b"Internal Server Error\n"}
    return {f"{response}: {key}": (value, why) for key, value in told.items()}


def _failed(code: int) -> dict[str, tuple[Any, str]]:
    """The rows of a client that breaks the rules, and is told so with `code`."""
    return {
        "6 server frame": (f"close {code}", "RFC 6455 §7.1.7: a server says why it fails"),
        "7 message: code": (code, "the consumer is told the code, as ASGI 3 apps are"),
    }


def _empty(opcode: str) -> dict[str, tuple[Any, str]]:
    """The rows of an empty message that is sent, so that all others come one frame later."""
    rows: dict[str, Any] = {
        "7 server frame: payload": b"",
        "9 server frame: opcode": "text",
        "9 server frame: payload": b"on",
        "9 server frame: code": MISSING,
        "11 server closes": b"\x88\x02\x03\xe8",
    }
    if opcode != "text":
        rows["7 server frame: opcode"] = opcode
    why = "a fault of daphne: a message may be empty, and must not be lost"
    return {place: (value, why) for place, value in rows.items()}


_ECHO = "RFC 6455 §5.5.1: a close is answered with its own code"
_NO_ECHO = "the code is that of the close; hosts of ASGI 3 do not say how the client answered it"
_BOTH = "S20, RFC 6455 §1.4: data that comes after the close is discarded"
_HANDSHAKE = [
    [b"connection", b"Upgrade"],
    [b"host", b"example.com"],
    [b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="],
    [b"sec-websocket-version", b"13"],
    [b"upgrade", b"websocket"],
]
_SLASHES = "a fault of autobahn: it took the first part of the path for a host"
_WRONG = "L13: a malformed reply raises in the consumer; daphne logged it, and sent a part of it"

#: Talk -> place -> (what is there here, why).
KNOWN: dict[str, dict[str, tuple[Any, str]]] = {
    "target: raw bytes in the path": {"4 afterwards": (MISSING, _UNTOLD)},
    "target: absolute form": {
        "2 message: path": ("/abs x", _ABSOLUTE),
        "5 message: path": ("/abs x", _ABSOLUTE),
    },
    "target: a fragment": {
        "2 message": ("an answer: 400", "S4, RFC 9112 §3.2: a target has no fragment"),
    },
    "fields: Daphne-Root-Path": {
        "2 message: root_path": (MISSING, "S32: only a trusted proxy may say where an app is"),
        "2 message: headers": (
            [[b"daphne-root-path", b"/sub%20x"], [b"host", b"example.com"]],
            "S32: the field is one like others here, and means nothing",
        ),
    },
    "fields: a line that is folded": {
        "2 message": ("an answer: 400", "S3, RFC 9112 §5.2: a server may refuse folded lines"),
    },
    "fields: a trusted proxy": {
        "2 message: client": (
            ["192.0.2.1", 0],
            "a fault of daphne: X-Forwarded-Port is the port that was asked, not the client's own",
        ),
        "2 message: server": (
            ["127.0.0.1", 4711],
            "S32: X-Forwarded-Port is the port that was asked",
        ),
    },
    "fields: no Host": {
        "2 message": ("an answer: 400", "S3, RFC 9112 §3.2: a request of HTTP/1.1 has one Host"),
    },
    "method: HEAD": {
        "4 response: length": (5, "RFC 9110 §9.3.2: HEAD has the fields that GET would have"),
    },
    "body: trailers": {
        "2 message": ("http.request", "a fault of the old stack: trailers made it wait for ever"),
    },
    "reply: a line end in a value": _raised(
        "4 response", "S10: a value with a line end is an error, and is not mended in silence"
    ),
    "reply, wrong: no status": _raised("5 response", _WRONG),
    "reply, wrong: content as text": _raised("5 response", _WRONG),
    "reply, wrong: a status as text": _raised("5 response", _WRONG),
    "reply, wrong: a second status": {
        "6 response": ("the server closes", "L13: the reply raises, and so the response is cut"),
    },
    "reply, wrong: less than its length": {
        "4 response": (
            "the server closes",
            "S10: too short a body is an error that the client sees; daphne left it waiting",
        ),
        "3 cut off": (b"hello", "S10: this much had been sent"),
    },
    "root path: /other": {
        "2 message: path": ("/root/other", _MOUNTED),
        "5 message: path": ("/root/other", _MOUNTED),
    },
    "root path: /rooted": {
        "2 message: path": ("/root/rooted", _MOUNTED),
        "5 message: path": ("/root/rooted", _MOUNTED),
    },
    "socket: double slashes": {
        "2 message: path": ("//a//b", _SLASHES),
        "7 message: path": ("//a//b", _SLASHES),
    },
    "socket: repeated fields": {
        "2 message: headers": (
            [*_HANDSHAKE, [b"x-a", b"1"], [b"x-a", b"3"], [b"x-b", b"2"]],
            "a fault of daphne: it joined repeated fields of a handshake, cookies too",
        ),
    },
    "socket: permessage-deflate": {
        "4 response: fields": (
            [
                [b"sec-websocket-accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="],
                [b"sec-websocket-extensions", b"permessage-deflate; server_max_window_bits=12"],
                [b"upgrade", b"websocket"],
            ],
            "S20: messages are compressed if the client offers it (RFC 7692)",
        ),
    },
    "socket: a root path": {
        "2 message: root_path": ("/root", "a fault of daphne: it told of it in requests only"),
    },
    "socket, wrong: no version": {
        "2 response: status": (426, "S21, RFC 6455 §4.4: 426 says which version is understood"),
    },
    "socket, wrong: another version": {
        "2 response: status": (426, "S21, RFC 6455 §4.4: 426 says which version is understood"),
    },
    "socket, wrong: POST": {
        "2 message": ("http.request", "RFC 9110 §7.8: an upgrade that cannot be is ignored"),
    },
    "open: empty text": _empty("text"),
    "open: empty bytes": _empty("binary"),
    "close: by the client": {"6 server frame: code": (1001, _ECHO)},
    "close: by the client, with a code of its own": {"6 server frame: code": (4242, _ECHO)},
    "close: by the client, without a code": {
        "6 server frame: code": (1005, _ECHO),
        "7 message: code": (1005, "RFC 6455 §7.1.5: no code is 1005; a code is an int (ASGI 1)"),
    },
    "close: by the client, with a code that may not be sent": _failed(1002),
    "close: the client answers with another code": {"8 message: code": (4001, _NO_ECHO)},
    "close: the client leaves without an answer": {"8 message: code": (4001, _NO_ECHO)},
    "close: frames after it": {
        "9 message": ("websocket.disconnect", _BOTH),
        "12 afterwards": (MISSING, _BOTH),
    },
    "broken: no mask": _failed(1002),
    "broken: a reserved bit": _failed(1002),
    "broken: a continuation of nothing": _failed(1002),
    "broken: text that is not UTF-8": _failed(1007),
    "broken: a ping in pieces": _failed(1002),
}

#: The talks in which no app sees the request.
REFUSED = frozenset(
    name
    for name, rows in KNOWN.items()
    for ours, _ in rows.values()
    if str(ours).startswith("an answer")
)

_NO_DICT = "message.reply_channel.send('no dict')"

#: Channel, question to a message that came by it (tests/data/asgi1/seen.py) -> (answer here, why).
KNOWN_ANSWERS: dict[tuple[str, str], tuple[Any, str]] = {
    **{
        (channel, _NO_DICT): ({"raises": "IllegalMessage"}, "L13: all that is wrong with a reply")
        for channel in (
            *("http.request", "websocket.connect", "websocket.receive", "websocket.disconnect"),
        )
    },
    ("http.disconnect", _NO_DICT): ("Sent", "the response is over: what comes then is dropped"),
}

_METHOD = "RFC 9110 §9.1: the case of a method counts; Channels changed it"
_CHUNKED = "W8, W24: a chunked body reaches an app decoded, and with its length if it is known"


def _decoded(size: int) -> dict[str, tuple[Any, str]]:
    """The rows of a chunked body of `size` bytes."""
    return {
        "HTTP_TRANSFER_ENCODING": (None, _CHUNKED),
        "CONTENT_LENGTH": (str(size), _CHUNKED),
    }


#: Talk -> key of the environ -> (what a WSGI app gets here, why).
KNOWN_ENVIRONS: dict[str, dict[str, tuple[Any, str]]] = {
    "target: absolute form": {"PATH_INFO": ("/abs x", _ABSOLUTE)},
    "target: *": {"PATH_INFO": ("", "PEP 3333: PATH_INFO is empty or a path; * is neither")},
    "fields: Daphne-Root-Path": {
        "SCRIPT_NAME": ("", "S32: only a trusted proxy may say where an app is"),
        "PATH_INFO": ("/sub x/y", "S32: only a trusted proxy may say where an app is"),
        "HTTP_DAPHNE_ROOT_PATH": ("/sub%20x", "S32: the field is one like others here"),
    },
    "method: get": {"REQUEST_METHOD": ("get", _METHOD)},
    "body: chunks": _decoded(11),
    "body: no chunks": _decoded(0),
    "body: extensions of chunks": _decoded(5),
    "root path: /rooted": {
        "PATH_INFO": ("/rooted", "W3: a fault of Channels, which cut the path within a segment"),
    },
}


def seen_here(name: str, steps: list[Step]) -> dict[str, Any]:
    """Place -> what the table says that is there, if the step is one of `steps`."""
    talk: list[Step] = TALKS[name]["steps"]
    rows = KNOWN.get(name, {}).items()
    return {place: ours for place, (ours, _) in rows if talk[int(place.split()[0]) - 1] in steps}
