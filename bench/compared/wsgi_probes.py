"""What a WSGI app can rely on, asked over the wire. Each probe says what it saw."""

from __future__ import annotations

import time

from bench.compared.client import Client, answered, connected
from bench.compared.marks import Marks
from bench.compared.outcome import Outcome
from bench.compared.refused import refused

#: More than buffers of the kernel and of servers take, and less than the whole response of 40 MB.
MOST_AHEAD = 32
LEAVING = 20


def close_is_called(port: int, marks: Marks) -> Outcome:
    """The client leaves in the middle of a stream."""
    _leave(port)
    seen = marks.wait("closed")
    return Outcome(seen is not None and "ran out" not in marks.seen())


def clients_that_left(port: int, marks: Marks) -> Outcome:
    """Twenty of them; the next request is answered within five seconds."""
    for _ in range(LEAVING):
        _leave(port)
    client = answered(port, "/hello", end=b"hello")
    return Outcome(b"hello" in client.got)


def _leave(port: int) -> None:
    client = Client(port)
    client.get("/leave")
    client.until(b"xxxx")
    client.leave()


def upload_as_it_comes(port: int, marks: Marks) -> Outcome:
    """The first byte of a megabyte is there before the second half is sent."""
    half = b"x" * 524_288
    with connected(port) as client:
        client.get("/upload", "Content-Length: 1048576", "Connection: close", method="POST")
        client.send(half)
        seen = marks.wait("first byte", 1.5)
        client.send(half)
        client.until(b"whole")
    return Outcome(seen is not None)


def chunked_upload(port: int, marks: Marks) -> Outcome:
    """A body without a length, read to its end."""
    body = b"6\r\nchunk-\r\n4\r\nbody\r\n0\r\n\r\n"
    client = answered(port, "/echo", "Transfer-Encoding: chunked", body=body, end=b"chunk-body")
    whole = b"chunk-body" in client.got
    return Outcome(whole, "" if whole else f"answered {client.statuses()}")


def cut_upload(port: int, marks: Marks) -> Outcome:
    """Ten bytes of a hundred come, then the client leaves: no app gets them as the whole body."""
    with connected(port) as client:
        client.get("/cut", "Content-Length: 100", method="POST")
        client.send(b"0123456789")
        time.sleep(0.2)
    seen = marks.wait("cut", 2)
    return Outcome(seen is None or "as if" not in seen, seen or "the app is not called")


def streams(port: int, marks: Marks) -> Outcome:
    """What is yielded is sent before the next piece exists."""
    with connected(port) as client:
        client.get("/stream", "Connection: close")
        first = client.until(b"one", 1.5)
        marks.go()
        client.until(b"two")
    return Outcome(first)


def slow_reader(port: int, marks: Marks) -> Outcome:
    """The client reads nothing: how much of 40 MB the app has made after two seconds."""
    with connected(port) as client:
        client.get("/flood")
        time.sleep(2)
        ahead = len(marks.seen()) // 16
        client.leave()
    return Outcome(ahead <= MOST_AHEAD, f"{ahead} MB", f"{ahead} MB")


def write_works(port: int, marks: Marks) -> Outcome:
    """What is given to ``write()`` comes before what is yielded."""
    client = answered(port, "/hello?write", end=b"hello")
    got = client.got.replace(b"\r\n", b"")
    return Outcome(got.find(b"written, ") >= 0 and got.endswith((b"hello", b"hello0")))


def cookies(port: int, marks: Marks) -> Outcome:
    """Two Cookie fields are one, joined as cookies are."""
    got = answered(port, "/cookie", "Cookie: a=1", "Cookie: b=2").got
    body = b" ".join(got.partition(b"\r\n\r\n")[2].split())
    return Outcome(b"a=1;b=2" in body.replace(b" ", b""), body.decode("latin-1"))


def context(port: int, marks: Marks) -> Outcome:
    """A context variable of the call is still set while its body is iterated and closed."""
    answered(port, "/context", end=b"body")
    iterated, closed = marks.wait("iterated", 2), marks.wait("context", 2)
    good = iterated == "iterated kept" and closed == "context kept"
    return Outcome(good, f"{iterated}, {closed}")


def broken_response(port: int, marks: Marks) -> Outcome:
    """The app fails in the middle: the client can tell that the response is not whole."""
    with connected(port) as client:
        client.get("/fail")
        closed = client.until_closed(2)
    return cut_short(client, closed)


def cut_short(client: Client, closed: bool) -> Outcome:
    """Whether what `client` got cannot be taken for a whole response."""
    head, _, body = client.got.partition(b"\r\n\r\n")
    if not closed:
        return Outcome(False, "it waits for more")
    if 500 in client.statuses()[:1]:
        return Outcome(True, "it gets a 500")
    if b"chunked" in head.lower():
        return Outcome(not body.endswith(b"0\r\n\r\n"), "chunks")
    return Outcome(b"content-length" in head.lower(), "no length and no chunks")


def early_hints(port: int, marks: Marks) -> Outcome:
    """``wsgi.early_hints`` sends a 103."""
    return Outcome(103 in answered(port, "/hints", end=b"hello").statuses())


def smuggling(port: int, marks: Marks) -> Outcome:
    """Bad requests that are refused."""
    return refused(port)


PROBES = {
    "`close()` is called when the client leaves": close_is_called,
    "still answers after 20 clients that left": clients_that_left,
    "an upload of 1 MB can be read as it comes": upload_as_it_comes,
    "an upload without a length arrives whole": chunked_upload,
    "an upload that was cut is not taken for a whole one": cut_upload,
    "each piece is sent when it is yielded": streams,
    "made for a client that reads nothing, of 40 MB": slow_reader,
    "`write()` works": write_works,
    "two Cookie fields are joined by `;`": cookies,
    "context variables last from call to `close()`": context,
    "a response that failed halfway does not look whole": broken_response,
    "`wsgi.early_hints`": early_hints,
    "bad requests that are refused": smuggling,
}

#: What an adapter decides, and not the server above it.
OF_ADAPTERS = {
    what: probe for what, probe in PROBES.items() if probe not in (early_hints, smuggling)
}
