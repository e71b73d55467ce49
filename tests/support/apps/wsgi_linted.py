"""An app between the validators of the standard library and of Werkzeug; both raise."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from werkzeug.middleware.lint import HTTPWarning, LintMiddleware, WSGIWarning

from bridge import WsgiToAsgi
from bridge.types import Environ, StartResponse
from tests.support.validated import opaque, validated

warnings.simplefilter("error", WSGIWarning)
warnings.simplefilter("error", HTTPWarning)


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Reads its body in pieces and lines; answers in pieces, or as `environ` wants it."""
    stream = environ["wsgi.input"]
    body = [stream.read(10), *stream]
    if environ["PATH_INFO"] == "/none":
        start_response("204 No Content", [("Content-Length", "0")])  # as Werkzeug's wants it
        return []
    headers = [("Content-Type", "text/plain; charset=utf-8")]
    if environ["PATH_INFO"] == "/sized" and environ["REQUEST_METHOD"] != "HEAD":
        headers.append(("Content-Length", str(sum(map(len, body)))))
        start_response("200 OK", headers)
        return body
    write = start_response("200 OK", headers)
    if environ["PATH_INFO"] == "/write":
        write(b"written,")
    environ["wsgi.errors"].write("")
    environ["wsgi.errors"].flush()
    return iter([b"pieces,", *body]) if environ["REQUEST_METHOD"] != "HEAD" else []


std = validated(app)
#: The middleware looks for an exact type that its own stream wrapper hides from the validator.
lint = LintMiddleware(app)

std_asgi = WsgiToAsgi(std)
opaque_std_asgi = opaque(std_asgi)
lint_asgi = WsgiToAsgi(lint)
opaque_lint_asgi = opaque(lint_asgi)
