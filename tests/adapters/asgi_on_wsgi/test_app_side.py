"""Responses as the app sends them: every legal order, and every illegal one."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from bridge.adapters.asgi_on_wsgi.app_side import AppSide
from bridge.adapters.asgi_on_wsgi.instance import AppInstance
from bridge.adapters.asgi_on_wsgi.request_body import RequestBody
from bridge.adapters.asgi_on_wsgi.response_queue import GONE, ResponseQueue
from bridge.adapters.asgi_on_wsgi.response_queue import WAITING as HOST_WAITING
from bridge.adapters.asgi_on_wsgi.settings import make_settings
from bridge.asgi.scope import body_length
from bridge.asgi_to_wsgi import AsgiToWsgi
from bridge.errors import (
    AppError,
    ClientDisconnected,
    IllegalMessage,
)
from bridge.loops.waiters import ThreadWaiter
from tests.adapters.asgi_on_wsgi.direct import (
    BARE,
    END,
    LIMIT,
    START,
    FileWrapper,
    StopEarly,
    body,
    call,
    environ,
    sending,
    serve,
    start,
)


class TestLegal:
    @pytest.mark.parametrize(
        ("messages", "chunks"),
        [
            ([BARE, {"type": "http.response.body"}], b""),
            ([BARE, body(b"x")], b"x"),
            ([START, body(b"whole")], b"whole"),
            ([START, body(b"a", True), body(b"b")], b"ab"),
            ([START, body(b"a", True), END], b"a"),
            ([START, body(b"", True), body(b"", True), body(b"late")], b"late"),
            ([START, body(b"", True), END], b""),
            (
                [
                    START,
                    body(bytearray(b"array")),
                ],
                b"array",
            ),
            (
                [START, {**START, "type": "http.response.body", "body": memoryview(b"view")}],
                b"view",
            ),
        ],
    )
    def test_orders(self, messages: list[Any], chunks: bytes) -> None:
        """A20: headers left out, body left out, empty bodies: every legal order is answered."""
        answer = serve(sending(*messages), validate=False)  # it wants a Content-Type
        assert (answer.status, answer.body, answer.whole) == ("200 OK", chunks, True)

    def test_chunk_by_chunk(self) -> None:
        """A20: each message of the body is a chunk of its own, in order."""
        parts = [b"%d" % number for number in range(50)]
        answer = serve(sending(START, *(body(part, True) for part in parts), END))
        assert [chunk for chunk in answer.chunks if chunk] == parts

    @pytest.mark.parametrize(
        ("code", "line"),
        [
            (200, "200 OK"),
            (418, "418 I'm a Teapot"),
            (299, "299 Unknown"),
            (503, "503 Service Unavailable"),
        ],
    )
    def test_status_line(self, code: int, line: str) -> None:
        """A20: the status line has the standard reason, or one at all."""
        assert serve(sending(start(code), END)).status.lower() == line.lower()


class TestBackPressure:
    def test_send_waits(self) -> None:
        """A20: no more than 64 KiB wait between the app and the host."""
        ahead, sent, taken = [], 0, 0
        piece = b"x" * 16384

        async def app(scope: Any, receive: Any, send: Any) -> None:
            nonlocal sent
            await send(START)
            for _ in range(100):
                await send(body(piece, True))
                sent += len(piece)
                ahead.append(sent - taken)
            await send(END)

        def on_chunk(chunk: bytes) -> None:
            nonlocal taken
            taken += len(chunk)

        assert len(serve(app, on_chunk=on_chunk).body) == 100 * len(piece)
        assert max(ahead) <= 65536 + len(piece)

    def test_a_host_that_does_not_take_stops_the_app(self) -> None:
        """A20: while the host takes nothing, the app stands in send()."""
        sent = 0
        blocked, go = threading.Event(), threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            nonlocal sent
            await send(START)
            for _ in range(64):
                task = asyncio.create_task(send(body(b"x" * 65536, True)))
                if not (await asyncio.wait([task], timeout=0.05))[0]:
                    blocked.set()
                await task
                sent += 1
            await send(END)

        def on_chunk(chunk: bytes) -> None:
            if chunk and not go.is_set():
                assert blocked.wait(LIMIT)
                assert sent <= 2
                go.set()

        assert len(serve(app, on_chunk=on_chunk).body) == 64 * 65536

    def test_sends_from_several_tasks(self) -> None:
        """A20: tasks that send at the same time all wait, and all go on."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            async with asyncio.TaskGroup() as group:
                for _ in range(10):
                    group.create_task(send(body(b"x" * 65536, True)))
            await send(END)

        assert len(serve(app).body) == 10 * 65536

    def test_a_task_cancelled_in_send_leaves_the_others(self) -> None:
        """A20: a send that is cancelled while it waits does not disturb the next one."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            try:
                async with asyncio.timeout(0.01):
                    while True:
                        await send(body(b"x" * 65536, True))
            except TimeoutError:
                pass
            await send(body(b"end"))

        def slow(chunk: bytes) -> None:
            threading.Event().wait(0.03)

        assert serve(app, on_chunk=slow).body.endswith(b"xend")


class TestHeaders:
    def test_blanks_around_a_value(self) -> None:
        """A25: they are no part of it (RFC 9110 §5.5), and the host does not get them."""
        head = start(200, (b"x-a", b" \ta b\t "), (b"x-b", b" "), (b"content-length", b" 1 "))
        answer = serve(sending(head, body(b"x")))
        assert answer.headers[-3:] == [("x-a", "a b"), ("x-b", ""), ("content-length", "1")]

    def test_kept_and_left_out(self) -> None:
        """A25: repeats are kept in order; hop-by-hop fields are the host's and are left out."""
        answer = serve(
            sending(
                start(
                    200,
                    (b"set-cookie", b"a=1"),
                    (b"Connection", b"close"),
                    (b"transfer-encoding", b"chunked"),
                    (b"set-cookie", b"b=2"),
                    (b"keep-alive", b"5"),
                ),
                body(b"x"),
            )
        )
        assert answer.headers == [
            ("content-type", "text/plain"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("Content-Length", "1"),
        ]

    @pytest.mark.parametrize(
        ("method", "code", "data", "length"),
        [
            ("GET", 200, b"abc", "3"),
            ("GET", 200, b"", "0"),
            ("HEAD", 200, b"abc", "3"),
            ("HEAD", 200, b"", None),
            ("GET", 204, b"abc", None),
            ("GET", 304, b"", None),
        ],
    )
    def test_length_of_a_body_of_one_piece(
        self, method: str, code: int, data: bytes, length: str | None
    ) -> None:
        """A25: a body sent at once gets its Content-Length, if a response may have one."""
        answer = serve(sending(start(code), body(data)), environ(method), validate=False)
        assert answer.header("content-length") == length

    @pytest.mark.parametrize(("method", "code"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
    @pytest.mark.parametrize("streamed", [False, True])
    def test_no_body_where_none_may_be(self, method: str, code: int, streamed: bool) -> None:
        """A25: bodies of HEAD, 204 and 304 are dropped, in one piece or streamed."""
        parts = (
            [body(b"a", True), body(b"b" * 100_000, True), body(b"c")] if streamed else [body(b"a")]
        )
        answer = serve(sending(start(code), *parts), environ(method), validate=False)
        assert answer.body == b""
        assert answer.whole

    def test_content_length_of_a_head_response_is_kept(self) -> None:
        """A25: what the app says of the length of a body that is not sent stays."""
        answer = serve(sending(start(200, (b"content-length", b"5")), END), environ("HEAD"))
        assert answer.header("content-length") == "5"


class TestContentLength:
    @pytest.mark.parametrize("parts", [[body(b"abc")], [body(b"ab", True), body(b"c")]])
    def test_right(self, parts: list[Any]) -> None:
        """A20: an app's own Content-Length is kept, once."""
        answer = serve(sending(start(200, (b"Content-Length", b"3")), *parts))
        assert [value for name, value in answer.headers if name == "Content-Length"] == ["3"]
        assert answer.body == b"abc"

    @pytest.mark.parametrize(
        ("parts", "says"),
        [
            ([body(b"abcd")], "4 bytes of body, but Content-Length leaves 3"),
            ([body(b"ab", True), body(b"cd")], "2 bytes of body, but Content-Length leaves 1"),
            ([body(b"ab")], "ends 1 bytes short"),
            ([body(b"ab", True), END], "ends 1 bytes short"),
        ],
    )
    def test_wrong(self, parts: list[Any], says: str) -> None:
        """A21: more or fewer bytes than Content-Length is an error in the app, and no body."""
        answer = serve(sending(start(200, (b"content-length", b"3")), *parts))
        assert not answer.whole or answer.code == 500
        if answer.error:
            assert says in str(answer.error)

    def test_no_number(self) -> None:
        """A21: a Content-Length that is no number is refused in the app."""
        answer = serve(sending(start(200, (b"content-length", b"many")), END))
        assert isinstance(answer.error, IllegalMessage)


class TestIllegal:
    @pytest.mark.parametrize(
        "messages",
        [
            [body(b"x")],
            [{"type": "http.response.start"}],
            [start(100)],
            [start(200, (b"a\r\nb", b"c"))],
            [start(200, (b"a", b"b\r\nc: d"))],
            [{"type": "http.request"}],
            [{"type": "websocket.accept"}],
            [{}],
            ["start"],
            [{"type": "http.response.early_hint", "links": []}],
        ],
    )
    def test_before_the_start(self, messages: list[Any]) -> None:
        """A21: the error is raised in the app; not caught there, it reaches the host's log."""
        answer = serve(sending(*messages))
        assert isinstance(answer.error, IllegalMessage)
        assert not answer.starts

    @pytest.mark.parametrize(
        "message",
        [
            START,
            {"type": "http.response.body", "body": "text"},
            {"type": "http.response.pathsend", "path": "/etc/hostname"},
            {"type": "http.response.trailers", "headers": []},
            {"type": "nonsense"},
        ],
    )
    def test_in_the_body(self, message: Any) -> None:
        """A21: what may not follow cuts the response off, it does not complete it."""
        answer = serve(sending(START, body(b"x", True), message))
        assert not answer.whole
        assert isinstance(answer.error, IllegalMessage)

    def test_after_the_end(self, caplog: pytest.LogCaptureFixture) -> None:
        """A21: sending after the end raises in the app; the response is whole all the same."""
        answer = serve(sending(START, body(b"x"), body(b"y")))
        assert (answer.body, answer.whole, answer.error) == (b"x", True, None)
        assert "the app raised after its response" in caplog.text
        assert "was sent after the end" in caplog.text

    def test_can_be_caught(self) -> None:
        """A21: an app that catches the error can still answer."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            for wrong in ({"type": "nonsense"}, body(b"x"), start(99)):
                try:
                    await send(wrong)
                except IllegalMessage:
                    continue
            await send(START)
            await send(body(b"fine"))

        assert serve(app).body == b"fine"


class TestErrors:
    @pytest.mark.parametrize(
        "error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()]
    )
    def test_what_is_no_exception(self, error: BaseException) -> None:
        """A21 A23: SystemExit and its like end neither the loop nor the host's thread."""
        adapter = AsgiToWsgi(sending(error), lifespan="off")
        answer = call(adapter)
        assert isinstance(answer.error, AppError)
        assert answer.error.__cause__ is error
        assert call(adapter).error  # the loop still runs
        assert adapter.close()

    def test_the_app_is_no_coroutine_function(self) -> None:
        """A22: an app that gives nothing to await is an error like others."""
        for app in (lambda scope: None, lambda scope, receive, send: None):
            answer = serve(app, kind="asgi3")
            assert isinstance(answer.error, TypeError)


class TestUnfinished:
    @pytest.mark.parametrize("messages", [[], [START]])
    def test_without_a_response(self, messages: list[Any]) -> None:
        """A22: an app that returns before a byte is a 500, from the host or from us."""
        answer = serve(sending(*messages))
        assert answer.code == 500 if messages else isinstance(answer.error, AppError)

    def test_in_the_body(self) -> None:
        """A22: an app that returns in mid-body has its response cut off."""
        answer = serve(sending(START, body(b"x", True)))
        assert (answer.body, answer.whole) == (b"x", False)
        assert "returned before its response was over" in str(answer.error)


class TestMisbehaviour:
    @pytest.mark.parametrize("message", [{"type": "nonsense"}, END, "not a message"])
    def test_sending_what_is_illegal_for_ever(self, message: Any) -> None:
        """A21: an app that ignores the error does not take the loop from the others."""
        stop = threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == "/other":
                await send(START)
                await send(body(b"other"))
                return
            await send(START)
            await send(body(b"x"))
            while not stop.is_set():
                try:
                    await send(message)
                except IllegalMessage:
                    pass

        adapter = AsgiToWsgi(app, lifespan="off")
        assert call(adapter).body == b"x"
        assert call(adapter, environ(path="/other")).body == b"other"
        stop.set()
        assert adapter.close()

    def test_spinning_on_receive(self) -> None:
        """A12 A26: an app that asks for ever after http.disconnect is throttled and cancelled."""
        ended = threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            await send(body(b"x", True))
            try:
                while True:
                    await receive()
            finally:
                ended.set()

        def leave(chunk: bytes) -> None:
            raise StopEarly

        adapter = AsgiToWsgi(app, lifespan="off", disconnect_grace=0.05)
        call(adapter, on_chunk=leave)
        assert ended.wait(LIMIT)
        assert adapter.close()


class TestEarlyClose:
    def test_the_app_hears_of_it(self) -> None:
        """A12 A26: the host closing early is http.disconnect, and send() raises an OSError."""
        heard: list[Any] = []
        done = threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(START)
            await send(body(b"x", True))
            heard.append(await receive())
            heard.append(await receive())
            try:
                await send(body(b"y", True))
            except OSError as error:
                heard.append(type(error))
            done.set()

        def leave(chunk: bytes) -> None:
            raise StopEarly

        serve(app, on_chunk=leave)
        assert done.wait(LIMIT)
        assert heard == [{"type": "http.disconnect"}] * 2 + [ClientDisconnected]

    def test_cancelled_after_the_grace(self) -> None:
        """A26: an app that pays no attention is cancelled when disconnect_grace is over."""
        cancelled = threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            await send(body(b"x", True))
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

        def leave(chunk: bytes) -> None:
            raise StopEarly

        adapter = AsgiToWsgi(app, lifespan="off", disconnect_grace=0.01)
        call(adapter, on_chunk=leave)
        assert cancelled.wait(LIMIT)
        assert adapter.close()

    def test_an_error_after_that_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        """A26: an app that fails once its client has gone is logged, not lost."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(START)
            await send(body(b"x", True))
            await receive()
            raise ValueError("cleaning up failed")

        def leave(chunk: bytes) -> None:
            raise StopEarly

        serve(app, on_chunk=leave)
        assert "the app raised after its client had gone" in caplog.text

    def test_a_framework_says_it_in_its_own_words(self, caplog: pytest.LogCaptureFixture) -> None:
        """A26: `send`, if it waits, raises; what a framework makes of that is no error of the app.

        The host hears of neither.
        """
        raised: list[type[Exception]] = []

        class FrameworkDisconnect(Exception):
            pass

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            try:
                while True:
                    await send(body(b"x" * 65536, True))
            except OSError as error:
                raised.append(type(error))
                raise FrameworkDisconnect from None

        def leave(chunk: bytes) -> None:
            raise StopEarly

        serve(app, on_chunk=leave)
        assert raised == [ClientDisconnected]
        assert "raised" not in caplog.text


class TestBackground:
    def test_does_not_hold_the_thread(self) -> None:
        """A27: work after the response goes on when the host has its response already."""
        go, done = threading.Event(), threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            await send(body(b"x"))
            await asyncio.to_thread(go.wait, LIMIT)
            done.set()

        adapter = AsgiToWsgi(app, lifespan="off")
        assert call(adapter).body == b"x"
        assert not done.is_set()
        go.set()
        assert adapter.close()
        assert done.is_set()

    def test_its_error_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        """A27: an error after the response cannot be the client's any more, and is logged."""
        with caplog.at_level(logging.ERROR, "bridge.error"):
            answer = serve(sending(START, body(b"x"), ValueError("in the background")))
        assert answer.whole
        assert "in the background" in caplog.text


class TestExtensions:
    def test_pathsend_of_a_head_request(self, tmp_path: Path) -> None:
        """A24 A25: a HEAD request gets no file."""
        file = tmp_path / "file"
        file.write_bytes(b"x")
        message = {"type": "http.response.pathsend", "path": str(file)}
        answer = serve(
            sending(START, message), environ("HEAD", wsgi_file_wrapper=FileWrapper), pathsend=True
        )
        assert answer.body == b""

    @pytest.mark.parametrize("path", ["/nowhere/at/all", b"/etc/hostname", None])
    def test_pathsend_of_no_file(self, path: Any) -> None:
        """A24: the app hears of a file that cannot be opened, and can still answer."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            try:
                await send({"type": "http.response.pathsend", "path": path})
            except (FileNotFoundError, IllegalMessage):
                await send(body(b"none"))

        assert serve(app, environ(wsgi_file_wrapper=FileWrapper), pathsend=True).body == b"none"

    @pytest.mark.parametrize("kind", ["fifo", "device", "folder", "link to a fifo"])
    def test_pathsend_of_no_regular_file(self, kind: str, tmp_path: Path) -> None:
        """A24: only regular files are sent, and to look at others holds up nobody."""
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "link to a fifo").symlink_to(tmp_path / "fifo")
        (tmp_path / "folder").mkdir()
        path = "/dev/tty" if kind == "device" else str(tmp_path / kind)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            with pytest.raises(OSError, match="not a regular file"):
                await send({"type": "http.response.pathsend", "path": path})
            await send(body(b"none"))

        assert serve(app, environ(wsgi_file_wrapper=FileWrapper), pathsend=True).body == b"none"

    def test_pathsend_of_a_link(self, tmp_path: Path) -> None:
        """A24: a link to a regular file is followed."""
        (tmp_path / "file").write_bytes(b"content")
        (tmp_path / "link").symlink_to("file")
        message = {"type": "http.response.pathsend", "path": str(tmp_path / "link")}
        answer = serve(
            sending(START, message), environ(wsgi_file_wrapper=FileWrapper), pathsend=True
        )
        assert answer.body == b"content"

    def test_pathsend_is_offered_if_it_is_said(self) -> None:
        """A24: a middleware that looks at bodies would break on it; so it is not, if not said."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            await send(body(str("http.response.pathsend" in scope["extensions"]).encode()))

        for settings, offered in (({}, b"False"), ({"pathsend": True}, b"True")):
            made = environ(wsgi_file_wrapper=FileWrapper)
            assert serve(app, made, **settings).body == offered

    def test_pathsend_of_a_relative_path(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A24: it is taken from the working directory, as `open` does."""
        (tmp_path / "file").write_bytes(b"content")
        monkeypatch.chdir(tmp_path)
        message = {"type": "http.response.pathsend", "path": "file"}
        made = environ(wsgi_file_wrapper=FileWrapper)
        assert serve(sending(START, message), made, pathsend=True).body == b"content"

    def test_early_hints_are_bounded(self) -> None:
        """A24: an app that sends hints for ever is stopped by an error."""
        message = {"type": "http.response.early_hint", "links": []}
        answer = serve(
            sending(*[message] * 1000, START, END), environ(wsgi_early_hints=lambda links: None)
        )
        assert isinstance(answer.error, IllegalMessage)


def test_disconnect_after_the_response() -> None:
    """A12: when the response is over, receive() gives http.disconnect."""
    heard: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.append(await receive())
        late = asyncio.create_task(receive())
        await asyncio.sleep(0)
        await send(START)
        await send(body(b"x"))
        heard.append(await late)
        heard.append(await receive())

    serve(app)
    assert heard == [
        {"type": "http.request", "body": b"", "more_body": False},
        {"type": "http.disconnect"},
        {"type": "http.disconnect"},
    ]


# ------------------------------------------------------------- with a host that the test plays


class Alone:
    """The loop's side of one request; the test does what a host would."""

    def __init__(self, app: Any, made: Any = None, **settings: Any) -> None:
        made = made or environ()
        self.instance = AppInstance(app, make_settings(lifespan="off", **settings))
        length = body_length(made)
        self.body = RequestBody(made["wsgi.input"], length) if length else None
        self.queue = ResponseQueue()
        self.side = AppSide(self.instance, made, self.body, self.queue)

    def in_loop(self, job: Any) -> None:
        """Have `job` called in the loop; returns when that is done."""
        done = threading.Event()
        self.instance.thread.submit(lambda: (job(), done.set()))
        assert done.wait(LIMIT)

    def run(self) -> None:
        """Run the app to its end."""
        self.in_loop(self.side.start)
        assert self.instance.close(LIMIT)


@pytest.mark.parametrize(
    ("messages", "raised"),
    [
        ([START, body(b"whole")], []),
        ([START, body(b"one", True), END], []),
        ([START, body(b"one", True), body(b"two", True)], [ClientDisconnected]),
        ([START, body(b"whole"), body(b"more")], [ClientDisconnected]),
        ([start(99)], [IllegalMessage]),
        ([body(b"x")], [ClientDisconnected]),
        (["start"], [IllegalMessage]),
    ],
)
def test_what_an_app_that_was_not_told_sends_in_vain(
    messages: list[Any], raised: list[type[Exception]]
) -> None:
    """A26 S12: one piece at most, and the end; then `send` raises."""
    errors: list[type[Exception]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            try:
                await send(message)
            except (ClientDisconnected, IllegalMessage) as error:
                errors.append(type(error))

    alone = Alone(app)
    alone.queue.set_host(GONE)
    alone.run()
    assert errors == raised
    assert not alone.queue.chunks


def test_a_task_in_receive_hears_first() -> None:
    """A26 S12: until it has, what another task sends is dropped without an error."""
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        other = asyncio.create_task(receive())
        await asyncio.sleep(0)  # it waits in `receive` now
        alone.queue.set_host(GONE)
        await send(START)
        heard.append("dropped")
        alone.side.on_disconnect()
        heard.append((await other)["type"])

    alone = Alone(app)
    alone.run()
    assert heard == ["dropped", "http.disconnect"]


def test_an_app_that_ends_in_time_is_not_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    """A26: it may clean up and return while the grace lasts."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"

    alone = Alone(app, disconnect_grace=0.01)
    alone.in_loop(alone.side.start)
    alone.queue.set_host(GONE)
    alone.in_loop(alone.side.on_disconnect)
    grace_is_over = threading.Event()
    alone.in_loop(lambda: alone.instance.loop.call_later(0.02, grace_is_over.set))
    assert grace_is_over.wait(LIMIT)
    assert alone.instance.close(LIMIT)
    assert alone.queue.failure is None
    assert not caplog.records


def test_a_host_that_looks_no_longer_is_told_of_a_late_head() -> None:
    """A20: after `HEAD_DELAY`, if nothing has followed the head by then."""
    told = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await told.wait()
        await send(body(b"x"))

    alone = Alone(app)
    alone.queue.set_host(HOST_WAITING)
    alone.in_loop(alone.side.start)
    assert alone.queue.wait(ThreadWaiter(), LIMIT)
    assert alone.queue.status == "200 OK"
    assert not alone.queue.chunks
    alone.in_loop(told.set)
    assert alone.instance.close(LIMIT)
    assert alone.queue.take() == b"x"


def test_nobody_waits_for_room() -> None:
    """A20: a wake-up that comes when the app goes on already does no harm."""
    alone = Alone(sending())
    alone.in_loop(alone.side.resume)
    alone.run()


def test_an_extension_that_a_middleware_has_added() -> None:
    """A24: ``http.response.debug`` is for it, and not for the host."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["extensions"]["http.response.debug"] = {}
        await send({"type": "http.response.debug", "info": {}})
        await send(START)
        await send(body(b"x"))

    assert serve(app).body == b"x"


def test_a_body_reaches_the_app() -> None:
    """A10 A11: its pieces, then ``http.disconnect`` if it was cut off."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard = [await receive()]
        heard.append(await receive())
        await send(START)
        await send(body(repr([message["type"] for message in heard]).encode()))

    answer = serve(app, environ("POST", body=b"abc", CONTENT_LENGTH="9"))
    assert answer.body == b"['http.request', 'http.disconnect']"


def test_after_a_whole_body_the_end_is_waited_for() -> None:
    """A12: ``http.disconnect`` comes when the response is over or the client has gone."""
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(2):
            heard.append((await receive())["type"])

    alone = Alone(app, environ("POST", body=b"abc"))
    alone.in_loop(alone.side.start)
    assert alone.body is not None
    message, put = alone.body.read(), alone.body.put
    alone.in_loop(lambda: put(message))
    alone.in_loop(lambda: None)  # the app has had its turn, and waits again
    alone.queue.set_host(GONE)
    alone.in_loop(alone.side.on_disconnect)
    assert alone.instance.close(LIMIT)
    assert heard == ["http.request", "http.disconnect"]
