"""Any Python web app on any Python web host.

`WsgiToAsgi` serves a WSGI app as ASGI, `AsgiToWsgi` an ASGI app as WSGI, `Dispatcher` mounts apps
of every kind side by side, `Cutover` goes from an old app to a new one route by route, and `serve`
runs any of them on the project's own server.

Names are loaded when they are first used: `import bridge` costs almost nothing, and an app that
uses only an adapter never loads the server.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

#: Every public name -> the module that defines it.
_MODULES = {
    "AppError": "bridge.errors",
    "AppLoadError": "bridge.errors",
    "AsgiToWsgi": "bridge.asgi_to_wsgi",
    "Body": "bridge.asgi.body",
    "BridgeError": "bridge.errors",
    "ChannelFull": "bridge.errors",
    "ClientDisconnected": "bridge.errors",
    "ConfigError": "bridge.errors",
    "Cutover": "bridge.cutover.app",
    "Dispatcher": "bridge.dispatcher",
    "IllegalMessage": "bridge.errors",
    "IllegalResponse": "bridge.errors",
    "LayerUnavailable": "bridge.errors",
    "LifespanFailed": "bridge.errors",
    "MessageTooLarge": "bridge.errors",
    "Mount": "bridge.dispatcher",
    "Overloaded": "bridge.errors",
    "RequestCancelled": "bridge.errors",
    "RequestError": "bridge.errors",
    "RequestTimeout": "bridge.errors",
    "Route": "bridge.cutover.route",
    "SelfRequest": "bridge.errors",
    "UnsupportedScope": "bridge.errors",
    "WaitNotPossible": "bridge.errors",
    "WsgiToAsgi": "bridge.wsgi_to_asgi",
    "as_asgi": "bridge.detect",
    "as_wsgi": "bridge.detect",
    "await_": "bridge.runners.base",
    "from_asgi1": "bridge.asgi1.app",
    "from_asgi2": "bridge.asgi.versions",
    "greenlet_patch": "bridge.runners.patching.patch",
    "in_thread": "bridge.runners.in_thread",
    "serve": "bridge.server.process.serving",
}

__all__ = [
    "AppError",
    "AppLoadError",
    "AsgiToWsgi",
    "Body",
    "BridgeError",
    "ChannelFull",
    "ClientDisconnected",
    "ConfigError",
    "Cutover",
    "Dispatcher",
    "IllegalMessage",
    "IllegalResponse",
    "LayerUnavailable",
    "LifespanFailed",
    "MessageTooLarge",
    "Mount",
    "Overloaded",
    "RequestCancelled",
    "RequestError",
    "RequestTimeout",
    "Route",
    "SelfRequest",
    "UnsupportedScope",
    "WaitNotPossible",
    "WsgiToAsgi",
    "__version__",
    "as_asgi",
    "as_wsgi",
    "await_",
    "from_asgi1",
    "from_asgi2",
    "greenlet_patch",
    "in_thread",
    "serve",
]

# A type checker reads the imports, the interpreter the table; tests/test_package.py holds the
# two together.
if TYPE_CHECKING:
    from bridge.asgi.body import Body
    from bridge.asgi.versions import from_asgi2
    from bridge.asgi1.app import from_asgi1
    from bridge.asgi_to_wsgi import AsgiToWsgi
    from bridge.cutover.app import Cutover
    from bridge.cutover.route import Route
    from bridge.detect import as_asgi, as_wsgi
    from bridge.dispatcher import Dispatcher, Mount
    from bridge.errors import (
        AppError,
        AppLoadError,
        BridgeError,
        ChannelFull,
        ClientDisconnected,
        ConfigError,
        IllegalMessage,
        IllegalResponse,
        LayerUnavailable,
        LifespanFailed,
        MessageTooLarge,
        Overloaded,
        RequestCancelled,
        RequestError,
        RequestTimeout,
        SelfRequest,
        UnsupportedScope,
        WaitNotPossible,
    )
    from bridge.runners.base import await_
    from bridge.runners.in_thread import in_thread
    from bridge.runners.patching.patch import greenlet_patch
    from bridge.server.process.serving import serve
    from bridge.wsgi_to_asgi import WsgiToAsgi
else:

    def __getattr__(name: str) -> object:
        try:
            home = _MODULES[name]
        except KeyError:
            raise AttributeError(f"module 'bridge' has no attribute {name!r}") from None
        value = globals()[name] = getattr(import_module(home), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
