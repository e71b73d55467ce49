"""An ASGI app as a WSGI app (rules A1 to A40).

The host calls `AsgiToWsgi` in a thread or greenlet of its own, the *WSGI side*; the app runs on
the one event loop of the process, the *loop's side* (`bridge.loops.thread`). The host's thread
starts the app, and then sleeps until there is something that only it can do: tell the host the
head of the response, give it a piece of body, read a piece of the request. Each side writes its
own variables and only reads those of the other, so that there are no locks; each wakes the other
only if it waits.

- `instance`: an adapter in one process: its lease of the loop, its lifespan, its tasks;
- `exchange` and `app_side`: one HTTP request, seen from the host and from the app;
- `response_queue` and `request_body`: what goes from one of these sides to the other;
- `websocket` and `websocket_connection`: one WebSocket, on hosts that give their socket away;
- `host_quirks`: what is known of each host.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable

from bridge.adapters.asgi_on_wsgi.exchange import HttpExchange, answer_error
from bridge.adapters.asgi_on_wsgi.host_quirks import only_loads_app
from bridge.adapters.asgi_on_wsgi.instance import READY, AppInstance
from bridge.adapters.asgi_on_wsgi.settings import make_settings
from bridge.arguments.app_kind import check_app
from bridge.asgi.lifespan import Mode
from bridge.asgi.scope import is_websocket_handshake
from bridge.errors import Overloaded, RequestError, SelfRequest
from bridge.log import logger
from bridge.types import ASGIApp, Environ, StartResponse

__all__ = ["AsgiToWsgi"]


class AsgiToWsgi:
    """Serves `app`, an ASGI 3 application, on any WSGI host.

    An app that plainly is of another kind is refused, with the name of what serves it; `kind`
    (``"asgi3"``) says that it is an ASGI 3 app all the same.

    `lifespan`: ``auto`` runs the app's lifespan if it has one, ``on`` insists on it, ``off``
    leaves it out. Startup happens before the first request in each process; with `eager` when
    the adapter is made, so that a failure is raised there (`LifespanFailed`). If that is in a
    process that only loads the app for its workers (``gunicorn --preload``, uWSGI's master), it
    is left to each worker: to its first request, or to `start`. Shutdown happens at the end of
    the process, or at `close`.

    Times in seconds; None or 0: no limit. Raises `ConfigError` for a value that is not allowed.

    - `startup_timeout`, `shutdown_timeout`: for the app's lifespan. The second also bounds how
      long work after the response (background tasks) is waited for at the end.
    - `response_timeout`: how long an app may take to start its response while it neither reads
      nor sends; then the client gets a 504, and the app is cancelled.
    - `stream_timeout`: the same between two pieces of a response, which is cut off then.
    - `disconnect_grace`: how long an app may go on after the client went away.

    `pathsend`: offer ``http.response.pathsend`` if the host has ``wsgi.file_wrapper``, so that the
    host sends files. Not for apps with a middleware that looks at bodies.

    Adapters share one event loop per process, in a thread that ends with the last of them. After
    a fork each process starts its own, lifespan included.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        kind: str | None = None,
        lifespan: Mode = "auto",
        eager: bool = False,
        startup_timeout: float | None = 60.0,
        shutdown_timeout: float | None = 30.0,
        response_timeout: float | None = 60.0,
        stream_timeout: float | None = 300.0,
        disconnect_grace: float = 5.0,
        pathsend: bool = False,
    ) -> None:
        check_app(app, kind, "asgi3")
        self.app = app
        self.settings = make_settings(
            lifespan=lifespan,
            startup_timeout=startup_timeout,
            shutdown_timeout=shutdown_timeout,
            response_timeout=response_timeout,
            stream_timeout=stream_timeout,
            disconnect_grace=disconnect_grace,
            pathsend=pathsend,
        )
        self._instance: AppInstance | None = None
        self._by_process: dict[int, AppInstance] = {}
        if eager and not only_loads_app():
            self._started()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        instance = self._instance
        if instance is None or instance.phase != READY or instance.pid != os.getpid():
            try:
                instance = self._started()
            except Overloaded as error:
                logger.error("refused a request: %s", error)
                return answer_error(error, environ, start_response)
        if instance.thread.is_current():
            raise SelfRequest(
                "this WSGI app was called on the event loop that its ASGI app needs; call it "
                "from a thread, or await the ASGI app itself"
            )
        try:
            if "HTTP_UPGRADE" in environ and is_websocket_handshake(environ):
                # The `websockets` library takes 4 MB and some 20 ms: for the first handshake.
                from bridge.adapters.asgi_on_wsgi.websocket import WebSocketExchange

                websocket = WebSocketExchange(instance, environ, start_response)
                return websocket.respond()
            exchange = HttpExchange(instance, environ, start_response)
        except RequestError as error:
            return answer_error(error, environ, start_response)
        return exchange.respond()

    def start(self) -> None:
        """Run the app's startup now, if that has not happened in this process.

        For what a host calls in each worker (Gunicorn's ``post_worker_init``, uWSGI's
        ``postfork``). Raises `LifespanFailed`.
        """
        self._started()

    def close(self, timeout: float = 60.0) -> bool:
        """Shut the app down and release the event loop; whether that was done in `timeout` s.

        A request after that starts the app again.
        """
        self._instance = None
        instance = self._by_process.pop(os.getpid(), None)
        return instance is None or instance.close(timeout)

    def _started(self) -> AppInstance:
        """Return what serves this process. Raises `LifespanFailed` if the app's startup failed."""
        instance = self._instance
        if instance is None or instance.pid != os.getpid():
            instance = self._make_instance()
        instance.wait_until_ready()
        return instance

    def _make_instance(self) -> AppInstance:
        made = AppInstance(self.app, self.settings)
        instance = self._by_process.setdefault(made.pid, made)  # one step, so one winner
        if instance is made:
            weakref.finalize(self, made.close_soon).atexit = False
        else:
            made.release()
        self._instance = instance
        return instance
