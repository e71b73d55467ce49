"""Routes of Django projects: those of a project of one file, read in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from channels.consumer import AsyncConsumer, SyncConsumer
from channels.generic.http import AsyncHttpConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import include, path, re_path

from bridge.route_tables import AppRoute, Submount, read_table
from bridge.route_tables.django import routes_of
from tests.support import hosts

SITE = Path(__file__).parents[1] / "data" / "routes" / "django_site.py"


def view(request: Any) -> None: ...


@pytest.fixture(scope="module")
def site() -> dict[str, dict[str, Any]]:
    """The rows of the project, by what Django writes; of two the first one."""
    found: dict[str, dict[str, Any]] = {}
    command = [sys.executable, "-m", "bridge", "routes", "django_site:application", "--json"]
    for row in _json(*command, "--app-dir", str(SITE.parent)):
        found.setdefault(row["pattern"], row)
    return found


def _json(*command: str) -> Any:
    ended = subprocess.run(command, cwd=hosts.ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_the_view_is_the_one_that_django_resolves() -> None:
    """M50: for each path, with regular expressions, includes, languages, admin and the rest."""
    different = [
        each
        for each in _json(sys.executable, "-m", "tests.data.routes.django_site")
        if each[1] != each[2]
    ]
    assert different == []


def test_methods_as_views_declare_them(site: dict[str, dict[str, Any]]) -> None:
    """M50: by decorators, by methods of classes, by actions of viewsets."""
    methods = {pattern: row["methods"] for pattern, row in site.items()}
    assert methods["awaited/"] is None
    assert methods["posted/"] == ["POST"]
    assert methods["async/"] == ["GET", "PUT", "HEAD", "OPTIONS"]
    assert methods["api/^things/$"] == ["GET"]
    assert methods["api/^things/(?P<pk>[^/.]+)/$"] == ["DELETE"]
    assert methods["rest"] == ["GET", "POST", "OPTIONS"]


def test_views_and_names(site: dict[str, dict[str, Any]]) -> None:
    """M50: functions behind decorators, classes, async ones; names with their namespaces."""
    runs = {pattern: row["async"] for pattern, row in site.items()}
    assert [runs[each] for each in ("awaited/", "async/", "sync/", "posted/")] == [
        *(True, True, False, False)
    ]
    assert site["posted/"]["view"] == "django_site.posted"
    assert site["sync/"]["view"] == "django_site.Sync"
    assert site["api/^things/$"]["view"] == "django_site.Things"
    assert site["samples/"]["name"] == "sam:ples"
    assert site["admin/login/"]["name"] == "admin:login"
    line = SITE.read_text().splitlines().index("def posted(request):") + 1
    assert (site["posted/"]["file"], site["posted/"]["line"]) == (str(SITE), line)


def test_what_is_never_reached(site: dict[str, dict[str, Any]]) -> None:
    """M50: the first route whose path matches has every method."""
    told = {pattern: row["never_reached"] for pattern, row in site.items() if row["never_reached"]}
    assert told == {
        "^articles/2026/$": "/articles/2026/ of django_site:application is never reached: "
        "/articles/{year}/ (django_site.page) comes before it"
    }


def test_languages_and_static_files(site: dict[str, dict[str, Any]]) -> None:
    """M50: a route of `i18n_patterns` is there with its prefix, and without if it may be so."""
    assert site["about/"]["path"] == "/about/"
    assert site["<language>/about/"]["path"] == "/{language}/about/"
    assert site["/static/"]["path"] == "/static/{path:path}"
    assert site["/static/"]["notes"] == ["static files"]


def test_includes_that_never_end() -> None:
    """M50: they are read to a depth that no project has."""
    patterns: list[Any] = [path("", view)]
    patterns.append(path("x/", include(patterns)))
    assert 10 < len(list(routes_of(patterns))) < 100


def test_routes_of_patterns_alone() -> None:
    """M50: whoever has only a list of them can read it."""
    first, second = routes_of([path("a/<int:id>/", view, name="a"), re_path(r"^b/?$", view)])
    assert (first.pattern, str(first.path), first.name) == ("a/<int:id>/", "/a/{id}/", "a")
    assert not first.by_method
    assert second.path.optional_slash


class Chat(AsyncConsumer): ...


class OldChat(SyncConsumer): ...


class Events(AsyncHttpConsumer): ...


async def other(scope: Any, receive: Any, send: Any) -> None: ...


def test_channels() -> None:
    """M50: consumers are routes for WebSockets; routers may be in routers."""
    inner = URLRouter([path("old/", OldChat.as_asgi(), name="old")])
    sockets = URLRouter(
        [
            re_path(r"^chat/(?P<room>\w+)/$", Chat.as_asgi()),
            path("more/", inner),
            path("events/", Events.as_asgi()),
            path("app/<path:rest>", other),
        ]
    )
    (mount,) = read_table(ProtocolTypeRouter({"websocket": sockets})).entries
    assert isinstance(mount, Submount)
    assert mount.kinds == ("websocket",)
    chat, old, events, app = mount.table.entries
    assert isinstance(events, AppRoute)
    assert events.kind == "http"
    assert isinstance(chat, AppRoute)
    assert isinstance(old, AppRoute)
    assert isinstance(app, Submount)
    assert (str(chat.path), chat.kind, chat.view.is_async) == ("/chat/{room}/", "websocket", True)
    assert chat.view.name == f"{__name__}.Chat"
    assert (str(old.path), old.name, old.view.is_async) == ("/more/old/", "old", False)
    assert (str(app.path), app.table.view.name) == ("/app", f"{__name__}.other")
