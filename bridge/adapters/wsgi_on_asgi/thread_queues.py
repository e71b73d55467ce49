"""What lies between the loop and an app in a thread: two queues, and how each side sleeps.

Each queue has one writer and one reader, so that neither needs a lock: a `deque` is safe for that,
and how much waits in it is the difference of two counters, of which each side writes one.

    thread -> loop   `ThreadOutbox`   the loop sleeps on a `LoopSignal`; the thread wakes it
    loop -> thread   `Inbox`          the thread sleeps at a `ThreadGate`; the loop wakes it
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable

from bridge.adapters.wsgi_on_asgi.request_body import RequestBody
from bridge.errors import ClientDisconnected
from bridge.limits import HIGH_WATER, LOW_WATER
from bridge.runners.completions import CompletionQueue
from bridge.types import Message, Send


class LoopSignal:
    """What the loop's side of one exchange sleeps on, and how its thread wakes it, once a sleep.

        thread: there is news; asleep? asleep = False, and wake the loop
        loop:   asleep = True; no news? await the future

    It is made asleep; the first time, a callback can stand for the future. Of the two sides that
    change `_asleep` the later one sees the other's news.
    """

    __slots__ = ("_asleep", "_completions", "_future", "_woken", "first")

    def __init__(self, completions: CompletionQueue) -> None:
        self._completions = completions
        #: Called instead of what `sleep` does, when the loop is woken the first time.
        self.first: Callable[[], object] | None = None
        #: Whether that has been.
        self._woken = False
        #: Done when the loop has been woken.
        self._future: asyncio.Future[None] | None = None
        self._asleep = True

    # --------------------------------------------------------- in the thread

    def wake(self) -> None:
        """Wake the loop, if it sleeps."""
        if self._asleep:
            self._asleep = False
            self.call(self.on_completed)

    def wake_with_others(self) -> None:
        """Wake the loop together with other exchanges: it comes for all of them at once."""
        if self._asleep:
            self._asleep = False
            self._completions.put(self)

    def call(self, callback: Callable[[], object]) -> None:
        """Have the loop call `callback`. Raises `ClientDisconnected` if the loop has closed."""
        try:
            self._completions.loop.call_soon_threadsafe(callback)
        except RuntimeError:
            raise ClientDisconnected("the server's loop has closed") from None

    # --------------------------------------------------------- on the loop

    def on_completed(self) -> None:
        """Go on: something is there to be sent, or the request is over."""
        first, self.first = self.first, None
        self._woken = True
        if first is not None:
            first()
        elif self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def sleep(self) -> None:
        """Sleep until the thread has woken the loop, the first time."""
        self.first = None
        if not self._woken:
            self._future = self._completions.loop.create_future()
            await self._future

    async def sleep_unless(self, news: Callable[[], object]) -> None:
        """Sleep until the thread wakes the loop, but only give others a turn if there is news."""
        future = self._future = self._completions.loop.create_future()
        self._asleep = True
        if news():
            self._asleep = False
            await asyncio.sleep(0)  # a send() that never waits must not hold the loop
        else:
            await future


class ThreadGate:
    """What an app's thread sleeps at; the loop wakes it to look again."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()  # held while nothing is new

    def sleep_until(self, ready: Callable[[], object]) -> None:
        """In the thread: return when `ready()` is true; it is asked again after each `wake`."""
        while not ready():
            self._lock.acquire()

    def wake(self) -> None:
        """On the loop's thread, and nowhere else: have the thread look again, if it sleeps."""
        if self._lock.locked():
            self._lock.release()


class ThreadOutbox:
    """Messages from the app's thread to the host's ``send``, which the loop calls (W39).

    The thread waits while more than 64 KiB of body are on their way.
    """

    __slots__ = ("_closed", "_gate", "_messages", "_queued", "_send", "_sent")

    def __init__(self, send: Send) -> None:
        self._send = send
        self._gate = ThreadGate()
        self._messages: deque[Message] = deque()
        self._queued = 0  # bytes of body that the thread has put here
        self._sent = 0  # ... and that the host has taken
        self._closed = False

    def __bool__(self) -> bool:
        """Whether something waits, or is just being sent."""
        return bool(self._messages)

    # --------------------------------------------------------- in the thread

    def put(self, message: Message) -> None:
        """Leave `message` here."""
        self._messages.append(message)
        self._queued += len(message.get("body", b""))

    def wait_for_room(self) -> None:
        """Wait if more than 64 KiB are here, until at most 32 KiB are.

        So some pieces cost one switch of threads. Raises `ClientDisconnected` if it was closed.
        """
        if self._queued - self._sent > HIGH_WATER:
            self._sleep_until(lambda: self._queued - self._sent <= LOW_WATER)

    def flush(self) -> None:
        """Return when all was sent. Raises `ClientDisconnected` if it was closed."""
        self._sleep_until(lambda: not self._messages)

    def _sleep_until(self, ready: Callable[[], object]) -> None:
        self._gate.sleep_until(lambda: self._closed or ready())
        if self._closed:
            raise ClientDisconnected("the client is gone")

    # --------------------------------------------------------- on the loop

    @property
    def has_body(self) -> bool:
        """Whether a piece of body was ever put here."""
        return self._queued > 0

    async def send_first(self) -> None:
        """Send the first message, and let the thread know. Raises what ``send`` raises."""
        message = self._messages[0]
        await self._send(message)
        del self._messages[0]
        self._sent += len(message.get("body", b""))
        if self._queued - self._sent <= LOW_WATER:
            self._gate.wake()

    def close(self) -> None:
        """Send no more; the thread is told."""
        self._closed = True
        self._gate.wake()


class Inbox:
    """The pieces of a request's body, from the loop to the app's thread, at most 32 KiB of them."""

    __slots__ = (
        *("_body", "_consumed", "_error", "_gate", "_pieces", "_reader_waiter", "_received"),
        "_signal",
    )

    def __init__(self, body: RequestBody, signal: LoopSignal) -> None:
        self._body = body
        self._signal = signal
        self._gate = ThreadGate()
        self._pieces: deque[bytes] = deque()
        self._received = 0  # bytes that the loop has put here
        self._consumed = 0  # ... and that the thread has taken
        #: What the loop's reader sleeps on while this is full.
        self._reader_waiter: asyncio.Future[None] | None = None
        self._error: ClientDisconnected | Exception | None = None

    # --------------------------------------------------------- in the thread

    def pull(self) -> bytes:
        """Return the next piece; b"" at the end, again and again. Raises what `fail` was told."""
        pieces = self._pieces
        if not pieces:
            self._gate.sleep_until(lambda: pieces or self._error is not None)
        if not pieces:
            assert self._error is not None
            raise self._error
        piece = pieces[0]
        if piece:
            del pieces[0]
            self._consumed += len(piece)
            if self._reader_waiter is not None and not self._is_full():
                self._signal.call(self._resume)
        return piece

    def _is_full(self) -> bool:
        return self._received - self._consumed > LOW_WATER

    # --------------------------------------------------------- on the loop

    async def fill(self) -> None:
        """Put the body here, to its end. Raises what `RequestBody.next` raises."""
        while piece := await self._body.next():
            self._pieces.append(piece)
            self._received += len(piece)
            self._gate.wake()
            if self._is_full():
                self._reader_waiter = asyncio.get_running_loop().create_future()
                if self._is_full():
                    await self._reader_waiter
                self._reader_waiter = None
        self._pieces.append(b"")
        self._gate.wake()

    def _resume(self) -> None:
        if self._reader_waiter is not None and not self._reader_waiter.done():
            self._reader_waiter.set_result(None)

    def fail(self, error: Exception) -> None:
        """Have `pull` raise `error` behind what is here; the first one counts."""
        if self._error is None:
            self._error = error
        self._gate.wake()
