"""WSGI apps whose requests have a time limit: which code counts as the app's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pytest

from bridge.errors import RequestAnswered, RequestTimeout
from bridge.wsgi.file_wrapper import FileWrapper
from bridge.wsgi.watched import new_watched_call

ENVIRON = {"REQUEST_METHOD": "GET", "PATH_INFO": "/x"}


class Watch:
    """`Limit`, `Run` and `Code` in one: it notes what is called in which way."""

    def __init__(self, ends_with: BaseException | None = None) -> None:
        self.events: list[str] = []
        self.answer: Any = None
        self.name = ""
        self._ends_with = ends_with

    @property
    def code(self) -> Watch:
        return self

    def new_run(self, name: str) -> Watch:
        self.name = name
        return self

    def begin(self) -> None:
        self.events.append("begin")

    def restart(self) -> None:
        self.events.append("restart")

    def end(self) -> None:
        self.events.append("end")

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        self.events.append("app")
        if self._ends_with is not None:
            raise self._ends_with
        return function(*arguments)

    def call_late(self, function: Callable[[], object]) -> None:
        self.events.append("close")
        function()

    def protected(self, function: Callable[..., Any], *arguments: Any) -> Any:
        self.events.append("ours")
        return function(*arguments)


class Sink:
    """A `ResponseSink` that keeps what comes."""

    def __init__(self) -> None:
        self.status = 0
        self.body: list[bytes] = []
        self.ended = ""

    def respond(self, head: Any, body: bytes) -> None:
        self.status, self.ended = head.status_code, "whole"
        self.body.append(body)

    def start(self, head: Any) -> Sink:
        self.status = head.status_code
        return self

    def write(self, chunk: bytes) -> bool:
        self.body.append(chunk)
        return True

    def send_file(self, file: Any, block_size: int, count: int | None) -> bool:
        return False

    def finish(self) -> None:
        self.ended = "finished"

    def failed(self, error: BaseException) -> bool:
        raise AssertionError("a request that took too long is no error for the host")

    def refused(self, error: BaseException) -> bool:
        return True

    def abort(self) -> None:
        self.ended = "cut"


def run(app: Any, watch: Watch) -> Sink:
    sink = Sink()
    new_watched_call(watch, app, ENVIRON, sink)()
    return sink


def test_a_list_is_over_when_the_app_returns() -> None:
    """R2: a response in memory needs no more of the app; the log knows the request's name."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"ok"]

    watch = Watch()
    sink = run(app, watch)
    assert (sink.status, sink.body) == (200, [b"ok"])
    assert watch.events == ["begin", "app", "ours", "end"]
    assert watch.name == "GET '/x'"
    assert new_watched_call(None, app, ENVIRON, sink)._app is app


def test_each_piece_counts_anew() -> None:
    """R2: the time begins anew with each piece that was sent, and not with an empty one."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        write = start_response("200 OK", [])
        write(b"a")
        write(b"")
        yield b"b"
        yield b""
        yield b"c"

    watch = Watch()
    sink = run(app, watch)
    assert b"".join(sink.body) == b"abc"
    assert watch.events == [
        *("begin", "app", "app"),  # the call, iter()
        *("app", "ours", "ours", "restart", "ours"),  # start_response and two writes
        *("restart", "app", "app", "restart", "app"),
        *("close", "end"),
    ]


def test_results_of_all_shapes() -> None:
    """R2: a result that has a length, one whose items are in memory and a file are as they were."""

    class Sized:
        closed = 0

        def __len__(self) -> int:
            return 1

        def __iter__(self) -> Iterator[bytes]:
            yield b"one"

        def close(self) -> None:
            self.closed += 1

    class Kept(Sized):
        __len__ = None  # type: ignore[assignment]

        def __iter__(self) -> Iterator[bytes]:
            return iter([b"o", b"ne"])

    class Plain:
        def __iter__(self) -> Iterator[bytes]:
            yield b"one"

    del Kept.__len__
    for result in (Sized(), Plain(), FileWrapper(BytesIO(b"one"))):

        def app(environ: Any, start_response: Any, result: Any = result) -> Any:
            start_response("200 OK", [])
            return result

        watch = Watch()
        sink = run(app, watch)
        assert b"".join(sink.body) == b"one", result
        assert watch.events[-1] == "end"
        if isinstance(result, Sized):
            assert (result.closed, sink.ended) == (1, "whole")


def test_a_timeout_before_the_response() -> None:
    """R2: if nothing has left the answer is 504; the host is told of no error."""
    watch = Watch(ends_with=RequestTimeout())
    sink = run(lambda environ, start_response: [], watch)
    assert (sink.status, sink.ended) == (504, "whole")
    assert watch.events == ["begin", "app", "end"]


def test_a_timeout_in_the_middle() -> None:
    """R2: a response that has begun is cut."""
    watch = Watch()

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"half"
        watch._ends_with = RequestTimeout()
        yield b"more"
        raise AssertionError("not reached")

    sink = run(app, watch)
    assert sink.body[:1] == [b"half"]
    assert sink.ended == "cut"
    assert watch.events[-2:] == ["close", "end"]


def test_an_answer_from_elsewhere() -> None:
    """R2: the loop answers by `answer`; what the app's thread finds then is that it is over."""
    watch = Watch(ends_with=RequestAnswered("answered"))
    sink = Sink()
    call = new_watched_call(watch, lambda environ, start_response: [], ENVIRON, sink)
    call._is_head = False
    watch.answer(RequestTimeout())
    assert (sink.status, sink.ended) == (504, "whole")
    call()
    assert (sink.status, sink.ended, len(sink.body)) == (504, "whole", 1)


def test_start_response_raises_as_ever() -> None:
    """R2, W32: what `start_response` refuses is raised in the app."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        with pytest.raises(AssertionError, match="second time"):
            start_response("200 OK", [])
        return [b""]

    assert run(app, Watch()).status == 200
