"""An entry of the catalogue, and the ways to serve an app that it may concern."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

Severity: TypeAlias = Literal["ok", "note", "warning", "error"]

#: From the best to the worst.
SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)

#: The ways to serve a WSGI app: the runners of this server, which `WsgiToAsgi` has, too; the
#: adapter on other ASGI servers; other WSGI servers.
THREAD, PATCHED, GREENLET, INLINE = "thread", "greenlet --patch", "greenlet", "inline"
RUNNERS: Final = (THREAD, PATCHED, GREENLET, INLINE)
WSGI_TO_ASGI, WSGI_HOSTS = "WsgiToAsgi", "WSGI servers"
#: The ways to serve an ASGI app: this server, the adapter on WSGI servers, other ASGI servers.
SERVER, ASGI_TO_WSGI, ASGI_HOSTS = "this server", "AsgiToWsgi", "ASGI servers"

WSGI_WAYS: Final = (*RUNNERS, WSGI_TO_ASGI, WSGI_HOSTS)
ASGI_WAYS: Final = (SERVER, ASGI_TO_WSGI, ASGI_HOSTS)
ALL_WAYS: Final = (*WSGI_WAYS, *ASGI_WAYS)


@dataclass(frozen=True)
class Entry:
    """One thing that can be found: `care` and `fails` are the ways to serve that suffer."""

    severity: Severity
    text: str
    advice: str = ""
    care: tuple[str, ...] = ()
    fails: tuple[str, ...] = ()
