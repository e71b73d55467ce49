"""What Django keeps for a thread of ours is closed when the thread ends (W52).

Django keeps its connections to databases for each thread, and their objects refer to each other. So
what a thread has left when it ends stays open until Python looks for garbage, which may be never.
Other servers' threads last as long as they do. Ours end when they are idle, and others come.
"""

from __future__ import annotations

import sys

from bridge.log import logger


def close_connections() -> None:
    """Close what Django has open in this thread, if the app has Django; raises nothing."""
    conf, database = sys.modules.get("django.conf"), sys.modules.get("django.db")
    connections = getattr(database, "connections", None)
    if connections is None or not getattr(getattr(conf, "settings", None), "configured", False):
        return
    try:
        connections.close_all()
    except Exception:
        logger.warning("a thread that ends could not close its connections", exc_info=True)
