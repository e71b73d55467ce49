"""The talks of WebSockets that are recorded, as steps of talk.py."""

from __future__ import annotations

HANDSHAKE = [
    b"Host: example.com",
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Version: 13",
]
ACCEPT = {"accept": True}


def handshake(target=b"/ws", *lines, fields=HANDSHAKE):
    """Return the bytes of an opening handshake."""
    return b"\r\n".join([b"GET " + target + b" HTTP/1.1", *fields, *lines]) + b"\r\n\r\n"


def connecting(*args, **more):
    """Return the steps up to websocket.connect."""
    return [["client", handshake(*args, **more)], ["message"]]


def opened(*args, **more):
    """Return the steps up to an open WebSocket."""
    return [*connecting(*args, **more), reply(ACCEPT), ["response"]]


def reply(message):
    """Return the step of a reply."""
    return ["reply", 1, message]


def frame(opcode, payload=b"", **more):
    """Return the step of a client's frame."""
    return ["client frame", dict(more, opcode=opcode, payload=payload)]


def closed(code=1000, reason=""):
    """Return the steps in which the client closes the open WebSocket."""
    return [
        ["client frame", {"opcode": "close", "code": code, "reason": reason}],
        ["server frame"],
        ["message"],
        ["server closes"],
    ]


def answer_close(code=1000):
    """Return the steps in which the server's close frame is read, and answered."""
    return [
        ["server frame"],
        ["client frame", {"opcode": "close", "code": code}],
        ["message"],
        ["server closes"],
    ]


def refused(*replies):
    """Return the steps of a handshake that the replies refuse."""
    return [*connecting(), *map(reply, replies), ["response"], ["message"], ["server closes"]]


def heads():
    """Yield opening handshakes."""
    for name, target in [
        ("escapes in the path", b"/a%2Fb%20c/caf%C3%A9?x=%C3%A9&y"),
        ("double slashes", b"//a//b"),
        ("no query", b"/ws?"),
    ]:
        yield "socket: " + name, {}, [*opened(target), *closed()]
    for name, lines in [
        ("fields", [b"Origin: http://example.com", b"Cookie: a=1; b=2", b"X-Empty:"]),
        ("repeated fields", [b"X-A: 1", b"X-B: 2", b"X-A: 3"]),
        ("underscores in names", [b"X_Under: 1", b"X-Under: 2"]),
        ("bytes beyond ASCII in a value", [b"X-Name: caf\xe9"]),
        ("subprotocols that the server does not know", [b"Sec-WebSocket-Protocol: chat, soap"]),
        ("permessage-deflate", [b"Sec-WebSocket-Extensions: permessage-deflate"]),
    ]:
        yield "socket: " + name, {}, [*opened(b"/ws", *lines), *closed()]
    chat = [b"Sec-WebSocket-Protocol: soap, chat"]
    yield (
        "socket: a subprotocol that the server knows",
        {"subprotocols": ["chat"]},
        [
            *opened(b"/ws", *chat),
            *closed(),
        ],
    )
    yield "socket: a root path", {"root_path": "/root"}, [*opened(b"/root/ws"), *closed()]
    yield "socket: Daphne-Root-Path", {}, [*opened(b"/ws", b"Daphne-Root-Path: /sub"), *closed()]
    for name, fields in [
        ("no key", [*HANDSHAKE[:3], HANDSHAKE[4]]),
        ("no version", HANDSHAKE[:4]),
        ("another version", [*HANDSHAKE[:4], b"Sec-WebSocket-Version: 7"]),
        ("a key that is too short", [*HANDSHAKE[:3], b"Sec-WebSocket-Key: abc", HANDSHAKE[4]]),
    ]:
        yield "socket, wrong: " + name, {}, [["client", handshake(fields=fields)], ["response"]]
    yield (
        "socket, wrong: POST",
        {},
        [
            ["client", handshake().replace(b"GET", b"POST", 1)],
            ["message"],
            reply({"status": 200}),
            ["response"],
            ["message"],
        ],
    )


def connecting_state():
    """Yield replies while the socket is connecting."""
    yield "connecting: accept", {}, [*opened(), *closed()]
    yield (
        "connecting: accept twice",
        {},
        [
            *opened(),
            reply(ACCEPT),
            reply({"text": "on"}),
            ["server frame"],
            *closed(),
        ],
    )
    text = [["response"], ["server frame"]]
    yield "connecting: text", {}, [*connecting(), reply({"text": "hi"}), *text, *closed()]
    yield "connecting: bytes", {}, [*connecting(), reply({"bytes": b"\x00\xff"}), *text, *closed()]
    both = {"accept": True, "text": "hi"}
    yield "connecting: accept and text", {}, [*connecting(), reply(both), *text, *closed()]
    yield (
        "connecting: accept, text and close",
        {},
        [
            *connecting(),
            reply(dict(both, close=True)),
            *text,
            *answer_close(),
        ],
    )
    yield (
        "connecting: text and close",
        {},
        [
            *connecting(),
            reply({"text": "hi", "close": 4001}),
            *text,
            *answer_close(4001),
        ],
    )
    yield (
        "connecting: accept and close",
        {},
        [
            *connecting(),
            reply({"accept": True, "close": True}),
            ["response"],
            *answer_close(),
        ],
    )
    yield "connecting: accept is False", {}, refused({"accept": False})
    yield "connecting: accept is False, with text", {}, refused({"accept": False, "text": "no"})
    yield "connecting: close", {}, refused({"close": True})
    yield "connecting: close with a code", {}, refused({"close": 4003})
    yield "connecting: refused, then accepted", {}, refused({"close": True}, ACCEPT)
    yield (
        "connecting: a reply that is empty",
        {},
        [
            *connecting(),
            reply({}),
            reply(ACCEPT),
            ["response"],
            *closed(),
        ],
    )
    yield (
        "connecting: close is False",
        {},
        [
            *connecting(),
            reply({"close": False}),
            reply(ACCEPT),
            ["response"],
            *closed(),
        ],
    )
    yield (
        "connecting: frames before accept",
        {},
        [
            *connecting(),
            frame("text", b"early"),
            reply(ACCEPT),
            ["response"],
            ["message"],
            *closed(),
        ],
    )
    yield (
        "connecting: the client leaves",
        {},
        [
            *connecting(),
            ["client closes"],
            ["message"],
            reply(ACCEPT),
        ],
    )
    yield (
        "connecting: no reply in time",
        {"connect_timeout": 1},
        [
            *connecting(),
            ["response"],
            ["message"],
            ["server closes"],
        ],
    )


def messages():
    """Yield data both ways, and control frames."""
    three = [frame("text", b"a", fin=False), frame("continuation", b"b", fin=False)]
    last = frame("continuation", b"c")
    for name, sent, reply_ in [
        ("text", [frame("text", b"caf\xc3\xa9")], {"text": "caf\u00e9"}),
        ("bytes", [frame("binary", b"\x00\xff")], {"bytes": b"\x00\xff"}),
        ("text of 70,000 bytes", [frame("text", b"x" * 70000)], {"text": "on"}),
        ("text in three frames", [*three, last], {"text": "abc"}),
        ("a ping between two frames", [three[0], frame("ping", b"p"), last], None),
        ("text that is empty", [frame("text")], {"text": "on"}),
        ("bytes that are empty", [frame("binary")], {"text": "on"}),
    ]:
        back = [["server frame"]] if reply_ is None else [reply(reply_), ["server frame"]]
        yield "open: " + name, {}, [*opened(), *sent, ["message"], *back, *closed()]
    yield "open: a ping", {}, [*opened(), frame("ping", b"there?"), ["server frame"], *closed()]
    yield "open: a pong that nobody asked for", {}, [*opened(), frame("pong", b"x"), *closed()]
    yield (
        "open: two messages",
        {},
        [
            *opened(),
            frame("text", b"1"),
            ["message"],
            frame("binary", b"2"),
            ["message"],
            reply({"text": "both"}),
            ["server frame"],
            *closed(),
        ],
    )
    still = [reply({"text": "on"}), ["server frame"], *closed()]
    for name, given in [
        ("an empty reply", {}),
        ("empty text", {"text": ""}),
        ("empty bytes", {"bytes": b""}),
        ("text, and bytes that are None", {"text": None, "bytes": None}),
        ("close is False", {"close": False}),
    ]:
        yield "open: " + name, {}, [*opened(), reply(given), *still]
    for name, given in [
        ("text and bytes", {"text": "a", "bytes": b"b"}),
        ("a key that nobody knows", {"text": "a", "colour": "red"}),
        ("a status", {"status": 200, "content": b"a"}),
        ("a code that does not exist", {"close": 999}),
        ("a code that may not be sent", {"close": 1006}),
    ]:
        yield "open, wrong: " + name, {}, [*opened(), reply(given), *still]


def closes():
    """Yield the ends of open sockets."""
    yield "close: by the client", {}, [*opened(), *closed(1001, "going")]
    yield "close: by the client, with a code of its own", {}, [*opened(), *closed(4242)]
    yield (
        "close: by the client, without a code",
        {},
        [
            *opened(),
            frame("close"),
            ["server frame"],
            ["message"],
            ["server closes"],
        ],
    )
    yield "close: by the client, with a code that may not be sent", {}, [*opened(), *closed(1005)]
    yield (
        "close: the client leaves",
        {},
        [
            *opened(),
            ["client closes"],
            ["message"],
            reply({"text": "late"}),
        ],
    )
    yield "close: by a reply", {}, [*opened(), reply({"close": True}), *answer_close()]
    yield "close: by a reply with 1000", {}, [*opened(), reply({"close": 1000}), *answer_close()]
    yield (
        "close: by a reply with a code",
        {},
        [
            *opened(),
            reply({"close": 4001}),
            *answer_close(4001),
        ],
    )
    yield (
        "close: the client answers with another code",
        {},
        [
            *opened(),
            reply({"close": 4001}),
            *answer_close(4002),
        ],
    )
    yield (
        "close: text and close in one",
        {},
        [
            *opened(),
            reply({"text": "bye", "close": True}),
            ["server frame"],
            *answer_close(),
        ],
    )
    yield (
        "close: replies after it",
        {},
        [
            *opened(),
            reply({"close": True}),
            reply({"text": "late"}),
            reply({"close": 4001}),
            *answer_close(),
        ],
    )
    yield (
        "close: frames after it",
        {},
        [
            *opened(),
            reply({"close": True}),
            ["server frame"],
            frame("text", b"late"),
            ["client frame", {"opcode": "close", "code": 1000}],
            ["message"],
            ["server closes"],
        ],
    )
    yield (
        "close: the client leaves without an answer",
        {},
        [
            *opened(),
            reply({"close": 4001}),
            ["server frame"],
            ["client closes"],
            ["message"],
        ],
    )
    failed = [["server frame"], ["message"]]
    for name, bad in [
        ("no mask", frame("text", b"x", masked=False)),
        ("a reserved bit", frame("text", b"x", rsv=0x40)),
        ("a continuation of nothing", frame("continuation", b"x")),
        ("text that is not UTF-8", frame("text", b"\xff")),
        ("a ping in pieces", frame("ping", b"x", fin=False)),
    ]:
        yield "broken: " + name, {}, [*opened(), bad, *failed]


def socket_cases():
    """Yield all talks of WebSockets: name, settings, steps."""
    for part in (heads, connecting_state, messages, closes):
        yield from part()
