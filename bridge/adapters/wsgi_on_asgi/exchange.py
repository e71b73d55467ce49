"""One HTTP request under `WsgiToAsgi`: the sink of its `WsgiCall`, and the job of its runner.

`Exchange` is what all runners share: the app's side leaves a response that it made in one step in
`whole`, and puts the messages of every other into an outbox; the loop's side sends them. Who sends
when depends on the runner: `on_loop` and `in_thread`.

What the app has made of its response is one of four phases, in this order:

    OPEN      more may come, or the whole response
    FILE      the host sends the rest from a file
    COMPLETE  all of it is made
    BROKEN    it cannot be completed: the host must not end it as if it were whole
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextvars import Context
from typing import Any, Final, TypeAlias

from bridge.adapters.wsgi_on_asgi.failure import RaisesOn
from bridge.adapters.wsgi_on_asgi.files import file_message
from bridge.adapters.wsgi_on_asgi.request_body import RequestBody
from bridge.errors import BridgeError
from bridge.http.response_fields import TEXT_FIELDS
from bridge.http.response_head import ResponseHead
from bridge.http.response_sink import ResponseStream
from bridge.runners import Runner
from bridge.runners.completions import CompletionQueue
from bridge.types import Address, Message, Receive, Send, TextHeaders
from bridge.wsgi.call import WsgiCall

#: What a host says that it can do beyond the plain specification (ASGI, "Extensions").
Extensions: TypeAlias = Collection[str]

OPEN: Final = 0
FILE: Final = 1
COMPLETE: Final = 2
BROKEN: Final = 3


class Exchange(RaisesOn):
    """A request in, a response out; also the `Job` that the runner runs.

    `extensions`: what the host says that it can do, if files may be left to it.
    """

    # Defaults stand here if plain requests never set them, else in __init__: an attribute that
    # has a default in its class is slow to read and to write on an instance.

    #: What runs, in which context; set by `begin`. None when the call has returned.
    call: WsgiCall | None
    context: Context
    #: Whether its response has begun to leave, and does not come as a whole (for the runner).
    streams = False
    #: When it was queued (for the runner).
    queued_at: float

    def __init__(
        self,
        runner: Runner,
        completions: CompletionQueue,
        receive: Receive,
        send: Send,
        extensions: Extensions | None,
    ) -> None:
        self.runner = runner
        self.completions = completions
        self._receive = receive
        self._send = send
        self._extensions = extensions
        #: The request's body, if it announces one or may have one.
        self.body: RequestBody | None = None
        #: What waits to be sent, but for a whole response; None until there is something.
        self.outbox: Any = None
        #: How far the response is, as far as the app is concerned.
        self.phase = OPEN
        #: The whole response, if it was made in one step: it goes after the outbox.
        self.whole: tuple[ResponseHead, bytes] | None = None
        #: Nobody takes the response any more.
        self.gone = False

    # --------------------------------------------------------- on the loop

    def begin(
        self, call: WsgiCall, context: Context, news: Callable[[], object] | None = None
    ) -> None:
        """Have `call` run in `context`; `go_on` has to follow.

        `news` is called once there is something for `go_on` to do; not by a greenlet, which
        runs as part of that.
        """
        self.call, self.context = call, context

    async def go_on(self) -> None:
        """Send the response."""
        raise NotImplementedError

    def leave(self) -> None:
        """Let go: the request is over for the host; the app may still run. Called once."""
        self.gone = True
        if self.body is not None:
            self.body.close()

    def expect_body(self, length: str | None, limit: int | None) -> RequestBody:
        """Make the body that follows, of this Content-Length, with at most `limit` bytes.

        Raises `RequestError` (413) if Content-Length is more than that (W22).
        """
        number = None if length is None else int(length)
        body = self.body = RequestBody(self._receive, number, limit)
        return body

    # --------------------------------------------------------- the job

    def __call__(self) -> bool:
        """Run the app, in the request's context (W50)."""
        ended = self.context.run(self.call)  # type: ignore[arg-type]
        if ended:
            self.call = None  # it holds this exchange: a circle would wait for the collector
        return ended

    def refuse(self, error: BridgeError) -> None:
        """Answer instead of running: the runner has no place for it (W52, W53)."""
        assert self.call is not None
        self.call.refuse(error)

    @property
    def peer(self) -> Address | None:
        """The client's address and port, while the call is not over."""
        return None if self.call is None else self.call.peer

    def on_long_wait(self) -> None:
        """Note that it has waited for a thread for long."""

    # --------------------------------------------------------- what the app calls

    def pull(self) -> bytes:
        """Return the next piece of the request's body; b"" at the end (W21)."""
        raise NotImplementedError

    def is_disconnected(self) -> bool:
        """``bridge.disconnected``: whether the client is gone, as far as it is known (W10)."""
        raise NotImplementedError

    # --------------------------------------------------------- the sink

    def put(self, message: Message) -> None:
        """Leave `message` in the outbox."""
        raise NotImplementedError

    def flush(self) -> None:
        """Return when everything so far has been sent."""
        raise NotImplementedError

    def respond(self, head: ResponseHead, body: bytes) -> None:
        """ResponseSink: the whole response (W35)."""
        self.whole = head, body
        self.phase = COMPLETE

    def start(self, head: ResponseHead) -> ResponseStream:
        """ResponseSink: the head; a piece of body follows at once, or the end."""
        self.put(start_message(head))
        self.streams = True
        return self

    def write(self, chunk: bytes) -> bool:
        """ResponseSink: one piece."""
        raise NotImplementedError

    def send_file(self, file: Any, block_size: int, count: int | None) -> bool:
        """ResponseSink: have the host send a real file by itself, if it can (W41)."""
        message = file_message(file, count, self._extensions or ())
        if message is None:
            return False
        self.phase = FILE
        self.put(message)
        self.flush()  # before the app closes, or removes, the file
        return True

    def finish(self) -> None:
        """ResponseSink: the body is whole."""
        if self.phase != FILE:
            self.put({"type": "http.response.body", "body": b""})
        self.phase = COMPLETE

    def abort(self) -> None:
        """ResponseSink: the response cannot be completed."""
        self.phase = BROKEN


def whole_response(exchange: Exchange) -> tuple[ResponseHead, bytes] | None:
    """Return the whole response of an exchange, if that is all there is to send."""
    return None if exchange.outbox else exchange.whole


def early_hints(exchange: Exchange) -> Callable[[TextHeaders], None]:
    """``wsgi.early_hints``: links that a browser may load while the app works (W42)."""

    def send_early_hints(headers: TextHeaders) -> None:
        fields = [TEXT_FIELDS[name, value].raw for name, value in headers]
        links = [value for name, value in fields if name == b"link"]
        exchange.put({"type": "http.response.early_hint", "links": links})
        exchange.flush()

    return send_early_hints


def start_message(head: ResponseHead) -> Message:
    """Make the ASGI message of a response's head."""
    return {
        "type": "http.response.start",
        "status": head.status_code,
        "headers": head.raw_headers.copy(),
    }


def response_messages(head: ResponseHead, body: bytes) -> tuple[Message, Message]:
    """Make the ASGI messages of a whole response."""
    return start_message(head), {"type": "http.response.body", "body": body}
