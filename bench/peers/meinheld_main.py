"""Serve an app on meinheld, on CPython 3.9.

``python -m bench.peers.meinheld_main MODULE:ATTR PORT``
"""

from __future__ import annotations

import importlib
import sys

from meinheld import server

if __name__ == "__main__":
    module, _, attribute = sys.argv[1].partition(":")
    app = getattr(importlib.import_module(module), attribute)
    server.set_access_logger(None)
    server.set_keepalive(75)
    server.listen(("127.0.0.1", int(sys.argv[2])))
    server.run(app)
