# python -m cheroot --bind 127.0.0.1:8000 --threads 16 examples.asgi_on_wsgi.on_cheroot:application
"""Cheroot, CherryPy's server."""

from bridge import AsgiToWsgi
from examples.asgi_on_wsgi.clock import app

application = AsgiToWsgi(app)
