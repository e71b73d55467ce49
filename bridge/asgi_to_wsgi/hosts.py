"""What is known of the WSGI hosts beyond PEP 3333: whose client is gone, who gives a socket away.

Each fact stands in one place here, with the host it is about; everything else in this package
treats all hosts alike.
"""

from __future__ import annotations

import os
from _socket import socket as RawSocket  # not replaced by gevent: it never switches
from socket import MSG_DONTWAIT, MSG_PEEK
from typing import Any

from bridge.types import Environ


def plain_socket(environ: Environ) -> Any | None:
    """The client's socket, where the host gives it away and it carries no TLS."""
    given = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    if given is None or hasattr(given, "cipher"):  # an SSLSocket: its bytes are not ours to read
        return None
    return given


def answers_errors(environ: Environ) -> bool:
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
    given = plain_socket(environ)
    return given is not None and _at_end(given.fileno())


def _at_end(descriptor: int) -> bool:
    """Whether a socket has nothing to read but its end. Does not wait, and takes nothing."""
    if descriptor < 0:
        return True
    peek = RawSocket(fileno=os.dup(descriptor))
    try:
        return not peek.recv(1, MSG_PEEK | MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        peek.close()
