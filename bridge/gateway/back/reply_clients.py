"""The clients of consumers on workers, as their reply channels see them (rules L3, L4, L9, L13).

The client is at a gateway. What can be known of a reply here, is checked here, so that its sender
gets the error: its shape, its size, and its order among those that this call has sent. The rest,
such as what other processes have sent before, the gateway knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from bridge.asgi1.http_replies import HttpReplies, first_reply
from bridge.asgi1.socket_replies import check_reply
from bridge.channels.base import ChannelLayer
from bridge.errors import MessageTooLarge
from bridge.loops.waiters import unpatched
from bridge.types import Message, RawHeaders

_new_lock: Final = unpatched("allocate_lock")
#: Seconds before a reply that found its channel full is sent again: nobody tells when it is not.
_RETRY_AFTER: Final = 0.05


class RemoteClient:
    """A client whose replies go by `layer` to the channel called `name`; a `message.Client`."""

    #: How slow it is, its gateway knows, which gives `ChannelFull` then.
    is_slow = False

    def __init__(self, name: str, layer: ChannelLayer) -> None:
        self.name = name
        self._layer = layer
        #: What is sent is dropped: the client has gone, or has all of its response.
        self.is_gone = False

    def reply(self, content: Message) -> None:
        """Take a reply, in any thread. Raises `IllegalMessage`, and what the layer raises."""
        raise NotImplementedError

    async def caught_up(self) -> None:
        """Wait until a channel that was full may have room."""
        await asyncio.sleep(_RETRY_AFTER)

    def leave(self) -> None:
        """Drop what is sent from now on."""
        self.is_gone = True


class HttpClient(RemoteClient):
    """The client of a request.

    Its first reply does not go by the layer if it is the whole response: `whole` has it. So until
    `share` is called, if ever. `on_first` is called when the first reply is sent, before that, and
    in the same thread.
    """

    def __init__(
        self, name: str, layer: ChannelLayer, on_first: Callable[[], None] | None = None
    ) -> None:
        super().__init__(name, layer)
        self._on_first = on_first
        #: Status, fields and body.
        self.whole: tuple[int, RawHeaders, bytes] | None = None
        #: Whether the first reply of this call was sent, and the last.
        self._sent = (False, False)
        self._lock = _new_lock()

    def reply(self, content: Any) -> None:
        """Take a reply, in any thread. Raises `IllegalMessage`, and what the layer raises."""
        if self.is_gone:
            return
        with self._lock:
            before, whole = self._sent, None
            if before == (False, False) and (type(content) is not dict or "status" in content):
                head, body, more = first_reply(content, self._layer.max_message_size)
                if not more:
                    fields = [(name.lower(), value) for name, value in head.fields]
                    whole = head.status_code, fields, body
                self._sent = (True, not more)
            else:  # the first one may be another process's, or the gateway refuses this
                replies = HttpReplies(self._layer.max_message_size, True, before[1])
                replies.take(content)
                self._sent = (True, replies.is_over)
            on_first, self._on_first = self._on_first, None
            if on_first is not None:
                self.whole = whole
        if on_first is not None:
            on_first()
            if whole is not None:
                return
        try:
            self._layer.send(self.name, content)
        except BaseException:
            self._sent = before
            raise

    @property
    def has_begun(self) -> bool:
        """Whether a reply of this call was sent."""
        return self._sent[0]

    @property
    def is_over(self) -> bool:
        """Whether the last reply of the response was sent by this call."""
        return self._sent[1]

    def share(self) -> bool:
        """Send all replies by the layer from now on; False if the whole response was taken."""
        with self._lock:
            self._on_first = None
            return self.whole is None


class SocketClient(RemoteClient):
    """The client of a WebSocket."""

    def reply(self, content: Message) -> None:
        """Take a reply, in any thread. Raises `IllegalMessage`, and what the layer raises."""
        size, limit = check_reply(content).size, self._layer.max_message_size
        if size > limit:
            raise MessageTooLarge(
                f"the reply has {size} bytes, and the channel layer takes {limit}; send large "
                "data in pieces"
            )
        self._layer.send(self.name, content)
