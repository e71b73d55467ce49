"""An app whose import does not end in time."""

from __future__ import annotations

import threading

threading.Event().wait(20)


def app(environ, start_response):
    return []
