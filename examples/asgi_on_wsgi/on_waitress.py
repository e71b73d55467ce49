# waitress-serve --listen=127.0.0.1:8000 --threads=16 --channel-request-lookahead=1 examples.asgi_on_wsgi.on_waitress:application
"""Waitress: with the lookahead, an app that waits is told when its client has gone."""

from bridge import AsgiToWsgi
from examples.asgi_on_wsgi.clock import app

application = AsgiToWsgi(app)
