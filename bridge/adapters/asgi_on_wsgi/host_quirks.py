"""What single WSGI hosts do beyond PEP 3333: disconnects, sockets for WebSockets, errors, masters.

Each fact stands here once, with the host that it is about; everything else in this package treats
all hosts alike.
"""

from __future__ import annotations

import os
import sys
from _socket import socket as RawSocket  # not replaced by gevent: it never switches
from socket import MSG_DONTWAIT, MSG_PEEK
from types import FrameType
from typing import Any

from bridge.loops.descriptors import input_ended
from bridge.types import Environ


def cleartext_socket(environ: Environ) -> Any | None:
    """Return the client's socket if the host gives it away and it carries no TLS."""
    given = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    if given is None or hasattr(given, "cipher"):  # an SSLSocket: its bytes are not ours to read
        return None
    return given


def websocket_socket(environ: Environ) -> Any | None:
    """Return the client's socket for a WebSocket (A40); None if the host gives none."""
    given = cleartext_socket(environ)
    if given is None and environ.get("SERVER_SOFTWARE", "").startswith("gevent/"):
        given = _pywsgi_socket(environ)
    return given


def _pywsgi_socket(environ: Environ) -> Any | None:
    """Return the socket below the input of gevent's own server (the bare file for an upgrade)."""
    file = environ["wsgi.input"]
    file = getattr(file, "rfile", file)
    given = getattr(getattr(file, "raw", None), "_sock", None)
    return None if hasattr(given, "cipher") else given


def websocket_help(environ: Environ) -> str:
    """Say what a client is told if this host cannot serve its WebSocket."""
    if environ.get("wsgi.url_scheme") == "https" and (
        "gunicorn.socket" in environ or "werkzeug.socket" in environ
    ):
        return (
            "This server ends TLS itself, and so cannot give its sockets away for WebSockets. "
            "Let a proxy in front of it end TLS."
        )
    return (
        "This WSGI server does not give its sockets away, and so cannot serve WebSockets. "
        "Those that do: gunicorn (gthread, gevent and gevent_pywsgi workers), gevent.pywsgi, "
        "werkzeug's development server. Or serve this ASGI app with an ASGI server."
    )


def only_loads_app() -> bool:
    """Whether this process loads the app for others to serve: a master that forks its workers.

    Gunicorn's master loads it with ``--preload`` (or to check its configuration, or from a script
    that is the server), uWSGI's without ``--lazy-apps``. A Gunicorn worker is recognised by the
    code that runs there, since nothing else is set when it loads the app.
    """
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is not None:
        return not uwsgi.worker_id()
    if "gunicorn.app.base" not in sys.modules:
        return False
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith("gunicorn.workers."):
            return False
        frame = frame.f_back
    return True


def turns_errors_into_500(environ: Environ) -> bool:
    """Whether the host makes a 500 of an exception, and lets ``exc_info`` replace a response.

    uWSGI closes the connection without an answer instead, in both cases.
    """
    return "uwsgi.version" not in environ


def client_is_gone(environ: Environ) -> bool:
    """Whether the client has closed its side, as far as the host lets us see (A12).

    Asked once a second while the app is silent and the request's body has been read.
    """
    ask = environ.get("waitress.client_disconnected")
    if ask is not None:
        return bool(ask())
    given = cleartext_socket(environ)
    return given is not None and has_ended(given)


def has_ended(given: Any) -> bool:
    """Whether the client of a host's socket has closed its side. Does not wait, and takes nothing.

    Also behind bytes that nobody reads yet: the next request, or what came before an answer that
    had to come first. On the WSGI side only, while the host has not closed it.
    """
    descriptor: int = given.fileno()
    if descriptor < 0:
        return True
    peek = RawSocket(fileno=os.dup(descriptor))
    try:
        return not peek.recv(1, MSG_PEEK | MSG_DONTWAIT) or input_ended(peek.fileno())
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        peek.close()
