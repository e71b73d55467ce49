"""What an ASGI app can rely on, asked over the wire. Each probe says what it saw."""

from __future__ import annotations

import time

from bench.compared.client import SHORT, Client, answered, connected
from bench.compared.marks import Marks
from bench.compared.outcome import Outcome
from bench.compared.wsgi_probes import MOST_AHEAD, broken_response, slow_reader, smuggling

_WEBSOCKET = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def told_of_leaving(port: int, marks: Marks) -> Outcome:
    """An app that waits in ``receive()`` gets ``http.disconnect``."""
    client = Client(port)
    client.get("/wait")
    if marks.wait("waits") is None:
        return Outcome(False, "the app is not called")
    client.leave()
    return Outcome(marks.wait("told") is not None)


def send_fails(port: int, marks: Marks) -> Outcome:
    """``send()`` to a client that has left raises ``OSError`` (ASGI 2.4), or it is cancelled."""
    client = Client(port)
    client.get("/leave")
    client.until(b"xxxx")
    client.leave()
    seen = marks.wait("ended")
    return Outcome(
        seen in ("ended: OSError", "ended: cancelled"), seen or "it goes on for ten seconds"
    )


def cut_upload(port: int, marks: Marks) -> Outcome:
    """Ten bytes of a hundred come, then the client leaves."""
    with connected(port) as client:
        client.get("/cut", "Content-Length: 100", method="POST")
        client.send(b"0123456789")
        time.sleep(0.2)
    seen = marks.wait("cut", 2)
    return Outcome(seen is None or "as if" not in seen, seen or "the app is not called")


def slow_app(port: int, marks: Marks) -> Outcome:
    """The app reads nothing: how much of a 40 MB upload is taken in two seconds."""
    with connected(port) as client:
        client.get("/idle", "Content-Length: 41943040", method="POST")
        taken = client.fill(41_943_040, 2) // 1_000_000
        client.leave()
    return Outcome(taken <= MOST_AHEAD, f"{taken} MB", f"{taken} MB")


def lifespan_state(port: int, marks: Marks) -> Outcome:
    """What startup puts into ``state`` is there in a request."""
    return Outcome(b"from startup" in answered(port, "/state").got)


def denial(port: int, marks: Marks) -> Outcome:
    """A WebSocket is refused by a response of the app's own: 402, and a body."""
    with connected(port) as client:
        client.get("/deny", *_WEBSOCKET)
        client.until(b"pay here", SHORT)
    return Outcome(client.statuses() == [402] and b"pay here" in client.got, f"{client.statuses()}")


def early_hints(port: int, marks: Marks) -> Outcome:
    """``http.response.early_hint`` sends a 103."""
    return Outcome(103 in answered(port, "/hints", end=b"hello").statuses())


def trailers(port: int, marks: Marks) -> Outcome:
    """``http.response.trailers`` come after the last chunk."""
    with connected(port) as client:
        client.get("/trailers", "TE: trailers")
        client.until(b"x-sum: right", SHORT)
    _, _, body = client.got.partition(b"\r\n\r\n")
    return Outcome(b"x-sum: right" in body.lower())


def short_body(port: int, marks: Marks) -> Outcome:
    """The app sends less than it promised: the client is not left waiting."""
    with connected(port) as client:
        client.get("/short")
        closed = client.until_closed(3)
    return Outcome(closed)


def refused_upload(port: int, marks: Marks) -> Outcome:
    """With ``Expect: 100-continue``, a body that the app does not want is not asked for."""
    with connected(port) as client:
        client.get("/refuse", "Content-Length: 5", "Expect: 100-continue", method="POST")
        client.until(b"no", SHORT)
    return Outcome(client.statuses()[:1] == [403], f"{client.statuses()}")


PROBES = {
    "a waiting app is told when its client leaves": told_of_leaving,
    "an app that sends is stopped when its client leaves": send_fails,
    "an upload that was cut is not taken for a whole one": cut_upload,
    "taken for an app that reads nothing, of 40 MB": slow_app,
    "made for a client that reads nothing, of 40 MB": slow_reader,
    "lifespan state": lifespan_state,
    "a WebSocket refused by a response of the app's own": denial,
    "`http.response.early_hint`": early_hints,
    "`http.response.trailers`": trailers,
    "a body that is too short does not leave the client waiting": short_body,
    "a response that failed halfway does not look whole": broken_response,
    "no 100 for a body that the app refuses": refused_upload,
    "bad requests that are refused": smuggling,
}
