"""One request or WebSocket of a client, answered by a worker (rules L9, L10).

What the host's `receive` gives goes to the worker, what the worker sends goes to the host's `send`,
and each way only as fast as its reader takes it. What HTTP and WebSocket have in common is here;
`http.py` and `websocket.py` know what the messages mean.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from typing import Any, Final

from bridge.errors import BridgeError, LayerUnavailable
from bridge.gateway import protocol
from bridge.gateway.front.consumers import AppFailed, Consumers, Told, read_told
from bridge.gateway.front.waiting import WaitingRequests
from bridge.gateway.session import Over, Session, SessionLost, SessionOver
from bridge.gateway.shown import shown_request
from bridge.log import logger
from bridge.types import Message, Receive, Scope, Send

#: Extensions that need the app and the socket on one machine.
_LOCAL_EXTENSIONS: Final = frozenset({"http.response.pathsend", "http.response.zerocopysend"})


class Exchange(ABC):
    """One request or WebSocket. `run` answers it."""

    #: The session with a worker, once it was asked for.
    session: Session
    #: The events that went with the request.
    _first: list[Message]
    #: The task that takes what the client sends, if something is to come.
    _upload: asyncio.Task[None] | None = None
    #: Whether the host has said that the client has left.
    client_left = False
    #: Whether more data of the client is to come.
    more_to_come = False

    def __init__(
        self,
        requests: WaitingRequests,
        consumers: Consumers,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self._requests = requests
        self._consumers = consumers
        self._scope = scope
        self._receive = receive
        self._send = send

    async def run(self, unwatched: set[Exchange]) -> None:
        """Answer it; raises if the answer has begun and cannot be ended, so that the host cuts.

        It is in `unwatched` until somebody has to call `look`.
        """
        events = self._first = await self._first_events()
        if self.client_left:
            return
        try:
            scope = sent_scope(self._scope, self._consumers)
            session = self.session = self._requests.ask(scope, events, self.taken)
        except LayerUnavailable as error:
            await self._refuse(error)
            return
        await self._go_on(session, unwatched)

    async def take_over(
        self, session: Session, events: list[Message], unwatched: set[Exchange]
    ) -> None:
        """Do what `run` does, from where a worker has taken the request with these events."""
        self.session, self._first = session, events
        await self._go_on(session, unwatched)

    async def _go_on(self, session: Session, unwatched: set[Exchange]) -> None:
        unwatched.add(self)
        self._consumers.expected.add(session.number)
        try:
            await self._answer(session)
        except BaseException:
            session.write(protocol.CANCEL, None)
            raise
        finally:
            unwatched.discard(self)
            self._consumers.expected.discard(session.number)
            self._requests.forget(session.number)
            if self._upload is not None:
                self._upload.cancel()

    async def _answer(self, session: Session) -> None:
        """Hand on what the worker sends."""
        while True:
            event = session.take()
            if event is None:
                if session.over is not None:
                    break
                await session.news.wait()
                continue
            if event["type"] == protocol.CONSUMERS:
                await self._hand_over(event)
                return
            if event["type"] in _LOCAL_EXTENSIONS:
                session.lose(SessionLost(f"it has sent {event['type']!r}, a file of this machine"))
                break
            is_last = self.note(event)
            try:
                await self._send(event)
            except OSError:
                self.left()
                return
            if is_last:
                session.leave()
                return
        assert session.over is not None
        if not self.client_left:
            await self._end(session.over)

    async def _hand_over(self, event: Message) -> None:
        """Have consumers called, as a worker has said: it has handed the request back."""
        if self._upload is not None:
            self._upload.cancel()
            await asyncio.wait([self._upload])
        if self.client_left:
            self.session.leave()
            return
        events = deque(self._first)

        async def receive() -> Message:
            return events.popleft() if events else await self._receive()

        try:
            told = read_told(event)
            if told.called:
                events.clear()  # the worker has them
            self._scope = {**self._scope, "path": told.path, "root_path": told.root_path}
            await self._consumers.open()
        except (SessionLost, LayerUnavailable) as error:
            self.session.leave()
            await self._refuse(error)
        else:
            await self.converse(told, receive)

    async def _end(self, over: Over) -> None:
        """End the answer as the session has ended."""
        error = over.error
        if error is None and over.text is not None:
            error = AppFailed(over.text)
        elif error is None and self.unfinished:
            error = AppFailed(f"the app returned {self.unfinished}")
        if error is None:
            return
        worker = f" on {self.session.peer}" if self.session.peer else ""
        if error.status != 503:
            logger.error("%s%s: %s", self.shown, worker, error)
        await self._refuse(error)

    async def _refuse(self, error: BridgeError) -> None:
        try:
            await self.refuse(error)
        except OSError:
            self.client_left = True

    # --------------------------------------------------------- the client's side

    async def _first_events(self) -> list[Message]:
        """Return the events that go with the request."""
        event = await self._receive()
        if event["type"] in ("http.disconnect", "websocket.disconnect"):
            self.client_left = True
        return [event]

    @abstractmethod
    def taken(self) -> None:
        """Take note that a worker has taken it."""

    def look(self) -> None:
        """Look from now on whether the client leaves: the answer takes its time."""
        self.watch()

    def watch(self) -> None:
        """Take what the client sends, or does, from now on."""
        if self._upload is None and self.session.runs != protocol.CONSUMER:
            self._upload = asyncio.create_task(self._take_from_client())

    async def _take_from_client(self) -> None:
        try:
            while not self.client_left:
                if self.more_to_come:
                    await self.session.wait_for_room()
                await self.take_event(await self._receive())
        except SessionOver:
            pass
        except OSError:
            self.left()

    async def take_event(self, event: Message) -> None:
        """Take an event of the host for the worker."""
        await self.session.send(event)

    def left(self) -> None:
        """Take note that the client has left: the worker is told."""
        self.client_left = True
        self.session.write(protocol.CANCEL, None)

    # --------------------------------------------------------- what HTTP and WebSocket know

    @property
    def shown(self) -> str:
        """Return the request, for the log."""
        return shown_request(self._scope)

    @property
    @abstractmethod
    def unfinished(self) -> str:
        """Return what is missing of the answer; empty if it is whole."""

    @abstractmethod
    def note(self, event: Message) -> bool:
        """Note how far the answer is with this event; True: it is the last."""

    @abstractmethod
    async def converse(self, told: Told, receive: Receive) -> None:
        """Have consumers answer; `receive` gives all events from the first one on."""

    @abstractmethod
    async def refuse(self, error: BridgeError) -> None:
        """Answer for a worker that cannot; raises `error` if the answer has begun."""


def sent_scope(scope: Scope, consumers: Consumers) -> Scope:
    """Return the scope for the worker: what it can do."""
    extensions: dict[str, Any] = {protocol.CONSUMERS: consumers.offer}
    for name, each in (scope.get("extensions") or {}).items():
        if name not in _LOCAL_EXTENSIONS:
            extensions[name] = each
    return {**scope, "extensions": extensions}
