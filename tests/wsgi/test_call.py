"""WsgiCall: what leaves, when, and how each way out ends. The sink here keeps a list."""

from __future__ import annotations

import io
import logging
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import (
    BridgeError,
    ClientDisconnected,
    IllegalResponse,
    Overloaded,
    RequestError,
    SelfRequest,
)
from bridge.http.response_head import ResponseHead
from bridge.http.response_sink import ResponseStream
from bridge.types import Environ, StartResponse, TextHeaders, WSGIApp
from bridge.wsgi.call import WsgiCall
from bridge.wsgi.file_wrapper import FileWrapper

TEXT = ("Content-Type", "text/plain")


def told(head: ResponseHead) -> tuple[str, TextHeaders]:
    """Status and fields, as they go on the wire."""
    line, *lines = head.encoded.decode("latin-1").removesuffix("\r\n").split("\r\n")
    fields = (each.partition(": ") for each in lines)
    return line.removeprefix("HTTP/1.1 "), [(name, value) for name, _, value in fields]


class Recorder:
    """A `ResponseSink` that keeps what it is told, in order."""

    def __init__(self, *, gone_after: int | None = None, pause: bool = False) -> None:
        self.said: list[tuple[Any, ...]] = []
        self.gone_after = gone_after
        self.pause = pause
        self.takes_files = False
        self.raises_on = self.counts = False
        self.failures: list[BaseException] = []

    def respond(self, head: ResponseHead, body: bytes) -> None:
        self.said.append(("respond", *told(head), body))
        if self.gone_after == 0:
            raise ClientDisconnected("gone")

    def start(self, head: ResponseHead) -> ResponseStream:
        self.said.append(("start", *told(head)))
        return self

    def write(self, chunk: bytes) -> bool:
        if self.gone_after is not None and len(self.chunks) >= self.gone_after:
            raise ClientDisconnected("gone")
        self.said.append(("write", chunk))
        return not self.pause

    def send_file(self, file: Any, block_size: int, count: int | None) -> bool:
        assert isinstance(file.fileno(), int)
        if self.takes_files:
            self.said.append(("file", file.read(count)))
        return self.takes_files

    def finish(self) -> None:
        self.said.append(("finish",))

    def failed(self, error: BaseException) -> bool:
        self.failures.append(error)
        return self.raises_on

    def refused(self, error: BridgeError) -> bool:
        return self.counts

    def abort(self) -> None:
        self.said.append(("abort",))

    @property
    def chunks(self) -> list[bytes]:
        return [event[1] for event in self.said if event[0] == "write"]

    @property
    def status(self) -> str:
        return str(self.said[0][1])

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.said[0][2])

    @property
    def verbs(self) -> str:
        return " ".join(event[0] for event in self.said)


class Closing:
    """An iterable that counts its `close`."""

    def __init__(self, chunks: Iterable[Any]) -> None:
        self.chunks = (chunk for chunk in chunks)  # made one by one, as far as anybody can tell
        self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        return self.chunks

    def close(self) -> None:
        self.closed += 1


def environ_of(method: str) -> Environ:
    return {"REQUEST_METHOD": method, "PATH_INFO": "/x"}


def run(app: WSGIApp, method: str = "GET", sink: Recorder | None = None) -> Recorder:
    sink = sink or Recorder()
    assert WsgiCall(app, environ_of(method), sink)() is True
    return sink


def answering(
    body: Any, status: str = "200 OK", headers: TextHeaders | None = None
) -> Callable[[Environ, StartResponse], Any]:
    """An app that starts a response and returns `body`."""

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response(status, [TEXT] if headers is None else headers)
        return body

    return app


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Callable[[], list[logging.LogRecord]]:
    """What was logged as an error."""
    caplog.set_level(logging.DEBUG, "bridge.error")
    return lambda: [record for record in caplog.records if record.levelno >= logging.ERROR]


# ------------------------------------------------------------- bodies of one piece


@pytest.mark.parametrize(
    "body",
    [[b"hello"], (b"hello",), [b"he", b"", b"llo"], (b"hel", b"lo"), Closing([b"hello"])],
    ids=["list", "tuple", "pieces", "tuple of pieces", "iterable"],
)
def test_one_piece(body: Any) -> None:
    """W35: a body that is all there goes out as one, with Content-Length filled in."""
    if isinstance(body, Closing):
        body.__class__ = type("Sized", (Closing,), {"__len__": lambda self: 1})
    said = run(answering(body)).said
    assert said == [("respond", "200 OK", [TEXT, ("Content-Length", "5")], b"hello")]


def test_lists_of_the_app_stay_its_own() -> None:
    """W35: Content-Length is not added to a list that the app may use again."""
    headers = [TEXT]
    run(answering([b"hello"], headers=headers))
    assert headers == [TEXT]


@pytest.mark.parametrize("body", [[], (), [b""], iter([]), iter([b"", b""])])
def test_empty_body(body: Any) -> None:
    """W35: an empty iterable still sends a response."""
    said = run(answering(body)).said
    assert said == [("respond", "200 OK", [TEXT, ("Content-Length", "0")], b"")]


def test_content_length_of_the_app() -> None:
    """W35: a Content-Length that fits is kept as it is, for lists and for generators."""
    headers = [("content-length", "5")]
    for body in ([b"hello"], iter([b"hello"]), [b"hel", b"lo"]):
        said = run(answering(body, headers=headers)).said
        assert said == [("respond", "200 OK", headers, b"hello")]


@pytest.mark.parametrize(
    ("status", "method"),
    [("204 No Content", "GET"), ("304 Not Modified", "GET"), ("200 OK", "HEAD")],
)
@pytest.mark.parametrize("kind", ["list", "generator", "write", "file"])
def test_no_body(status: str, method: str, kind: str) -> None:
    """W35: 204, 304 and HEAD carry no body; a 204 no Content-Length, and a HEAD the app's."""
    bodies: dict[str, Callable[[], Any]] = {
        "list": lambda: [b"hello"],
        "generator": lambda: iter([b"hel", b"lo"]),
        "file": lambda: FileWrapper(io.BytesIO(b"hello")),
    }

    def app(environ: Environ, start_response: StartResponse) -> Any:
        write = start_response(status, [("Content-Length", "5")])
        if kind == "write":
            write(b"hello")
            return []
        return bodies[kind]()

    headers = [] if status[:3] == "204" else [("Content-Length", "5")]
    assert run(app, method).said == [("respond", status, headers, b"")]


def test_head_of_a_list_has_the_length() -> None:
    """W35: HEAD of a one-piece body tells the length that GET would have; an unknown one, none."""
    assert run(answering([b"hello"]), "HEAD").headers["Content-Length"] == "5"
    assert "Content-Length" not in run(answering(iter([b"hello"])), "HEAD").headers
    assert "Content-Length" not in run(answering([]), "HEAD").headers
    assert "Content-Length" not in run(answering([b"x"], "304 Not Modified"), "HEAD").headers


def test_head_does_not_iterate_to_the_end() -> None:
    """W35, W37: after the head of a HEAD response nothing more is asked for; close is called."""
    asked = []

    def chunks() -> Iterator[bytes]:
        for number in range(3):
            asked.append(number)
            yield b"x"

    body = Closing(chunks())
    run(answering(body), "HEAD")
    assert (asked, body.closed) == ([0], 1)


# ------------------------------------------------------------- streams


def test_stream() -> None:
    """W30, W39: the head leaves with the first chunk that is not empty, each chunk as it comes."""
    sink = Recorder()
    seen = []

    def chunks() -> Iterator[bytes]:
        for chunk in (b"", b"one", b"", b"two"):
            seen.append(len(sink.said))
            yield chunk

    run(answering(chunks()), sink=sink)
    assert sink.said == [
        ("start", "200 OK", [TEXT]),
        ("write", b"one"),
        ("write", b"two"),
        ("finish",),
    ]
    assert seen == [0, 0, 2, 2]


def test_write() -> None:
    """W32: start_response returns a write() that sends at once, before the iterable."""
    sink = Recorder()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", [TEXT])
        write(b"")
        assert sink.said == []
        write(b"one")
        assert sink.verbs == "start write"
        return [b"two"]

    run(app, sink=sink)
    assert sink.said == [
        ("start", "200 OK", [TEXT]),
        ("write", b"one"),
        ("write", b"two"),
        ("finish",),
    ]


def test_late_start_response() -> None:
    """W33: start_response may be called as late as the first step of the iterable."""

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("201 Created", [TEXT])
        yield b"made"

    assert run(app).said == [
        ("start", "201 Created", [TEXT]),
        ("write", b"made"),
        ("finish",),
    ]


# ------------------------------------------------------------- start_response


def test_replaced_before_anything_left() -> None:
    """W30: until bytes leave, start_response with exc_info replaces status and headers."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "1000")])(b"")
        try:
            raise ValueError("handled")
        except ValueError:
            start_response("500 Oops", [TEXT], sys.exc_info())
        return [b"sorry"]

    assert run(app).said == [("respond", "500 Oops", [TEXT, ("Content-Length", "5")], b"sorry")]


@pytest.mark.parametrize("how", ["write", "iterable"])
def test_re_raised_after_start(how: str, errors: Callable[[], list[logging.LogRecord]]) -> None:
    """W31, W38: after bytes left, start_response with exc_info re-raises; the response is cut."""
    caught: list[BaseException] = []

    def trouble(start_response: StartResponse) -> None:
        try:
            raise ValueError("late")
        except ValueError:
            try:
                start_response("500 Oops", [], sys.exc_info())
            except ValueError as error:
                caught.append(error)
                raise

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", [TEXT])
        if how == "write":
            write(b"one")
            trouble(start_response)
        return chunks(start_response)

    def chunks(start_response: StartResponse) -> Iterator[bytes]:
        yield b"one"
        trouble(start_response)

    assert run(app).verbs == "start write abort"
    assert str(caught[0]) == "late"
    assert len(errors()) == 1


def test_second_start_response() -> None:
    """W31: a second start_response without exc_info is an error, raised inside the app."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [TEXT])
        with pytest.raises(AssertionError, match="second time"):
            start_response("200 OK", [TEXT])
        return [b"fine"]

    assert run(app).verbs == "respond"


def test_start_response_with_an_empty_exc_info_after_start() -> None:
    """W31: there is nothing to re-raise, and it is an error all the same."""

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [TEXT])
        yield b"one"
        with pytest.raises(IllegalResponse, match="had started"):
            start_response("200 OK", [TEXT], (None, None, None))
        yield b"two"

    assert run(app).chunks == [b"one", b"two"]


@pytest.mark.parametrize("body", [[b"x"], iter([b"x"]), [], iter([]), None, 7])
def test_no_start_response(body: Any, errors: Callable[[], list[logging.LogRecord]]) -> None:
    """W31, W38: without start_response, or without an iterable, the answer is a 500."""
    sink = run(lambda environ, start_response: body)
    assert (sink.verbs, sink.status) == ("respond", "500 Internal Server Error")
    assert len(errors()) == 1


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        ("200 OK", "200 OK"),
        ("200", "200 OK"),
        ("404 ", "404 Not Found"),
        ("799", "799 Unknown"),
        ("200 Fine by me", "200 Fine by me"),
        ("200 caf\xe9", "200 caf\xe9"),
    ],
)
def test_status(status: str, sent: str) -> None:
    """W34: a status is `NNN reason`; the standard reason is filled in."""
    assert run(answering([b"x"], status)).status == sent


@pytest.mark.parametrize(
    "status",
    ["", "20", "2000 OK", "OK", "200OK", "100 Continue", "101 Switching", "\xb2\xb2\xb2 x",
     "200 OK\r\nx: y", "200 \u20ac", b"200 OK", 200, None, ["200 OK"]],
)  # fmt: skip
def test_wrong_status(status: Any, errors: Callable[[], list[logging.LogRecord]]) -> None:
    """W34: any other status is an error of the app."""
    assert run(answering([b"x"], status)).status == "500 Internal Server Error"
    assert len(errors()) == 1


@pytest.mark.parametrize(
    "field",
    [
        ("X-A", "a\r\nb"),
        ("X-A", "a\nb"),
        ("X-A", "a\0b"),
        ("X-A", "\u20ac"),
        ("X-A", b"bytes"),
        ("X-A", 5),
        (b"X-A", "x"),
        ("X A", "x"),
        ("X-A:", "x"),
        ("", "x"),
        ("X-\xe9", "x"),
        ("Content-Length", "five"),
        ("Content-Length", "-5"),
        ("Content-Length", "\xb2"),
        ("X-A",),
        "X-A",
    ],
    ids=repr,
)
def test_wrong_header(field: Any, errors: Callable[[], list[logging.LogRecord]]) -> None:
    """W34: a header that could break the message, or is not the app's to set, is an error."""
    assert run(answering([b"x"], headers=[TEXT, field])).status == "500 Internal Server Error"
    (record,) = errors()
    assert record.exc_info is not None
    name = field[0] if len(field) == 2 else ""
    assert not isinstance(name, str) or name in str(record.exc_info[1])


@pytest.mark.parametrize(
    "field",
    [("Connection", "keep-alive"), ("transfer-ENCODING", "chunked"), ("Keep-Alive", "timeout=5"),
     ("Upgrade", "h2c")],
)  # fmt: skip
def test_hop_by_hop_fields(field: tuple[str, str]) -> None:
    """W34: what belongs to the server is left out, and the response is served."""
    ran = run(answering([b"x"], headers=[TEXT, field]))
    assert (ran.status, ran.headers) == (
        "200 OK",
        {"Content-Type": "text/plain", "Content-Length": "1"},
    )


def test_named_arguments() -> None:
    """W34: start_response() takes its arguments by name, too."""

    def app(environ: Environ, start_response: Any) -> list[bytes]:
        start_response(status="200 OK", headers=[TEXT])
        start_response("404 Not Found", [TEXT], exc_info=(None, None, None))
        return [b"x"]

    assert run(app).status == "404 Not Found"


def test_values_that_are_allowed() -> None:
    """W34: latin-1 text and tabs may be in a value."""
    field = ("X-A", "caf\xe9\tau lait")
    assert run(answering([b"x"], headers=[field])).said[0][2][0] == field


def test_content_length_twice() -> None:
    """W34: two different Content-Lengths of the app are an error; two equal ones are one."""
    same = [("Content-Length", "5"), ("content-length", "5")]
    assert run(answering([b"hello"], headers=same)).status == "200 OK"
    different = [("Content-Length", "5"), ("content-length", "6")]
    assert run(answering([b"hello"], headers=different)).status == "500 Internal Server Error"


@pytest.mark.parametrize("body", [["text"], ["text", b"x"], [b"x", 5], [None], iter(["text"])])
def test_chunk_that_is_not_bytes(body: Any, errors: Callable[[], list[logging.LogRecord]]) -> None:
    """W34: a chunk that is not bytes is a TypeError that says so."""
    assert run(answering(body)).status == "500 Internal Server Error"
    (record,) = errors()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], TypeError)
    assert "bytes" in str(record.exc_info[1])


@pytest.mark.parametrize("body", [b"bytes", "text"])
def test_body_without_its_list(body: Any, errors: Callable[[], list[logging.LogRecord]]) -> None:
    """W34: bytes instead of a list of bytes is an error that tells what to write."""
    assert run(answering(body)).status == "500 Internal Server Error"
    assert "[body]" in str(errors()[0].exc_info[1])  # type: ignore[index]


def test_written_text() -> None:
    """W34: write() takes bytes only."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        with pytest.raises(TypeError, match="wants bytes"):
            start_response("200 OK", [])("text")  # type: ignore[arg-type]
        return [b"ok"]

    assert run(app).said[0][3] == b"ok"


def test_subclass_of_bytes() -> None:
    """W34: a subclass of bytes is bytes, and is sent as such."""
    piece = type("Piece", (bytes,), {})(b"x")
    body = run(answering([piece])).said[0][3]
    assert (body, type(body)) == (b"x", bytes)


# ------------------------------------------------------------- Content-Length


@pytest.mark.parametrize("how", ["list", "one", "generator", "write", "after"])
def test_more_than_content_length(how: str, errors: Callable[[], list[logging.LogRecord]]) -> None:
    """W36: what is more than Content-Length is cut off; iteration stops; it is logged once."""
    asked: list[int] = []

    def chunks() -> Iterator[bytes]:
        for number in range(9):
            asked.append(number)
            yield b"hel" if number == 0 else b"loxxx"

    def app(environ: Environ, start_response: StartResponse) -> Any:
        write = start_response("200 OK", [("Content-Length", "5")])
        if how == "list":
            return [b"hel", b"lox"]
        if how == "one":
            return iter([b"helloxxxx", b"x"])
        if how == "after":
            return iter([b"hello", b"x"])
        if how == "write":
            for number in range(3):
                write(b"hel" if number == 0 else b"loxxx")
            return []
        return body

    body = Closing(chunks())
    sink = run(app)
    said = sink.said
    assert b"".join(sink.chunks) == b"hello" or said[0][3] == b"hello"
    assert sink.verbs in ("respond", "start write write finish")
    assert errors()[0].getMessage().count("more bytes")
    if how == "generator":
        assert (asked, body.closed) == ([0, 1], 1)


@pytest.mark.parametrize("body", [[b"hel"], iter([b"hel"]), iter([b"h", b"el"])])
def test_less_than_content_length(body: Any, errors: Callable[[], list[logging.LogRecord]]) -> None:
    """W36: a response shorter than its Content-Length is logged and visibly cut."""
    sink = run(answering(body, headers=[("Content-Length", "5")]))
    assert sink.verbs.endswith("abort")
    assert sink.verbs.startswith("start")
    assert "shorter" in errors()[0].getMessage()


@pytest.mark.parametrize("body", [[], iter([]), [b""], iter([b""])])
def test_nothing_of_the_content_length(
    body: Any, errors: Callable[[], list[logging.LogRecord]]
) -> None:
    """W36, W38: no byte of what was announced: a 500, for nothing has left yet."""
    sink = run(answering(body, headers=[("Content-Length", "5")]))
    assert (sink.verbs, sink.status) == ("respond", "500 Internal Server Error")
    assert "shorter" in errors()[0].getMessage()


def test_file_that_cannot_be_read(errors: Callable[[], list[logging.LogRecord]]) -> None:
    """W38, W41: a file of which not a byte can be read is a 500, though its size was known."""

    class Unreadable(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("no such luck")

    sink = run(answering(FileWrapper(Unreadable(b"hello"))))
    assert (sink.verbs, sink.status) == ("respond", "500 Internal Server Error")
    assert len(errors()) == 1


def test_finished_when_content_length_is_reached() -> None:
    """W36, W39: the client has all of it before the app's code behind its last chunk runs."""
    sink = Recorder()
    verbs = []

    def chunks() -> Iterator[bytes]:
        yield b"hel"
        yield b"lo"
        verbs.append(sink.verbs)

    run(answering(chunks(), headers=[("Content-Length", "5")]), sink=sink)
    assert verbs == ["start write write finish"]


@given(
    st.lists(st.binary(max_size=4), max_size=6),
    st.integers(0, 20) | st.none(),
    st.sampled_from(["list", "tuple", "generator", "write", "mixed"]),
    st.sampled_from(["GET", "HEAD"]),
)
def test_framing_whatever_the_pieces(
    chunks: list[bytes], length: int | None, how: str, method: str
) -> None:
    """W35, W36: for any pieces: at most Content-Length bytes; an abort, or a 500, if fewer."""

    def app(environ: Environ, start_response: StartResponse) -> Any:
        headers = [] if length is None else [("Content-Length", str(length))]
        write = start_response("200 OK", headers)
        if how in ("write", "mixed"):
            for chunk in chunks[: 2 if how == "mixed" else None]:
                write(chunk)
            return chunks[2:] if how == "mixed" else []
        return {"list": list, "tuple": tuple, "generator": iter}[how](chunks)

    sink = run(app, method)
    whole = b"".join(chunks)
    if method == "HEAD":
        assert sink.verbs == "respond"
        assert sink.said[0][3] == b""
        return
    fewer = length is not None and len(whole) < length
    assert (sink.status != "200 OK") == (fewer and not whole)
    if sink.status != "200 OK":
        assert (sink.verbs, sink.status) == ("respond", "500 Internal Server Error")
        return
    sent = sink.said[0][3] if sink.verbs == "respond" else b"".join(sink.chunks)
    assert sent == whole[:length]
    assert sink.verbs.endswith("abort") == fewer
    if sink.verbs == "respond":
        assert {name.lower(): value for name, value in sink.said[0][2]}["content-length"] == str(
            len(sent)
        )


# ------------------------------------------------------------- ways out


ENDS = [StopIteration, SystemExit, KeyboardInterrupt, GeneratorExit, ValueError, AssertionError]


@pytest.mark.parametrize("error", ENDS)
def test_error_before_start(
    error: type[BaseException], errors: Callable[[], list[logging.LogRecord]]
) -> None:
    """W38: an exception of any kind before anything left is a 500, logged once with traceback."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [("X-Secret", "x"), ("Content-Length", "99")])
        raise error("secret")

    (event,) = run(app).said
    assert event[1] == "500 Internal Server Error"
    assert b"secret" not in event[3]
    assert dict(event[2])["content-length"] == str(len(event[3]))
    (record,) = errors()
    assert record.exc_info is not None
    assert record.exc_info[0] is error


@pytest.mark.parametrize("case", ["before", "after", "short", "over", "in close"])
def test_an_error_that_is_raised_on(
    case: str, errors: Callable[[], list[logging.LogRecord]]
) -> None:
    """W38: what the sink takes is not logged; what comes after the end of a response is."""

    class Body(Closing):
        def close(self) -> None:
            if case == "in close":
                raise ValueError

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "2")])

        def chunks() -> Iterator[bytes]:
            if case == "before":
                raise ValueError
            yield b"x"
            if case == "after":
                raise ValueError
            if case != "short":
                yield b"y"
            if case == "over":
                raise ValueError

        return Body(chunks())

    sink = Recorder()
    sink.raises_on = True
    WsgiCall(app, environ_of("GET"), sink)()
    assert sink.verbs == {
        "before": "respond",
        "after": "start write abort",
        "short": "start write abort",
    }.get(case, "start write write finish")
    logged = case in ("over", "in close")
    assert [type(error) for error in sink.failures] == (
        [] if logged else [IllegalResponse if case == "short" else ValueError]
    )
    assert len(errors()) == logged


@pytest.mark.parametrize("error", [error for error in ENDS if error is not StopIteration])
@pytest.mark.parametrize("started", [False, True])
def test_error_in_the_iterable(
    error: type[BaseException], started: bool, errors: Callable[[], list[logging.LogRecord]]
) -> None:
    """W37, W38: an exception in mid-iteration: a 500 if nothing left, else cut; closed once."""

    def chunks() -> Iterator[bytes]:
        if started:
            yield b"one"
        raise error("secret")

    body = Closing(chunks())
    sink = run(answering(body))
    assert sink.verbs == ("start write abort" if started else "respond")
    assert body.closed == 1
    assert len(errors()) == 1


def test_error_in_iter_and_len() -> None:
    """W37, W38: an iterable that cannot be iterated over is closed all the same."""

    class Broken(Closing):
        def __iter__(self) -> Iterator[bytes]:
            raise ValueError

    body = Broken([])
    assert run(answering(body)).status == "500 Internal Server Error"
    assert body.closed == 1


def test_error_in_close(errors: Callable[[], list[logging.LogRecord]]) -> None:
    """W37: an exception in close() is logged, and the response stays as it is."""

    class Stubborn(Closing):
        def close(self) -> None:
            super().close()
            raise KeyboardInterrupt

    body = Stubborn([b"one"])
    assert run(answering(body)).verbs == "start write finish"
    assert body.closed == 1
    assert "close()" in errors()[0].getMessage()


def test_error_after_the_end(errors: Callable[[], list[logging.LogRecord]]) -> None:
    """W38: an exception after the whole response left is only logged."""

    def chunks() -> Iterator[bytes]:
        yield b"hello"
        raise ValueError

    sink = run(answering(chunks(), headers=[("Content-Length", "5")]))
    assert sink.verbs == "respond"
    assert len(errors()) == 1


@pytest.mark.parametrize("how", ["write", "iterable", "whole", "swallowed"])
def test_client_gone(how: str, errors: Callable[[], list[logging.LogRecord]]) -> None:
    """W37, W40: when the client is gone iteration stops at the next chunk; closed; no error."""
    asked = []

    def chunks() -> Iterator[bytes]:
        for number in range(9):
            asked.append(number)
            yield b"x"

    body = Closing(chunks())

    def app(environ: Environ, start_response: StartResponse) -> Any:
        write = start_response("200 OK", [TEXT])
        if how == "write":
            write(b"x")
            write(b"x")
        if how == "swallowed":
            for _ in range(3):
                try:
                    write(b"x")
                except ClientDisconnected:
                    asked.append(-1)
        return [b"x"] if how == "whole" else body

    sink = run(app, sink=Recorder(gone_after={"whole": 0, "iterable": 2}.get(how, 1)))
    assert sink.verbs.endswith("abort")
    assert asked == {"iterable": [0, 1, 2], "swallowed": [-1, -1, 0]}.get(how, [])
    assert body.closed == (1 if how in ("iterable", "swallowed") else 0)
    assert not errors()


def test_client_error_of_the_input(errors: Callable[[], list[logging.LogRecord]]) -> None:
    """W22, W38: a limit that reading the body broke is answered with its own status."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        raise RequestError("too large", 413)

    assert run(app).status == "413 Content Too Large" or run(app).status.startswith("413 ")
    assert not errors()


def test_refused() -> None:
    """W52: a call that cannot run is a 503 that names a time to come back, and nothing inside."""
    sink = Recorder()
    WsgiCall(answering([b"never"]), environ_of("GET"), sink).refuse(Overloaded("9 of 9 wait"))
    assert sink.status == "503 Service Unavailable"
    assert sink.headers["retry-after"] == "1"
    assert sink.said[0][3] == b"Service Unavailable\n"


@pytest.mark.parametrize(
    ("error", "counts", "warned"),
    [
        (Overloaded("9 of 9 wait"), False, True),
        (Overloaded("9 of 9 wait"), True, False),
        (SelfRequest("it waits for itself"), True, True),
    ],
)
def test_who_tells_of_a_refusal(
    error: BridgeError, counts: bool, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """S6, W53: a host that counts what is refused tells of it; an app that waits for itself, we."""
    sink = Recorder()
    sink.counts = counts
    WsgiCall(answering([b"never"]), environ_of("GET"), sink).refuse(error)
    assert ("WARNING" in [record.levelname for record in caplog.records]) is warned


def test_pause() -> None:
    """W39: a sink that cannot wait asks for a pause, and the call goes on where it was."""
    body = Closing([b"one", b"two"])
    sink = Recorder(pause=True)
    call = WsgiCall(answering(body), environ_of("GET"), sink)
    assert call() is False
    assert sink.verbs == "start write"
    assert call() is False
    assert body.closed == 0
    assert call() is True
    assert sink.verbs == "start write write finish"
    assert body.closed == 1


def test_cancelled_in_a_pause() -> None:
    """W37, W40: a paused call that is given up closes its iterable, once."""
    body = Closing([b"one", b"two"])
    call = WsgiCall(answering(body), environ_of("GET"), Recorder(pause=True))
    assert call() is False
    call.cancel()
    call.cancel()
    assert body.closed == 1


# ------------------------------------------------------------- files


@pytest.fixture
def file() -> Iterator[Any]:
    with tempfile.TemporaryFile() as opened:
        opened.write(b"0123456789")
        opened.seek(3)
        yield opened


def test_file(file: Any) -> None:
    """W41: a file goes to the sink from its position on, with its Content-Length."""
    sink = Recorder()
    sink.takes_files = True
    run(answering(FileWrapper(file)), sink=sink)
    assert sink.said == [
        ("start", "200 OK", [TEXT, ("Content-Length", "7")]),
        ("file", b"3456789"),
        ("finish",),
    ]
    assert file.closed


@pytest.mark.parametrize("takes_files", [True, False])
@pytest.mark.parametrize(("length", "end"), [(4, "finish"), (7, "finish"), (9, "abort")])
def test_file_and_content_length(file: Any, takes_files: bool, length: int, end: str) -> None:
    """W36, W41: Content-Length is respected: no byte more of the file, and a cut if it is short."""
    sink = Recorder()
    sink.takes_files = takes_files
    run(answering(FileWrapper(file, 3), headers=[("Content-Length", str(length))]), sink=sink)
    sent = b"".join(event[1] for event in sink.said if event[0] in ("file", "write"))
    assert sent == b"3456789"[:length]
    assert sink.verbs.split()[-1] == end
    assert file.closed


def test_file_that_the_sink_cannot_send(file: Any) -> None:
    """W41: else it is iterated over, in blocks of the size that the app gave."""
    sink = run(answering(FileWrapper(file, 3)))
    assert sink.chunks == [b"345", b"678", b"9"]
    assert sink.headers["Content-Length"] == "7"
    assert sink.verbs.endswith("finish")


def test_file_in_memory() -> None:
    """W41: a file that only Python knows is iterated over; its length is told all the same."""
    sink = Recorder()
    sink.takes_files = True
    run(answering(FileWrapper(io.BytesIO(b"hello"), 3)), sink=sink)
    assert sink.chunks == [b"hel", b"lo"]
    assert sink.headers["Content-Length"] == "5"


def test_file_like_object() -> None:
    """W41: an object with read() only is iterated over, and need not have a close()."""

    class Reader:
        def __init__(self) -> None:
            self.read = io.BytesIO(b"hello").read

    wrapper = FileWrapper(Reader(), 2)
    assert wrapper.size() is None
    assert not hasattr(wrapper, "close")
    assert run(answering(wrapper)).chunks == [b"he", b"ll", b"o"]


def test_text_file(tmp_path: Any) -> None:
    """W34, W41: a file opened as text is an error, not a body of the wrong length."""
    path = tmp_path / "file"
    path.write_text("text")
    with path.open() as opened:
        assert run(answering(FileWrapper(opened))).status == "500 Internal Server Error"


def test_empty_file_and_head(file: Any) -> None:
    """W35, W41: an empty file, and a file asked for with HEAD, are a head without a body."""
    with tempfile.TemporaryFile() as empty:
        said = run(answering(FileWrapper(empty))).said
    assert said == [("respond", "200 OK", [TEXT, ("Content-Length", "0")], b"")]
    said = run(answering(FileWrapper(file)), "HEAD").said
    assert said == [("respond", "200 OK", [TEXT, ("Content-Length", "7")], b"")]


def test_file_after_write(file: Any) -> None:
    """W32, W41: a file can follow what was written."""

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", [("Content-Length", "10")])(b"012")
        return FileWrapper(file)

    sink = Recorder()
    sink.takes_files = True
    run(app, sink=sink)
    assert [event[-1] for event in sink.said[1:-1]] == [b"012", b"3456789"]
    assert sink.verbs == "start write file finish"


def test_file_after_write_without_length(file: Any) -> None:
    """W32, W41: a file is the end of a body whose length nobody has told."""

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", [])(b"012")
        return FileWrapper(file)

    sink = Recorder()
    sink.takes_files = True
    run(app, sink=sink)
    assert sink.said[1:] == [("write", b"012"), ("file", b"3456789"), ("finish",)]


def test_file_before_start_response(file: Any) -> None:
    """W31, W41: a file without start_response is a 500, and is closed."""
    assert run(lambda e, s: FileWrapper(file)).status == "500 Internal Server Error"
    assert file.closed


class Page:
    """What a framework returns that has its whole body but tells no length: Django's responses."""

    def __init__(self, pieces: list[Any] | tuple[Any, ...]) -> None:
        self.pieces = pieces
        self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        return iter(self.pieces)

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(
    "pieces",
    [[b"hello"], (b"hello",), [b"he", b"", b"llo"], []],
    ids=["one", "tuple", "more", "none"],
)
def test_a_response_that_has_all_its_pieces(pieces: Any) -> None:
    """W35, W37: it leaves at once, with its length, and is closed once."""
    page = Page(pieces)
    body = b"".join(pieces)
    sink = run(answering(page))
    assert sink.said == [("respond", "200 OK", [TEXT, ("Content-Length", str(len(body)))], body)]
    assert page.closed == 1


def test_an_iterator_over_pieces_is_a_stream() -> None:
    """W39: what the app itself iterates over may be in its hands still."""
    assert run(answering(iter([b"one", b"two"]))).verbs == "start write write finish"


def test_a_piece_that_is_not_bytes(errors: Callable[[], list[logging.LogRecord]]) -> None:
    """W34, W38: with all pieces there, a wrong one is a 500, not half a response."""
    page = Page([b"half", "text"])
    sink = run(answering(page))
    assert (sink.verbs, sink.status) == ("respond", "500 Internal Server Error")
    assert page.closed == 1
    assert len(errors()) == 1


# ------------------------------------------------------------- sinks that fail


class Broken(Recorder):
    """A sink that cannot take anything: each call raises `error`."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def respond(self, head: ResponseHead, body: bytes) -> None:
        super().respond(head, body)
        raise self.error

    def abort(self) -> None:
        super().abort()
        raise self.error


def test_sink_that_cannot_respond(errors: Callable[[], list[logging.LogRecord]]) -> None:
    """W38: an error of the host is logged, and does not reach the app."""
    sink = run(answering([b"x"]), sink=Broken(RuntimeError("the host is broken")))
    assert sink.verbs == "respond"
    (record,) = errors()
    assert record.getMessage() == "could not send the response to GET '/x'"


@pytest.mark.parametrize("error", [ClientDisconnected("gone"), RuntimeError("the host is broken")])
def test_sink_that_cannot_abort(
    error: BaseException, errors: Callable[[], list[logging.LogRecord]]
) -> None:
    """W38, W40: a response that cannot be cut is logged, unless its client is gone anyway."""

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"half"
        raise ValueError("the other half is missing")

    sink = run(app, sink=Broken(error))
    assert sink.verbs == "start write abort"
    said = [record.getMessage() for record in errors()]
    about_the_cut = [] if isinstance(error, ClientDisconnected) else ["could not cut the response"]
    assert said[0] == "error in the WSGI app at GET '/x'"
    assert [line[:26] for line in said[1:]] == about_the_cut


@pytest.mark.parametrize(
    ("more", "peer"),
    [
        ({"REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": "1234"}, ("192.0.2.1", 1234)),
        ({"REMOTE_ADDR": "192.0.2.1"}, None),
        ({"REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": "unknown"}, None),
        ({"REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": None}, None),
    ],
)
def test_peer(more: Environ, peer: tuple[str, int] | None) -> None:
    """W53: a call knows its client's address and port, if the environ has both."""
    sink = Recorder()
    call = WsgiCall(answering([b"x"]), environ_of("GET") | more, sink)
    assert call.peer == peer
    assert call.sink is sink
