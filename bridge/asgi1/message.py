"""What an ASGI 1 consumer is handed: a message, and the channel that its replies go to (L2, L3).

A consumer of one argument may be written in either of two ways, and one `Message` serves both:

- ``message["reply_channel"].send(...)``, ``message["channel_layer"]``, ``message["message"]``;
- ``message.reply_channel.send(...)``, ``message.channel_layer``, ``message.content``,
  ``message.channel.name``, ``message["path"]``, as in Channels 1.

A reply channel is the name of the channel, a str, so it can be put into a group or sent to another
process as it is; with ``send`` it answers the client from any thread, task or callback.
"""

from __future__ import annotations

from collections.abc import Generator, ItemsView, KeysView, ValuesView
from copy import deepcopy
from typing import Any, Protocol

from bridge.asgi.body import Body
from bridge.channels.base import ChannelLayer
from bridge.errors import IllegalMessage
from bridge.types import Message as Content
from bridge.types import Receive


class Client(Protocol):
    """A request or a WebSocket of this process, as the reply channel of its consumers needs it."""

    def reply(self, content: Content) -> None:
        """Take a reply, in any thread; it takes what it needs before it returns.

        Raises `IllegalMessage`, `ChannelFull` and `MessageTooLarge`: the sender's errors. If the
        client has gone the reply is dropped.
        """

    @property
    def is_slow(self) -> bool:
        """Whether so much waits for the client that a sender had better pause; in any thread."""

    @property
    def is_gone(self) -> bool:
        """Whether nobody takes replies any more; in any thread."""

    async def caught_up(self) -> None:
        """Wait, on the client's loop, until it is not slow any more, or gone."""


class Sent:
    """What `ReplyChannel.send` returns: it can be awaited, and waits while the client is slow.

    The reply itself is on its way already: code that does not await loses nothing.
    """

    __slots__ = ("_client",)

    def __init__(self, client: Client | None) -> None:
        self._client = client

    def __await__(self) -> Generator[Any, None, None]:
        if self._client is not None and self._client.is_slow:
            yield from self._client.caught_up().__await__()


#: Of all replies after which there is room for more.
_SENT = Sent(None)


class ReplyChannel(str):
    """The name of a reply channel, which also sends.

    `client`: whom it leads to, if that is here; else what is sent goes by the channel layer.
    """

    __slots__ = ("channel_layer", "client")

    channel_layer: ChannelLayer
    client: Client | None

    def __new__(cls, name: str, layer: ChannelLayer, client: Client | None = None) -> ReplyChannel:
        """Make the channel called `name`."""
        made = str.__new__(cls, name)
        made.channel_layer = layer
        made.client = client
        return made

    def lead_to(self, client: Client) -> None:
        """Have what is sent from now on go to `client`."""
        self.client = client

    @property
    def name(self) -> str:
        """The name as a plain str."""
        return str.__str__(self)

    def send(self, content: Content, immediately: bool = True) -> Sent:
        """Send a reply, now; from any thread, task or callback, at any time (L3).

        It does not block. What it returns may be awaited, to wait while the client is slow.
        `immediately` is taken as Channels 1 did: replies are never held back here.

        Raises `IllegalMessage` for a reply that is malformed or out of order, `ChannelFull` while
        more than 1 MiB waits for the client, `MessageTooLarge` for more than the layer takes.
        """
        client = self.client
        if client is None:
            _check_dict(content)
            self.channel_layer.send(str.__str__(self), content)
            return _SENT
        client.reply(content)
        client = self.client  # another one may have taken over
        return Sent(client) if client is not None and client.is_slow else _SENT

    def __deepcopy__(self, memo: object) -> ReplyChannel:
        """Return itself: the copy of a message answers the same client."""
        return self

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """Pickle the name: in another process it is what the layer's ``send`` takes."""
        return str, (str.__str__(self),)

    def __repr__(self) -> str:
        return f"<ReplyChannel {str.__str__(self)}>"


class Channel:
    """A channel of a layer, with what Channels 1 gave one: ``name``, ``send``."""

    __slots__ = ("channel_layer", "name")

    def __init__(self, name: str, channel_layer: ChannelLayer) -> None:
        self.name = name
        self.channel_layer = channel_layer

    def send(self, content: Content, immediately: bool = True) -> None:
        """Send `content` to the channel; raises what the layer raises."""
        _check_dict(content)
        self.channel_layer.send(self.name, content)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<Channel {self.name}>"


class Message:
    """One message to a consumer.

    `content` is the message of the specification; its ``reply_channel``, if it has one, is a
    `ReplyChannel`. `channel_name` says what it is: ``http.request``, ``websocket.receive``...
    `receive` gives what of a request's body comes after ``content["body"]``, if anything does.
    """

    __slots__ = (
        *("_body", "_channel", "_receive", "asked_for_channel", "channel_layer", "channel_name"),
        "content",
    )

    _channel: Channel

    def __init__(
        self,
        content: Content,
        channel_name: str,
        channel_layer: ChannelLayer,
        receive: Receive | None = None,
    ) -> None:
        self.content = content
        self.channel_name = channel_name
        self.channel_layer = channel_layer
        self._receive = receive
        #: Whether the consumer has looked at `channel`: it tells messages apart.
        self.asked_for_channel = False
        self._body: Body | None = None

    @property
    def reply_channel(self) -> Any:
        """The channel that replies go to, a `ReplyChannel`; None if the message has none."""
        return self.content.get("reply_channel")

    @property
    def channel(self) -> Channel:
        """The channel by which the message came; its ``name`` tells what the message is."""
        if not self.asked_for_channel:
            self._channel = Channel(self.channel_name, self.channel_layer)
            self.asked_for_channel = True
        return self._channel

    @property
    def body(self) -> Body:
        """The request's body from its beginning, for ``chunk = await message.body.read()`` (L5).

        Raises `AttributeError` if the message is not a request's.
        """
        body = self._body
        if body is None:
            if self.channel_name != "http.request":
                raise AttributeError(f"a message of {self.channel_name} has no body")
            body = self._body = Body(self._receive, self.content.get("body", b""))
        return body

    # --------------------------------------------------------- as a mapping

    def __getitem__(self, key: str) -> Any:
        """Return a value of the content; also ``message`` and ``channel_layer``."""
        try:
            return self.content[key]
        except KeyError:
            if key in _NAMES:
                return getattr(self, _NAMES[key])
            raise

    def __setitem__(self, key: str, value: Any) -> None:
        self.content[key] = value

    def __contains__(self, key: object) -> bool:
        return key in self.content or key in _NAMES

    def get(self, key: str, default: Any = None) -> Any:
        """Return ``message[key]``, or `default` if there is no such key."""
        return self[key] if key in self else default  # noqa: SIM401

    def keys(self) -> KeysView[str]:
        """Return the keys of the content."""
        return self.content.keys()

    def values(self) -> ValuesView[Any]:
        """Return the values of the content."""
        return self.content.values()

    def items(self) -> ItemsView[str, Any]:
        """Return the items of the content."""
        return self.content.items()

    def copy(self) -> Message:
        """Return a message of the same client whose content is a deep copy."""
        copied = Message(
            deepcopy(self.content), self.channel_name, self.channel_layer, self._receive
        )
        copied._body = self._body
        return copied

    def __repr__(self) -> str:
        return f"<Message on {self.channel_name}: {', '.join(self.content)}>"


#: Keys that a message has besides those of its content -> the attribute.
_NAMES = {"message": "content", "channel_layer": "channel_layer"}


def _check_dict(content: object) -> None:
    if not isinstance(content, dict):
        raise IllegalMessage(f"a message is a dict, not {content!r:.120}")
