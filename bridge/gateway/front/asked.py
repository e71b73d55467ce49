"""A request that a worker may answer by one frame (rules L9, L10).

Most responses are whole when they leave their worker. For them there is nothing to number and no
credit to count: this asks, and takes the frame. Whatever else a worker writes is for a `Session`,
which is made then.
"""

from __future__ import annotations

from typing import Any

from bridge.errors import BridgeError
from bridge.gateway import protocol
from bridge.gateway.bus import Bus
from bridge.gateway.front.waiting import Waiting, WaitingRequests
from bridge.gateway.protocol import Frame
from bridge.gateway.session import Session, SessionLost
from bridge.types import Message


class Asked(Waiting):
    """A request without a session. `begin` is of `requests.writer`, and `body` is whole.

    One of `answered`, `begun` and `failed` is called, once, unless `leave` is. Raises
    `LayerUnavailable` if Redis is gone.
    """

    __slots__ = ("_body", "_bus", "_requests", "gateway", "is_over", "peer")

    def __init__(self, requests: WaitingRequests, bus: Bus, begin: bytes, body: bytes) -> None:
        # The hot path of a gateway: so no call of another method.
        self.number = number = bus.next_number()
        self.entry = None
        self.claimed = False
        self.gateway = bus.name
        self.peer = ""
        self.is_over = False
        self._body = body
        self._bus = bus
        self._requests = requests
        bus.enter(self)
        requests.put(self, requests.writer.end(begin, number, body))

    def deliver(self, frame: Frame) -> None:
        """Take the first frame of the worker: `Bus` gives no other."""
        self._end()
        _, _, number, kind, payload = frame
        if kind == protocol.ANSWER and not number:
            self.answered(*payload)
        elif kind == protocol.ANSWER:
            lost = f"Redis has lost something between {self.peer} and here"
            self.failed(SessionLost(f"{lost}: frame {number} came, and 0 was due"))
        elif kind == protocol.CANCEL:
            self.failed(SessionLost(f"{self.peer} does not have it any more"))
        else:
            events = [{"type": "http.request", "body": self._body, "more_body": False}]
            session = Session(self._bus, self.gateway, self.number, self.peer)
            session.pay_first(events)
            self._bus.enter(session)
            session.deliver(frame)
            self.begun(session, events)

    def lose(self, error: BridgeError) -> None:
        """End it because of `error`."""
        self._end()
        self.failed(error)

    def leave(self) -> None:
        """End it: its client has gone."""
        self._requests.forget(self.number)
        self._end()

    def _end(self) -> None:
        self.is_over = True
        self._requests.drop(self.number, None)
        self._bus.forget(self)

    # --------------------------------------------------------- what becomes of it

    def answered(self, status: Any, headers: tuple[Any, ...], body: bytes) -> None:
        """Take a whole response of `peer`; its status and headers are not checked."""
        raise NotImplementedError

    def begun(self, session: Session, events: list[Message]) -> None:
        """Go on in a session with a worker, which has got these events."""
        raise NotImplementedError

    def failed(self, error: BridgeError) -> None:
        """Take note that nothing comes: `Overloaded`, `SessionLost` or `LayerUnavailable`."""
        raise NotImplementedError
