"""What is shown of a route: its cells in a table, and its keys in JSON."""

from __future__ import annotations

import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.route_tables.site.rows import Row

_RUNS = {True: "async", False: "sync", None: ""}
_LIBRARIES = sysconfig.get_path("purelib")
_NO_ROUTES = "it has no routes"


@dataclass(frozen=True)
class Shown:
    """One row, as texts."""

    path: str
    methods: str
    app: str
    runs: str
    view: str
    place: str
    note: str

    @classmethod
    def of(cls, row: Row) -> Shown:
        """Return what is shown of `row`."""
        file, line = shown_file(row.view.file), row.view.line
        return cls(
            f"{row.host}{row.path}",
            shown_methods(row),
            row.app.app,
            _RUNS[row.view.is_async],
            row.view.name,
            f"{file}:{line}" if file and line else file or "",
            "; ".join(notes_of(row)),
        )

    def cells(self) -> tuple[str, ...]:
        """Return what stands in the columns."""
        return (self.path, self.methods, self.app, self.runs, self.view, self.place)


def shown_methods(row: Row) -> str:
    """Return the methods of a row; ``*`` for every one. What frameworks add by themselves is left
    out: OPTIONS, and HEAD beside GET, but in FastAPI, where HEAD is there only if it is asked for.
    """
    if row.kinds == ("websocket",):
        return "WEBSOCKET"
    shown = [each for each in row.methods if each != "OPTIONS"] or list(row.methods)
    if "GET" in shown and "HEAD" in shown and row.app.framework != "FastAPI":
        shown.remove("HEAD")
    return ",".join(shown) or "*"


def notes_of(row: Row) -> list[str]:
    """Return what is to be said of a row, the worst first."""
    notes = [row.never] if row.never else []
    if row.is_rest:
        notes.append(_NO_ROUTES)
    if row.app.note:
        notes.append(row.app.note)
    return [*notes, *row.notes]


def shown_file(file: str | None) -> str | None:
    """Return a file without the working directory, or that of the libraries, before it."""
    if file is None:
        return None
    for directory in (_LIBRARIES, Path.cwd()):
        if Path(file).is_relative_to(directory):
            return str(Path(file).relative_to(directory))
    return file


def as_object(row: Row) -> dict[str, Any]:
    """Return a row as an object of JSON."""
    return {
        "path": str(row.path),
        "pattern": row.pattern or None,
        "methods": list(row.methods) or None,
        "kinds": list(row.kinds),
        "host": row.host or None,
        "app": row.app.app,
        "framework": row.app.framework or None,
        "mount": row.mount,
        "name": row.name or None,
        "async": row.view.is_async,
        "view": row.view.name or None,
        "file": row.view.file,
        "line": row.view.line,
        "readable": not row.is_unread,
        "never_reached": row.never or None,
        "notes": [*([_NO_ROUTES] if row.is_rest else []), *row.notes],
    }
