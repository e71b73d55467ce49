"""An exchange whose app runs in a thread: the loop sends, and receives, while the thread goes on.

What lies between the two is in `thread_queues`. A plain response needs none of that: it is one
`respond`, which leaves it in the exchange and puts the exchange's signal into the
`CompletionQueue`, where the loop collects many at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context

from bridge.adapters.wsgi_on_asgi.exchange import COMPLETE, Exchange, Extensions, response_messages
from bridge.adapters.wsgi_on_asgi.request_body import RequestBody
from bridge.adapters.wsgi_on_asgi.thread_queues import Inbox, LoopSignal, ThreadOutbox
from bridge.errors import BridgeError, ClientDisconnected
from bridge.http.response_head import ResponseHead
from bridge.runners.base import Runner, occupied_runners
from bridge.runners.completions import CompletionQueue
from bridge.types import Message, Receive, Send
from bridge.wsgi.call import WsgiCall


class ThreadExchange(Exchange):
    """The app's side runs in a thread of the pool, the other side on the loop."""

    outbox: ThreadOutbox | None

    def __init__(
        self,
        runner: Runner,
        completions: CompletionQueue,
        receive: Receive,
        send: Send,
        extensions: Extensions | None,
    ) -> None:
        super().__init__(runner, completions, receive, send, extensions)
        #: By which the thread wakes the loop.
        self.signal = LoopSignal(completions)
        #: The request's body on its way to the thread, if there is one.
        self._inbox: Inbox | None = None
        #: Receives from the host, from the first time that it matters what comes.
        self._reader: asyncio.Task[None] | None = None

    # --------------------------------------------------------- the job, in its thread

    def __call__(self) -> bool:
        """Run the app, unless nobody waits for it any more."""
        if not self.gone:
            self.context.run(self.call)  # type: ignore[arg-type]
        self._end()
        return True

    def refuse(self, error: BridgeError) -> None:
        """Answer instead of running: the runner has no place for it. On the loop."""
        super().refuse(error)
        self._end()

    def on_long_wait(self) -> None:
        """Listen for the client while it waits, unless that would bring the body (W21)."""
        if self.body is None or self.body.ended:
            self.listen()

    def _end(self) -> None:
        """End: the call has returned, or never begins."""
        if self.body is not None:
            self.body.close()
        self.call = None
        try:
            self.signal.wake()
        except ClientDisconnected:
            pass  # nobody waits

    # --------------------------------------------------------- what the app calls, in its thread

    def pull(self) -> bytes:
        """Return the next piece of the body."""
        assert self._inbox is not None
        if self._reader is None:
            self.signal.call(self.listen)
        return self._inbox.pull()

    def is_disconnected(self) -> bool:
        """Whether the client is gone; from the first call on the loop listens for that."""
        if self._reader is None and not self.gone:
            try:
                self.signal.call(self.listen)
            except ClientDisconnected:
                self.gone = True
        return self.gone

    # --------------------------------------------------------- the sink, in the thread

    def put(self, message: Message) -> None:
        """Leave `message` in the outbox."""
        outbox = self.outbox
        if outbox is None:
            outbox = self.outbox = ThreadOutbox(self._send)
            if self.gone:  # the loop may have looked for an outbox just before
                outbox.close()
        outbox.put(message)

    def respond(self, head: ResponseHead, body: bytes) -> None:
        """Leave the whole response; the loop comes for it when it comes for others."""
        self.whole = head, body
        self.phase = COMPLETE
        self.signal.wake_with_others()

    def write(self, chunk: bytes) -> bool:
        """Send one piece; waits while more than 64 KiB are on their way (W39)."""
        if self.gone:
            raise ClientDisconnected("the client is gone")
        self.put({"type": "http.response.body", "body": chunk, "more_body": True})
        assert self.outbox is not None
        self.signal.wake()
        self.outbox.wait_for_room()
        return True

    def finish(self) -> None:
        """Say that the body is whole."""
        super().finish()
        self.signal.wake()

    def abort(self) -> None:
        """Say that the response cannot be completed."""
        super().abort()
        self.signal.wake()

    def flush(self) -> None:
        """Wait until everything has been sent."""
        assert self.outbox is not None
        self.signal.wake()
        self.outbox.flush()

    # --------------------------------------------------------- on the loop

    def begin(
        self, call: WsgiCall, context: Context, news: Callable[[], object] | None = None
    ) -> None:
        """Have the app run in a thread."""
        self.call, self.context = call, context
        self.signal.first = news
        context.run(occupied_runners.set, (*occupied_runners.get(), self.runner))
        try:
            self.runner.submit(self)
        except BridgeError as error:
            self.refuse(error)

    async def go_on(self) -> None:
        """Send what the app makes, until the response is over."""
        await self.signal.sleep()
        try:
            # The thread sets the phase last: what it has put into the outbox before is to be seen.
            while not self.gone and (self.phase < COMPLETE or self.outbox):
                if not self.outbox:
                    await self.signal.sleep_unless(lambda: self.outbox or self.phase >= COMPLETE)
                    continue
                await self.outbox.send_first()
                if self.outbox.has_body:
                    self.listen()
            if self.whole is not None and not self.gone:
                for message in response_messages(*self.whole):
                    await self._send(message)
        except OSError:
            self.gone = True  # the client is

    def leave(self) -> None:
        """Let go of the thread, which goes on alone; what has no thread yet gets none."""
        if self.phase < COMPLETE and self.runner.queue and self.runner.withdraw(self):
            self._end()
        if self._reader is not None:
            self._reader.cancel()
        self.gone = True
        if self.outbox is not None or self._inbox is not None:
            self._release_thread()

    def _release_thread(self, reason: Exception | None = None) -> None:
        """Wake the thread: its response goes nowhere, and no more of the request comes."""
        self.gone = True
        if self.outbox is not None:
            self.outbox.close()
        if self._inbox is not None:
            self._inbox.fail(reason or ClientDisconnected("the request is over"))

    # --------------------------------------------------------- what the host has to say

    def expect_body(self, length: str | None, limit: int | None) -> RequestBody:
        """Make the body that follows, and its way to the thread."""
        body = super().expect_body(length, limit)
        self._inbox = Inbox(body, self.signal)
        return body

    def listen(self) -> None:
        """Receive from now on: the body into the inbox, then the end of the connection."""
        if self._reader is None and not self.gone:
            self._reader = self.completions.loop.create_task(self._receive_all())

    async def _receive_all(self) -> None:
        body = RequestBody(self._receive) if self.body is None else self.body
        reason: Exception | None = None
        try:
            await (body.next() if self._inbox is None else self._inbox.fill())
            await body.disconnected()
        except ClientDisconnected as error:
            reason = error
        except BridgeError as error:  # the client is there: it has sent too much
            if self._inbox is not None:
                self._inbox.fail(error)
            return
        except Exception as error:
            reason = ClientDisconnected(f"the host's receive() failed: {error!r}")
        self._release_thread(reason)
        self.signal.on_completed()


async def wait_until_closed(exchange: Exchange) -> None:
    """Return when the call has returned, the app's ``close()`` included."""
    while exchange.call is not None:
        assert isinstance(exchange, ThreadExchange)  # with others it has
        await exchange.signal.sleep_unless(lambda: exchange.call is None)
