"""One request or WebSocket between a gateway and a worker, as either side sees it (rule L9).

A `Session` numbers what this side writes, looks for gaps in what the other side has written, and
does the credits of both directions. When it is over, `over` says how: nothing more is read or
written then, whatever comes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple, Protocol

from bridge.asgi import messages as grammar
from bridge.errors import BridgeError, LayerUnavailable
from bridge.gateway import protocol
from bridge.gateway.credits import WINDOW, Receiving, Sending, weight
from bridge.gateway.endings import Endings
from bridge.gateway.protocol import Frame
from bridge.loops.wait_queue import WaitQueue
from bridge.types import Message

#: How a session is over, beside `protocol.END` and `protocol.CANCEL`: the other side is gone, or
#: something between the two was lost.
LOST: Final = -1


class SessionOver(BridgeError):
    """The session is over: nothing more can be written to the other side."""


class SessionLost(BridgeError):
    """The process at the other end is gone, or what it wrote was lost."""

    status = 502


class Over(NamedTuple):
    """How a session has ended."""

    how: int  #: `protocol.END`, `protocol.CANCEL` or `LOST`
    text: str | None = None  #: the error with which the app ended, if it did
    error: BridgeError | None = None  #: why it was lost


class Post(Protocol):
    """Takes frames to other processes (`Bus`)."""

    #: Where it is noted that this side has ended a session.
    endings: Endings

    @property
    def turn(self) -> int:
        """A number that changes when what was posted has left."""

    def post(self, peer: str, frame: Frame) -> None:
        """Write `frame` to the inbox of `peer`. Raises `LayerUnavailable`."""

    def forget(self, session: Session) -> None:
        """Take note that the session is over."""


class Party(Protocol):
    """What gets the frames of a session."""

    gateway: str
    number: int
    #: The process at the other end; "" until one is known.
    peer: str

    def deliver(self, frame: Frame) -> None:
        """Take a frame of `peer`; the first one is `TAKEN`, `ANSWER` or `CANCEL`."""

    def lose(self, error: BridgeError) -> None:
        """End the session because of `error`."""


class Session:
    """One side of a session. `peer` is the process at the other end; "" until one is known."""

    def __init__(self, post: Post, gateway: str, number: int, peer: str = "") -> None:
        self._post = post
        self.gateway = gateway
        self.number = number
        self.peer = peer
        #: `protocol.SESSION` or `protocol.CONSUMER`, once a worker has said so.
        self.runs: str | None = None
        #: How it has ended; None while it has not.
        self.over: Over | None = None
        #: Called when a worker has taken it; not kept longer than that.
        self.on_taken: Callable[[], None] = _nothing
        #: Woken when `take` may have something, and when it is over.
        self.news = WaitQueue()
        self._events: deque[Message] = deque()
        #: The cost of the event that was taken last: it is paid back when the next one is wanted.
        self._in_hand = 0
        self._frames_read = 0
        self._frames_written = 0
        #: The events of the frame that was written last, and when it was; more may join them.
        self._batch: list[Message] | None = None
        self._batch_turn = 0
        self._sending = Sending()
        self._receiving = Receiving()
        self._room = WaitQueue()
        #: Whether the other side may not write before this side wants something.
        self._unasked = False

    # --------------------------------------------------------- writing

    def write(self, kind: int, payload: Any) -> None:
        """Write a frame that costs no credit; does nothing once the session is over.

        `protocol.END`, `protocol.CANCEL` and `protocol.ANSWER` also end it on this side.
        """
        if self.over is None:
            if self.peer:
                self._write(kind, payload)
            if kind in (protocol.END, protocol.CANCEL):
                self._end(Over(kind, payload))
            elif kind == protocol.ANSWER:
                self._end(Over(protocol.END))

    async def send(self, event: Message) -> None:
        """Write an event, as soon as the other side has room for it; large bodies in pieces.

        Raises `SessionOver` if the session is over, or ends while this waits.
        """
        for piece in _pieces(event):
            await self.wait_for_room()
            self._sending.pay(weight(piece))
            if self._batch is not None and self._batch_turn == self._post.turn:
                self._batch.append(piece)
            else:
                batch = [piece]
                self._write(protocol.EVENTS, batch)
                self._batch, self._batch_turn = batch, self._post.turn

    async def wait_for_room(self) -> None:
        """Wait until the other side has room for an event. Raises `SessionOver`."""
        while not self._sending.open and self.over is None:
            await self._room.wait()
        if self.over is not None:
            raise SessionOver("the session is over: nothing more can be written")

    def _write(self, kind: int, payload: Any) -> None:
        number = self._frames_written
        self._frames_written = number + 1
        self._batch = None
        self._post.post(self.peer, Frame(self.gateway, self.number, number, kind, payload))

    # --------------------------------------------------------- the first events

    def pay_first(self, events: Iterable[Message]) -> None:
        """On a gateway: pay for the events that go with the request.

        If there are none, nothing is read from the client before the app asks for it.
        """
        cost = sum(map(weight, events))
        self._sending.pay(cost or WINDOW)

    def take_first(self, events: list[Message]) -> None:
        """On a worker: have `take` return the events that came with the request."""
        self._events.extend(events)
        self._unasked = not events

    # --------------------------------------------------------- reading

    def take(self) -> Message | None:
        """Return the next event; None if none is here now: then wait for `news`, or it is `over`.

        It also says that this side is done with the event before, which gives credit to the writer.
        """
        if self._in_hand:
            in_hand, self._in_hand = self._in_hand, 0
            credit = self._receiving.taken(in_hand)
            if credit:
                self.write(protocol.CREDIT, credit)
        if not self._events:
            if self._unasked:
                self._unasked = False
                self.write(protocol.CREDIT, WINDOW)
            return None
        event = self._events.popleft()
        self._in_hand = weight(event)
        return event

    async def read(self) -> Message | None:
        """Return the next event; None when the session is over and all were read."""
        while True:
            event = self.take()
            if event is not None or self.over is not None:
                return event
            await self.news.wait()

    def deliver(self, frame: Frame) -> None:
        """Take a frame that the other side has written."""
        kind, number = frame.kind, self._frames_read
        if self.over is not None:
            return
        if kind == protocol.CANCEL:  # its number says nothing: see `protocol`
            self._end(Over(kind, None, SessionLost(f"{self.peer} does not have it any more")))
            return
        if frame.number != number:
            self.lose(
                SessionLost(
                    f"Redis has lost something between {self.peer} and here: frame {frame.number} "
                    f"came, and {number} was due"
                )
            )
            return
        self._frames_read = number + 1
        if kind == protocol.EVENTS:
            self._events.extend(frame.payload)
            self.news.wake()
        elif kind == protocol.CREDIT:
            self._sending.grant(frame.payload)
            self._room.wake()
        elif kind == protocol.END:
            self._end(Over(kind, frame.payload))
        elif kind == protocol.ANSWER:
            self._take_answer(*frame.payload)
        else:
            self._note_taken(frame.payload)

    def _note_taken(self, runs: str) -> None:
        self.runs = runs
        taken, self.on_taken = self.on_taken, _nothing
        taken()

    def _take_answer(self, status: Any, headers: Iterable[Any], body: bytes) -> None:
        """Take a whole response: the worker is done with it."""
        if self.peer == self.gateway:
            self.lose(SessionLost(f"{self.peer}, a gateway, has sent a response"))
            return
        self._note_taken(protocol.SESSION)
        self._events.append({"type": grammar.START, "status": status, "headers": list(headers)})
        self._events.append({"type": grammar.BODY, "body": body})
        self._end(Over(protocol.END))

    # --------------------------------------------------------- the end

    def lose(self, error: BridgeError) -> None:
        """End it because of `error`; the other side is told if that is possible.

        Events that have come are still read.
        """
        if self.over is None:
            try:
                if self.peer:
                    self._write(protocol.CANCEL, None)
            except LayerUnavailable:
                pass
            self._end(Over(LOST, None, error))

    def leave(self) -> None:
        """End it on this side alone: all that it wanted is done, and the other side goes on."""
        if self.over is None:
            self._post.endings.note(self.gateway, self.number, self.peer)
            self._end(Over(protocol.END))

    def _end(self, over: Over) -> None:
        self.over = over
        self.on_taken = _nothing  # it may hold the session: no cycle is left to the collector
        self._post.forget(self)
        self.news.wake()
        self._room.wake()


def _nothing() -> None:
    return


def _pieces(event: Message) -> Iterator[Message]:
    """Cut an event whose body is larger than a window; others are one piece."""
    body = event.get("body")
    if body is None or len(body) <= WINDOW:
        yield event
        return
    last = (len(body) - 1) // WINDOW * WINDOW
    for start in range(0, last, WINDOW):
        yield {**event, "body": body[start : start + WINDOW], "more_body": True}
    yield {**event, "body": body[last:]}
