"""The talks that are recorded, as steps of talk.py: requests here, WebSockets in socket_cases.py.

Each is a name, the settings of the server, and the steps.
"""

from __future__ import annotations

PLAIN = [[b"content-type", b"text/plain"]]
HELLO = {"status": 200, "headers": PLAIN, "content": b"hello"}
FORWARDED = [b"X-Forwarded-For: 192.0.2.1", b"X-Forwarded-Port: 4711", b"X-Forwarded-Proto: https"]


def request(target=b"/", *lines, method=b"GET", version=b"1.1", body=b""):
    """Return the bytes of a request."""
    head = [method + b" " + target + b" HTTP/" + version, b"Host: example.com", *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def asked(data, *replies):
    """Return the steps of a request that gets `replies`, and of its http.disconnect."""
    return [["client", data], ["message"], *replied(*replies), ["response"], ["message"]]


def replied(*replies, number=1):
    """Return the steps of replies on one channel."""
    return [["reply", number, reply] for reply in replies or (HELLO,)]


def answered(*replies):
    """Return the steps of a plain request with these replies."""
    return asked(request(), *replies)


def refused(data):
    """Return the steps of a request that the server answers itself."""
    return [["client", data], ["response"]]


def piece(content, **more):
    """Return a reply that goes on with the response, and is not its end."""
    return dict(more, content=content, more_content=True)


def targets():
    """Yield targets: what the consumer gets of paths and query strings."""
    for name, target in [
        ("plain", b"/"),
        ("an escaped slash", b"/a%2Fb/c"),
        ("an escaped space", b"/a%20b"),
        ("an escaped percent sign", b"/100%25/x"),
        ("escaped UTF-8", b"/caf%C3%A9/%E2%82%AC"),
        ("escaped bytes that are not UTF-8", b"/%FF%FE/x"),
        ("lower-case escapes", b"/%c3%a9%2f"),
        ("no escape after a percent sign", b"/%zz/%4"),
        ("an escaped NUL", b"/a%00b"),
        ("double slashes", b"//a//b//"),
        ("dots", b"/a/../b/./c"),
        ("a plus sign", b"/a+b"),
        ("a semicolon", b"/a;v=1/b"),
        ("punctuation", b"/!$&'()*,:=@~-._"),
        ("a bar", b"/a|b"),
    ]:
        yield "path: " + name, {}, asked(request(target))
    for name, target in [
        ("pairs", b"/?a=1&b=2&a=3"),
        ("escapes stay", b"/?q=%C3%A9%20%2F+x"),
        ("none after the question mark", b"/x?"),
        ("a second question mark", b"/x?a=?b"),
        ("raw bytes", b"/?q=\xff\xc3\xa9"),
        ("quotes and braces", b'/?q="{}|^`\\'),
    ]:
        yield "query: " + name, {}, asked(request(target))
    yield "target: raw bytes in the path", {}, refused(request(b"/caf\xc3\xa9"))
    yield "target: absolute form", {}, asked(request(b"http://example.com/abs%20x?y=1"))
    yield "target: a fragment", {}, asked(request(b"/a?b#c"))
    yield "target: *", {}, asked(request(b"*", method=b"OPTIONS"))


def fields():
    """Yield request fields, methods and versions."""
    for name, lines in [
        ("repeated", [b"X-A: 1", b"X-B: 2", b"x-a: 3", b"X-A: 4"]),
        ("two of cookies", [b"Cookie: a=1; b=2", b"Cookie: c=3"]),
        ("underscores", [b"X_Under: 1", b"X-Under: 2"]),
        ("blanks around a value", [b"X-Blank:  \t a  b \t "]),
        ("an empty value", [b"X-Empty:", b"Accept: */*"]),
        ("bytes beyond ASCII", [b"X-Name: caf\xe9 \xc3\xa9"]),
        ("case of names", [b"ACCEPT-language: de", b"x-REQUESTED-With: X"]),
        ("a type and a charset", [b"Content-Type: text/plain; charset=utf-16"]),
        ("proxies that are not trusted", FORWARDED),
        ("Daphne-Root-Path", [b"Daphne-Root-Path: /sub%20x"]),
        ("an upgrade that is no WebSocket", [b"Upgrade: h2c", b"Connection: Upgrade"]),
        ("a line that is folded", [b"X-Folded: a\r\n b"]),
    ]:
        yield "fields: " + name, {}, asked(request(b"/sub%20x/y", *lines))
    forwarded = {"forwarded": True}
    yield "fields: a trusted proxy", forwarded, asked(request(b"/", *FORWARDED))
    yield "fields: no Host", {}, asked(b"GET / HTTP/1.1\r\nAccept: */*\r\n\r\n")
    closing = request(b"/", b"Connection: close")
    yield "fields: Connection: close", {}, [*asked(closing), ["server closes"]]
    for method in (b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"PROPFIND", b"get"):
        yield "method: " + method.decode(), {}, asked(request(method=method))
    length = [[b"Content-Length", b"5"]]
    yield "method: HEAD", {}, asked(request(method=b"HEAD"))
    sized = dict(HELLO, headers=length)
    yield "method: HEAD, with a length", {}, asked(request(method=b"HEAD"), sized)
    yield "version: 1.0", {}, [*asked(request(version=b"1.0")), ["server closes"]]
    alive = request(b"/", b"Connection: keep-alive", version=b"1.0")
    yield "version: 1.0, to be kept alive", {}, asked(alive, sized)
    yield (
        "version: 1.0, in pieces",
        {},
        [
            *asked(request(version=b"1.0"), piece(b"he", status=200), {"content": b"llo"}),
            ["server closes"],
        ],
    )


def bodies():
    """Yield request bodies, and how they are framed."""
    every = bytes(range(256))
    form = [b"Content-Type: application/x-www-form-urlencoded", b"Content-Length: 13"]
    chunked = b"Transfer-Encoding: chunked"
    for name, lines, body in [
        ("a length", [b"Content-Length: 256"], every),
        ("a form", form, b"a=1&b=%C3%A9&"),
        ("a length of 0", [b"Content-Length: 0"], b""),
        ("no length", [], b""),
        ("chunks", [chunked], b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"),
        ("no chunks", [chunked], b"0\r\n\r\n"),
        ("extensions of chunks", [chunked], b'5;a=1;b="2"\r\nhello\r\n0;last\r\n\r\n'),
        ("trailers", [chunked], b"5\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n"),
        ("large", [b"Content-Length: 300000"], b"x" * 300000),
    ]:
        yield "body: " + name, {}, asked(request(b"/up", *lines, method=b"POST", body=body))
    yield "body: of a GET", {}, asked(request(b"/", b"Content-Length: 3", body=b"abc"))
    yield (
        "body: in two pieces",
        {},
        [
            ["client", request(b"/", b"Content-Length: 6", method=b"POST", body=b"abc")],
            *asked(b"def"),
        ],
    )
    yield (
        "body: Expect: 100-continue",
        {},
        [
            [
                "client",
                request(b"/", b"Content-Length: 5", b"Expect: 100-continue", method=b"POST"),
            ],
            ["interim"],
            *asked(b"hello"),
        ],
    )
    yield (
        "body: a length and chunks",
        {},
        refused(request(b"/", b"Content-Length: 5", chunked, method=b"POST", body=b"0\r\n\r\n")),
    )
    yield (
        "body: two lengths",
        {},
        refused(
            request(
                b"/", b"Content-Length: 5", b"Content-Length: 6", method=b"POST", body=b"hello!"
            )
        ),
    )
    yield (
        "body: a length that is no number",
        {},
        refused(request(b"/", b"Content-Length: x", method=b"POST", body=b"hello")),
    )


def connections():
    """Yield what happens to a connection, apart from one usual response."""
    yield (
        "connection: two requests",
        {},
        [
            *asked(request(b"/1")),
            ["client", request(b"/2")],
            ["message"],
            *replied(number=2),
            ["response"],
            ["message"],
        ],
    )
    yield (
        "connection: two requests in one piece",
        {},
        [
            *asked(request(b"/1") + request(b"/2")),
            ["message"],
            *replied(number=2),
            ["response"],
            ["message"],
        ],
    )
    yield (
        "connection: the client leaves first",
        {},
        [
            ["client", request()],
            ["message"],
            ["client closes"],
            ["message"],
            *replied(),
        ],
    )
    start = piece(b"he", status=200, headers=[[b"Content-Length", b"5"]])
    yield (
        "connection: the client leaves in the middle of the body",
        {},
        [
            ["client", request(b"/", b"Content-Length: 9", method=b"POST", body=b"hel")],
            ["client closes"],
        ],
    )
    yield (
        "connection: the client ends its half",
        {},
        [
            ["client", request()],
            ["message"],
            ["client ends"],
            ["message"],
            *replied(start),
        ],
    )
    yield "connection: the request is no HTTP", {}, refused(b"HELLO\r\n\r\n")
    yield (
        "connection: no reply in time",
        {"timeout": 1},
        [*asked(request())[:2], ["response"], ["message"]],
    )


def replies():
    """Yield replies, and the responses that they become."""
    length = [[b"Content-Length", b"5"]]
    sized = piece(b"he", status=200, headers=length)
    text = [["X-Text", b"1"], ["content-type", b"text/plain"]]
    empty = piece(b"", status=200)
    for name, given in [
        ("in pieces", [piece(b"he", status=200, headers=PLAIN), piece(b"ll"), {"content": b"o"}]),
        ("in pieces, with a length", [sized, {"content": b"llo"}]),
        ("an empty start and an empty end", [empty, piece(b"hello"), {"content": b""}]),
        ("an end without content", [piece(b"hello", status=200), {"more_content": False}]),
        ("a status alone", [{"status": 200}]),
        ("content that is empty", [{"status": 200, "headers": [], "content": b""}]),
        ("with a length", [dict(HELLO, headers=length)]),
        ("204", [{"status": 204}]),
        ("204 with content", [dict(HELLO, status=204)]),
        ("304", [{"status": 304, "headers": [[b"ETag", b'"1"']]}]),
        ("304 with content", [dict(HELLO, status=304)]),
        ("302", [{"status": 302, "headers": [[b"Location", b"/there"]]}]),
        ("500", [dict(HELLO, status=500)]),
        ("418", [dict(HELLO, status=418)]),
        ("a status that nobody knows", [dict(HELLO, status=299)]),
        ("a reason", [dict(HELLO, status_text=b"Fine")]),
        ("names as text", [dict(HELLO, headers=text)]),
        ("values as text", [dict(HELLO, headers=[[b"X-Text", "one"]])]),
        (
            "fields that are repeated",
            [
                dict(
                    HELLO,
                    headers=[
                        [b"Set-Cookie", b"a=1"],
                        [b"X-A", b"1"],
                        [b"set-cookie", b"b=2; Path=/"],
                    ],
                )
            ],
        ),
        ("no fields but their key", [{"status": 200, "headers": {}, "content": b"hello"}]),
        ("a line end in a value", [dict(HELLO, headers=[[b"X-A", b"1\r\nX-B: 2"]])]),
        ("more after the end", [HELLO, {"content": b"late"}, HELLO]),
        ("keys that nobody knows", [dict(HELLO, colour="red")]),
    ]:
        yield "reply: " + name, {}, answered(*given)
    end = {"content": b"!"}
    begun = piece(b"he", status=200, headers=PLAIN)
    for name, given in [
        ("no status", [{"content": b"x", "more_content": True}, end]),
        ("a second status", [begun, dict(HELLO, status=500), end]),
        ("content as text", [{"status": 200, "content": "hello"}, end]),
        ("a status as text", [dict(HELLO, status="200"), end]),
    ]:
        yield "reply, wrong: " + name, {}, answered(*given)
    yield (
        "reply, wrong: less than its length",
        {},
        answered(dict(HELLO, headers=[[b"Content-Length", b"9"]])),
    )
    yield (
        "reply, wrong: more than its length",
        {},
        answered(dict(HELLO, headers=[[b"Content-Length", b"3"]])),
    )


def root_paths():
    """Yield requests to a server that is mounted at /root."""
    settings = {"root_path": "/root"}
    for target in (b"/root/a%20b", b"/root", b"/other", b"/rooted"):
        yield "root path: " + target.decode(), settings, asked(request(target))


def http_cases():
    """Yield all talks of requests: name, settings, steps."""
    for part in (targets, fields, bodies, connections, replies, root_paths):
        yield from part()
