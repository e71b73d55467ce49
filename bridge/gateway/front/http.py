"""One HTTP request that a worker answers (rules L9, L10)."""

from __future__ import annotations

from bridge.asgi import messages as grammar
from bridge.errors import BridgeError
from bridge.gateway.front.consumer_http import ConsumerRequest
from bridge.gateway.front.consumers import Told
from bridge.gateway.front.exchange import Exchange
from bridge.http.error_response import error_response
from bridge.types import Message, Receive, Scope, Send


class HttpExchange(Exchange):
    """An HTTP request."""

    #: Whether the response has started; whether the host has all of it.
    _started = False
    _whole = False
    #: Whether trailers come behind the body.
    _trailers = False

    async def _first_events(self) -> list[Message]:
        """Return the start of the body: all that is here."""
        if _waits_for_continue(self._scope):
            self.more_to_come = True
            return []  # the host asks for the body when `receive` is called: the app decides
        events = await super()._first_events()
        self.more_to_come = bool(events[0].get("more_body"))
        return events

    def taken(self) -> None:
        """Take the rest of the body, if there is one."""
        if self.more_to_come:
            self.watch()

    def look(self) -> None:
        """Look whether the client leaves; not while its body waits for a worker."""
        if not self.more_to_come:
            self.watch()

    async def take_event(self, event: Message) -> None:
        """Take a piece of the body, or the end of the client."""
        if event["type"] == "http.disconnect":
            if not self._whole:
                self.left()
            self.client_left = True
        else:
            self.more_to_come = bool(event.get("more_body"))
            await super().take_event(event)

    @property
    def unfinished(self) -> str:
        """Return what is missing of the response; it is asked only if that is not whole."""
        return "with its response unfinished" if self._started else "without a response"

    def note(self, event: Message) -> bool:
        """Note a part of the response; after the last one the worker is on its own."""
        kind = event["type"]
        if kind == grammar.BODY:
            self._whole = not (event.get("more_body") or self._trailers)
        elif kind == grammar.START:
            self._started = True
            self._trailers = bool(event.get("trailers"))
        elif kind == grammar.TRAILERS:
            self._whole = not event.get("more_trailers")
        return self._whole

    async def converse(self, told: Told, receive: Receive) -> None:
        """Have a consumer of a worker answer."""
        called = self.session if told.called else None
        if called is None:
            self.session.leave()
        await ConsumerRequest(self._consumers, told, called, self._scope, receive, self._send).run()

    async def refuse(self, error: BridgeError) -> None:
        """Send the response for `error`; raises it if another has started."""
        if self._started:
            raise error
        await send_error(error, self._send, is_head=self._scope["method"] == "HEAD")


async def send_error(
    error: BridgeError, send: Send, *, is_head: bool = False, start: str = grammar.START
) -> None:
    """Send the response for `error`; `start` is the type of its first message."""
    head, body = error_response(error, is_head=is_head)
    await send({"type": start, "status": head.status_code, "headers": head.fields})
    await send({"type": start.replace(".start", ".body"), "body": body})


def _waits_for_continue(scope: Scope) -> bool:
    """Whether the client sends its body only when it is asked to (RFC 9110 §10.1.1)."""
    return any(name == b"expect" for name, _ in scope["headers"])
