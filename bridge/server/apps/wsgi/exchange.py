"""The WSGI handler: an exchange becomes an environ and a job of a runner.

No scope, no messages, no task in between (DESIGN, the way of a request); the rules are those of
`environ.py` and `wsgi_response.py`, the same as behind `WsgiToAsgi`.

Here is what all runners share: the request's way in. How a response leaves depends on where the
app runs: `wsgi_on_loop.py` and `wsgi_in_thread.py`.
"""

from __future__ import annotations

import os
from io import BytesIO
from typing import IO, Any

from bridge.errors import BridgeError, RequestError
from bridge.http.leniency import LENIENT, Leniency
from bridge.http.paths import split_native_path, split_path
from bridge.http.response_fields import NO_ROLE, TEXT_FIELDS
from bridge.http.response_head import ResponseHead
from bridge.limits import HIGH_WATER
from bridge.loops.descriptors import Duplicate, regular_file
from bridge.runners import Runner
from bridge.server.apps.asgi.exchange import make_scope
from bridge.server.apps.wsgi.lazy_scope import SEED, LazyScope
from bridge.server.exchange import BY_LENGTH, UNFRAMED, Exchange
from bridge.server.http1.connection import HttpProtocol
from bridge.server.proxy.forwarded import Resolved
from bridge.server.request import CHUNKED, Request
from bridge.server.transport.sendfile import send_file
from bridge.types import Environ, Scope, TextHeaders, WSGIApp
from bridge.wsgi.call import WsgiCall
from bridge.wsgi.environ import (
    add_client,
    add_headers,
    base_environ,
    error_stream,
    server_name_port,
    take_coding,
    with_room,
)
from bridge.wsgi.input import WholeInput, WsgiInput, spool_limit, spool_limit_without_length


class WsgiHandler:
    """Answers requests with a WSGI app. One per app, with a runner of its own (W52).

    `spool_body`: take whole bodies before the app runs, this many bytes of each in memory.
    `max_body_size`: bytes; None leaves it to the server's own limit (W22).
    `leniency`: how far responses that break PEP 3333 are taken.
    `exchange`: the class of exchanges that fits the runner.
    """

    def __init__(
        self,
        app: WSGIApp,
        runner: Runner,
        *,
        max_body_size: int | None = None,
        spool_body: int | None = None,
        multiprocess: bool = False,
        prefix: str = "",
        leniency: Leniency = LENIENT,
        exchange: type[WsgiExchange],
    ) -> None:
        self.app = app
        self.runner = runner
        self.leniency = leniency
        self._exchange = exchange
        self.max_body_size = max_body_size
        self.spool = spool_limit(spool_body, can_wait=runner.can_wait)
        #: Where the app is mounted, below the server's own root path.
        self.prefix = prefix
        self._base = base_environ(multithread=runner.multithread, multiprocess=multiprocess)
        self._base["SERVER_PROTOCOL"] = "HTTP/1.1"
        self._base["wsgi.errors"] = error_stream()
        self._base["bridge.stats"] = runner.stats

    def open(self, connection: HttpProtocol, head: Request) -> WsgiExchange:
        """An exchange for this request."""
        return self._exchange(self, connection, head)

    def base_for(self, connection: HttpProtocol) -> Environ:
        """What is the same for every request that comes in where `connection` did."""
        base = with_room(self._base, "wsgi.early_hints")
        base["wsgi.url_scheme"] = connection.scheme
        base["SCRIPT_NAME"] = split_path("/", None, connection.root_path + self.prefix)[0]
        if connection.server is not None and connection.server[1] is not None:
            name_port = server_name_port(connection.server, None, connection.scheme)
            base["SERVER_NAME"], base["SERVER_PORT"] = name_port
        connection.bases[self] = base
        return base


class WsgiExchange(Exchange):
    """One request answered by a WSGI app; the `ResponseSink` of its `WsgiCall`."""

    connection: HttpProtocol
    #: What runs, where a call that pauses or waits has to be found again.
    _call: WsgiCall | None
    #: The head of a streamed response has not left yet.
    head_waits = False
    #: The app runs only when the beginning of its body is here, also where it has to be asked for.
    awaits_body = False
    #: The app runs when the whole body is here, and not before.
    _held = False
    #: Where a body waits for that which is small enough.
    _gathered: bytearray | None = None
    #: Where a body waits for that which may be too large for the memory.
    _spooled: IO[bytes] | None = None

    def __init__(self, handler: WsgiHandler, connection: HttpProtocol, head: Request) -> None:
        super().__init__(connection, head)
        self.handler = handler
        self.submitted = False
        self._call = None

    # --------------------------------------------------------- what depends on the runner

    def submit(self, call: WsgiCall) -> None:
        """Hand `call` to the runner. Raises what `Runner.submit` raises."""
        raise NotImplementedError

    def respond(self, head: ResponseHead, body: bytes) -> None:
        """ResponseSink: the whole response."""
        raise NotImplementedError

    def write(self, chunk: bytes) -> bool:
        """ResponseSink: one piece."""
        raise NotImplementedError

    def failed(self, error: BaseException) -> bool:
        """ResponseSink: nobody else is told."""
        return False

    def refused(self, error: BridgeError) -> bool:
        """ResponseSink: a line that counts tells of it (S6)."""
        self.connection.state.refusals.note(self.connection.client, error)
        return True

    def abort(self) -> None:
        """ResponseSink: the response cannot be completed."""
        raise NotImplementedError

    def put(self, data: bytes) -> None:
        """Write, from wherever the app runs. Raises `ClientDisconnected`."""
        raise NotImplementedError

    def wrote_all(self) -> None:
        """The response is over, as far as the app is concerned."""
        raise NotImplementedError

    # --------------------------------------------------------- the body in, on the loop (W25)

    def answer(self) -> None:
        """Hand the request to the runner as soon as enough of its body is here.

        A client that waits for 100 Continue gets it when the app reads (S5); but where an app that
        waits holds a thread, at once: nobody's silence holds one (W25).
        """
        if self.submitted or self.over:
            return
        if self.complete or not (self._held or self.awaits_body or not self.head.expects_continue):
            self._submit()
        elif self.head.expects_continue:
            self.ask_for_body()

    def most_body(self) -> int:
        """The most bytes of body that are taken (W22)."""
        own = self.handler.max_body_size
        return super().most_body() if own is None else own

    def expect_body(self) -> None:
        """A body follows."""
        super().expect_body()
        spool = self.handler.spool
        if self.head.length == CHUNKED:
            spool = spool_limit_without_length(spool)
        if spool is None:
            return
        self._held = True
        if 0 < self.head.length <= spool:
            self._gathered = bytearray()
        else:
            from bridge.server.apps.wsgi.request_body import (
                Spool,  # nearly 1 MB, and few requests need it
            )

            self._spooled = Spool(spool)

    def feed(self, data: bytes) -> bool:
        """Take a piece of body."""
        if self._held:
            self.body_size += len(data)
            if self.over:
                pass
            elif self._gathered is not None:
                self._gathered += data
            elif self._spooled is not None:
                self._spooled.write(data)
            return True
        room = super().feed(data)
        if not room and not self.submitted and not self.over:
            self._submit()
            return self.waiting < HIGH_WATER
        return room

    def end_body(self) -> None:
        """The body is whole."""
        super().end_body()
        self.answer()

    def input_ended(self) -> None:
        """The client stopped in the middle of its body."""
        if self.submitted:
            self.wake()
        else:
            self.over = True
            self.connection.cut()

    def disconnected(self) -> None:
        """The client has left; an app that has not begun never does."""
        super().disconnected()
        if not self.submitted:
            self.over = True

    def spoil(self, error: RequestError) -> None:
        """The body breaks a rule: the next read raises; an app that has not begun never does."""
        super().spoil(error)
        if not self.submitted:
            self.refuse(error)

    # --------------------------------------------------------- the environ

    def _submit(self) -> None:
        self.submitted = True
        try:
            handler = self.handler
            call = WsgiCall(handler.app, self._environ(), self, handler.leniency)
        except RequestError as error:
            self.connection.state.refusals.note(self.connection.client, error)
            self.refuse(error)
            return
        try:
            self.submit(call)
        except BridgeError as error:
            call.refuse(error)

    def _environ(self) -> Environ:
        connection, head, handler = self.connection, self.head, self.handler
        base = connection.bases.get(handler)
        if base is None:
            base = handler.base_for(connection)
        if head.base is base:
            template = head.template
        else:
            template = self._fill(base)
            if head.cached:
                head.template, head.base = template, base
        environ = template | (connection.environ or connection.make_environ())
        scope = environ["asgi.scope"] = LazyScope(SEED)
        scope.maker = self
        environ["wsgi.early_hints"] = self.early_hints
        if head.length:
            environ["wsgi.input"] = self._input()
            if head.length == CHUNKED and self.complete:
                environ["CONTENT_LENGTH"] = str(self.body_size)
        else:
            environ["wsgi.input"] = BytesIO()
        if not head.fast:
            self._adapt(environ)
        return environ

    def _fill(self, base: Environ) -> Environ:
        """What follows from the head, and from where it came in."""
        connection, head, prefix = self.connection, self.head, self.handler.prefix
        line, environ = head.line, base.copy()
        environ["REQUEST_METHOD"] = line.method
        environ["RAW_URI"] = environ["REQUEST_URI"] = line.native_target
        environ["QUERY_STRING"] = line.native_query
        environ["PATH_INFO"] = path = line.native_path
        if connection.root_path or prefix or path == "*":
            environ["SCRIPT_NAME"], environ["PATH_INFO"] = split_native_path(
                path, connection.root_path, prefix
            )
        add_headers(environ, head.headers)
        take_coding(environ)
        if "SERVER_NAME" not in environ:
            environ["SERVER_NAME"], environ["SERVER_PORT"] = server_name_port(
                None, environ.get("HTTP_HOST"), environ["wsgi.url_scheme"]
            )
        return environ

    def _adapt(self, environ: Environ) -> None:
        """What hardly any request needs."""
        head = self.head
        if not head.http11:
            environ["SERVER_PROTOCOL"] = "HTTP/1.0"
            del environ["wsgi.early_hints"]
        if head.resolved is not None:
            self._resolve(environ, head.resolved)

    def make_scope(self) -> Scope:
        """The ASGI scope of the request (W10)."""
        return make_scope(self.connection, self.head, {}, self.handler.prefix)

    def _resolve(self, environ: Environ, resolved: Resolved) -> None:
        """Take a trusted proxy's word for the client and the scheme (S32)."""
        client, scheme, server = resolved
        for key in ("REMOTE_ADDR", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT"):
            environ.pop(key, None)
        add_client(environ, client)
        environ["wsgi.url_scheme"] = scheme
        environ["SERVER_NAME"], environ["SERVER_PORT"] = server_name_port(
            server, environ.get("HTTP_HOST"), scheme
        )

    def _input(self) -> Any:
        if self._spooled is not None:
            self._spooled.seek(0)
            return self._spooled
        if self._gathered is not None:
            return WholeInput(self._gathered)
        if self.complete:
            return WholeInput(self.take_body())
        return WsgiInput(self._pull)

    def _pull(self) -> bytes:
        return self.handler.runner.wait(self.next_body())

    def early_hints(self, headers: TextHeaders) -> None:
        """``wsgi.early_hints``: send 103 with these fields, where the head has not left (W42).

        What speaks of the response itself is left out: Content-Length must not be in a 103
        (RFC 9110 §8.6), and the server's own fields come with the head.
        """
        if self.framing == UNFRAMED:
            fields = [TEXT_FIELDS[name, value] for name, value in headers]
            lines = b"".join([field.line for field in fields if field.role == NO_ROLE])
            self.put(b"HTTP/1.1 103 Early Hints\r\n%b\r\n" % lines)

    # --------------------------------------------------------- the response out, in the runner

    def start(self, head: ResponseHead) -> None:
        """ResponseSink: the head of a streamed response; held until its first piece."""
        self.begin(head)
        self.frame(None)
        self.head_waits = True

    def framed(self, chunk: bytes) -> bytes:
        """A piece of body as it goes on the wire, behind the head where that still waits."""
        data = b"".join(self.parts(chunk))
        return self._with_head(data) if self.head_waits else data

    def _with_head(self, data: bytes) -> bytes:
        self.head_waits = False
        return self.head_bytes + data

    def finish(self) -> None:
        """ResponseSink: the body is whole."""
        data = self.last_piece()
        if self.head_waits:
            data = self._with_head(data)
        if data:
            self.put(data)
        self.wrote_all()

    def send_file(self, file: Any, block_size: int, count: int | None) -> bool:
        """ResponseSink: the rest of an open file, sent by the kernel (W41)."""
        runner = self.handler.runner
        real = regular_file(file)
        if not runner.can_wait or real is None or count is None or self.framing != BY_LENGTH:
            return False
        if self.head_waits:
            self.put(self._with_head(b""))
        self.send_real(real, file.tell(), count)
        self.sent += count
        return True

    def send_real(self, file: int, offset: int, count: int) -> None:
        """Send a part of a regular file; waits until the kernel has all of it."""
        # The app may close its file as soon as it is told to stop, while the loop still reads.
        twin = Duplicate(file)
        self.handler.runner.wait(self._send_twin(twin, offset, count))

    async def _send_twin(self, twin: Duplicate, offset: int, count: int) -> None:
        """On the loop: send a part of a file whose descriptor is ours."""
        descriptor = twin.take()
        assert descriptor is not None
        try:
            await send_file(self.connection.output, descriptor, offset, count)
        finally:
            os.close(descriptor)
