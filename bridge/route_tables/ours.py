"""What is mounted in our own `Dispatcher`, and tried by a `Fallback`.

Adapters are seen through as wrappers are: they keep their app in `app`.
"""

from __future__ import annotations

from typing import Any

from bridge.route_tables.patterns.pattern import Pattern, literal
from bridge.route_tables.route import AppFinder, AppTable, Submount
from bridge.route_tables.views import view_of

DISPATCHERS = ("bridge.dispatcher.Dispatcher",)
FALLBACKS = ("bridge.fallback.Fallback",)


def read_dispatcher(app: Any, finder: AppFinder) -> AppTable:
    """Return the mounts of a dispatcher, the one that is asked first at the beginning (D1, D8)."""
    return AppTable(
        "",
        "bridge",
        tuple(
            Submount(
                literal(mount.prefix) if mount.prefix else Pattern(()),
                finder.table(mount.app),
                host=mount.host,
                condition=None if mount.when is None else view_of(mount.when).name,
                keeps_prefix=mount.keep_prefix,
            )
            for mount in sorted(app.routes, key=_rank)
        ),
    )


def _rank(mount: Any) -> tuple[int, int, int]:
    """Return the place of a mount: names before wildcards before all hosts, then long prefixes."""
    kind = 2 if not mount.host else 1 if mount.host.startswith("*.") else 0
    return kind, -mount.host.count("."), -len(mount.prefix)


def read_fallback(app: Any, finder: AppFinder) -> AppTable:
    """Return the apps of a fallback, in the order in which they are tried (D5)."""
    tables = [finder.table(each) for each in app.apps]
    return AppTable(
        "", "bridge", tuple(Submount(Pattern(()), each) for each in tables), tries_each=True
    )
