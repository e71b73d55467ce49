"""What is mounted in our own `Dispatcher`, and tried by a `Fallback`.

Adapters are seen through as wrappers are: they keep their app in `app`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bridge.route_tables.classes import methods_of
from bridge.route_tables.patterns.pattern import Pattern, literal, overlaps
from bridge.route_tables.patterns.tokens import parse_braces
from bridge.route_tables.route import AppFinder, AppTable, Submount
from bridge.route_tables.views import view_of

DISPATCHERS = ("bridge.dispatcher.Dispatcher",)
FALLBACKS = ("bridge.fallback.Fallback",)
CUTOVERS = ("bridge.cutover.app.Cutover",)


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
                condition=None if mount.when is None else f"{view_of(mount.when).name} says so",
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


def read_cutover(app: Any, finder: AppFinder) -> AppTable:
    """Return what the routes of a cutover give to the new app; all else is the old one's (M1)."""
    old, new = (finder.table(app.sides[side].app) for side in ("old", "new"))
    entries = [*_switched(app.table.routes, new), Submount(Pattern(()), old)]
    return AppTable("", "bridge", tuple(entries))


def _switched(routes: Iterable[Any], new: AppTable) -> Iterator[Submount]:
    kept: list[tuple[str, Pattern]] = []  # what stays with the old app, at least in part
    for route in routes:
        paths = [parse_braces(path) for path in route.paths]
        if route.mode in ("new", "canary"):
            for path in paths:
                before = [name for name, each in kept if overlaps(each, path)]
                yield _switch(route, path, new, before)
        if route.mode != "new":
            kept += [(route.name, path) for path in paths]


def _switch(route: Any, path: Pattern, new: AppTable, before: Sequence[str]) -> Submount:
    conditions = [f"route {name}, which comes before, does not take it" for name in before]
    if route.mode == "canary":
        conditions.append(f"its client is one of the {route.share:g} %")
    methods = methods_of(route.methods)
    return Submount(
        path,
        new,
        host=route.host or "",
        kinds=("http",) if methods and "GET" not in methods else (),
        condition=" and ".join(conditions) or None,
        only_path=True,
        methods=methods,
        switch=f"route {route.name} ({route.mode})",
    )
