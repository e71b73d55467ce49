"""The Starlette example as it is, and through `AsgiToWsgi` under the validator."""

from __future__ import annotations

from bridge import AsgiToWsgi
from examples.starlette_on_gunicorn import app
from tests.support.validated import typed, validated

asgi = typed(app)
wsgi = validated(AsgiToWsgi(asgi))
