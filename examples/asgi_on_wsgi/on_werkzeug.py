# python -m examples.asgi_on_wsgi.on_werkzeug
"""Werkzeug's development server on port 8000, WebSockets included."""

import sys

from werkzeug.serving import run_simple

from bridge import AsgiToWsgi
from examples.asgi_on_wsgi.clock import app

application = AsgiToWsgi(app)

if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    run_simple("127.0.0.1", port, application, threaded=True)
