"""WSGI exchanges whose app runs on the loop's own thread: under the inline and greenlet runners.

What they write goes to the transport. A slow client makes a greenlet wait, and a call of the
inline runner pause, which is submitted again when there is room.
"""

from __future__ import annotations

from bridge.errors import ClientDisconnected
from bridge.http.response_head import ResponseHead
from bridge.server.apps.wsgi.exchange import WsgiExchange
from bridge.wsgi.call import WsgiCall


class LoopExchange(WsgiExchange):
    """One request, one thread."""

    def submit(self, call: WsgiCall) -> None:
        """Run `call`, or have it run at the end of the loop's step."""
        self._call = call  # a circle, until the end
        self.handler.runner.submit(call)

    def disconnected(self) -> None:
        """The client has left; a greenlet that waits for something else hears of it there (G4)."""
        super().disconnected()
        if self._call is not None and self.handler.runner.can_wait and not self.over:
            self.handler.runner.interrupt(self._call, ClientDisconnected("the client is gone"))

    def on_writable(self) -> None:
        """The client has caught up, or is gone: a paused call goes on (inline runner)."""
        if self._call is not None and not self.over and not self.handler.runner.can_wait:
            self.handler.runner.submit(self._call)

    # --------------------------------------------------------- the response

    def respond(self, head: ResponseHead, body: bytes) -> None:
        """ResponseSink: the whole response."""
        if self.connection.output.closed:
            raise ClientDisconnected("the client is gone")
        self._call = None  # first: to write can tell that there is room, and nothing is to go on
        self.send_whole(head, body)
        self.end()

    def write(self, chunk: bytes) -> bool:
        """ResponseSink: one piece. Waits while the client is slow, or asks for a pause."""
        output, data = self.connection.output, self.framed(chunk)
        if output.closed:
            raise ClientDisconnected("the client is gone")
        if data:
            output.write_through(data)
        if output.paused:
            if not self.handler.runner.can_wait:
                return False
            self.handler.runner.wait(output.drained())
        return True

    def abort(self) -> None:
        """ResponseSink: the response cannot be completed."""
        self._call = None
        self.cut()

    def put(self, data: bytes) -> None:
        """Write."""
        if self.connection.output.closed:
            raise ClientDisconnected("the client is gone")
        self.connection.write(data)

    def wrote_all(self) -> None:
        """The response is over."""
        self._call = None
        self.end()
