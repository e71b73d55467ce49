"""The Flask example under the validator, as WSGI and through `WsgiToAsgi`.

With a limit Werkzeug reads ``wsgi.input`` in pieces; without, it calls ``read()``, which PEP 3333
allows and the validator does not.
"""

from __future__ import annotations

from bridge import WsgiToAsgi
from examples.flask_on_bridge import app
from tests.support.validated import opaque, validated

app.config["MAX_CONTENT_LENGTH"] = 10**9
wsgi = validated(app)
asgi = WsgiToAsgi(wsgi)
opaque_asgi = opaque(asgi)
