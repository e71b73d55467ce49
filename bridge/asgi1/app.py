"""`from_asgi1`: an ASGI 1 consumer as an ASGI 3 app (L2 to L4).

A request goes through `http`, a WebSocket through `websocket`. How the consumer is called is in
`call`, what it is handed in `message`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from bridge.adapters.runner_app import RunnerApp, cannot_start
from bridge.adapters.wsgi_on_asgi.settings import SETTINGS as OF_WSGI_APPS
from bridge.arguments.checks import WSGI_DEFAULTS, Check, read_all
from bridge.arguments.values import VALUE_TYPES
from bridge.asgi1.call import Caller, CallOwner, ConsumerCall
from bridge.asgi1.http import FirstCall, HttpExchange
from bridge.asgi1.http_body import RequestBody
from bridge.asgi1.message import Message
from bridge.asgi1.signature import Consumer, takes_channels
from bridge.asgi1.websocket import ConsumerSocket, SocketSettings, calls_here
from bridge.channels.base import ChannelLayer
from bridge.channels.current import get_channel_layer
from bridge.errors import AppLoadError, ConfigError, NotOnAsyncio, UnsupportedScope, shown
from bridge.runners import Runner, make_runner
from bridge.runners.completions import CompletionQueue
from bridge.types import ASGIApp, Receive, Scope, Send
from bridge.types import Message as Content

#: What a server may say of how a consumer runs, if it was not said in Python.
_ADOPTED = (
    *("runner", "threads", "queue_limit", "queue_timeout"),
    *("stream_after", "stream_limit", "timeout_request"),
)

#: The settings of a consumer.
SETTINGS: dict[str, Check] = {
    **{name: OF_WSGI_APPS[name] for name in (*_ADOPTED, "idle_timeout")},
    "response_timeout": Check(type=VALUE_TYPES["Seconds"], minimum=0, zero_means="any"),
    "websocket_connect_timeout": Check(type=VALUE_TYPES["Seconds"], minimum=0, zero_means="any"),
    "subprotocols": Check(type=VALUE_TYPES["Texts"]),
}


class ConsumerApp(RunnerApp):
    """An ASGI 1 consumer as an ASGI 3 app; `app` is the consumer itself. See `from_asgi1`."""

    def __init__(
        self, consumer: Consumer, layer: ChannelLayer | None, given: dict[str, Any]
    ) -> None:
        takes_channels(consumer)  # raises if it is no consumer
        if layer is not None and not isinstance(layer, ChannelLayer):
            raise ConfigError(
                f"layer is {shown(layer)}, and must be a channel layer, as of bridge.channels, "
                "or None"
            )
        self.app = consumer
        self._layer = layer
        runner = given.pop("runner", None)
        self._explicit = read_all(SETTINGS, given, "from_asgi1")
        if runner is not None:
            is_made = isinstance(runner, Runner)
            self._explicit["runner"] = (
                runner if is_made else SETTINGS["runner"].read(runner, "runner")
            )
        self._response_timeout: float = self._explicit.get("response_timeout", 120.0)
        self._socket_settings = SocketSettings(
            connect_timeout=self._explicit.get("websocket_connect_timeout", 20.0),
            subprotocols=self._explicit.get("subprotocols", ()),
        )
        self._completions: CompletionQueue | None = None
        self._how: dict[str, Any] | None = None
        self._run_as(WSGI_DEFAULTS)

    def _run_as(self, values: Mapping[str, Any]) -> None:
        how = {name: self._explicit.get(name, values[name]) for name in _ADOPTED}
        if how == self._how:  # a second server of this process serves it, too
            return
        self._how = how.copy()
        if "idle_timeout" in self._explicit:
            how["idle_timeout"] = self._explicit["idle_timeout"]
        seconds = how.pop("timeout_request")
        self.runner = make_runner(how.pop("runner"), **how)
        self.use_limit(seconds)
        self.caller = Caller(self.app, self.runner)
        if self.limit is not None and not self.caller.on_loop:
            self.caller.consumer = self.limit.timed(self.app)

    def adopt(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Run as `values` say, but for what was given here (see `RunnerApp.adopt`)."""
        self._run_as(values)
        own = {name: self._explicit[name] for name in _ADOPTED if name in self._explicit}
        return {name: value for name, value in own.items() if value != values[name]}

    async def call(self, channel: str, content: Content, body: RequestBody | None = None) -> bool:
        """Call the consumer with a message of a client that another process has.

        Replies go by its reply channel. Returns whether the consumer tells messages apart. Raises
        what it raises, and `AppLoadError`.
        """
        self.serve(asyncio.get_running_loop())
        return await calls_here(self.caller, self.layer)(channel, content, body)

    def new_call(self, channel: str, content: Content, owner: CallOwner) -> ConsumerCall:
        """Make what `call` does, to be started; its owner is told of the end.

        Raises `AppLoadError`.
        """
        self.serve(asyncio.get_running_loop())
        return ConsumerCall(self.caller, Message(content, channel, self.layer), owner)

    def told(self) -> dict[str, Any]:
        """Return what a process must know that has the clients, as plain data."""
        sockets = self._socket_settings
        return {
            "takes_channels": self.caller.takes_channels,
            "response_timeout": self._response_timeout,
            "connect_timeout": sockets.connect_timeout,
            "stall_timeout": sockets.stall_timeout,
            "subprotocols": list(sockets.subprotocols),
        }

    @property
    def completions(self) -> CompletionQueue:
        """Where threads put what is to be done on the loop; `serve` was called."""
        return self.caller.completions

    @property
    def layer(self) -> ChannelLayer:
        """The channel layer that the consumer is handed."""
        return get_channel_layer() if self._layer is None else self._layer

    def __repr__(self) -> str:
        return f"from_asgi1({self.app!r})"

    def serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve `loop` from now on; harmless if it does so already. Raises `AppLoadError`."""
        if self._completions is None or self._completions.loop is not loop:
            self.runner.start(loop)
            if self.limit is not None:
                self.limit.serve(loop)
            self._completions = CompletionQueue(loop)
            self.caller.open(self._completions)

    def exchange(
        self, scope: Scope, receive: Receive, send: Send, first: FirstCall | None = None
    ) -> HttpExchange:
        """Make the exchange of one request, whose `first` call may be begun; `serve` was called."""
        layer = self.layer if first is None else first.layer
        return HttpExchange(self.caller, layer, self._response_timeout, scope, receive, send, first)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        kind = scope["type"]
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            await cannot_start(NotOnAsyncio("from_asgi1"), kind, receive, send)
            return
        try:
            self.serve(loop)
        except AppLoadError as error:
            await cannot_start(error, kind, receive, send)
            return
        if kind == "http":
            await self.exchange(scope, receive, send).run()
        elif kind == "websocket":
            layer = self.layer
            calls = calls_here(self.caller, layer)
            await ConsumerSocket(calls, layer, self._socket_settings, scope, receive, send).run()
        elif kind == "lifespan":
            await self.answer_lifespan(receive, send)
        else:
            raise UnsupportedScope(
                f"an ASGI 1 consumer cannot take the ASGI scope type {kind!r}; it takes 'http', "
                "'websocket' and 'lifespan'"
            )


def from_asgi1(
    consumer: Consumer,
    *,
    layer: ChannelLayer | None = None,
    runner: str | Runner | None = None,
    threads: int | None = None,
    queue_limit: int | None = None,
    queue_timeout: float | None = None,
    response_timeout: float | None = None,
    websocket_connect_timeout: float | None = None,
    subprotocols: Sequence[str] | None = None,
    **of_threads: Any,
) -> ASGIApp:
    """Wrap an ASGI 1 consumer as ASGI 3.

    It takes ``(message)`` or ``(message, channels)``, and may be a function, a coroutine function,
    a generator or async generator of replies, or an object that is called like one.

    `layer`: its channel layer; None: `bridge.channels.get_channel_layer()`.
    `runner`, `threads`, `queue_limit`, `queue_timeout`, `stream_after`, `stream_limit`,
    `timeout_request`, `idle_timeout`: how a consumer runs that is no coroutine, as in `WsgiToAsgi`.
    `response_timeout`: seconds that a request waits for its first reply before it is answered with
    503; 0: any time; None: 120.
    `websocket_connect_timeout`: seconds that a WebSocket waits to be accepted before it is refused
    with 403; 0: any time; None: 20.
    `subprotocols`: those of WebSockets that are accepted; a client gets the first of its own that
    is among them.

    Raises `ConfigError` for a value that is not allowed, and for what is no consumer.
    """
    given = {
        "runner": runner,
        "threads": threads,
        "queue_limit": queue_limit,
        "queue_timeout": queue_timeout,
        "response_timeout": response_timeout,
        "websocket_connect_timeout": websocket_connect_timeout,
        "subprotocols": subprotocols,
        **of_threads,
    }
    return ConsumerApp(consumer, layer, given)
