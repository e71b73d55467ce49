# gunicorn --bind 127.0.0.1:8000 --worker-class gevent examples.asgi_on_wsgi.on_gevent:application
"""Gunicorn with gevent: hundreds of streams and WebSockets in one process.

Each of them waits in a greenlet; the ASGI app runs on an event loop in another thread.
"""

from bridge import AsgiToWsgi
from examples.asgi_on_wsgi.clock import app

application = AsgiToWsgi(app)
