"""An exchange whose app runs in a thread: the loop sends, and receives, while the thread goes on.

Two queues lie between them, each with one writer and one reader, so that neither needs a lock: a
`deque` is safe for that, and how much waits in it is the difference of two counters, of which each
side writes one.

    thread -> loop   `outbox`   the loop sleeps on a future; `_ring` wakes it, if it sleeps
    loop -> thread   `_inbox`   the thread sleeps on a lock that stands for "look again"

A plain response needs none of that: it is one `respond`, which leaves it in the exchange and hands
the exchange in at the `CompletionQueue`, where the loop collects many at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable

from bridge.adapters.wsgi_on_asgi.exchange import Exchange
from bridge.errors import BridgeError, ClientDisconnected
from bridge.http.response_head import ResponseHead
from bridge.limits import HIGH_WATER, LOW_WATER
from bridge.runners.base import Runner, occupied_runners
from bridge.runners.completions import CompletionQueue
from bridge.types import Receive, Send


class ThreadExchange(Exchange):
    """The app's side runs in a thread of the pool, the other side on the loop."""

    _bell: asyncio.Future[None]  # what the loop sleeps on
    _made = 0  # bytes of body that the thread has put into the outbox
    _sent = 0  # ... and that the loop has sent
    _streams = False

    _inbox: deque[bytes] | None = None
    _read = 0  # bytes of body that the loop has put into the inbox
    _taken = 0  # ... and that the thread has taken
    _room: asyncio.Future[None] | None = None  # what the reader sleeps on while the inbox is full
    _error: BridgeError | None = None

    def __init__(
        self, runner: Runner, completions: CompletionQueue, receive: Receive, send: Send
    ) -> None:
        super().__init__(runner, completions, receive, send)
        #: The loop sleeps, or is about to. Whoever takes this down wakes it.
        self._asleep = True
        #: The call has returned.
        self._done = False
        #: What the thread sleeps on: held while nothing is new.
        self._again: threading.Lock | None = None
        self._reader: asyncio.Task[None] | None = None

    # --------------------------------------------------------- the job, in its thread

    def __call__(self) -> bool:
        """Run the app, unless nobody waits for it any more."""
        if not self.gone:
            self.context.run(self.call)
        self._end()
        return True

    def refuse(self, error: BridgeError) -> None:
        """The runner has no place for it; on the loop."""
        super().refuse(error)
        self._end()

    def waits(self) -> None:
        """It waits for a thread: listen for its client, unless that would bring the body (W21)."""
        if not self.has_body or self.upload.ended:
            self._listen()

    def _end(self) -> None:
        del self.call
        self._done = True
        if self._file is not None:
            self._file.close()
        self._ring()

    def respond(self, head: ResponseHead, body: bytes) -> None:
        """The whole response; the loop comes for it when it comes for others."""
        self.whole = head, body
        self.over = True
        if self._asleep:
            self._asleep = False
            self.completions.put(self)

    def write(self, chunk: bytes) -> bool:
        """One piece; waits while more than 64 KiB are on their way (W39)."""
        if self.gone:
            raise ClientDisconnected("the client is gone")
        self._streams = True
        self.put({"type": "http.response.body", "body": chunk, "more_body": True})
        self._made += len(chunk)
        self._ring()
        if self._made - self._sent > HIGH_WATER:
            self._sleep_until(self._has_room)
        return True

    def finish(self) -> None:
        """The body is whole."""
        super().finish()
        self._ring()

    def abort(self) -> None:
        """The response cannot be completed."""
        super().abort()
        self._ring()

    def flush(self) -> None:
        """Wait until everything has been sent."""
        self._ring()
        self._sleep_until(self._has_sent)

    def is_disconnected(self) -> bool:
        """Whether the client is gone; from the first call on the loop listens for that."""
        if self._reader is None and not self.gone:
            self._call_on_loop(self._listen)
        return self.gone

    def pull(self) -> bytes:
        """The next piece of the body."""
        if self._inbox is None:
            self._inbox = deque()
            self._call_on_loop(self._listen)
        if not self._inbox:
            self._sleep_until(self._has_input)
        if not self._inbox:
            raise self._error or ClientDisconnected("the request is over")
        piece = self._inbox[0]
        if piece:
            del self._inbox[0]
            self._taken += len(piece)
            if self._room is not None and self._read - self._taken <= LOW_WATER:
                self._call_on_loop(self._make_room)
        return piece

    def _has_room(self) -> bool:
        if self.gone:
            raise ClientDisconnected("the client is gone")
        return self._made - self._sent <= HIGH_WATER

    def _has_sent(self) -> bool:
        if self.gone:
            raise ClientDisconnected("the client is gone")
        return not self.outbox

    def _has_input(self) -> bool:
        return bool(self._inbox) or self._error is not None or self.gone

    def _sleep_until(self, ready: Callable[[], bool]) -> None:
        if self._again is None:
            self._again = threading.Lock()
        while not ready():
            self._again.acquire()

    def _ring(self) -> None:
        if self._asleep:
            self._asleep = False
            self._call_on_loop(self.wake_up)

    def _call_on_loop(self, callback: Callable[[], None]) -> None:
        try:
            self.completions.loop.call_soon_threadsafe(callback)
        except RuntimeError:  # the loop has closed: nobody waits
            self.gone = True

    # --------------------------------------------------------- on the loop

    async def run(self) -> None:
        """Have the app run in a thread, and send what it makes, until the response is over."""
        self._bell = self.completions.loop.create_future()
        self.context.run(occupied_runners.set, (*occupied_runners.get(), self.runner))
        try:
            self.runner.submit(self)
        except BridgeError as error:
            self.refuse(error)
        await self._bell
        try:
            # The thread sets `over` last: what it put into the outbox before is there to be seen.
            if not self.over or self.outbox:
                await self._send_as_it_comes()
            if self.whole is not None and not self.gone:
                await self.send_whole()
        except OSError:
            self.gone = True  # the client is

    async def _send_as_it_comes(self) -> None:
        while True:
            await self._send_all()
            if self.gone or (self.over and not self.outbox):
                return
            if self._streams and self._reader is None:
                self._listen()
            self._bell = self.completions.loop.create_future()
            self._asleep = True
            if self.outbox or self.over:
                self._asleep = False
            self._look_again()
            if self._asleep:
                await self._bell
            else:
                await asyncio.sleep(0)  # a send() that never waits must not hold the loop

    async def _send_all(self) -> None:
        """Send what is in the outbox, and let the thread know of each piece that has gone."""
        outbox = self.outbox
        while outbox and not self.gone:
            size = len(outbox[0].get("body", b""))
            await self._send(outbox[0])
            del outbox[0]
            if size and self._streams:
                self._sent += size
                self._look_again()

    async def ended(self) -> None:
        """Return when the call has returned, ``close()`` included."""
        while not self._done:
            self._bell = self.completions.loop.create_future()
            self._asleep = True
            if not self._done:
                await self._bell

    def leave(self) -> None:
        """Whatever the thread still does, it does alone; what has no thread yet gets none."""
        self.gone = True
        if not self.over and self.runner.queue and self.runner.withdraw(self):
            self._end()
        if self._reader is not None:
            self._reader.cancel()
        self._look_again()

    def wake_up(self) -> None:
        """Something is there to be sent, or nobody waits for it any more."""
        if not self._bell.done():
            self._bell.set_result(None)

    #: Called by the completions.
    on_completed = wake_up

    def _look_again(self) -> None:
        """Wake the thread, if it sleeps; only the loop's thread releases the lock."""
        again = self._again
        if again is not None and again.locked():
            again.release()

    # --------------------------------------------------------- the request's body, on the loop

    def _listen(self) -> None:
        """Receive from now on: the body into the inbox, then the end of the connection."""
        if self._reader is None and not self.gone:
            self._reader = self.completions.loop.create_task(self._receive_all())

    async def _receive_all(self) -> None:
        try:
            if self._inbox is None:
                self._inbox = deque()
            while piece := await self.upload.next():
                self._inbox.append(piece)
                self._read += len(piece)
                self._look_again()
                if self._read - self._taken > LOW_WATER:
                    await self._wait_for_room()
            self._inbox.append(b"")
            self._look_again()
            await self.upload.disconnected()
        except BridgeError as error:
            self._error = error
            if not isinstance(error, ClientDisconnected):
                self._look_again()
                return
        except Exception as error:
            self._error = ClientDisconnected(f"the host's receive() failed: {error!r}")
        self.gone = True
        self._look_again()
        self._asleep = False
        self.wake_up()

    async def _wait_for_room(self) -> None:
        self._room = self.completions.loop.create_future()
        if self._read - self._taken > LOW_WATER:
            await self._room
        self._room = None

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
