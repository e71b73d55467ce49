"""Routes as data: what one route of an app is, and what an app has of them (M50).

Nothing here knows a framework. Readers (`flask.py`, `django.py` and so on) make an `AppTable` of an
app; its entries stand in the order in which the app asks them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeAlias

from bridge.route_tables.patterns.pattern import Pattern

RouteKind: TypeAlias = Literal["http", "websocket"]


@dataclass(frozen=True)
class View:
    """What answers a route: ``module.function``, where that is, and whether it is async.

    None: it cannot be told.
    """

    name: str = ""
    file: str | None = None
    line: int | None = None
    is_async: bool | None = None


@dataclass(frozen=True)
class AppRoute:
    """One route of an app."""

    #: As the framework writes it.
    pattern: str
    #: The same in the form of all frameworks.
    path: Pattern
    #: Sorted; empty: every method.
    methods: tuple[str, ...] = ()
    kind: RouteKind = "http"
    #: ``""`` for every host, a name, ``*.name``, or as the framework writes it.
    host: str = ""
    name: str = ""
    view: View = View()
    #: Whether the app goes on to other routes of this path if the method is not one of these.
    by_method: bool = True
    note: str = ""


@dataclass(frozen=True)
class Submount:
    """An app that is mounted in another: it gets all requests below `path`."""

    path: Pattern
    table: AppTable
    host: str = ""
    #: Kinds of requests that it gets; empty: all.
    kinds: tuple[RouteKind, ...] = ()
    #: The condition under which it gets them, in words behind *if*; None: there is none.
    condition: str | None = None
    #: It sees paths whole, with `path` at their beginning.
    keeps_prefix: bool = False
    #: It gets only the paths of `path` itself, whole, and not all that is below.
    only_path: bool = False
    #: It gets only requests with these methods; empty: with any.
    methods: tuple[str, ...] = ()
    #: What gives it these requests, if that is a switch: the same paths are elsewhere, too.
    switch: str = ""


@dataclass(frozen=True)
class AppTable:
    """What an app has: its routes, and apps that are mounted in it."""

    #: How it is called: ``module:attr`` if it has such a name.
    app: str
    #: Flask, Django, Starlette, FastAPI, Quart ...; empty: not known.
    framework: str = ""
    entries: tuple[AppRoute | Submount, ...] = ()
    #: The apps are asked one after another, until one does not refuse (a fallback).
    tries_each: bool = False
    #: Why its routes are not known; empty: they are.
    unread: str = ""
    #: What is called, for an app without known routes.
    view: View = View()
    #: A path that is a route's but for the slash at its end is redirected to that: only if the
    #: slash is missing (``add``), or also if there is one too many (``both``).
    redirects_slashes: Literal["", "add", "both"] = ""
    #: Its place itself, without a slash, is ``/`` for it, as PEP 3333 has it.
    empty_is_root: bool = True
    note: str = ""

    def noted(self, note: str) -> AppTable:
        """Return the same with one more note."""
        return replace(self, note="; ".join(each for each in (self.note, note) if each))


class AppFinder(Protocol):
    """What a reader asks for apps that are mounted in its app, or inside of its wrappers."""

    #: What the app is called that is read now.
    name: str

    def table(self, app: Any, name: str = "") -> AppTable:
        """Return the routes of `app`."""

    def inner(self, app: Any, name: str = "") -> AppTable | None:
        """Return the routes of the first app that is found in `app`, the nearest first, or None."""

    def reads_again(self, app: Any) -> bool:
        """Whether a wrapper that `app` has around itself has led to it again."""


def unread_table(app: str, reason: str, view: View, framework: str = "") -> AppTable:
    """Return the table of an app whose routes are not known: one row."""
    return AppTable(app, framework, unread=reason, view=view)
