"""Any app as ASGI, and as WSGI."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.asgi1.app import ConsumerApp
from bridge.asgi_to_wsgi import AsgiToWsgi
from bridge.detect import as_asgi, as_wsgi
from bridge.errors import ConfigError
from bridge.wsgi_to_asgi import WsgiToAsgi


async def asgi(scope: Any, receive: Any, send: Any) -> None: ...
def asgi2(scope: Any) -> Any: ...
def wsgi(environ: Any, start_response: Any) -> Any: ...
def consumer(message: Any) -> None: ...
def anything(*args: Any) -> None: ...


def test_as_asgi_wraps_what_needs_it() -> None:
    """D2: ASGI 3 apps stay themselves; others are wrapped; adapters are not stacked."""
    assert as_asgi(asgi) is asgi
    assert as_asgi(AsgiToWsgi(asgi)) is asgi
    wrapped = as_asgi(wsgi, threads=3)
    assert isinstance(wrapped, WsgiToAsgi)
    assert wrapped.app is wsgi
    assert "from_asgi2" in repr(as_asgi(asgi2))
    ready = as_asgi(consumer, threads=3, strict=True)  # of which it has one
    assert isinstance(ready, ConsumerApp)
    assert (ready.app, ready.runner.stats().idle) == (consumer, 0)
    assert as_asgi(ready) is ready


def test_as_wsgi_wraps_what_needs_it() -> None:
    """D2: the same, the other way round."""
    assert as_wsgi(wsgi) is wsgi
    assert as_wsgi(WsgiToAsgi(wsgi)) is wsgi
    wrapped = as_wsgi(asgi)
    assert isinstance(wrapped, AsgiToWsgi)
    assert wrapped.app is asgi
    assert isinstance(as_wsgi(asgi2), AsgiToWsgi)
    assert isinstance(as_wsgi(consumer), AsgiToWsgi)


def test_an_explicit_kind_wins() -> None:
    """D2: `kind` is believed, whatever the signature says; a kind that is none is an error."""
    assert isinstance(as_asgi(anything, kind="wsgi"), WsgiToAsgi)
    assert as_asgi(wsgi, kind="asgi3") is wsgi  # type: ignore[comparison-overlap]
    assert as_wsgi(asgi, kind="wsgi") is asgi  # type: ignore[comparison-overlap]
    for wrap in (as_asgi, as_wsgi):
        with pytest.raises(ConfigError, match=r"'asgi4'.*auto, asgi3, asgi2, asgi1, wsgi"):
            wrap(asgi, kind="asgi4")
