# python -m examples.asgi_on_wsgi.on_wsgiref
"""The standard library's server on port 8000: one request at a time."""

import sys
from wsgiref.simple_server import make_server

from bridge import AsgiToWsgi
from examples.asgi_on_wsgi.clock import app

application = AsgiToWsgi(app)

if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    make_server("127.0.0.1", port, application).serve_forever()
