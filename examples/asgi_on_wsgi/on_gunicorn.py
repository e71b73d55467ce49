# gunicorn --bind 127.0.0.1:8000 --threads 32 examples.asgi_on_wsgi.on_gunicorn:application
"""Gunicorn with threads: each stream and each WebSocket needs one of the 32 while it lasts.

The plain `sync` worker (without --threads) serves the same app, one request at a time.
"""

from bridge import AsgiToWsgi
from examples.asgi_on_wsgi.clock import app

application = AsgiToWsgi(app)
