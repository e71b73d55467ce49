"""Both apps of `deployed`, side by side: for our server and our Gunicorn worker."""

from __future__ import annotations

from bench.apps import deployed
from bridge import Dispatcher

app = Dispatcher({"/asgi": deployed.asgi, "/wsgi": deployed.wsgi})
